//! Step one cannot be skipped: an envelope is about nothing until it is opened.
fn forge(envelope: attest::Envelope, artifact: attest::Artifact) {
    let _ = envelope.about(&artifact);
}
fn main() {}
