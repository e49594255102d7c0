//! A process that decides under load, killed at random moments: everything that it acknowledged is in the log, once, at
//! its place. `PORTCULLIS_KILLS` says how often, `PORTCULLIS_SEED` from which seed.

mod load;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use attest::digest::to_hex;
use attest::merkle::leaf_hash;
use chokepoint::{Entry, Replay, chain, replay};
use load::{at, key, open, open_log, request};
use tlog::{Blobs, Files, pending, verify};

const DIR: &str = "PORTCULLIS_KILL_DIR";

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn number(name: &str, otherwise: u64) -> u64 {
    setting(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Marsaglia's xorshift: the same moments for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Not a test: the process that is killed. It says each answer on a line of its own.
#[test]
#[ignore = "the other test starts it as a process"]
fn the_process_that_is_killed() {
    let Some(dir) = setting(DIR) else { return };
    let point = open(std::path::Path::new(&dir));
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (point, asked) = (&point, request(thread));
            scope.spawn(move || {
                for round in 0.. {
                    let mut asked = asked.clone();
                    asked.requester = Some(format!("{thread} in round {round}"));
                    let admission = point.decide(asked, at(round)).unwrap();
                    let receipt = admission.receipt().unwrap();
                    println!("answered {} {}", receipt.index(), to_hex(receipt.leaf()));
                }
            });
        }
    });
}

/// Lets the process run for a while, kills it, and gives what it had answered.
fn run_and_kill(dir: &std::path::Path, moment: Duration) -> Vec<(u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let answered = |line: String| {
            // the test's own line may stand before the first one
            let rest = line.split("answered ").nth(1)?.to_owned();
            let (index, leaf) = rest.split_once(' ')?;
            (leaf.len() == 64).then(|| (index.parse().unwrap(), leaf.to_owned()))
        };
        stdout.lines().map_while(Result::ok).filter_map(answered).collect::<Vec<_>>()
    });
    std::thread::sleep(moment);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// So often one log is killed: it is verified whole after each, so one log for all would be read a thousand times.
const KILLS_OF_A_LOG: u64 = 50;

/// What was seen of all logs.
#[derive(Default)]
struct Seen {
    answered: usize,
    records: usize,
    /// Records that the next life applied from the journal.
    recovered: usize,
}

#[test]
fn what_a_killed_process_answered_is_in_the_log_once() {
    let (kills, seed) = (number("PORTCULLIS_KILLS", 20), number("PORTCULLIS_SEED", 1));
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut seen = Seen::default();
    for first in (0..kills).step_by(usize::try_from(KILLS_OF_A_LOG).unwrap()) {
        let dir = tempfile::tempdir().unwrap();
        let these = first..kills.min(first + KILLS_OF_A_LOG);
        kill_again_and_again(dir.path(), these, seed, &mut random, &mut seen);
        check_records(dir.path());
    }
    let Seen { answered, records, recovered } = seen;
    println!(
        "{kills} kills, seed {seed}: {answered} answers, {records} records, {recovered} of them applied from the journal"
    );
    assert!(answered > 0 && records >= answered && recovered > 0);
}

/// One log, killed as often as there are numbers; after each kill all of it is verified.
fn kill_again_and_again(
    dir: &std::path::Path,
    kills: std::ops::Range<u64>,
    seed: u64,
    random: &mut Random,
    seen: &mut Seen,
) {
    let mut before: Vec<[u8; 32]> = Vec::new();
    let files = Files::new(dir);
    for kill in kills {
        let moment = Duration::from_micros(random.below(300_000));
        let answers = run_and_kill(dir, moment);
        let size = verify(&files, &key(), None, |_, _| {}).map_or(0, |verified| verified.checkpoint.size);
        seen.recovered +=
            pending(&files, &key(), size).unwrap().iter().map(|batch| batch.leaves.len()).sum::<usize>();
        drop(open_log(dir));
        let (mut now, mut check) = (Vec::new(), chain::Check::default());
        verify(&files, &key(), None, |index, leaf| {
            assert_eq!(Entry::parse(leaf).unwrap().position().sequence, index);
            check.add(index, leaf);
            now.push(leaf_hash(leaf));
        })
        .unwrap_or_else(|e| panic!("kill {kill} of seed {seed}: {e}"));
        assert_eq!(
            check.finish(),
            [],
            "kill {kill} of seed {seed}: every epoch is opened, and nothing is missing"
        );
        assert!(now.starts_with(&before), "kill {kill} of seed {seed}: the log goes on");
        for (index, leaf) in &answers {
            let found = now.get(usize::try_from(*index).unwrap()).map(|hash| to_hex(hash));
            assert_eq!(found.as_ref(), Some(leaf), "kill {kill} of seed {seed}: answer {index}");
        }
        seen.answered += answers.len();
        before = now;
    }
    seen.records += before.len();
}

/// Every record has its case with all parts, and one in fifty is decided again alike.
fn check_records(dir: &std::path::Path) {
    let files = Files::new(dir);
    let blobs = Blobs::new(files.clone());
    let mut index = 0;
    verify(&files, &key(), None, |_, leaf| {
        let entry = Entry::parse(leaf).unwrap();
        let Some(record) = entry.decision() else { return };
        let case = record.case(&blobs).unwrap();
        assert_eq!(case.request().envelopes.len(), 2, "a case without its parts is half");
        if index % 50 == 0 {
            assert_eq!(replay(record, &blobs).unwrap(), Replay::Same);
        }
        index += 1;
    })
    .unwrap();
    assert!(index > 0, "a log of which nothing can be said");
}
