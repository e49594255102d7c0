//! Every order is one: total, antisymmetric, transitive, over whatever texts.

mod versions;

use std::cmp::Ordering;

use advisory::{Component, Order, Purl, Record};
use versions::Seeded;

#[test]
fn every_order_is_total_antisymmetric_and_transitive() {
    for order in Order::ALL {
        let mut seeded = Seeded(20_261_123);
        let mut texts: Vec<String> = Vec::new();
        for index in 0..120 {
            texts.push(if index % 2 == 0 { seeded.proper(order) } else { seeded.noise() });
        }
        // sorted by a real order, any two stand as their places say
        let compare = |a: &String, b: &String| order.compare(a, b);
        for a in &texts {
            assert_eq!(order.compare(a, a), Ordering::Equal, "{order:?} {a:?}");
            for b in &texts {
                assert_eq!(order.compare(a, b), order.compare(b, a).reverse(), "{order:?} {a:?} {b:?}");
            }
        }
        texts.sort_by(compare);
        let mut classes: Vec<usize> = vec![0];
        for pair in texts.windows(2) {
            let next =
                classes.last().unwrap() + usize::from(order.compare(&pair[0], &pair[1]) == Ordering::Less);
            classes.push(next);
        }
        for (i, a) in texts.iter().enumerate() {
            for (j, b) in texts.iter().enumerate() {
                assert_eq!(order.compare(a, b), classes[i].cmp(&classes[j]), "{order:?}: {a:?} and {b:?}");
            }
        }
        let read = texts.iter().filter(|t| order.reads(t)).count();
        println!(
            "{order:?}: {} texts, {read} of them versions, {} places",
            texts.len(),
            classes.last().unwrap() + 1
        );
        assert!(read >= 60, "{order:?} reads what its ecosystem writes: {read}");
    }
}

#[test]
fn long_versions_are_none_and_cost_nothing() {
    for order in Order::ALL {
        for unit in ["1.", "9", "a1", "-", "~", "1-"] {
            let long = unit.repeat(1 << 20);
            assert!(!order.reads(&long), "{order:?}");
            assert_eq!(order.compare(&long, "1"), Ordering::Less);
        }
    }
}

#[test]
fn no_bytes_make_a_reader_panic() {
    let mut seeded = Seeded(7);
    let good = br#"{"id":"T","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Root:Debian:12","name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1"}]}]}]}"#;
    for _ in 0..20_000 {
        let mut bytes = good.to_vec();
        for _ in 0..=seeded.below(4) {
            let at = seeded.below(bytes.len() as u64) as usize;
            bytes[at] = seeded.below(256) as u8;
        }
        drop(Record::parse(&bytes));
        let noise = format!(
            "pkg:{}/{}@{}",
            seeded.of(&["npm", "deb/debian", "maven", ""]),
            seeded.noise(),
            seeded.noise()
        );
        if let Ok(purl) = Purl::parse(&noise) {
            assert!(Component::of_purl(&noise, &purl).label().contains(&purl.name));
        }
    }
}
