//! A decision cannot be made by hand, nor from a verdict outside of the choke point.
fn forge(verdict: policy::Verdict) {
    let _ = chokepoint::Decision {
        answer: chokepoint::Answer::Admit,
        basis: chokepoint::Basis::Breakglass,
        standing: None,
        verdict,
    };
}
fn main() {}
