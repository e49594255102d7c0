//! A sequencer that is killed, or put to sleep, at random moments under load. `PORTCULLIS_KILLS` says how often,
//! `PORTCULLIS_SEED` from which seed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use replicas::Duty;
use rustix::process::{Pid, Signal, kill_process};
use tlog::{Batch, Level, Target};

use crate::world::{ORIGIN, World, Writer, checkpoint, config, entry, signer};

const SOCKET: &str = "PORTCULLIS_TEST_SOCKET";
const DIR: &str = "PORTCULLIS_TEST_DIR";

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

/// Not a test: the process that is killed. It sequences, and writes too; each of its entries follows from the ones
/// before, so it needs no spool to bring them again. It says what was acknowledged to it.
#[test]
#[ignore = "the other tests start it as a process"]
fn the_process_that_is_killed() {
    let (Some(socket), Some(dir)) = (setting(SOCKET), setting(DIR)) else { return };
    let config = config(Path::new(&socket), 5432, Path::new(&dir));
    let mut leaves = Vec::new();
    let mut target = loop {
        match replicas::open(&config, ORIGIN, &signer(), "child") {
            Ok(target) => break target,
            Err(e) => println!("cannot open: {e}"),
        }
    };
    loop {
        let taken = usize::try_from(target.taken()).unwrap();
        while leaves.len() < taken + 3 {
            leaves.push(entry("child", &leaves, ""));
        }
        let batch =
            Batch { leaves: leaves[taken..].to_vec(), blobs: vec![format!("blob {taken}").into_bytes()] };
        match target.apply(taken as u64, &[batch]) {
            Ok(()) => println!("taken {} {:?}", target.taken(), target.health().unwrap().duty()),
            Err(e) => println!("not taken: {e}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Killed {
    child: Child,
    said: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Killed {
    fn start(world: &World) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "killed::the_process_that_is_killed",
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(SOCKET, world.cluster.dir())
            .env(DIR, world.dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let (out, theirs) = (child.stdout.take().unwrap(), std::sync::Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                theirs.lock().unwrap().push(line);
            }
        });
        Self { child, said }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait_for(&self, what: &[&str]) {
        let start = std::time::Instant::now();
        let is_said = |line: &String| what.iter().any(|what| line.contains(what));
        while !self.said.lock().unwrap().iter().rev().take(5).any(is_said) {
            assert!(
                start.elapsed() < Duration::from_secs(40),
                "{what:?}: {:?}",
                self.said.lock().unwrap().last()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it, and gives how many of its entries had been acknowledged.
    fn end(mut self) -> u64 {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let said = self.said.lock().unwrap();
        let taken =
            said.iter().rev().find_map(|line| line.strip_prefix("taken ")?.split(' ').next()?.parse().ok());
        taken.unwrap_or(0)
    }
}

/// Says that it is over, also where the test failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes until it is told to stop.
fn load(writer: &mut Writer, stop: &AtomicBool, has_blobs: bool) {
    while !stop.load(Ordering::Relaxed) {
        writer.spool(2);
        if !has_blobs {
            writer.blobs.clear();
            writer.batches.last_mut().unwrap().blobs.clear();
        }
        writer.insist();
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// All the checkpoints that were ever there.
fn watch(world: &World, stop: &AtomicBool) -> Vec<attest::note::Checkpoint> {
    let mut seen = vec![world.checkpoint()];
    while !stop.load(Ordering::Relaxed) {
        let now = checkpoint(&world.tiles());
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    seen
}

/// The child's entries as they must be, for comparison.
fn children(world: &World, acknowledged: u64) -> Writer {
    let target = replicas::open(&world.config(), ORIGIN, &signer(), "child").unwrap();
    assert!(target.taken() >= acknowledged, "{} of {acknowledged}", target.taken());
    let mut child = Writer::new(target, "child");
    for _ in 0..child.target.taken() {
        let leaf = entry("child", &child.leaves, "");
        child.leaves.push(leaf);
    }
    child
}

#[test]
fn what_was_acknowledged_is_in_the_log_once_however_the_sequencer_dies() {
    let (kills, seed) = (number("PORTCULLIS_KILLS", 12), number("PORTCULLIS_SEED", 20_261_123));
    let world = World::new();
    let mut random = Random(seed);
    let stop = AtomicBool::new(false);
    let mut a = world.open(&world.writing(), "a");
    let mut acknowledged = 0;
    let seen = std::thread::scope(|scope| {
        let over = Over(&stop);
        scope.spawn(|| load(&mut a, &stop, true));
        let watching = scope.spawn(|| watch(&world, &stop));
        for _ in 0..kills {
            let child = Killed::start(&world);
            child.wait_for(&["Sequencing"]);
            std::thread::sleep(Duration::from_millis(random.below(400)));
            acknowledged = acknowledged.max(child.end());
            // the server's end of the session is gone a little later, and the advisory lock with it
        }
        drop(over);
        watching.join().unwrap()
    });
    let mut child = children(&world, acknowledged);
    a.settle();
    child.settle();
    let last = world.check(&[&a, &child]);
    for old in &seen {
        world.check_continues(old);
    }
    println!("{kills} kills from seed {seed}: {} entries, {} checkpoints seen", last.size, seen.len());
    // on a machine that is busy with else a sequencer may be dead before its first tree
    assert!(seen.len() as u64 > kills / 2, "{}", seen.len());
}

/// The sequencer sleeps, its session ends, another would take over: the folder's lock keeps it waiting, and nothing that
/// the sleeper does afterwards is wrong.
#[test]
fn a_sequencer_that_sleeps_beyond_its_session_makes_no_second_tree() {
    sleeps(true, 4);
}

/// The same on storage whose locks do not hold, so that the other really takes over while the first sleeps.
#[test]
fn without_the_folders_lock_a_sleeper_makes_no_second_tree_either() {
    sleeps(false, 6);
}

fn sleeps(has_lock: bool, rounds: u64) {
    let world = World::new();
    let mut random = Random(number("PORTCULLIS_SEED", 20_261_123));
    let stop = AtomicBool::new(false);
    let mut a = world.open(&world.writing(), "a");
    let mut acknowledged = 0;
    let seen = std::thread::scope(|scope| {
        let over = Over(&stop);
        scope.spawn(|| load(&mut a, &stop, false));
        let watching = scope.spawn(|| watch(&world, &stop));
        for round in 0..rounds {
            let child = Killed::start(&world);
            child.wait_for(&["Sequencing"]);
            std::thread::sleep(Duration::from_millis(random.below(300)));
            child.signal(Signal::STOP);
            world.cluster.sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'sequencer'",
            );
            if !has_lock {
                std::fs::remove_file(world.path("log/lock")).unwrap();
                std::fs::remove_file(world.path("signed/lock")).unwrap();
            }
            let mut other = world.open(&world.config(), &format!("other-{round}"));
            let size = world.checkpoint().size;
            if has_lock {
                other.wait_for(
                    |duty| matches!(duty, Duty::StandingBy(why) if why.contains("another process holds")),
                );
                assert_eq!(world.checkpoint().size, size);
            } else {
                other.wait_for(|duty| matches!(duty, Duty::Sequencing(now) if *now > size + 10));
            }
            child.said.lock().unwrap().clear();
            child.signal(Signal::CONT);
            // it finds its session gone, gives everything back, and one of the two is elected
            child.wait_for(&["Unreachable", "Refused"]);
            child.wait_for(&["Sequencing", "StandingBy"]);
            acknowledged = acknowledged.max(child.end());
            other.wait_for(|duty| matches!(duty, Duty::Sequencing(_)));
            while other.target.reached(Level::Sequenced).is_err() {}
        }
        drop(over);
        watching.join().unwrap()
    });
    let mut child = children(&world, acknowledged);
    a.settle();
    child.settle();
    let last = world.check(&[&a, &child]);
    for old in &seen {
        world.check_continues(old);
    }
    println!("{rounds} times asleep: {} entries, {} checkpoints seen", last.size, seen.len());
}
