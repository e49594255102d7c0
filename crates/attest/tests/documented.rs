//! `docs/signatures.md` says what the code does: its trust root loads, and lists what the page says.

use attest::key::KeyForm;
use attest::{Scheme, TrustRoot};

const PAGE: &str = include_str!("../../../docs/signatures.md");

#[test]
fn the_pages_trust_root_loads() {
    let example = PAGE.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let root = TrustRoot::parse("docs/signatures.md", example).unwrap_or_else(|e| panic!("{e:?}"));
    let key = |name: &str| root.principal(name).unwrap().keys[0].clone();
    assert!(
        matches!(key("debian-amd64").key.form(), KeyForm::OpenPgp(_)) && key("debian-amd64").until.is_some()
    );
    assert_eq!((key("alice").key.form(), key("alice").key.scheme()), (&KeyForm::Ssh, Scheme::Ed25519));
    for constant in [attest::buildinfo::DEBIAN_BUILD_TYPE, attest::buildinfo::BUILDER] {
        assert!(PAGE.contains(constant), "{constant}");
    }
}
