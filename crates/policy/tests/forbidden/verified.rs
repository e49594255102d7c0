//! What was verified is no attestation before the time was asked.
fn forge(verified: attest::Verified, artifact: &attest::Artifact) {
    let _ = verified.about(artifact);
}
fn main() {}
