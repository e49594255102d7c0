//! Every version order against the lists of others, and as an order.

mod data;

use std::cmp::Ordering;

use advisory::Order;

const LISTS: [(&str, Order); 6] = [
    ("alpine", Order::Apk),
    ("debian", Order::Dpkg),
    ("maven", Order::Maven),
    ("pypi", Order::PyPi),
    ("rubygems", Order::RubyGems),
    ("semver", Order::SemVer),
];

fn rows(text: &str) -> impl Iterator<Item = (&str, Ordering, &str)> {
    text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')).map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [left, sign, right] = words[..] else { panic!("{line}") };
        let wanted = match sign {
            "<" => Ordering::Less,
            "=" => Ordering::Equal,
            ">" => Ordering::Greater,
            other => panic!("{other}"),
        };
        (left, wanted, right)
    })
}

#[test]
fn the_lists_of_osv_scalibr_agree() {
    let Some(dir) = data::data("osv-versions") else { return };
    let mut wrong = Vec::new();
    for (name, order) in LISTS {
        let mut count = 0;
        for file in [format!("{name}-versions.txt"), format!("{name}-versions-generated.txt")] {
            let Ok(text) = std::fs::read_to_string(dir.join(&file)) else { continue };
            for (left, wanted, right) in rows(&text) {
                count += 1;
                if order.compare(left, right) != wanted || order.compare(right, left) != wanted.reverse() {
                    wrong
                        .push(format!("{file}: {left} {wanted:?} {right}: {:?}", order.compare(left, right)));
                }
            }
        }
        println!("{name}: {count} comparisons");
        assert!(count > 0, "{name}: no list");
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
