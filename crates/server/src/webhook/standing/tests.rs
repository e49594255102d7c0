use attest::note::Note;
use attest::{SecretKey, Signer as _, TrustRoot};
use chokepoint::{Chokepoint, Limits};
use policy::{Book, Guardrails, SourceFile};
use tlog::{Files, Log};

use super::*;

const OWNER: &str = "ReplicaSet/shop/web/1";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A folder of state, beside a real log in files.
struct Place {
    dir: tempfile::TempDir,
    point: Chokepoint<Files>,
    files: Files,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(&dir.path().join("log"));
        let log = Log::create(files.clone(), "log.example", Box::new(key(9))).unwrap();
        let text = "environment: prod/shop\nartifact: shop\nrequire: { signed-by: [vendor] }\n".to_owned();
        let file = SourceFile { name: "book/shop.yaml".to_owned(), text };
        let pem: String =
            key(1).public().to_pem().lines().map(|line| format!("          {line}\n")).collect();
        let root = format!("version: 1\nsigners:\n  vendor:\n    keys:\n      - key: |\n{pem}");
        let root = TrustRoot::parse("trust-root.yaml", &root).unwrap();
        let book = Book::load(vec![file], &Guardrails::none()).unwrap();
        let point = Chokepoint::open_with(book, root, log, Limits::default()).unwrap();
        Self { dir, point, files }
    }

    fn open(&self) -> Standings {
        self.point.settle().unwrap();
        let text = String::from_utf8(self.files.read("checkpoint").unwrap().unwrap()).unwrap();
        let checkpoint = Checkpoint::parse(Note::parse(&text).unwrap().text()).unwrap();
        Standings::open(self.dir.path(), &self.files, &checkpoint).unwrap()
    }

    /// Ends a life that learnt that an owner's template was met.
    fn keep(&self, standings: &Standings, template: &[u8], seconds: i64) {
        let (template, requester) = (Digest::sha256(template), Some("alice".to_owned()));
        let (uid, at) = (OWNER.to_owned(), at(seconds));
        standings.lock().learn(Admitted { uid, template, requester, record: 0, at, is_met: true });
        // something else was put on record meanwhile
        let record = |event| self.point.record(event).map(drop).map_err(|e| e.to_string());
        let body = Object::new();
        record(NewEvent { at, kind: chokepoint::EventKind::ReVerified, body, parts: Vec::new() }).unwrap();
        standings.save(self.point.recorded(), true, at, record).unwrap();
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("decided.json")
    }
}

fn stands(standings: &Standings, template: &[u8]) -> bool {
    standings.lock().find(OWNER, &Digest::sha256(template)).is_some()
}

#[test]
fn a_snapshot_that_the_log_names_counts_and_a_changed_one_does_not() {
    let place = Place::new();
    place.keep(&place.open(), b"reviewed", 0);
    let again = place.open();
    assert!(stands(&again, b"reviewed") && again.warning().is_none(), "{:?}", again.warning());
    let text = std::fs::read_to_string(place.file()).unwrap();
    let (good, bad) = (Digest::sha256(b"reviewed").to_string(), Digest::sha256(b"nobody judged").to_string());
    std::fs::write(place.file(), text.replace(&good, &bad)).unwrap();
    let forged = place.open();
    assert!(!stands(&forged, b"nobody judged"), "what a file says is no decision");
    let warning = forged.warning().unwrap();
    assert!(warning.contains("decided.json does not count"), "{warning}");
    assert!(warning.contains("`standing-kept`") && warning.contains("find out who"), "{warning}");
    assert_eq!(forged.lock().learnt(), forged.seen.load(Ordering::Relaxed), "it was read from the log");
    place.keep(&forged, b"reviewed again", 1);
    assert!(forged.warning().is_none(), "what is there now is on record");
    assert!(stands(&place.open(), b"reviewed again"));
}

#[test]
fn an_older_snapshot_hides_nothing_since_the_log_is_read_from_its_end() {
    let place = Place::new();
    place.keep(&place.open(), b"one", 0);
    let old = std::fs::read(place.file()).unwrap();
    place.keep(&place.open(), b"two", 1);
    std::fs::write(place.file(), &old).unwrap();
    let again = place.open();
    assert!(stands(&again, b"one") && again.warning().is_none(), "{:?}", again.warning());
    assert_eq!(again.lock().learnt(), again.seen.load(Ordering::Relaxed), "up to the log's end");
    // one that claims to know more than is on record after it
    let text = String::from_utf8(old).unwrap();
    let claimed = again.lock().learnt();
    let learnt = text.split("\"learnt\":").nth(1).unwrap().split(',').next().unwrap();
    std::fs::write(
        place.file(),
        text.replace(&format!("\"learnt\":{learnt}"), &format!("\"learnt\":{claimed}")),
    )
    .unwrap();
    let ahead = place.open();
    assert!(!stands(&ahead, b"one") && ahead.warning().is_some());
}

#[test]
fn what_is_not_on_record_is_not_written() {
    let place = Place::new();
    let standings = place.open();
    let failed = standings.save(9, true, at(0), |_| Err("the log is full".to_owned()));
    assert_eq!(failed, Err("the log is full".to_owned()));
    assert!(!place.file().exists());
}

#[test]
fn a_file_that_never_ends_and_a_pipe_are_no_snapshot_and_it_starts() {
    let place = Place::new();
    place.keep(&place.open(), b"reviewed", 0);
    let read = || {
        let (tell, said) = std::sync::mpsc::channel();
        let snapshot = Snapshot::of(place.dir.path());
        let (files, checkpoint) =
            (place.files.clone(), Checkpoint { origin: String::new(), size: 0, root: [0; 32] });
        std::thread::spawn(move || tell.send(snapshot.read(&files, &checkpoint, 0).map(drop)).ok());
        said.recv_timeout(std::time::Duration::from_secs(20)).expect("it waits for a pipe").unwrap_err()
    };
    std::fs::File::options().write(true).open(place.file()).unwrap().set_len(1 << 40).unwrap();
    assert!(read().contains("it is longer than 1073741824 bytes"), "{}", read());
    std::fs::remove_file(place.file()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(place.file()).status().unwrap().success());
    assert!(read().contains("it is no plain file"), "{}", read());
    std::fs::remove_file(place.file()).unwrap();
    std::os::unix::fs::symlink("/dev/zero", place.file()).unwrap();
    read();
}
