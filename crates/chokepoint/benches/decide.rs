//! Durable decisions a second, at 1 to 256 threads, against two floors measured in the same run: judging alone, and the
//! same gathering of waiting writes into one write and one fdatasync with nothing else. Prints; asserts nothing.
//! Then 500 a second from 256 threads, which is the target: how long does each of them wait.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark")]
#![allow(clippy::indexing_slicing, missing_docs, reason = "a benchmark")]

#[path = "../tests/load/mod.rs"]
mod load;

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chokepoint::Chokepoint;
use load::{at, open, request};
use tlog::Files;

const TURN: Duration = Duration::from_secs(3);

/// How often something was done in a turn, and how long each took.
struct Measured {
    each: Vec<Duration>,
    took: Duration,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.each.len() as f64 / self.took.as_secs_f64()
    }

    fn percentile(&self, part: f64) -> f64 {
        let at = (self.each.len() as f64 * part) as usize;
        self.each[at.min(self.each.len() - 1)].as_secs_f64() * 1e3
    }
}

/// Does something on so many threads for a turn; `pace` is the time between two beginnings on one thread.
fn on_threads(threads: u64, pace: Duration, act: impl Fn(u64, u64) + Sync) -> Measured {
    let start = Instant::now();
    let mut each: Vec<Duration> = std::thread::scope(|scope| {
        let thread = |number: u64| {
            let act = &act;
            scope.spawn(move || {
                let mut each = Vec::new();
                let mut due = start + pace.mul_f64(number as f64 / threads as f64);
                for round in 0.. {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    if start.elapsed() > TURN {
                        break;
                    }
                    // from when it was due: a thread that is late does not hide its wait
                    let begun = if pace.is_zero() { Instant::now() } else { due };
                    act(number, round);
                    each.push(begun.elapsed());
                    due += pace;
                }
                each
            })
        };
        let running: Vec<_> = (0..threads).map(thread).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let took = start.elapsed();
    each.sort();
    Measured { each, took }
}

fn decide(point: &Chokepoint<Files>, threads: u64, pace: Duration) -> Measured {
    let requests: Vec<_> = (0..threads).map(request).collect();
    on_threads(threads, pace, |number, round| {
        let mut asked = requests[number as usize].clone();
        asked.requester = Some(format!("{number} in round {round}"));
        point.decide(asked, at(round)).unwrap();
    })
}

fn judge(point: &Chokepoint<Files>, threads: u64) -> Measured {
    let requests: Vec<_> = (0..threads).map(request).collect();
    on_threads(threads, Duration::ZERO, |number, round| {
        black_box(point.judge(requests[number as usize].clone(), at(round)));
    })
}

/// Waiting writes of 4 KiB gathered into one write and one fdatasync, by one thread.
fn write_only(dir: &Path, threads: u64) -> Measured {
    const LENGTH: usize = 8 * 1024 * 1024;
    let path = dir.join("floor");
    std::fs::write(&path, vec![0; LENGTH]).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.sync_all().unwrap();
    let (ask, asked) = mpsc::channel::<mpsc::SyncSender<()>>();
    let writer = std::thread::spawn(move || {
        let mut position = 0;
        while let Ok(first) = asked.recv() {
            let waiting: Vec<_> = std::iter::once(first).chain(asked.try_iter()).collect();
            let bytes = vec![7; waiting.len() * 4096];
            if position + bytes.len() > LENGTH {
                position = 0;
            }
            file.write_all_at(&bytes, position as u64).unwrap();
            file.sync_data().unwrap();
            position += bytes.len();
            waiting.iter().for_each(|reply| reply.send(()).unwrap());
        }
    });
    let measured = on_threads(threads, Duration::ZERO, |_, _| {
        let (reply, answer) = mpsc::sync_channel(1);
        ask.send(reply).unwrap();
        answer.recv().unwrap();
    });
    drop(ask);
    writer.join().unwrap();
    measured
}

fn main() {
    let base = std::env::args().nth(1).filter(|a| !a.starts_with('-')).unwrap_or_else(|| ".".to_owned());
    println!(
        "threads   decisions/s   median ms    p99 ms    max ms   judging only/s   of it   write+fdatasync only/s   of it"
    );
    for threads in [1, 8, 64, 256] {
        let dir = tempfile::tempdir_in(&base).unwrap();
        let point = open(dir.path());
        let whole = decide(&point, threads, Duration::ZERO);
        let settled = Instant::now();
        point.settle().unwrap();
        let settled = settled.elapsed();
        let (judged, written) = (judge(&point, threads), write_only(dir.path(), threads));
        println!(
            "{threads:7} {:13.0} {:11.2} {:9.2} {:9.2} {:16.0} {:7.2} {:24.0} {:7.2}   (the tree was {:.0} ms behind)",
            whole.rate(),
            whole.percentile(0.5),
            whole.percentile(0.99),
            whole.percentile(1.0),
            judged.rate(),
            whole.rate() / judged.rate(),
            written.rate(),
            whole.rate() / written.rate(),
            settled.as_secs_f64() * 1e3,
        );
    }
    println!("\n500 decisions a second, asked by 256 threads, each from when it was due:");
    for _ in 0..3 {
        let dir = tempfile::tempdir_in(&base).unwrap();
        let point = open(dir.path());
        let paced = decide(&point, 256, Duration::from_millis(512));
        println!(
            "{:7.0}/s   median {:.2} ms   p99 {:.2} ms   p99.9 {:.2} ms   max {:.2} ms",
            paced.rate(),
            paced.percentile(0.5),
            paced.percentile(0.99),
            paced.percentile(0.999),
            paced.percentile(1.0)
        );
    }
}
