//! A breakglass grant that holds cannot be made by hand: only a verified signature makes one.
fn forge(grant: attest::breakglass::Grant, digest: attest::Digest) {
    let _ = policy::HeldGrant { grant, person: "alice".to_owned(), digest };
}
fn main() {}
