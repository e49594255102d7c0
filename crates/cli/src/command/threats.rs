//! `portcullis threats`: which threats the policies mitigate, by which rule, and which not.

use std::path::PathBuf;

use attest::{Json, Object};
use policy::Policy;

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

/// Which threats the policies mitigate
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  portcullis threats --book policies")]
pub(crate) struct Args {
    /// The folder with the policies
    #[arg(long, value_name = "DIR")]
    book: PathBuf,
}

/// The threats that a policy's rules can mitigate; the others are the business of choke points, log and guardrails.
const THREATS: [(&str, &str); 10] = [
    ("T1", "a change accidentally introduces a vulnerability"),
    ("T2", "a change adds a backdoor"),
    ("T3", "a build from a locally modified tree"),
    ("T4", "a harmful configuration is deployed"),
    ("T5", "a modified binary is deployed"),
    ("T7", "the signing key is stolen"),
    ("T8", "an old version with a known vulnerability is deployed"),
    ("T9", "CI is misconfigured to build any repository"),
    ("T10", "a build script exfiltrates the signing key"),
    ("T11", "a backdoored compiler or tool is used"),
];

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let book = input::book(&args.book, None)?;
    let mut text = String::new();
    let mut list = Vec::new();
    for policy in book.policies() {
        text.push_str(&format!("{} ({})\n", policy.environment().text, policy.name()));
        let mut rows = Vec::new();
        for (id, threat) in THREATS {
            let rules = mitigating(policy, id);
            let by = if rules.is_empty() {
                format!("NOT mitigated; consider {}", missing(policy, id))
            } else {
                rules.join(", ")
            };
            text.push_str(&format!("  {id:<4} {threat:<54} {by}\n"));
            rows.push(Json::from(Object::new().with("threat", id).with("rules", rules)));
        }
        text.push('\n');
        let environment = policy.environment().text.as_str();
        list.push(Json::from(
            Object::new().with("environment", environment).with("threats", Json::Array(rows)),
        ));
    }
    text.push_str("T6 and T12 to T15 are stopped by choke points, log and guardrails, not by a policy's rules: see THREATS.md\n");
    output.result(&text, || Json::Array(list));
    Ok(Exit::Clean)
}

fn mitigating(policy: &Policy, id: &str) -> Vec<&'static str> {
    policy.require().iter().filter(|r| r.rule.threats.contains(&id)).map(|r| r.rule.name).collect()
}

fn missing(policy: &Policy, id: &str) -> String {
    let candidates = policy::rules::all().filter(|r| r.read.is_some() && r.threats.contains(&id));
    let names: Vec<&str> = candidates.map(|r| r.name).filter(|n| !policy.asks_for(n)).collect();
    names.join(", ")
}
