use std::path::Path;
use std::sync::Arc;

use attest::merkle::leaf_hash;
use attest::{SecretKey, Signer as _, TrustRoot};
use jiff::Timestamp;
use policy::{Book, Guardrails, digest_of};
use tlog::{Files, Journaled, Log};

use super::*;
use crate::{Chokepoint, Governed, Governing, Limits, NewEvent};

const ORIGIN: &str = "log.example";

fn signer() -> Box<SecretKey> {
    Box::new(SecretKey::from_ed25519_seed(&[9; 32]).unwrap())
}

fn key() -> NoteKey {
    NoteKey { name: ORIGIN.to_owned(), key: signer().public().clone() }
}

fn journaled(dir: &Path) -> Journaled<Files> {
    let files = Files::new(dir);
    let log = Log::open(files.clone(), ORIGIN, signer());
    Journaled::start(log.or_else(|_| Log::create(files, ORIGIN, signer())).unwrap()).unwrap()
}

fn file(word: &str) -> SourceFile {
    let text =
        format!("# {word}\nenvironment: prod/shop\nartifact: shop\nrequire: {{ signed-by: [vendor] }}\n");
    SourceFile { name: "book/shop.yaml".to_owned(), text }
}

/// The book with a word in it, in the place of others.
fn governing(word: &str, replaced: &[&str]) -> Governing {
    let book = |word: &str| Book::load(vec![file(word)], &Guardrails::none()).unwrap();
    let mut history = History::default();
    for old in replaced {
        history.replace("book", Some(digest_of(&[file(old)])), None);
    }
    let pem = signer().public().to_pem();
    let pem: String = pem.lines().map(|line| format!("          {line}\n")).collect();
    let root = format!("version: 1\nsigners:\n  vendor:\n    keys:\n      - key: |\n{pem}");
    let root = TrustRoot::parse("trust-root.yaml", &root).unwrap();
    let governance = Some(Governed { policies: Arc::new(book("policies")), history });
    Governing { governance, ..Governing::new(book(word), root) }
}

fn start(dir: &Path, writer: &str, governing: Governing) -> Chokepoint<Files> {
    let limits = Limits { writer: writer.to_owned(), ..Limits::default() };
    Chokepoint::start(governing, journaled(dir), limits).unwrap()
}

fn live(point: &Chokepoint<Files>, events: usize) {
    for _ in 0..events {
        let (at, body) = (Timestamp::from_second(1_800_000_000).unwrap(), Object::new());
        let event = NewEvent { at, kind: EventKind::Heartbeat, body, parts: Vec::new() };
        point.record(event).unwrap();
    }
}

fn found(dir: &Path, writer: &str) -> Result<String, String> {
    let last = {
        let log = journaled(dir);
        LastGood::find(&log, &log.storage(), &key(), writer)
    }
    .map_err(|e| e.to_string())?
    .unwrap();
    Ok(last.book[0].text.lines().next().unwrap().to_owned())
}

#[test]
fn an_edit_that_hides_the_newest_files_does_not_bring_older_ones_back() {
    let dir = tempfile::tempdir().unwrap();
    let point = start(dir.path(), "one", governing("first", &[]));
    live(&point, 300);
    point.replace_with(governing("second", &["first"])).unwrap();
    live(&point, 300);
    drop(point);
    assert_eq!(found(dir.path(), "one").unwrap(), "# second");
    let bundle = dir.path().join("tile/entries/001");
    let whole = std::fs::read(&bundle).unwrap();
    let at = whole.windows(14).position(|part| part == b"files-in-force").unwrap();
    let mut edited = whole.clone();
    edited[at + 13] = b'f';
    std::fs::write(&bundle, &edited).unwrap();
    let said = found(dir.path(), "one").unwrap_err();
    assert!(said.contains("is malformed"), "{said}");
    // whoever edits a bundle can edit its hashes
    let tile = dir.path().join("tile/0/001");
    let mut hashes = std::fs::read(&tile).unwrap();
    let mut rest = edited.as_slice();
    for hash in hashes.chunks_mut(32) {
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        hash.copy_from_slice(&leaf_hash(&rest[2..2 + length]));
        rest = &rest[2 + length..];
    }
    std::fs::write(&tile, &hashes).unwrap();
    let said = found(dir.path(), "one").unwrap_err();
    assert!(said.contains("record 256 is malformed"), "{said}");
}

#[test]
fn the_name_of_a_writer_that_is_gone_brings_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let ungoverned = Governing { governance: None, ..governing("before", &[]) };
    live(&start(dir.path(), "oldest", ungoverned), 1);
    live(&start(dir.path(), "old", governing("first", &["before"])), 1);
    live(&start(dir.path(), "new", governing("second", &["before", "first"])), 1);
    for writer in ["new", "old", "oldest", "never"] {
        assert_eq!(found(dir.path(), writer).unwrap(), "# second", "{writer}");
    }
    let last = {
        let log = journaled(dir.path());
        LastGood::find(&log, &log.storage(), &key(), "oldest")
    }
    .unwrap()
    .unwrap();
    assert!(last.governance.is_some(), "governance does not end by a name");
}

#[test]
fn a_tree_that_the_logs_key_did_not_sign_puts_nothing_in_force() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    live(&start(dir.path(), "one", governing("true", &[])), 1);
    let log = journaled(dir.path());
    let find = |tree: &Path| LastGood::find(&log, &Files::new(tree), &key(), "one");
    assert_eq!(find(dir.path()).unwrap().unwrap().book[0].text.lines().next(), Some("# true"));
    // a tree in which everything fits together, of somebody else's key, and of another log of ours
    for (seed, origin) in [(7, ORIGIN), (9, "other.example")] {
        let signer = SecretKey::from_ed25519_seed(&[seed; 32]).unwrap();
        let tree = other.path().join(origin);
        let log = Log::create(Files::new(&tree), origin, Box::new(signer)).unwrap();
        let limits = Limits { writer: "one".to_owned(), ..Limits::default() };
        let log = Journaled::start(log).unwrap();
        live(&Chokepoint::start(governing("forged", &["true"]), log, limits).unwrap(), 1);
        let said = find(&tree).unwrap_err().to_string();
        assert!(said.contains("it has no checkpoint that the log's key signed for it"), "{said}");
    }
}
