//! An admission, a decision that is on record, cannot be made by hand.
type Files = (std::sync::Arc<policy::Book>, std::sync::Arc<attest::TrustRoot>);
fn forge(case: policy::Case, decision: chokepoint::Decision, files: Files, receipt: Option<tlog::Promise>) {
    let _ = chokepoint::Admission { case, decision, files, receipt, record: None };
}
fn main() {}
