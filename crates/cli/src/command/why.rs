//! `portcullis why SUBJECT`: why something was let in, where it came from, and what else did.

pub(crate) mod account;
pub(crate) mod asked;
mod provenance;
mod subject;
pub(crate) mod table;

use std::path::PathBuf;

use attest::{Digest, Json, Object};
use clap::ValueEnum;
use inventory::{Decided, Decisions, Fact, Instance, Subject};
use tlog::write_durably;

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::tree::{self, Branch};
use account::Account;
use asked::{Asked, Where};
use table::Table;

/// So many decisions are looked at for the newest that let it in.
const LOOKED_AT: u64 = 200;
/// So many of them are shown.
const SHOWN: usize = 10;

/// Why was this let in, where did it come from, and what else did?
///
/// Names the decision that let it in, its policy, who asked, what was wrong where a dry run, an outage or a breakglass grant
/// let it in all the same, whether the record is proven to be in the log, what proven evidence says of its source, builder
/// and reviewers, and what else came from there. Exit code 1 where nothing is known of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis why sha256:9f3c… --log log
  portcullis why eu-1/shop/Deployment/web --log log
  portcullis why registry.acme.example/shop/web --inventory inventory --format json
  portcullis why sha256:9f3c… --log log --graph svg --out web.svg")]
pub(crate) struct Args {
    /// A digest or the first 6 or more of its digits, a workload, or an image reference
    #[arg(value_name = "DIGEST|WORKLOAD|IMAGE")]
    subject: String,
    /// Only the graph: from it to its commit, builder, reviewers and inputs, and on to what else came from them
    #[arg(long, value_enum, value_name = "FORM")]
    graph: Option<Graph>,
    /// Write the graph to this file
    #[arg(long, value_name = "FILE", requires = "graph")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

/// The form of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Graph {
    /// A tree of text.
    Terminal,
    /// A picture.
    Svg,
    /// For programs.
    Json,
}

/// Everything that is known of a subject.
struct Known {
    subject: Subject,
    decisions: Decisions,
    /// The newest decision that let it in, or the newest of all.
    account: Option<Account>,
    instances: Vec<Instance>,
    facts: Vec<Fact>,
    graph: Option<Branch>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let asked = args.place.open(output)?;
    let subject = subject::find(&asked, &args.subject)?;
    let known = match subject {
        Some(subject) => Known::gather(&asked, subject)?,
        None => None,
    };
    let Some(known) = known else { return Ok(nothing(&args.subject, output)) };
    match (args.graph, &known.graph) {
        (Some(form), Some(graph)) => write_graph(form, graph, args.out.as_deref(), output)?,
        (Some(_), None) => return Ok(nothing(&args.subject, output)),
        (None, _) => output.result(&known.to_text(), || known.to_json()),
    }
    Ok(Exit::Clean)
}

fn nothing(subject: &str, output: &Output) -> Exit {
    let subject = policy::one_line(subject);
    let text = format!(
        "nothing is known of {subject}\nnobody decided about it, and no cluster reported it; a record of the last moments \
         may still be on its way into the log\n"
    );
    output.result(&text, || Object::new().with("found", false).with("subject", subject.as_str()).into());
    Exit::Found
}

fn write_graph(
    form: Graph,
    graph: &Branch,
    out: Option<&std::path::Path>,
    output: &Output,
) -> Result<(), Failure> {
    let text = match form {
        Graph::Terminal => tree::draw(graph),
        Graph::Svg => tree::to_svg(graph),
        Graph::Json => format!("{}\n", graph.to_json().pretty()),
    };
    match out {
        None => output.script(&text),
        Some(path) => {
            write_durably(path, text.as_bytes()).map_err(|e| Failure::io("write", path, &e))?;
            output.progress(&format!("wrote {}", path.display()));
        }
    }
    Ok(())
}

impl Known {
    fn gather(asked: &Asked, subject: Subject) -> Result<Option<Self>, Failure> {
        let decisions = asked.wait(asked.inventory.decisions(&subject, LOOKED_AT))?;
        let instances = asked.wait(asked.inventory.instances(&subject, LOOKED_AT))?;
        if decisions.newest.is_empty() && instances.is_empty() {
            return Ok(None);
        }
        let let_in = decisions.newest.iter().find(|d| d.decision == "admit");
        let account = let_in.or(decisions.newest.first());
        let account = account.map(|decided| Account::read(asked, decided)).transpose()?;
        let digest = digest_of(&subject, account.as_ref(), &instances);
        let (facts, graph) = match &digest {
            None => (Vec::new(), None),
            Some(digest) => {
                let facts = asked.wait(asked.inventory.facts(digest))?;
                let graph = provenance::graph(asked, digest, &facts)?;
                (facts, Some(graph))
            }
        };
        Ok(Some(Self { subject, decisions, account, instances, facts, graph }))
    }

    fn to_text(&self) -> String {
        let mut out = match &self.account {
            Some(account) => account.to_text(),
            None => "nobody decided about it, and it ran or runs\n".to_owned(),
        };
        if self.decisions.newest.len() > 1 {
            out += &format!("\ndecisions about {}: {}\n", self.name(), self.counted());
            out += &decisions(&self.decisions.newest);
        }
        if !self.instances.is_empty() {
            out += "\nreported by clusters\n";
            out += &instances(&self.instances);
        }
        if let Some(graph) = &self.graph {
            out += "\nwhere it came from, and what else did\n";
            out += &tree::draw(graph);
            if self.facts.is_empty() {
                out += "no proven evidence says where it came from\n";
            }
        }
        out
    }

