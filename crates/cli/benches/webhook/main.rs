//! The webhook under load, beside a bare server that always says yes and one that does only the same signature
//! checks: three processes, measured in turns in one run, the client on the same cores.
//!
//! `cargo bench -p portcullis --bench webhook` prints throughput, latency (p50, p99, p99.9), CPU per decision and
//! peak memory at 1, 8, 64 and 256 keep-alive connections, and in an open loop of 500 requests a second whose
//! latency counts from the moment at which each was due. `PORTCULLIS_BENCH_SECONDS` sets how long each takes; `-- --only cached` is one
//! server for a profiler; `-- --instructions` (or `-- --instructions uncached`) counts instructions under callgrind.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark")]
#![allow(clippy::indexing_slicing, clippy::panic, clippy::expect_used, missing_docs, reason = "a benchmark")]

mod fixture;
mod floor;
mod instructions;
mod load;
mod server;

use std::time::Duration;

use fixture::Fixture;
use load::{Load, Target};
use server::{Kind, Server};

const CONNECTIONS: [usize; 4] = [1, 8, 64, 256];
const RATE: u32 = 500;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|w| w == "--floor") {
        return floor::serve(&words[at + 1], &words[at + 2]);
    }
    let seconds = std::env::var("PORTCULLIS_BENCH_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(5);
    let time = Duration::from_secs(seconds);
    if let Some(at) = words.iter().position(|w| w == "--only") {
        return only(&words[at + 1], time);
    }
    let fixture = Fixture::new(tempfile::tempdir().unwrap());
    if let Some(at) = words.iter().position(|w| w == "--instructions") {
        let only = words.get(at + 1).map(String::as_str).filter(|word| !word.starts_with('-'));
        return instructions::print(&fixture, only);
    }
    println!(
        "each of 4 signatures P-256, inline; body {} bytes; {seconds} s each\n",
        fixture.bodies[0].len()
    );
    let kinds = [Kind::AlwaysYes, Kind::OnlyChecks, Kind::Uncached, Kind::Cached];
    let mut table: Vec<(Kind, Vec<Load>)> = kinds.map(|kind| (kind, Vec::new())).into();
    for connections in CONNECTIONS {
        for (kind, loads) in &mut table {
            loads.push(measure(&fixture, *kind, |target| load::closed(target, connections, time)));
        }
    }
    for (kind, loads) in &mut table {
        loads.push(measure(&fixture, *kind, |target| load::open(target, RATE, time)));
    }
    print(&table);
}

/// One kind of server under 64 connections: for a profiler.
fn only(name: &str, time: Duration) {
    let fixture = Fixture::new(tempfile::tempdir().unwrap());
    let kind = if name == "cached" { Kind::Cached } else { Kind::Uncached };
    let server = Server::start(&fixture, kind);
    println!("process {}", server.id());
    let load = load::closed(&Target::new(&fixture, server.port()), 64, time);
    println!(
        "{:.0} a second, p99 {:.2} ms, {:?} of CPU",
        load.throughput(),
        load.quantile(0.99),
        server.cpu()
    );
}

/// A fresh process for each figure, so that memory is its own.
fn measure(fixture: &Fixture, kind: Kind, run: impl Fn(&Target) -> Load) -> Load {
    let server = Server::start(fixture, kind);
    let target = Target::new(fixture, server.port());
    load::closed(&target, 8, Duration::from_millis(500));
    let before = server.cpu();
    let mut load = run(&target);
    load.cpu = server.cpu() - before;
    load.memory = server.peak_memory();
    load
}

fn print(table: &[(Kind, Vec<Load>)]) {
    let rows: Vec<String> = CONNECTIONS
        .iter()
        .map(|c| format!("{c} connections"))
        .chain([format!("open loop {RATE}/s")])
        .collect();
    println!(
        "{:<18} {:<22} {:>9} {:>8} {:>8} {:>8} {:>9} {:>8} {:>7}",
        "", "", "req/s", "p50 ms", "p99 ms", "p99.9", "cpu ms", "MiB", "failed"
    );
    for (row, name) in rows.iter().enumerate() {
        for (kind, loads) in table {
            let load = &loads[row];
            println!(
                "{name:<18} {:<22} {:>9.0} {:>8.2} {:>8.2} {:>8.2} {:>9.3} {:>8.0} {:>7}",
                kind.name(),
                load.throughput(),
                load.quantile(0.5),
                load.quantile(0.99),
                load.quantile(0.999),
                load.cpu.as_secs_f64() * 1000.0 / load.count().max(1) as f64,
                load.memory as f64 / 1_048_576.0,
                load.failed,
            );
        }
    }
    let best =
        |kind: usize| table[kind].1[..CONNECTIONS.len()].iter().map(Load::throughput).fold(0.0, f64::max);
    println!("\nuncached, of the server that does only the checks: {:.2}", best(2) / best(1));
    println!("cached, of the server that always says yes:        {:.2}", best(3) / best(0));
    println!("open loop, uncached, p99:                          {:.2} ms", table[2].1[4].quantile(0.99));
}
