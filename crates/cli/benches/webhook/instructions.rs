//! Instructions a decision, counted by callgrind: the same on a busy machine as on a quiet one.
//!
//! A server answers few requests, and another one the same and many more, over one connection: what is between the two
//! counts is those requests, without start, handshake and end. What happens after the answers goes by the clock, and
//! is in it; callgrind's server is slow, so that there is more of it than under load.

use std::path::Path;
use std::process::Command;

use crate::fixture::Fixture;
use crate::load::{self, Target};
use crate::server::{Kind, Server};

/// Each of the fixture's reviews once, so that a cache has them all.
const FEW: usize = 256;
const MORE: usize = 512;

pub fn print(fixture: &Fixture, only: Option<&str>) {
    for kind in [Kind::AlwaysYes, Kind::OnlyChecks, Kind::Uncached, Kind::Cached] {
        if only.is_none_or(|only| kind.name().rsplit(' ').next() == Some(only)) {
            let [few, all] = [FEW, FEW + MORE].map(|requests| count(fixture, kind, requests));
            println!("{:<22} {:>9} instructions each", kind.name(), (all - few) / MORE as u64);
        }
    }
}

/// What callgrind counts of a server that answers so many requests. Its profile stays, for `callgrind_annotate`.
fn count(fixture: &Fixture, kind: Kind, requests: usize) -> u64 {
    let out =
        std::env::temp_dir().join(format!("callgrind.{}.{requests}", kind.name().replace([' ', ','], "-")));
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", out.display()));
    let server = Server::start_under(valgrind, fixture, kind);
    let load = load::counted(&Target::new(fixture, server.port()), requests);
    assert_eq!((load.count(), load.failed), (requests, 0));
    server.end();
    total(&out)
}

/// The sum of all threads.
fn total(out: &Path) -> u64 {
    let text = std::fs::read_to_string(out).unwrap();
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    line.trim().parse().unwrap()
}