    fn name(&self) -> String {
        match &self.subject {
            Subject::Digest(digest) => digest.short(),
            Subject::Workload(name) | Subject::Name(name) => policy::one_line(name),
        }
    }

    fn counted(&self) -> String {
        let count = self.decisions.count;
        let more = if count >= Decisions::COUNTED { " or more" } else { "" };
        let shown = self.decisions.newest.len().min(SHOWN);
        format!("{count}{more}, the newest {shown}")
    }

    fn to_json(&self) -> Json {
        let count = i64::try_from(self.decisions.count).unwrap_or(i64::MAX);
        let list = |all: &[Decided]| Json::Array(all.iter().map(decided_json).collect());
        let fact = |fact: &Fact| {
            let mut object = Object::new().with("kind", fact.kind.name()).with("value", fact.value.as_str());
            object.set_some("detail", fact.detail.as_deref());
            Json::from(object)
        };
        let mut object = Object::new().with("found", true).with("subject", self.name_in_full());
        object.set("account", self.account.as_ref().map_or(Json::Null, Account::to_json));
        object.set("decisions", count);
        object.set("newest", list(&self.decisions.newest));
        object.set("instances", Json::Array(self.instances.iter().map(instance_json).collect()));
        object.set("facts", Json::Array(self.facts.iter().map(fact).collect()));
        object.with("graph", self.graph.as_ref().map_or(Json::Null, Branch::to_json)).into()
    }

    fn name_in_full(&self) -> String {
        match &self.subject {
            Subject::Digest(digest) => digest.to_string(),
            Subject::Workload(name) | Subject::Name(name) => name.clone(),
        }
    }
}

/// The artifact in question: the one that was asked about, or let in last, or runs.
fn digest_of(subject: &Subject, account: Option<&Account>, instances: &[Instance]) -> Option<Digest> {
    match subject {
        Subject::Digest(digest) => Some(digest.clone()),
        Subject::Workload(_) | Subject::Name(_) => {
            let decided = account.and_then(|account| account.decided.digest.clone());
            decided.or_else(|| instances.iter().find_map(|i| i.observation.digest.clone()))
        }
    }
}

/// `web@sha256:9f3c…1a04`, with no more of a name than its end.
pub(crate) fn named(artifact: &str, digest: Option<&Digest>) -> String {
    let name = artifact.rsplit('/').next().unwrap_or(artifact);
    match digest {
        Some(digest) => format!("{name}@{}", digest.short()),
        None => name.to_owned(),
    }
}

/// To the minute, for a table.
pub(crate) fn minute(at: jiff::Timestamp) -> String {
    format!("{}Z", at.to_string().chars().take("2026-11-22T09:00".len()).collect::<String>())
}

fn decisions(newest: &[Decided]) -> String {
    let mut table = Table::new(&["RECORD", "AT", "DECISION", "BASIS", "ENVIRONMENT", "ARTIFACT", "ASKED BY"]);
    for decided in newest.iter().take(SHOWN) {
        table.row(&[
            &decided.index.to_string(),
            &minute(decided.at),
            &decided.decision,
            &decided.basis,
            &decided.environment,
            &named(&decided.artifact, decided.digest.as_ref()),
            decided.requester.as_deref().unwrap_or("-"),
        ]);
    }
    table.to_text()
}

fn instances(all: &[Instance]) -> String {
    let mut table = Table::new(&["WORKLOAD", "INSTANCE", "NODE", "SINCE", "UNTIL"]);
    for instance in all.iter().take(SHOWN) {
        let seen = &instance.observation;
        table.row(&[
            &seen.workload,
            &seen.instance,
            seen.node.as_deref().unwrap_or("-"),
            &minute(seen.since),
            &instance.until.map_or("it runs".to_owned(), minute),
        ]);
    }
    table.to_text()
}

pub(crate) fn decided_json(decided: &Decided) -> Json {
    let mut object = Object::new()
        .with("index", i64::try_from(decided.index).unwrap_or(i64::MAX))
        .with("at", decided.at.to_string())
        .with("decision", decided.decision.as_str())
        .with("basis", decided.basis.as_str())
        .with("outcome", decided.outcome.as_str())
        .with("environment", decided.environment.as_str());
    object.set_some("workload", decided.workload.as_deref());
    object.set("artifact", decided.artifact.as_str());
    object.set_some("digest", decided.digest.as_ref().map(Digest::to_string));
    object.set_some("requester", decided.requester.as_deref());
    object.set("chokepoint", decided.chokepoint.as_str());
    object.set_some("grant", decided.grant.as_deref());
    object.set("rules", decided.rules.clone());
    object.set_some("case", decided.case.as_ref().map(Digest::to_string));
    object.into()
}

fn instance_json(instance: &Instance) -> Json {
    let seen = &instance.observation;
    let mut object = Object::new()
        .with("cluster", seen.cluster.as_str())
        .with("instance", seen.instance.as_str())
        .with("environment", seen.environment.as_str())
        .with("workload", seen.workload.as_str())
        .with("image", seen.image.as_str());
    object.set_some("digest", seen.digest.as_ref().map(Digest::to_string));
    object.set_some("node", seen.node.as_deref());
    object.set("since", seen.since.to_string());
    object.set_some("until", instance.until.map(|until| until.to_string()));
    object.into()
}
