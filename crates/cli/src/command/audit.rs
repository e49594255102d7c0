//! `portcullis audit`: what a policy would say today about everything that runs.

pub(crate) mod in_force;
pub(crate) mod tell;

use std::path::PathBuf;

use attest::{Artifact, Digest, Directly, Json, Object};
use inventory::audit::{EvidenceSource, Frozen, Gathered, Report, Turn};
use tlog::{Blobs, Files, Reader};

use crate::clock;
use crate::command::why::asked::{Asked, Log, Where};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use in_force::{InForce, Wanted};

/// Judge again everything that runs: today, under the files in force or others
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What runs is what clusters report (`serve` with `watch`); elsewhere, what was admitted last under
each name. Evidence is what is on record, and what was attached since, where --evidence names the
store. Exit code 1 where something that runs would be refused.

Examples:
  portcullis audit --log log
  portcullis audit --log log --evidence evidence --at 2026-12-01T00:00:00Z
  portcullis audit --log log --book new-book --trust-root trust-root.yaml")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    wanted: Wanted,
    /// The evidence store: what was attached to an artifact since it was admitted counts too
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Judge as at this time, in UTC
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let at = clock::now(args.at.as_deref())?;
    let asked = args.place.open(output)?;
    let log = log_of(&asked)?;
    let files = args.wanted.read(log)?;
    let (report, live) = everything_live(&asked, log, &files, args.evidence.as_deref(), at)?;
    let mut human = format!(
        "{} at {at}, under {}\n",
        counted(report.judged(), "deployment runs", "deployments run"),
        files.words()
    );
    human.push_str(&tell::live(&report, live.undecided, output));
    output.result(&human, || {
        let object = Object::new().with("at", at.to_string()).with("in_force", files.to_json());
        Json::from(object.with("live", report.to_json()).with("undecided", tell::number(live.undecided)))
    });
    let is_clean = report.count(Turn::Breaks) == 0 && report.count(Turn::CannotDecide) == 0;
    Ok(if is_clean { Exit::Clean } else { Exit::Found })
}

/// What else came of it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) undecided: u64,
}

/// The log that everything is read from.
pub(crate) fn log_of(asked: &Asked) -> Result<&Log, Failure> {
    asked.log.as_ref().ok_or_else(|| {
        Failure::new("the cases are in the log, and no log is named")
            .line("fix", "name its folder: --log DIR")
    })
}

/// Judges everything that runs.
pub(crate) fn everything_live(
    asked: &Asked,
    log: &Log,
    files: &InForce,
    evidence: Option<&std::path::Path>,
    at: jiff::Timestamp,
) -> Result<(Report, Live), Failure> {
    let blobs = Blobs::new(&log.files);
    let reader = Reader::new(&log.files, log.checkpoint.size);
    let source = Source::new(log, evidence);
    let mut gathered = Gathered::default();
    asked.wait(gathered.take_in(&asked.inventory, &reader, &blobs, &source))?;
    let frozen = Frozen { book: &files.book, root: &files.root, at, engine: chokepoint::ENGINE };
    let judged =
        asked.wait(gathered.judge(&asked.inventory, frozen, &Directly, &source, &mut |_, _, _, _| {}))?;
    Ok((judged.report, Live { undecided: judged.undecided }))
}

/// Evidence on record, and what was attached since.
pub(crate) struct Source {
    blobs: Blobs<Files>,
    store: Option<evidence::Store>,
}

impl Source {
    pub(crate) fn new(log: &Log, store: Option<&std::path::Path>) -> Self {
        Self { blobs: Blobs::new(log.files.clone()), store: store.map(evidence::Store::new) }
    }
}

impl EvidenceSource for Source {
    fn fetch(&self, digest: &Digest) -> Option<Vec<u8>> {
        let stored = || self.store.as_ref()?.get(digest).ok().flatten();
        self.blobs.get(digest).ok().or_else(stored)
    }

    fn attached(&self, artifact: &Artifact) -> Vec<(String, Digest)> {
        let Some((store, digest)) = self.store.as_ref().zip(artifact.digest()) else { return Vec::new() };
        let attached = store.attached(&digest).ok().flatten().unwrap_or_default();
        attached.into_iter().map(|bundle| (bundle.to_string(), bundle)).collect()
    }
}

/// `1 deployment runs`, `2 deployments run`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
