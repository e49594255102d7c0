//! Durable appends against the least that they can cost: the same bytes, written and synced by bare calls in the same
//! run. Prints; asserts nothing. `cargo bench -p tlog --bench log -- FOLDER`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a benchmark"
)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attest::SecretKey;
use tlog::{Batch, Files, Journaled, Log};

const TURN: Duration = Duration::from_secs(3);
/// As long as one decision's frame: leaf, case, decision, and its share of a note.
const APPEND: usize = 4096;

/// What waits is written together by whoever comes first: how the choke point's one recording thread works.
struct Group<W> {
    /// Which batch gathers, and how many are in it.
    waiting: Mutex<(u64, usize)>,
    write: Mutex<W>,
}

impl<W: FnMut(usize)> Group<W> {
    fn new(write: W) -> Self {
        Self { waiting: Mutex::new((0, 0)), write: Mutex::new(write) }
    }

    fn append(&self) {
        let mine = {
            let mut waiting = self.waiting.lock().unwrap();
            waiting.1 += 1;
            waiting.0
        };
        let mut write = self.write.lock().unwrap();
        let count = {
            let mut waiting = self.waiting.lock().unwrap();
            if waiting.0 != mine {
                return;
            }
            waiting.0 += 1;
            std::mem::take(&mut waiting.1)
        };
        write(count);
    }
}

/// Appends by so many threads, each as soon as its last one is durable: how many a second, and how long each took.
fn run(threads: usize, append: &(impl Fn() + Sync)) -> (f64, Vec<Duration>) {
    let start = Instant::now();
    let mut each: Vec<Duration> = std::thread::scope(|scope| {
        let one = |_| {
            scope.spawn(|| {
                let mut own = Vec::new();
                while start.elapsed() < TURN {
                    let begun = Instant::now();
                    append();
                    own.push(begun.elapsed());
                }
                own
            })
        };
        let running: Vec<_> = (0..threads).map(one).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let rate = each.len() as f64 / start.elapsed().as_secs_f64();
    each.sort();
    (rate, each)
}

/// `pwrite` and `fdatasync`, round and round in a file that was written before.
fn bare(dir: &Path, threads: usize) -> (f64, Vec<Duration>) {
    const LENGTH: usize = 64 * 1024 * 1024;
    let path = dir.join("bare");
    std::fs::write(&path, vec![0; LENGTH]).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.sync_all().unwrap();
    let mut position = 0;
    let group = Group::new(move |count: usize| {
        let bytes = vec![7; count * APPEND];
        if position + bytes.len() > LENGTH {
            position = 0;
        }
        file.write_all_at(&bytes, position as u64).unwrap();
        file.sync_data().unwrap();
        position += bytes.len();
    });
    run(threads, &|| group.append())
}

fn log(dir: &Path, threads: usize) -> (f64, Vec<Duration>) {
    let signer = Box::new(SecretKey::from_ed25519_seed(&[1; 32]).unwrap());
    let log = Log::create(Files::new(&dir.join("log")), "bench.example/log", signer).unwrap();
    let log = Arc::new(Journaled::start(log).unwrap());
    let ours = Arc::clone(&log);
    // different each time: what was stored already is not stored again
    let bytes = |index: u64, kind: &str, length: usize| {
        let mut bytes = format!("{kind} {index} ").repeat(length / 8).into_bytes();
        bytes.truncate(length);
        bytes
    };
    let group = Group::new(move |count: usize| {
        let batch = |first: u64| {
            let indexes = first..first + count as u64;
            let blobs = |index| [bytes(index, "case", 2200), bytes(index, "decision", 900)];
            Batch {
                leaves: indexes.clone().map(|index| bytes(index, "leaf", 700)).collect(),
                blobs: indexes.flat_map(blobs).collect(),
            }
        };
        ours.commit(batch).unwrap();
    });
    let result = run(threads, &|| group.append());
    drop(group);
    log.settle().unwrap();
    result
}

fn main() {
    let base = std::env::args().nth(1).filter(|a| !a.starts_with('-')).unwrap_or_else(|| ".".to_owned());
    println!("threads   appends/s   median ms    p99 ms   write+fdatasync/s   median ms    p99 ms   of it");
    for threads in [1, 8, 64] {
        let dir = tempfile::tempdir_in(&base).unwrap();
        let (rate, each) = log(dir.path(), threads);
        let (bare_rate, bare_each) = bare(dir.path(), threads);
        let at =
            |each: &[Duration], share: f64| each[(each.len() as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{threads:7} {rate:11.0} {:11.2} {:9.2} {bare_rate:19.0} {:11.2} {:9.2} {:7.2}",
            at(&each, 0.5),
            at(&each, 0.99),
            at(&bare_each, 0.5),
            at(&bare_each, 0.99),
            rate / bare_rate
        );
    }
}
