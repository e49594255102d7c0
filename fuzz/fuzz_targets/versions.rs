//! Every version order over three texts: antisymmetric, and transitive.
#![no_main]
use std::cmp::Ordering;

use advisory::Order;

libfuzzer_sys::fuzz_target!(|texts: (u8, &str, &str, &str)| {
    let (which, a, b, c) = texts;
    let Some(order) = Order::ALL.get(usize::from(which) % Order::ALL.len()) else { return };
    assert_eq!(order.compare(a, b), order.compare(b, a).reverse());
    let mut sorted = [a, b, c];
    sorted.sort_by(|a, b| order.compare(a, b));
    assert_ne!(order.compare(sorted[0], sorted[2]), Ordering::Greater, "{order:?} {sorted:?}");
    assert_ne!(order.compare(sorted[0], sorted[1]), Ordering::Greater, "{order:?} {sorted:?}");
    assert_ne!(order.compare(sorted[1], sorted[2]), Ordering::Greater, "{order:?} {sorted:?}");
});
