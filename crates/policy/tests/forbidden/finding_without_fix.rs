//! There is no finding without a fix.
fn forge() {
    let _ = policy::Finding::new("rule", "message");
}
fn main() {}
