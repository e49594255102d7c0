//! Nobody but the choke point decides on a verdict.
fn forge(verdict: policy::Verdict) {
    let _ = chokepoint::Decision::of(verdict, None);
}
fn main() {}
