//! A grant cannot be put into a verdict by hand.
fn forge(verdict: policy::Verdict, grant: policy::HeldGrant) -> policy::Verdict {
    verdict.with_grant(Some(Ok(grant)))
}
fn main() {}
