//! `portcullis running`: what runs, or ran at a time, and which decision let it in.

use std::collections::BTreeMap;

use attest::{Digest, Json, Object};
use inventory::{Live, ObservedCluster, Source};
use jiff::Timestamp;

use super::why::asked::{Asked, Where};
use super::why::table::Table;
use super::why::{minute, named};
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// What runs, or ran at a time, and which decision let it in?
///
/// Where a cluster reports, what it reports; elsewhere what was admitted last under each name. What runs and nobody decided
/// is marked. Exit code 1 where nothing runs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis running --log log
  portcullis running --inventory inventory --environment prod/shop
  portcullis running --inventory inventory --at 2026-11-22T09:00:00Z --format json")]
pub(crate) struct Args {
    /// At this time; now without
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Only in this environment
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: Option<String>,
    #[command(flatten)]
    place: Where,
}

/// What is the same of several instances: one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    environment: String,
    workload: Option<String>,
    artifact: String,
    digest: Option<Digest>,
    decided: Option<u64>,
    is_observed: bool,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let at = args.at.as_deref().map(|at| clock::now(Some(at))).transpose()?;
    let asked = args.place.open(output)?;
    let lines = lines(&asked, at, args.environment.as_deref())?;
    let clusters = asked.wait(asked.inventory.clusters())?;
    let mut with_basis = Vec::new();
    for (line, (count, since)) in lines {
        let decided = match line.decided {
            Some(index) => asked.wait(asked.inventory.decision(index))?,
            None => None,
        };
        with_basis.push((line, count, since, decided.map(|decided| decided.basis)));
    }
    output.result(&text(&with_basis, &clusters), || {
        let lines = with_basis.iter().map(to_json).collect();
        let cluster = |c: &ObservedCluster| {
            let object = Object::new().with("name", c.name.as_str()).with("since", c.since.to_string());
            Json::from(object.with("heard", c.heard.to_string()))
        };
        Object::new()
            .with("running", Json::Array(lines))
            .with("clusters", Json::Array(clusters.iter().map(cluster).collect()))
            .into()
    });
    Ok(if with_basis.is_empty() { Exit::Found } else { Exit::Clean })
}

/// What runs, instances that are alike counted together, each with its earliest start.
fn lines(
    asked: &Asked,
    at: Option<Timestamp>,
    environment: Option<&str>,
) -> Result<BTreeMap<Line, (u64, Timestamp)>, Failure> {
    let mut pages = asked.inventory.live(at);
    if let Some(environment) = environment {
        pages = pages.of_environment(environment);
    }
    let mut lines: BTreeMap<Line, (u64, Timestamp)> = BTreeMap::new();
    while let Some(page) = asked.wait(pages.next())? {
        for live in page {
            let since = live.since;
            let (count, first) = lines.entry(Line::of(live)).or_insert((0, since));
            (*count, *first) = (*count + 1, since.min(*first));
        }
    }
    Ok(lines)
}

impl Line {
    fn of(live: Live) -> Self {
        Self {
            environment: live.environment,
            workload: live.workload,
            artifact: live.artifact,
            digest: live.digest,
            decided: live.decided,
            is_observed: live.source != Source::Admitted,
        }
    }

    fn let_in_by<'t>(&self, basis: Option<&'t str>) -> &'t str {
        if self.decided.is_some() { basis.unwrap_or("unknown") } else { "NOBODY DECIDED" }
    }
}

type Counted = (Line, u64, Timestamp, Option<String>);

fn text(lines: &[Counted], clusters: &[ObservedCluster]) -> String {
    if lines.is_empty() {
        return "nothing runs, as far as is known\n".to_owned();
    }
    let mut table = Table::new(&["ENVIRONMENT", "WORKLOAD", "ARTIFACT", "N", "SINCE", "RECORD", "LET IN BY"]);
    for (line, count, since, basis) in lines {
        table.row(&[
            &line.environment,
            line.workload.as_deref().unwrap_or("-"),
            &named(&line.artifact, line.digest.as_ref()),
            &if line.is_observed { count.to_string() } else { "-".to_owned() },
            &minute(*since),
            &line.decided.map_or("-".to_owned(), |index| index.to_string()),
            line.let_in_by(basis.as_deref()),
        ]);
    }
    let mut out = table.to_text();
    let undecided = lines.iter().filter(|(line, ..)| line.decided.is_none()).count();
    if undecided > 0 {
        out += &format!("{undecided} of {} run although nobody decided about them\n", lines.len());
    }
    if lines.iter().any(|(line, ..)| !line.is_observed) {
        out += "where N is -, nothing reports what runs: it is what was admitted last under that name\n";
    }
    for cluster in clusters {
        let name = policy::one_line(&cluster.name);
        out += &format!("cluster {name} was heard last at {}\n", minute(cluster.heard));
    }
    out
}

fn to_json((line, count, since, basis): &Counted) -> Json {
    let mut object = Object::new().with("environment", line.environment.as_str());
    object.set_some("workload", line.workload.as_deref());
    object.set("artifact", line.artifact.as_str());
    object.set_some("digest", line.digest.as_ref().map(Digest::to_string));
    object.set("observed", line.is_observed);
    object.set("instances", i64::try_from(*count).unwrap_or(i64::MAX));
    object.set("since", since.to_string());
    object.set_some("decided", line.decided.map(|index| i64::try_from(index).unwrap_or(i64::MAX)));
    object.set_some("basis", basis.as_deref());
    object.into()
}
