//! `portcullis policy preview`: who would break under a new book, before anybody merges it.

use std::path::PathBuf;

use attest::time::Span;
use attest::{Json, Object};
use chokepoint::EvidenceCache;
use inventory::audit::{Frozen, Range, Report, Subject, Turn, backtest, first_since};
use jiff::Timestamp;
use tlog::{Blobs, Reader};

use crate::clock;
use crate::command::audit::in_force::{InForce, Wanted};
use crate::command::audit::tell::{self, number};
use crate::command::audit::{counted, everything_live, log_of};
use crate::command::why::asked::{Log, Where};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Who would break under a new book: what runs now, and what was decided in the last days
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What runs is judged as of today; each decision of the last days as of its own time. Exit code 1
where something that was let in would be refused.

Examples:
  portcullis policy preview new-book --log log
  portcullis policy preview new-book --guardrails guardrails.yaml --log log --last 14d \\
      --format json")]
pub(crate) struct Args {
    /// The new book's folder
    new: PathBuf,
    /// The guardrails over it
    #[arg(long, value_name = "FILE")]
    guardrails: Option<PathBuf>,
    /// A new trust root; without, the one of the newest decision on record
    #[arg(long, value_name = "FILE")]
    trust_root: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
    /// The evidence store: what was attached to an artifact since it was admitted counts too
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// How far back decisions are tried again
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = span)]
    last: Span,
    /// Judge what runs as at this time, in UTC
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "a span, as in 7d or 12h".to_owned())
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let at = clock::now(args.at.as_deref())?;
    let asked = args.place.open(output)?;
    let log = log_of(&asked)?;
    let (book, guardrails) = (Some(args.new.clone()), args.guardrails.clone());
    let files = Wanted { book, guardrails, trust_root: args.trust_root.clone() }.read(log)?;
    let (live, rest) = everything_live(&asked, log, &files, args.evidence.as_deref(), at)?;
    let since = at.checked_sub(jiff::SignedDuration::from_secs(args.last.as_seconds()));
    let since = since.unwrap_or(Timestamp::UNIX_EPOCH);
    let past = past(log, &files, since, output);
    let mut human = format!("under {}\n\n", files.words());
    let runs = counted(live.judged(), "deployment runs", "deployments run");
    let told = tell::live(&live, rest.undecided, output);
    human.push_str(&format!("{runs}, judged at {at}{}\n{told}", if told.is_empty() { "" } else { ":" }));
    human.push_str(&of_past(&past, since, output));
    output.result(&human, || {
        let object = Object::new().with("at", at.to_string()).with("in_force", files.to_json());
        let object = object.with("live", live.to_json()).with("undecided", number(rest.undecided));
        Json::from(object.with("since", since.to_string()).with("decided", past.to_json()))
    });
    let is_found = |report: &Report| report.count(Turn::Breaks) + report.count(Turn::CannotDecide) > 0;
    Ok(if is_found(&live) || is_found(&past) { Exit::Found } else { Exit::Clean })
}

/// Every decision since a time, again.
fn past(log: &Log, files: &InForce, since: Timestamp, output: &Output) -> Report {
    const TOLD: u64 = 20_000;
    let frozen = Frozen { book: &files.book, root: &files.root, at: since, engine: chokepoint::ENGINE };
    let (reader, blobs) = (Reader::new(&log.files, log.checkpoint.size), Blobs::new(&log.files));
    let range = Range { from: first_since(&reader, since), to: log.checkpoint.size, since };
    let (cache, mut report, mut count) = (EvidenceCache::default(), Report::new(), 0_u64);
    backtest(&reader, &blobs, range, frozen, &cache, &mut |tried| {
        count += 1;
        if count.is_multiple_of(TOLD) {
            output.progress(&format!("{count} decisions judged again"));
        }
        match tried {
            Err(e) => {
                let groups = report.add_unjudged("", 1, &e.why.to_string());
                let name = format!("record {}", e.index);
                report.name(&groups, &Subject { name, artifact: String::new(), record: Some(e.index) });
            }
            Ok(tried) => {
                let record = &tried.record;
                let turn = Turn::of(record.decision == "admit", &tried.now);
                let groups = report.add(&record.environment, &record.artifact, 1, turn, &tried.now);
                let name = record.workload.clone().unwrap_or_else(|| record.artifact.clone());
                let artifact = record.artifact.clone();
                report.name(&groups, &Subject { name, artifact, record: Some(tried.index) });
            }
        }
    });
    report
}

fn of_past(report: &Report, since: Timestamp, output: &Output) -> String {
    let decided = counted(report.judged(), "decision", "decisions");
    let mut text = format!(
        "\n{decided} since {since}, each judged as of its own time{}\n",
        if report.judged() == 0 { "" } else { ":" }
    );
    let lines = [
        (Turn::Same, "as before", "as before"),
        (Turn::Breaks, "was let in, and would be refused", "were let in, and would be refused"),
        (Turn::Opens, "was refused, and would be let in", "were refused, and would be let in"),
        (
            Turn::Tolerated,
            "is let in although its policy is not met",
            "are let in although their policy is not met",
        ),
        (Turn::CannotDecide, "cannot be decided", "cannot be decided"),
    ];
    for (turn, one, many) in lines {
        if report.count(turn) > 0 {
            text.push_str(&format!("  {}\n", counted(report.count(turn), one, many)));
        }
    }
    text.push_str(&tell::groups(report, Turn::Breaks, "were let in, and would be refused", output));
    text.push_str(&tell::groups(report, Turn::Opens, "were refused, and would be let in", output));
    text.push_str(&tell::groups(report, Turn::CannotDecide, "cannot be decided", output));
    text
}
