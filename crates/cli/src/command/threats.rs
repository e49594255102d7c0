//! `portcullis threats`: which threats the policies mitigate, by which rule, which not, and what stays open.

mod list;
mod own;

use std::path::PathBuf;

use attest::{Json, Object};
use policy::Policy;
use server::webhook::Config;

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

use list::{Stopped, THREATS, Threat, openings};
use own::{Own, Stands};

/// Which threats the policies mitigate
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A list of your own (--list) is a YAML file: `threats: [{ id, threat, mitigated-by: [RULE] }]`, or
`accepted: { by, until, because }` where somebody answers for it. See docs/threats.md.

Exit codes: 0 nothing that --list names is open, 1 something is, 2 a file does not load.

Examples:
  portcullis threats --book policies
  portcullis threats --book policies --config serve.yaml --list our-threats.yaml")]
pub(crate) struct Args {
    /// The folder with the policies
    #[arg(long, value_name = "DIR")]
    book: PathBuf,
    /// The choke point's configuration: T6 and T12 to T15 are its business
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Your own list of threats
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// The time at which what was accepted may have ended; now without
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// One row: a threat in an environment.
struct Row {
    id: String,
    title: String,
    /// `mitigated`, `open`, `accepted` or `unknown`.
    state: &'static str,
    /// By what, or why not.
    by: String,
    rules: Vec<String>,
    /// What to add, and what stays open.
    add: Vec<String>,
    limit: Option<&'static str>,
    is_own: bool,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let book = input::book(&args.book, None)?;
    let now = clock::now(args.at.as_deref())?;
    let config = args.config.as_ref().map(|file| {
        let text = input::text("configuration", file)?;
        Config::parse(file, &text).map_err(|errors| Failure::load("serve-configuration-invalid", errors))
    });
    let config = config.transpose()?;
    let own = args.list.as_ref().map(|file| {
        own::parse(file, &input::text("list of threats", file)?)
            .map_err(|errors| Failure::load("threats-invalid", errors))
    });
    let own: Vec<Own> = own.transpose()?.unwrap_or_default();
    let (mut text, mut list, mut is_open) = (String::new(), Vec::new(), false);
    for policy in book.policies() {
        let mut rows: Vec<Row> = THREATS.iter().map(|threat| row(threat, policy, config.as_ref())).collect();
        rows.extend(own.iter().filter_map(|one| Some(own_row(one, one.under(policy, now)?))));
        is_open |= rows.iter().any(|row| row.is_own && row.state == "open");
        text.push_str(&to_text(policy, &rows));
        list.push(to_json(policy, &rows));
    }
    output.result(&text, || Json::Array(list));
    Ok(if is_open { Exit::Found } else { Exit::Clean })
}

fn row(threat: &Threat, policy: &Policy, config: Option<&Config>) -> Row {
    let mut row = Row {
        id: threat.id.to_owned(),
        title: threat.title.to_owned(),
        state: "mitigated",
        by: String::new(),
        rules: Vec::new(),
        add: Vec::new(),
        limit: Some(threat.limit),
        is_own: false,
    };
    match (threat.stopped, config) {
        (Stopped::Rules, _) => {
            let asked = policy.require().iter().filter(|one| one.rule.threats.contains(&threat.id));
            row.rules = asked.map(|one| one.rule.name.to_owned()).collect();
            row.by = row.rules.join(", ");
            if row.rules.is_empty() {
                (row.state, row.by, row.limit) = ("open", "NOT mitigated".to_owned(), None);
                row.add = missing(policy, threat.id);
            }
        }
        (Stopped::Part(_), None) => {
            (row.state, row.limit) = ("unknown", None);
            row.by = "not a matter of this policy: give --config".to_owned();
        }
        (Stopped::Part(part), Some(config)) => match part.by(config, policy) {
            Some(by) => row.by = by.to_owned(),
            None => {
                (row.state, row.by, row.limit) = ("open", "NOT mitigated".to_owned(), None);
                row.add = vec![part.fix().to_owned()];
            }
        },
    }
    row
}

/// Rules that would mitigate it, as they would stand in the policy.
fn missing(policy: &Policy, id: &str) -> Vec<String> {
    let candidates = policy::rules::all().filter(|rule| rule.read.is_some() && rule.threats.contains(&id));
    let is_missing = |name: &str| !policy.asks_for(name);
    let one_line = |example: &str| example.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    candidates.filter(|rule| is_missing(rule.name)).map(|rule| one_line(rule.example)).collect()
}

fn own_row(own: &Own, stands: Stands) -> Row {
    let (state, by, rules) = match stands {
        Stands::Mitigated(rules) => ("mitigated", rules.join(", "), rules),
        Stands::Accepted(words) => ("accepted", words, Vec::new()),
        Stands::Open(why) => ("open", format!("NOT mitigated: {why}"), Vec::new()),
    };
    let (id, title) = (own.id.clone(), own.threat.clone());
    Row { id, title, state, by, rules, add: Vec::new(), limit: None, is_own: true }
}

fn to_text(policy: &Policy, rows: &[Row]) -> String {
    let mut text = format!("{} ({})\n", policy.environment().text, policy.name());
    for opening in openings(policy) {
        text.push_str(&format!("  note {opening}\n"));
    }
    for row in rows {
        text.push_str(&format!("  {:<4} {:<54} {}\n", row.id, row.title, row.by));
        for (index, add) in row.add.iter().enumerate() {
            text.push_str(&format!("       {} {add}\n", if index == 0 { "add  " } else { "or   " }));
        }
        text.extend(row.limit.map(|limit| format!("       limit {limit}\n")));
    }
    text.push('\n');
    text
}

fn to_json(policy: &Policy, rows: &[Row]) -> Json {
    let one = |row: &Row| {
        let mut object = Object::new()
            .with("threat", row.id.as_str())
            .with("title", row.title.as_str())
            .with("state", row.state)
            .with("rules", row.rules.clone())
            .with("by", row.by.as_str());
        if !row.add.is_empty() {
            object.set("add", row.add.clone());
        }
        object.set_some("limit", row.limit);
        Json::from(object.with("own", row.is_own))
    };
    Object::new()
        .with("environment", policy.environment().text.as_str())
        .with("policy", policy.name())
        .with("open_to", openings(policy))
        .with("threats", Json::Array(rows.iter().map(one).collect()))
        .into()
}
