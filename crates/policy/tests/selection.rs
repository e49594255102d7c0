//! What lies beside an artifact, and what of it is submitted.

use attest::claims::{RELEASE, Release};
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Artifact, Digest, Directly, Object, Scheme, SecretKey, Signer, Statement, TrustRoot};
use policy::{Submitted, select};

struct World {
    root: TrustRoot,
    trusted: SecretKey,
    stranger: SecretKey,
    artifact: Artifact,
}

fn world() -> World {
    let (trusted, stranger) =
        (SecretKey::generate(Scheme::P256).unwrap(), SecretKey::generate(Scheme::P256).unwrap());
    let pem: String = trusted.public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
    let root = format!("version: 1\nreleasers:\n  carol:\n    keys:\n      - key: |\n{pem}");
    let root = TrustRoot::parse("trust-root.yaml", &root).unwrap();
    World { root, trusted, stranger, artifact: Artifact::new("shop", Digest::sha256(b"shop").into()) }
}

fn release(key: &SecretKey, name: &str, about: &[u8], version: &str) -> Submitted {
    let release = Release { purl: format!("pkg:generic/shop@{version}"), environments: vec!["prod".into()] };
    signed(key, name, about, RELEASE, release.to_json())
}

fn signed(key: &SecretKey, name: &str, about: &[u8], kind: &str, predicate: Object) -> Submitted {
    let statement = Statement::write("shop", &Digest::sha256(about).into(), kind, predicate);
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[key]).unwrap();
    let bytes = attest::bundle::Bundle::write(&dsse, &key.public().id(), &[]).to_string().into_bytes();
    Submitted { name: name.to_owned(), bytes }
}

fn run(world: &World, found: Vec<Submitted>) -> (Vec<String>, Vec<(String, String)>) {
    let at = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let selection = select(found, &world.artifact, &world.root, &Directly, at);
    (
        selection.submitted.into_iter().map(|s| s.name).collect(),
        selection.left_out.into_iter().map(|l| (l.name, l.why)).collect(),
    )
}

#[test]
fn what_anybody_else_attached_is_left_out_and_named() {
    let world = world();
    let found = vec![
        release(&world.stranger, "stranger's", b"shop", "2"),
        release(&world.trusted, "ours", b"shop", "1"),
        release(&world.trusted, "another's", b"other", "1"),
        Submitted { name: "junk".into(), bytes: b"{}".to_vec() },
    ];
    let (submitted, left_out) = run(&world, found);
    assert_eq!(submitted, ["ours"]);
    assert_eq!(left_out[0].0, "stranger's");
    assert!(left_out[0].1.contains("no signature on it verifies"), "{left_out:?}");
    assert_eq!(left_out[1], ("another's".into(), "it is about another artifact".into()));
    assert!(left_out[2].1.contains("no DSSE envelope"), "{left_out:?}");
}

#[test]
fn two_claims_without_a_trusted_time_are_both_submitted_and_none_is_picked() {
    let world = world();
    let found =
        vec![release(&world.trusted, "one", b"shop", "1"), release(&world.trusted, "two", b"shop", "2")];
    assert_eq!(run(&world, found), (vec!["one".into(), "two".into()], vec![]));
}

#[test]
fn more_than_are_looked_at_are_named() {
    let world = world();
    let mut found: Vec<Submitted> =
        (0..64).map(|n| release(&world.stranger, &format!("junk {n}"), b"shop", "1")).collect();
    found.push(release(&world.trusted, "ours", b"shop", "1"));
    let (submitted, left_out) = run(&world, found);
    assert!(submitted.is_empty() && left_out.len() == 65);
    assert_eq!(left_out[64], ("ours".into(), "only the first 64 are looked at".into()));
}
