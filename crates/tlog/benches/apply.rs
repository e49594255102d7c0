//! What a decision costs after the journal has acknowledged it: processor time of everything but the thread that
//! commits, at a steady pace and as fast as it goes. Prints; asserts nothing.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark")]
#![allow(clippy::cast_precision_loss, missing_docs, reason = "a benchmark")]

use std::time::{Duration, Instant};

use attest::SecretKey;
use tlog::{Batch, Files, Journaled, Log};

/// A case, a decision and a leaf of usual lengths, different each time.
fn batch(first: u64, count: u64) -> Batch {
    let bytes = |index: u64, kind: &str, length: usize| {
        let mut bytes = format!("{kind} {index} ").repeat(length / 8).into_bytes();
        bytes.truncate(length);
        bytes
    };
    Batch {
        leaves: (first..first + count).map(|index| bytes(index, "leaf", 700)).collect(),
        blobs: (first..first + count)
            .flat_map(|index| [bytes(index, "case", 2500), bytes(index, "decision", 1200)])
            .collect(),
    }
}

fn number(path: &str, at: usize) -> f64 {
    std::fs::read_to_string(path).unwrap().split_whitespace().nth(at).unwrap().parse().unwrap()
}

/// Seconds of processor time: the process with its threads that ended (in hundredths), and this thread.
fn used() -> (f64, f64) {
    let process = number("/proc/self/stat", 13) + number("/proc/self/stat", 14);
    (process / 100.0, number("/proc/thread-self/schedstat", 0) / 1e9)
}

fn run(base: &str, count: u64, pace: Duration, turn: Duration) {
    let dir = tempfile::tempdir_in(base).unwrap();
    let signer = Box::new(SecretKey::from_ed25519_seed(&[1; 32]).unwrap());
    let log = Log::create(Files::new(dir.path()), "bench.example/log", signer).unwrap();
    let log = Journaled::start(log).unwrap();
    let (before, start) = (used(), Instant::now());
    let (mut due, mut each) = (start, Vec::new());
    while start.elapsed() < turn {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let begun = Instant::now();
        log.commit(|first| batch(first, count)).unwrap();
        each.push(begun.elapsed());
        due += pace;
    }
    let decisions = log.size() as f64;
    let rate = decisions / start.elapsed().as_secs_f64();
    log.settle().unwrap();
    let after = used();
    let (process, own) = (after.0 - before.0, after.1 - before.1);
    each.sort();
    println!(
        "{count:4} in a batch {rate:8.0}/s: {:7.1} µs each to commit, {:7.1} µs after that; a commit: median {:.2} ms, p99 {:.2} ms",
        own / decisions * 1e6,
        (process - own) / decisions * 1e6,
        each[each.len() / 2].as_secs_f64() * 1e3,
        each[each.len() * 99 / 100].as_secs_f64() * 1e3,
    );
}

fn main() {
    let base = std::env::args().nth(1).filter(|a| !a.starts_with('-')).unwrap_or_else(|| ".".to_owned());
    for _ in 0..2 {
        run(&base, 2, Duration::from_millis(4), Duration::from_secs(6));
        run(&base, 2, Duration::ZERO, Duration::from_secs(4));
        run(&base, 32, Duration::ZERO, Duration::from_secs(4));
    }
}
