//! `portcullis builder snapshots`: what is kept of earlier builds, and until when.

use std::path::PathBuf;

use attest::time::Span;
use attest::{Json, Object};
use builder::{Lease, Store, StoreError, Swept, sweep};

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::keys;
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A build's provenance says until when its source and inputs are kept (`keptUntil`). --sweep deletes
what no build was promised, and nothing that was used within --grace: a build that runs has not
made its promise yet.

Examples:
  portcullis builder snapshots
  portcullis builder snapshots --sweep --dry-run")]
pub(crate) struct Args {
    /// The store
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_STORE")]
    store: Option<PathBuf>,
    /// Delete what nobody was promised
    #[arg(long)]
    sweep: bool,
    /// Only say what a sweep would delete
    #[arg(long, requires = "sweep")]
    dry_run: bool,
    /// Leave alone what was used so lately
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = span, requires = "sweep")]
    grace: Span,
    /// The time that counts
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "wanted a span of time, as in 7d".to_owned())
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let store = args.store.clone().map_or_else(|| keys::home(".cache/portcullis/store"), Ok)?;
    let store = Store::new(&store);
    let now = clock::now(args.at.as_deref())?;
    let failed = |e: StoreError| {
        Failure::new("what is kept cannot be told; nothing was deleted")
            .line("found", &e.to_string())
            .line("fix", "restore the file from a backup, or move it away to give its promise up")
    };
    if args.sweep {
        let swept = sweep(&store, now, args.grace, args.dry_run).map_err(failed)?;
        tell_swept(&swept, args.dry_run, output);
        return Ok(Exit::Clean);
    }
    let leases = Lease::all(&store).map_err(failed)?;
    let line = |l: &Lease| {
        let state = if l.until < now { "over since" } else { "kept until" };
        let commit = l.commit.get(..12).unwrap_or(&l.commit);
        let inputs = l.inputs.len();
        format!(
            "{}@{}  {state} {}  {commit} of {}, {inputs} inputs\n",
            policy::one_line(&l.name),
            l.artifact.short(),
            l.until,
            policy::one_line(&l.repository)
        )
    };
    let human: String = if leases.is_empty() {
        "nothing is kept: no build has made a promise in this store\n".to_owned()
    } else {
        leases.iter().map(line).collect()
    };
    output.result(&human, || {
        let all = leases.iter().map(Lease::to_json).collect();
        Json::from(Object::new().with("at", now.to_string()).with("leases", Json::Array(all)))
    });
    Ok(Exit::Clean)
}

fn tell_swept(swept: &Swept, is_dry: bool, output: &Output) {
    let word = if is_dry { "would delete" } else { "deleted" };
    let mut human = String::new();
    for (repository, commit) in &swept.commits {
        human.push_str(&format!("{word} {commit} of {}\n", policy::one_line(repository)));
    }
    swept.files.iter().for_each(|file| human.push_str(&format!("{word} {file}\n")));
    human.push_str(&format!(
        "{word} {} commits and {} files, {} KiB\n",
        swept.commits.len(),
        swept.files.len(),
        swept.bytes >> 10
    ));
    output.result(&human, || {
        let commit = |(repository, commit): &(String, String)| {
            Json::from(Object::new().with("repository", repository.as_str()).with("commit", commit.as_str()))
        };
        let files: Vec<String> = swept.files.iter().map(ToString::to_string).collect();
        Object::new()
            .with("deleted", !is_dry)
            .with("commits", Json::Array(swept.commits.iter().map(commit).collect()))
            .with("files", files)
            .with("bytes", i64::try_from(swept.bytes).unwrap_or(i64::MAX))
            .into()
    });
}
