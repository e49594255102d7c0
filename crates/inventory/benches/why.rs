//! How fast the index is built, how large it is, and how long an answer takes: `cargo bench -p inventory --bench why`.
//!
//! `PORTCULLIS_RECORDS` says how many records (200,000 without). `PORTCULLIS_MINUTES` and `PORTCULLIS_GIGABYTES` bound what
//! it takes: once one is reached no more is built, and the answers are measured over what is there. The log is made up as it
//! is read; one artifact in fifty records, with signed provenance of its own.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "its settings")]

#[path = "../tests/generated/mod.rs"]
mod generated;

use std::sync::Arc;
use std::time::{Duration, Instant};

use attest::provenance::SLSA_V1;
use generated::{Generated, artifact, at, commit, leaf, mixed, provenance, record, signed};
use inventory::{From, Inventory, Subject};
use tokio::runtime::Builder;

const SAMPLES: u64 = 500;
const REPOSITORIES: u64 = 997;
/// So many records are built between two looks at the bounds.
const STEP: u64 = 250_000;

fn main() {
    let began = Instant::now();
    let records = setting("PORTCULLIS_RECORDS").unwrap_or(200_000);
    let artifacts = (records / 50).max(1);
    let log = log(records, artifacts);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
        let (start, mut built) = (Instant::now(), 0);
        while built < records && (built == 0 || is_within(began, dir.path())) {
            built = records.min(built + STEP);
            inventory.follow(&log, &log.checkpoint(built), &mut |_| {}).await.unwrap();
        }
        let took = start.elapsed();
        inventory.close().await;
        let size = size(dir.path());
        println!("{built} records of {artifacts} artifacts; asked for were {records}");
        println!("built in {:.1} s: {:.0} records/s", took.as_secs_f64(), built as f64 / took.as_secs_f64());
        println!(
            "{} MiB on disk: {} bytes a record; {} MiB of memory at most",
            size >> 20,
            size / built,
            peak()
        );
        let (inventory, _) = Inventory::open(dir.path()).await.unwrap();
        answers(&inventory, artifacts).await;
    });
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

/// Whether neither bound is reached. An eighth of each is left for the step that is next, and for the answers.
fn is_within(began: Instant, dir: &std::path::Path) -> bool {
    let minutes = setting("PORTCULLIS_MINUTES").unwrap_or(u64::MAX / 60);
    let bytes = setting("PORTCULLIS_GIGABYTES").map_or(u64::MAX, |gigabytes| gigabytes * 1_000_000_000);
    began.elapsed().as_secs() < minutes * 60 / 8 * 7 && size(dir) < bytes / 8 * 7
}

/// The bytes of all files of the index.
fn size(dir: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    files.map(|file| file.unwrap().metadata().map_or(0, |metadata| metadata.len())).sum()
}

/// Each record is of an artifact by chance, so every index is filled in no order.
fn log(records: u64, artifacts: u64) -> Generated {
    // the cases are shared: what a record costs is measured, and not a million signatures
    let blobs = Generated::of_leaves(Vec::new());
    let case = |n: u64| {
        let bundle = signed(1, &artifact(n), SLSA_V1, provenance(n, REPOSITORIES).to_slsa_v1());
        generated::case(&blobs, &artifact(n), vec![bundle])
    };
    let cases: Arc<Vec<_>> = Arc::new((0..artifacts).map(case).collect());
    let log = Generated::new(records, move |n| {
        let number = mixed(n) % artifacts;
        let workload = format!("eu-1/team-{}/Deployment/service-{}", number % 97, number % 20_011);
        let mut record = record(n, &artifact(number), Some(workload), &format!("prod/team-{}", number % 97));
        record.requester = Some(format!("person-{}@acme.example", mixed(n ^ 7) % 500));
        record.case = cases[number as usize].clone();
        leaf(&record)
    });
    *log.blobs.lock().unwrap() = std::mem::take(&mut *blobs.blobs.lock().unwrap());
    log
}

async fn answers(inventory: &Inventory, artifacts: u64) {
    println!("{:<34} {:>10} {:>10}", "why, with everything it shows", "median", "p99");
    let (mut digests, mut workloads, mut commits, mut lives) = (vec![], vec![], vec![], vec![]);
    for sample in 0..SAMPLES {
        let number = mixed(sample ^ 99) % artifacts;
        let start = Instant::now();
        let about = Subject::Digest(artifact(number));
        assert!(!inventory.decisions(&about, 200).await.unwrap().newest.is_empty());
        assert!(!inventory.facts(&artifact(number)).await.unwrap().is_empty());
        inventory.instances(&about, 200).await.unwrap();
        digests.push(start.elapsed());
        let start = Instant::now();
        let name = format!("eu-1/team-{}/Deployment/service-{}", number % 97, number % 20_011);
        assert!(!inventory.decisions(&Subject::Workload(name), 200).await.unwrap().newest.is_empty());
        workloads.push(start.elapsed());
        let start = Instant::now();
        let mut found = 0;
        let from = From::Commit(commit(number - number % 3 % 2).hex());
        inventory.deployed(&from, Some((at(0), at(i64::from(i32::MAX)))), &mut |_| found += 1).await.unwrap();
        assert!(found > 0);
        commits.push(start.elapsed());
        let start = Instant::now();
        inventory.running(&artifact(number), 6).await.unwrap();
        lives.push(start.elapsed());
    }
    print("by digest", digests);
    print("by workload", workloads);
    print("deployed from a commit", commits);
    print("where an artifact runs", lives);
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let ms = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1000.0;
    println!("{what:<34} {:>7.2} ms {:>7.2} ms", ms(50), ms(99));
}

/// The most memory that this process ever had, in MiB, the made-up log included.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}
