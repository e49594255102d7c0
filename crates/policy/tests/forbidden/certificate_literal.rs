//! What a certificate says is only what an opened envelope's certificate says.
fn main() {
    let _ = attest::sigstore::Certificate { identity: "me".to_owned(), issuer: "me".to_owned() };
}
