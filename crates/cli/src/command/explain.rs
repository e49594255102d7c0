//! `portcullis explain RULE`.

use attest::yaml::suggest;
use attest::{Json, Object};
use policy::rule::Rule;
use policy::rules;

use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Explain a rule
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  portcullis explain source-reviewed")]
pub(crate) struct Args {
    /// The rule's name, as messages show it; all rules without
    rule: Option<String>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let Some(name) = &args.rule else {
        let lines: String = rules::all().map(|r| format!("  {:<22} {}\n", r.name, r.summary)).collect();
        output.result(&format!("{lines}\nportcullis explain RULE tells more\n"), || {
            Json::Array(rules::all().map(|r| to_json(r).into()).collect())
        });
        return Ok(Exit::Clean);
    };
    let Some(rule) = rules::by_name(name) else {
        let known: Vec<&str> = rules::all().map(|r| r.name).collect();
        let failure = Failure::new(&format!("there is no rule `{name}`"));
        return Err(match suggest(name, &known) {
            Some(near) => failure.line("fix", &format!("portcullis explain {near}")),
            None => failure.line("fix", "portcullis explain lists them all"),
        });
    };
    output.result(&to_text(rule), || to_json(rule).into());
    Ok(Exit::Clean)
}

fn to_text(rule: &Rule) -> String {
    let mut out = format!("{}: {}\n\n{}\n", rule.name, rule.summary, wrap(rule.docs, 90));
    if rule.example.is_empty() {
        out.push_str("\nIt is built in: no policy can leave it out.\n");
    } else {
        out.push_str(&format!("\nUnder `require`:\n  {}\n", rule.example));
    }
    out.push_str(&format!("\nMitigates {} (see THREATS.md).\n", rule.threats.join(", ")));
    out
}

fn to_json(rule: &Rule) -> Object {
    Object::new()
        .with("rule", rule.name)
        .with("key", rule.key)
        .with("summary", rule.summary)
        .with("docs", rule.docs)
        .with("example", rule.example)
        .with("threats", rule.threats.to_vec())
}

/// Breaks a paragraph into lines.
fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}
