//! Step two cannot be skipped: an attestation is no evidence.
fn takes_evidence(_: attest::Evidence) {}
fn forge(attestation: attest::Attestation) {
    takes_evidence(attestation);
}
fn main() {}
