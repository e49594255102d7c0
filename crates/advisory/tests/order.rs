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

/// Cases that the ecosystems' own documents and test suites give, where no list of others is at hand.
#[test]
fn the_cases_of_their_own_documents_agree() {
    let cases = [
        (
            Order::Rpm,
            "1.0 < 1.0.1\n5.5p1 < 5.5p10\n10xyz < 10.1xyz\nxyz.4 < 8\n6.0 < 6.0.rc1\n10.0001 = 10.1\n2_0 = 2.0\na+ = a_\n\
             1.0~rc1 < 1.0\n1.0~rc1~git123 < 1.0~rc1\n1.0 < 1.0^git1\n1.0^git1 < 1.01\n1.0^20160101 < 1.0.1\n\
             1.0~rc1 < 1.0~rc1^git1\n1.0^git1~pre < 1.0^git1\n3 < 1:2\n0:1 < 1:1\n01:2 = 1:2\n1 < 1-1\n1-2 < 1-123\n\
             3.10.0-229.el7 < 3.10.0-229.1.2.el7\n2.4.21-9.EL < 2.4.21-9.0.1.EL",
        ),
        (
            Order::Pub,
            "1.0.0-pre < 1.0.0-pre+build\n1.0.0-pre+build < 1.0.0\n1.0.0 < 1.0.0+build\n1.2.3+1 < 1.2.3+2\n1.2.3+900 < 1.2.3+a",
        ),
        (
            Order::NuGet,
            "1.0.0 = 1.0\n1.0.0 < 1.0.0.1\n1.0.0-Beta = 1.0.0-beta\n1.0.0-alpha < 1.0.0\n1.0.0+a = 1.0.0+b\n1.0.0-beta.2 < 1.0.0-beta.11",
        ),
        (
            Order::Packagist,
            "5.2 > 5.1\n1.0-dev < 1.0-alpha1\n1.0-alpha1 < 1.0-beta1\n1.0-beta1 < 1.0RC1\n1.0rc1 = 1.0RC1\n1.0RC2 < 1.0\n\
             1.0 < 1.0pl1\n1.0 < 1.0.0\nv1.2 = 1.2\n1.0-foo < 1.0-dev\n1.0.0-p1 > 1.0.0",
        ),
        (Order::Hackage, "1.0 < 1.0.0\n0.11.3.0 < 1.0\n0 < 0.1.26.0\n2.0 > 1\n0.1.0.0 = 0.1.0.0"),
        (Order::Cran, "0.1.0 < 0.1.0.0\n0.01.0 = 0.1-0\n0.9 < 0.75\n1.0-0 < 1.0-1\n0.1.4 < 0.1.18"),
        (Order::SemVer, "1.2 = 1.2.0\n1.0.0-rc.1+b < 1.0.0\n1.0.0-1 < 1.0.0-a"),
        (
            Order::Apk,
            "1.2_rc1 < 1.2\n1.2 < 1.2_p1\n1.2 < 1.2a\n1.2-r1 < 1.2-r10\n1.2 = 1.2~ab12\n1.2 = 1.2.0",
        ),
    ];
    for (order, text) in cases {
        for (left, wanted, right) in rows(text) {
            assert!(order.reads(left) && order.reads(right), "{order:?} reads {left} and {right}");
            assert_eq!(order.compare(left, right), wanted, "{order:?}: {left} and {right}");
        }
    }
}
