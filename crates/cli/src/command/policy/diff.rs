//! `portcullis policy diff`: what a change of the book newly admits and newly refuses.

use std::path::PathBuf;

use attest::{Json, Object};
use clap::ValueEnum;
use policy::diff::{Flip, GuardrailChange, Kind, Region, Statement, diff};
use policy::{Book, Difference, Guardrails};

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;
use crate::work_tree;

/// What does a change of the book newly admit, and what does it newly refuse?
///
/// Computed from the two books alone: what is not told is decided alike, whatever the evidence and the trust root.
#[derive(Debug, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "\
Exit codes: 0 nothing changes, 1 something changes, 2 could not do the job.
With --fail-on admits, 1 only where something is newly admitted.

Examples:
  portcullis policy diff policies-before policies
  portcullis policy diff --from-git origin/main policies
  portcullis policy diff --from-git origin/main policies --fail-on admits"
)]
pub(crate) struct Args {
    /// The folder with the policies as they were
    #[arg(value_name = "OLD", required_unless_present = "from_git", conflicts_with = "from_git")]
    old: Option<PathBuf>,
    /// The folder with the policies as they shall be
    #[arg(value_name = "NEW", required = true)]
    new: PathBuf,
    /// Take the policies as they were from this commit, branch or tag of the git repository in which NEW lies
    #[arg(long, value_name = "REF")]
    from_git: Option<String>,
    /// The guardrails as they were; with --from-git, those of --guardrails-new at that commit where this is omitted
    #[arg(long, value_name = "FILE")]
    guardrails_old: Option<PathBuf>,
    /// The guardrails as they shall be
    #[arg(long, value_name = "FILE")]
    guardrails_new: Option<PathBuf>,
    /// Tell only what is about this environment; `*` stands for one segment
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: Option<String>,
    /// From when on it matters: what only was different before that is left out; omitted means now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// What ends with exit code 1
    #[arg(long, value_enum, default_value = "anything")]
    fail_on: FailOn,
}

/// What ends with exit code 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Whatever changes.
    Anything,
    /// Only what is newly admitted.
    Admits,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let at = clock::now(args.at.as_deref())?;
    let rails = (old_guardrails(args)?, input::guardrails(args.guardrails_new.as_deref())?);
    let old = old_book(args, &rails.0)?;
    let new = load(input::book_files(&args.new)?, &rails.1)?;
    let mut difference = diff(&old, &new).with_guardrails(&rails.0, &rails.1).since(at);
    if let Some(environment) = &args.environment {
        difference = difference.within(environment);
        // a misspelt environment must not look as if nothing changed
        if difference.environments().is_empty() {
            return Err(Failure::new(&format!("neither book has a policy for {environment}"))
                .line("fix", "write an environment as policies do, as in prod/shop"));
        }
    }
    output.result(&to_text(&difference), || to_json(&difference, &old, &new));
    let is_found = match args.fail_on {
        FailOn::Anything => !difference.is_empty(),
        FailOn::Admits => difference.admits(),
    };
    Ok(if is_found { Exit::Found } else { Exit::Clean })
}

fn load(files: Vec<policy::SourceFile>, guardrails: &Guardrails) -> Result<Book, Failure> {
    Book::load(files, guardrails).map_err(|e| Failure::load("policy-invalid", e))
}

fn old_book(args: &Args, guardrails: &Guardrails) -> Result<Book, Failure> {
    let files = match (&args.old, &args.from_git) {
        (_, Some(reference)) => work_tree::book_files_at(&args.new, reference)?,
        (Some(old), None) => input::book_files(old)?,
        (None, None) => {
            return Err(Failure::new("nothing says how the policies were").line("fix", "name OLD"));
        }
    };
    load(files, guardrails)
}

