//! The newest summary of an artifact in an environment; and that a process which is killed while it writes one leaves the
//! old one or the new one, whole.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Digest, Envelope, Object, SecretKey, Signer as _, Statement};
use evidence::{ReadError, Store, WriteError};

const DIR: &str = "PORTCULLIS_SUMMARIES_DIR";
const ENVIRONMENT: &str = "prod/shop";

fn artifact() -> Digest {
    Digest::sha256(b"shop")
}

fn bundle(about: &Digest, number: usize) -> Vec<u8> {
    let key = SecretKey::from_ed25519_seed(&[7; 32]).unwrap();
    // long enough that it is not written at once
    let predicate = Object::new().with("number", number.to_string()).with("padding", "x".repeat(200_000));
    let statement = Statement::write("shop", &about.clone().into(), "https://example.com/fact", predicate);
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key]).unwrap();
    Bundle::write(&dsse, &key.public().id(), &[]).to_string().into_bytes()
}

#[test]
fn each_environment_has_its_own_and_the_newest_takes_the_place_of_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&dir.path().join("evidence"));
    assert_eq!(store.summary(&artifact(), ENVIRONMENT).unwrap(), None);
    let [first, second] = [bundle(&artifact(), 1), bundle(&artifact(), 2)];
    store.keep_summary(&artifact(), ENVIRONMENT, &first).unwrap();
    store.keep_summary(&artifact(), "../staging", &second).unwrap();
    assert_eq!(store.summary(&artifact(), ENVIRONMENT).unwrap().as_ref(), Some(&first));
    assert_eq!(store.summary(&artifact(), "../staging").unwrap().as_ref(), Some(&second));
    store.keep_summary(&artifact(), ENVIRONMENT, &second).unwrap();
    assert_eq!(store.summary(&artifact(), ENVIRONMENT).unwrap().as_ref(), Some(&second));
    assert_eq!(store.summary(&Digest::sha256(b"other"), ENVIRONMENT).unwrap(), None);
    // it is nothing that a deployment is judged by: whoever wants it there attaches it
    assert_eq!(store.attached(&artifact()).unwrap(), None);
    assert_eq!(store.get(&Digest::sha256(&second)).unwrap(), None);
    let folders = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(folders, 1, "no environment leaves the folder");
}

#[test]
fn what_is_about_something_else_or_is_no_envelope_is_no_summary() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let refused = store.keep_summary(&artifact(), ENVIRONMENT, b"{}");
    assert!(matches!(refused, Err(WriteError::NoEnvelope(_))), "{refused:?}");
    store.keep_summary(&artifact(), ENVIRONMENT, &bundle(&Digest::sha256(b"other"), 1)).unwrap();
    let read = store.summary(&artifact(), ENVIRONMENT);
    assert!(matches!(read, Err(ReadError::Malformed(_))), "{read:?}");
}

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Not a test: the process that is killed. It says what it has kept.
#[test]
#[ignore = "the other test starts it as a process"]
fn the_process_that_is_killed() {
    let Some(dir) = setting(DIR) else { return };
    let store = Store::new(std::path::Path::new(&dir));
    for number in 0.. {
        store.keep_summary(&artifact(), ENVIRONMENT, &bundle(&artifact(), number)).unwrap();
        println!("kept {number}");
    }
}

#[test]
fn a_process_that_is_killed_leaves_the_old_one_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["the_process_that_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (send, lines) = std::sync::mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                send.send(line).ok();
            }
        });
        // at least one, and then at another moment of the writing each time
        let first = lines.iter().find(|line| line.contains("kept")).unwrap();
        assert!(first.contains("kept 0"), "{first}");
        // a write takes long where the disk is busy: some are waited for, and not only the time
        let waited = lines.iter().filter(|line| line.contains("kept")).take(round % 3).count();
        assert_eq!(waited, round % 3, "it died by itself");
        std::thread::sleep(Duration::from_micros(3700 * round as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        let acknowledged = waited + lines.try_iter().filter(|line| line.contains("kept")).count();
        let found = store.summary(&artifact(), ENVIRONMENT).unwrap().expect("one was kept");
        assert!(Envelope::parse(&found).is_ok());
        let is_whole = [acknowledged, acknowledged + 1].iter().any(|n| found == bundle(&artifact(), *n));
        assert!(is_whole, "after {acknowledged}: neither the last that was acknowledged nor the next");
    }
}
