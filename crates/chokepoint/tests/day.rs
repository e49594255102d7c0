//! A day of decisions, generated, then replayed from the log alone: byte for byte the same. Then bytes are changed, one at a
//! time, anywhere in the log's folder: each is found, and the place that is named leads to it.
//! `PORTCULLIS_DECISIONS`, `PORTCULLIS_BYTES` and `PORTCULLIS_SEED` make it long.

mod load;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use chokepoint::{Chokepoint, Entry, Record, Replay, Replayer};
use load::{at, key, open, request};

use policy::{DeploymentRequest, Submitted};
use tlog::{Blobs, Files, verify};

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Marsaglia's xorshift: the same day for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What a day brings: mostly what is right; evidence that is missing, damaged, of something else; places that nobody
/// guards; a part of ours that failed.
fn asked(random: &mut Random, made: &[DeploymentRequest], round: u64) -> DeploymentRequest {
    let pick = |random: &mut Random| random.below(made.len() as u64) as usize;
    let mut asked = made[pick(random)].clone();
    asked.requester = Some(format!("requester-{}@example.com", random.below(500)));
    asked.workload = Some(format!("eu-1/shop/Deployment/web-{}", random.below(200)));
    match random.below(20) {
        0 => asked.envelopes.clear(),
        1 => asked.envelopes = made[pick(random)].envelopes.clone(),
        2 => asked.environment = "prod/nobodys".to_owned(),
        3 => {
            asked.outage = Some(policy::Outage::EvidenceStore);
            asked.envelopes.clear();
        }
        4 => {
            let (envelope, byte) = (random.below(2) as usize, random.below(200) as usize);
            asked.envelopes[envelope].bytes[byte] ^= 1 << random.below(8);
        }
        5 => {
            asked.envelopes.push(Submitted { name: "noise".to_owned(), bytes: round.to_be_bytes().to_vec() })
        }
        6 => asked.artifact = attest::Artifact::new("shop", attest::DigestSet::default()),
        _ => {}
    }
    asked
}

fn a_day(dir: &Path, decisions: u64, seed: u64) -> Chokepoint<Files> {
    let made: Vec<DeploymentRequest> = (0..64).map(request).collect();
    let point = open(dir);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..32 {
            let (point, made, next) = (&point, &made, &next);
            scope.spawn(move || {
                let mut random = Random(seed + thread + 1);
                loop {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    if round >= decisions {
                        return;
                    }
                    // all of a day's milliseconds, in the order of asking; threads overtake each other by little
                    point.decide(asked(&mut random, made, round), at(round * 86)).unwrap();
                }
            });
        }
    });
    point
}

#[test]
fn a_day_of_decisions_is_replayed_byte_for_byte() {
    let (decisions, seed) = (number("PORTCULLIS_DECISIONS", 3_000), number("PORTCULLIS_SEED", 7));
    let dir = tempfile::tempdir().unwrap();
    let start = std::time::Instant::now();
    let point = a_day(dir.path(), decisions, seed);
    point.settle().unwrap();
    drop(point);
    eprintln!("{decisions} decisions in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let (same, replayer) = (AtomicU64::new(0), Replayer::default());
    let (send, receive) = std::sync::mpsc::sync_channel::<Record>(256);
    let receive = std::sync::Mutex::new(receive);
    let mut seen = std::collections::BTreeMap::<String, u64>::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let blobs = Blobs::new(Files::new(dir.path()));
                loop {
                    let next = receive.lock().unwrap().recv();
                    let Ok(record) = next else { return };
                    let replayed = replayer.replay(&record, &blobs).unwrap();
                    assert_eq!(replayed, Replay::Same, "{:?}", record.position);
                    same.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let send = send;
        verify(&Files::new(dir.path()), &key(), None, |_, leaf| {
            if let Ok(Entry::Decision(record)) = Entry::parse(leaf) {
                *seen.entry(format!("{} {}", record.decision, record.outcome)).or_default() += 1;
                send.send(*record).unwrap();
            }
        })
        .unwrap();
    });
    assert_eq!(same.into_inner(), decisions);
    assert!(seen.len() >= 3 && seen.values().all(|count| *count > 0), "one kind of day only: {seen:?}");
    eprintln!("replayed in {:?}: {seen:?}", start.elapsed());
}

/// Everything that can be verified of a log's folder; what is wrong, in words.
fn wrong(dir: &Path) -> Option<String> {
    let (files, mut found) = (Files::new(dir), None);
    let blobs = Blobs::new(files.clone());
    let verified = verify(&files, &key(), None, |index, leaf| {
        if found.is_none() {
            let checked = Entry::parse(leaf).and_then(|entry| entry.check_parts(&blobs));
            found = checked.err().map(|e| format!("entry {index}: {e}"));
        }
    });
    verified
        .err()
        .map(|flaw| flaw.to_string())
        .or(found)
        .or_else(|| blobs.check().err().map(|e| e.to_string()))
}

fn files_below(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[test]
fn one_changed_byte_of_any_file_is_found_and_located() {
    let (bytes, seed) = (number("PORTCULLIS_BYTES", 150), number("PORTCULLIS_SEED", 7));
    let dir = tempfile::tempdir().unwrap();
    let point = a_day(dir.path(), 300, seed);
    point.settle().unwrap();
    drop(point);
    assert_eq!(wrong(dir.path()), None);
    let mut files = Vec::new();
    files_below(dir.path(), &mut files);
    // what the spool held is in the tree: its old frames are room to write in, and the lock is empty
    files.retain(|file| {
        !file.starts_with(dir.path().join("journal")) && fs::metadata(file).unwrap().len() > 0
    });
    let mut random = Random(seed);
    for number in 0..bytes {
        let file = &files[(number % files.len() as u64) as usize];
        let before = fs::read(file).unwrap();
        let mut after = before.clone();
        let byte = random.below(after.len() as u64) as usize;
        after[byte] ^= 1 << random.below(8);
        fs::write(file, &after).unwrap();
        let said = wrong(dir.path());
        let name = file.strip_prefix(dir.path()).unwrap().display().to_string();
        let said = said.unwrap_or_else(|| panic!("byte {byte} of {name} is changed, and nobody notices"));
        assert!(!said.is_empty(), "{name}");
        fs::write(file, &before).unwrap();
    }
    assert_eq!(wrong(dir.path()), None, "everything was put back");
}