/// The guardrails as they were. A file that was not there yet forbade nothing.
fn old_guardrails(args: &Args) -> Result<Guardrails, Failure> {
    let (Some(reference), Some(new), None) = (&args.from_git, &args.guardrails_new, &args.guardrails_old)
    else {
        return input::guardrails(args.guardrails_old.as_deref());
    };
    match work_tree::file_at(new, reference)? {
        Some(text) => input::parse_guardrails(new, &text),
        None => Ok(Guardrails::none()),
    }
}

fn to_json(difference: &Difference, old: &Book, new: &Book) -> Json {
    let books = Object::new().with("old", old.digest().to_string()).with("new", new.digest().to_string());
    match difference.to_json() {
        Json::Object(object) => object.with("books", books).into(),
        other => other,
    }
}

fn to_text(difference: &Difference) -> String {
    let mut text = String::new();
    let mut last: Option<(&Region, Kind)> = None;
    for statement in difference.statements() {
        if last.is_none_or(|(region, _)| *region != statement.region) {
            text.push_str(&region_text(&statement.region));
            last = None;
        }
        if last.is_none_or(|(_, kind)| kind != statement.kind) {
            text.push_str(&format!("  {}\n", statement.kind.words()));
        }
        text.push_str(&statement_text(statement));
        last = Some((&statement.region, statement.kind));
    }
    text.extend(difference.guardrails().iter().map(guardrail_text));
    text.push_str(&format!("{}\n", difference.summary()));
    text
}

fn region_text(region: &Region) -> String {
    let mut text = format!("{}  {}\n", region.environment, region.artifacts.join(", "));
    for (environment, artifact) in &region.except {
        text.push_str(&format!("  but for {environment}  {artifact}\n"));
    }
    text
}

fn statement_text(statement: &Statement) -> String {
    let direction = match (statement.kind, statement.flip) {
        (Kind::Otherwise, Some(Flip::Met)) => "meets the policy now: ",
        (Kind::Otherwise, Some(Flip::Unmet)) => "does not meet the policy now: ",
        _ => "",
    };
    let mut text = format!("    {:<18}{direction}{}\n", statement.about, statement.words);
    let mut line = |label: &str, what: &str| text.push_str(&format!("      {label:<9} {what}\n"));
    if let Some(when) = when(statement) {
        line("when", &when);
    }
    for (label, place) in [("old", &statement.old), ("new", &statement.new)] {
        if let Some(place) = place {
            line(label, &place.to_string());
        }
    }
    if !statement.threats.touched.is_empty() {
        line("threats", &threats(statement));
    }
    text
}

fn when(statement: &Statement) -> Option<String> {
    let day = |time: jiff::Timestamp| time.to_string().chars().take(10).collect::<String>();
    match (statement.from, statement.until) {
        (None, None) => None,
        (Some(from), None) => Some(format!("from {} on", day(from))),
        (None, Some(until)) => Some(format!("until {}", day(until))),
        (Some(from), Some(until)) => Some(format!("from {} until {}", day(from), day(until))),
    }
}

fn threats(statement: &Statement) -> String {
    let touched = statement.threats.touched.join(", ");
    let alone = statement.threats.alone.join(", ");
    match statement.kind {
        _ if alone.is_empty() => touched,
        Kind::Admits => format!("{touched}; no rule mitigates {alone} here any more"),
        Kind::Refuses => format!("{touched}; no rule mitigated {alone} here before"),
        Kind::Otherwise => touched,
    }
}

fn guardrail_text(change: &GuardrailChange) -> String {
    let mut text = format!("guardrail  {}\n", change.name);
    for (label, what) in [("policies may newly", &change.allows), ("policies may no longer", &change.forbids)]
    {
        if !what.is_empty() {
            text.push_str(&format!("  {label}\n"));
            text.extend(what.iter().map(|what| format!("    {what}\n")));
        }
    }
    for (label, place) in [("old", &change.old), ("new", &change.new)] {
        if let Some(place) = place {
            text.push_str(&format!("      {label:<9} {place}\n"));
        }
    }
    text
}
