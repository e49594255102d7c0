//! Durable inserts through the target, beside a bare insert into a plain table, and beside a counter that all writers
//! share. `PORTCULLIS_BENCH_HOST` is the folder of a server's socket, where the superuser `postgres` needs no password.
#![allow(missing_docs, clippy::disallowed_methods, reason = "a measurement's own settings")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attest::{Algorithm, Digest, SecretKey};
use replicas::{Config, Login, Sequencing, Server};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tlog::{Batch, Level, LogSigner, Target};

const ORIGIN: &str = "bench.example/decisions";
const SPAN: Duration = Duration::from_secs(4);
const LEAF: usize = 2048;

fn signer() -> Arc<LogSigner> {
    Arc::new(SecretKey::from_ed25519_seed(&[5; 32]).unwrap())
}

fn options(host: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass().host(host).username("postgres").database("postgres")
}

fn leaf(writer: &str, sequence: u64, previous: &mut Option<Digest>) -> Vec<u8> {
    let named = previous.as_ref().map(|digest| format!(r#","previous":"{digest}""#)).unwrap_or_default();
    let mut leaf = format!(r#"{{"writer":"{writer}","sequence":{sequence}{named},"more":""#).into_bytes();
    leaf.resize(LEAF - 2, b'x');
    leaf.extend(br#""}"#);
    let hash = attest::merkle::leaf_hash(&leaf);
    *previous = Digest::from_bytes(Algorithm::Sha256, hash.to_vec()).ok();
    leaf
}

/// Runs `each` on so many threads until the time is up, and says how many entries there were, and how long one took.
fn measure(name: &str, threads: usize, batch: usize, make: impl Fn(usize) -> Box<dyn FnMut()> + Sync) {
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let make = &make;
                scope.spawn(move || {
                    let (mut each, mut latencies) = (make(thread), Vec::new());
                    let start = Instant::now();
                    while start.elapsed() < SPAN {
                        let begin = Instant::now();
                        each();
                        latencies.push(begin.elapsed());
                    }
                    latencies
                })
            })
            .collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    latencies.sort();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    let rate = (latencies.len() * batch) as f64 / SPAN.as_secs_f64();
    println!(
        "{name:32} {threads:3} writers, {batch:3} a batch: {rate:8.0} entries/s, p50 {:6.2} ms, p99 {:6.2} ms",
        at(50),
        at(99)
    );
}

/// A connection and what it runs on.
fn bare(host: &str) -> (tokio::runtime::Runtime, PgConnection) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connection = runtime.block_on(PgConnection::connect_with(&options(host))).unwrap();
    (runtime, connection)
}

fn plain(host: &str, batch: usize, is_counted: bool) -> Box<dyn FnMut()> {
    let (runtime, mut connection) = bare(host);
    let mut previous = None;
    let leaves: Vec<Vec<u8>> = (0..batch as u64).map(|n| leaf("plain", n, &mut previous)).collect();
    Box::new(move || {
        runtime.block_on(async {
            let mut transaction = connection.begin().await.unwrap();
            if is_counted {
                let take = sqlx::query("UPDATE bench.counter SET next = next + $1").bind(batch as i64);
                take.execute(&mut *transaction).await.unwrap();
            }
            let insert =
                sqlx::query("INSERT INTO bench.plain (leaf) SELECT * FROM unnest($1::bytea[])").bind(&leaves);
            insert.execute(&mut *transaction).await.unwrap();
            transaction.commit().await.unwrap();
        });
    })
}

fn through(config: &Config, writer: &str, batch: usize) -> Box<dyn FnMut()> {
    let mut target = replicas::open(config, ORIGIN, &signer(), writer).unwrap();
    let (writer, mut previous) = (writer.to_owned(), None);
    Box::new(move || {
        let first = target.taken();
        let leaves = (first..).take(batch).map(|n| leaf(&writer, n, &mut previous)).collect();
        target.apply(first, &[Batch { leaves, blobs: Vec::new() }]).unwrap();
    })
}

fn main() {
    let Ok(host) = std::env::var("PORTCULLIS_BENCH_HOST") else {
        println!("PORTCULLIS_BENCH_HOST is not set: nothing is measured");
        return;
    };
    let dir = PathBuf::from(
        std::env::var("PORTCULLIS_BENCH_DIR").unwrap_or_else(|_| "target/bench-log".to_owned()),
    );
    let (runtime, mut connection) = bare(&host);
    let tables = "DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench;
        CREATE TABLE bench.plain (id bigserial PRIMARY KEY, leaf bytea);
        CREATE TABLE bench.counter (next bigint); INSERT INTO bench.counter VALUES (0)";
    runtime.block_on(connection.execute(tables)).unwrap();
    let login = || Login { user: "postgres".to_owned(), password_file: None };
    let config = Config {
        server: Server { host: host.clone(), port: 5432, database: "postgres".to_owned(), ca: None },
        writer: login(),
        tiles: Some(dir.join("log")),
        sequence: Some(Sequencing {
            login: login(),
            state: dir.join("signed"),
            interval: Duration::from_secs(1),
        }),
    };
    replicas::create(&config, ORIGIN, signer()).unwrap();
    let writing = Config { sequence: None, ..config.clone() };
    for (threads, batch) in [(1, 1), (4, 1), (16, 1), (1, 32), (4, 32), (16, 32)] {
        measure("bare insert", threads, batch, |_| plain(&host, batch, false));
        measure("through the target", threads, batch, |n| {
            through(&writing, &format!("{threads}-{batch}-{n}"), batch)
        });
        measure("with a counter that all share", threads, batch, |_| plain(&host, batch, true));
    }
    // everything that was inserted so far is a backlog: how fast does it come into the tree, while one goes on writing
    let mut target = replicas::open(&config, ORIGIN, &signer(), "16-32-0").unwrap();
    let health = target.health().unwrap();
    let (start, taken) = (Instant::now(), target.taken());
    while target.reached(Level::Sequenced).unwrap() < taken {
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("backlog: {:?} after {:.1} s", health.duty(), start.elapsed().as_secs_f64());
    measure("through, while it is sequenced", 4, 1, |n| through(&writing, &format!("while-{n}"), 1));
    let mut previous = target.newest().unwrap().own.map(|leaf| {
        Digest::from_bytes(Algorithm::Sha256, attest::merkle::leaf_hash(&leaf).to_vec()).unwrap()
    });
    let mut waited = Vec::new();
    for _ in 0..20 {
        let (first, begin) = (target.taken(), Instant::now());
        let batch = Batch { leaves: vec![leaf("16-32-0", first, &mut previous)], blobs: Vec::new() };
        target.apply(first, &[batch]).unwrap();
        while target.reached(Level::Sequenced).unwrap() <= first {
            std::thread::sleep(Duration::from_millis(2));
        }
        waited.push(begin.elapsed());
    }
    waited.sort();
    println!("until sequenced, one at a time: p50 {:?}, worst {:?}", waited[10], waited[19]);
}
