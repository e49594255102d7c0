//! Evidence cannot be made by hand, nor from an attestation without naming the artifact.
fn forge(attestation: attest::Attestation) {
    let _ = attest::Evidence { attestation };
}
fn main() {}
