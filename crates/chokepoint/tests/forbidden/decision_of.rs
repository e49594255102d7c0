//! Nobody but the choke point decides on a verdict.
fn forge(verdict: policy::Verdict, case: &policy::Case) {
    let _ = chokepoint::Decision::of(verdict, case, None);
}
fn main() {}
