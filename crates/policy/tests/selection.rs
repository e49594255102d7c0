//! What lies beside an artifact, and what of it is submitted.

use attest::bundle::{Bundle, LogEntry};
use attest::claims::{RELEASE, Release};
use attest::dsse::{Dsse, IN_TOTO};
use attest::merkle::leaf_hash;
use attest::note::{self, Checkpoint, NoteKey};
use attest::open::leaf_body;
use attest::provenance::{Provenance, SLSA_V1, Source};
use attest::{
    Algorithm, Artifact, Digest, DigestSet, Directly, Object, Scheme, SecretKey, Signer, Statement, TrustRoot,
};
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

/// A log, and a witness that saw it.
struct Seen {
    log: SecretKey,
    witness: SecretKey,
}

impl Seen {
    fn new() -> Self {
        let key = || SecretKey::generate(Scheme::Ed25519).unwrap();
        Self { log: key(), witness: key() }
    }

    /// The world's trust root, with the log and the witness.
    fn root(&self, world: &World) -> TrustRoot {
        let key = |name: &str, key: &SecretKey| NoteKey { name: name.to_owned(), key: key.public().clone() };
        let text = format!(
            "{}logs:\n  l: {{ key: \"{}\" }}\nwitnesses:\n  w: {{ key: \"{}\" }}\n",
            world.root.text(),
            key("log.example", &self.log).to_vkey(),
            key("w.example", &self.witness).to_witness_vkey(),
        );
        TrustRoot::parse("trust-root.yaml", &text).unwrap()
    }

    /// What the key says of these digests, seen by the witness at this second.
    fn said(
        &self,
        key: &SecretKey,
        name: &str,
        about: &DigestSet,
        what: (&str, Object),
        at: i64,
    ) -> Submitted {
        let statement = Statement::write("shop", about, what.0, what.1);
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[key]).unwrap();
        let body = leaf_body(&dsse, &Digest::sha256(b""), key.public());
        let text = Checkpoint { origin: "log.example".to_owned(), size: 1, root: leaf_hash(&body) }.to_text();
        let at = jiff::Timestamp::from_second(at).unwrap();
        let checkpoint = note::sign(&text, "log.example", &self.log).unwrap()
            + &note::cosign(&text, "w.example", at, &self.witness).unwrap();
        let entry = LogEntry { index: 0, size: 1, proof: Vec::new(), checkpoint, body };
        Submitted {
            name: name.to_owned(),
            bytes: Bundle::write(&dsse, "", &[entry]).to_string().into_bytes(),
        }
    }
}

#[test]
fn what_is_said_of_a_commit_never_takes_the_place_of_what_is_said_of_the_artifact() {
    let mut world = world();
    let seen = Seen::new();
    world.root = seen.root(&world);
    let artifact: DigestSet = Digest::sha256(b"shop").into();
    let commit =
        |digit: &str| DigestSet::from(Digest::from_hex(Algorithm::GitCommit, &digit.repeat(40)).unwrap());
    let word = || {
        let release = Release { purl: "pkg:generic/shop@1".to_owned(), environments: vec!["prod".into()] };
        (RELEASE, release.to_json())
    };
    let source =
        Source { repository: "https://git.example/shop".into(), digests: commit("a"), ..Source::default() };
    let built = Provenance {
        builder_id: "b".into(),
        build_type: "x".into(),
        source: Some(source),
        ..Provenance::default()
    };
    let key = &world.trusted;
    let found = vec![
        seen.said(key, "built", &artifact, (SLSA_V1, built.to_slsa_v1()), 1_700_000_000),
        seen.said(key, "of the artifact", &artifact, word(), 1_700_000_001),
        // genuine, by the same signer, later: whoever may push to the registry attached them
        seen.said(key, "of its commit", &commit("a"), word(), 1_700_000_002),
        seen.said(key, "of another commit", &commit("b"), word(), 1_700_000_003),
    ];
    let (submitted, left_out) = run(&world, found);
    assert_eq!(submitted, ["built", "of the artifact", "of its commit"]);
    assert_eq!(left_out, [("of another commit".into(), "it is about another commit".into())]);
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
