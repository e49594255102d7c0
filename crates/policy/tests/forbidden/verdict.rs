//! A verdict cannot be made by hand.
fn forge() {
    let _ = policy::Verdict {
        policy: None,
        outcome: policy::Outcome::Met,
        findings: Vec::new(),
        warnings: Vec::new(),
        grant: None,
        outage: None,
    };
}
fn main() {}
