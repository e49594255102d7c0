//! What may be summarised cannot be made by hand.
fn forge(case: policy::Case, policy: policy::PolicyName, digest: attest::Digest) {
    let _ = chokepoint::Passed {
        uri: String::new(),
        digest: digest.clone(),
        environment: String::new(),
        at: case.at(),
        policy,
        book: digest.clone(),
        inputs: Vec::new(),
        levels: Vec::new(),
        record: digest,
    };
}
fn main() {}
