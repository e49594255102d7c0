//! An admission, a decision that is on record, cannot be made by hand.
fn forge(decision: chokepoint::Decision, receipt: Option<tlog::Promise>) {
    let _ = chokepoint::Admission { decision, receipt, record: None };
}
fn main() {}
