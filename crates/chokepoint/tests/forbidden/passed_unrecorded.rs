//! Nothing is summarised of a decision that nobody recorded.
fn forge(decision: chokepoint::Decision) {
    let _ = decision.passed();
}
fn main() {}
