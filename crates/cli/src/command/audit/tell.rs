//! A report in words: what would be refused first, grouped by what would mend it.

use attest::Json;
use inventory::audit::{Group, Report, Subject, Turn};
use policy::{Diagnostic, Severity};

use super::counted;
use crate::output::Output;

/// So many of a group are named in text; JSON names more.
const NAMED: usize = 5;

/// What a re-judgement of everything live came to.
pub(crate) fn live(report: &Report, undecided: u64, output: &Output) -> String {
    let mut text = String::new();
    let lines = [
        (Turn::Same, "as it was", "as they were"),
        (Turn::Breaks, "would be refused", "would be refused"),
        (Turn::Tolerated, "runs although its policy is not met", "run although their policy is not met"),
        (Turn::CannotDecide, "cannot be decided", "cannot be decided"),
    ];
    for (turn, one, many) in lines {
        let count = report.count(turn);
        if count > 0 {
            text.push_str(&format!("  {}\n", counted(count, one, many)));
        }
    }
    if undecided > 0 {
        text.push_str(&format!(
            "  {}: see portcullis running\n",
            counted(undecided, "runs, and nobody decided it", "run, and nobody decided them")
        ));
    }
    text.push_str(&groups(report, Turn::Breaks, "would be refused", output));
    text.push_str(&groups(report, Turn::CannotDecide, "cannot be decided", output));
    text.push_str(&groups(report, Turn::Tolerated, "would be refused if the policy were enforced", output));
    text
}

/// The groups of one turn.
pub(crate) fn groups(report: &Report, turn: Turn, words: &str, output: &Output) -> String {
    report.groups(turn).into_iter().map(|group| one(group, words, output)).collect()
}

fn one(group: &Group, words: &str, output: &Output) -> String {
    let mut text = format!("\n{}: {} {words}\n", group.environment, group.count);
    match &group.example {
        Some(finding) => {
            let severity = if group.turn == Turn::Tolerated { Severity::Warning } else { Severity::Error };
            let first = group.named.first().map(|s| s.artifact.clone()).unwrap_or_default();
            text.push_str(&output.diagnostic(&Diagnostic::of_finding(finding, &first, severity)));
        }
        None if !group.why.is_empty() => text.push_str(&format!("  found     {}\n", group.why)),
        None => {}
    }
    for subject in group.named.iter().take(NAMED) {
        text.push_str(&format!("  - {}{}\n", subject.name, of_record(subject)));
    }
    let named = u64::try_from(group.named.len().min(NAMED)).unwrap_or(0);
    if group.count > named {
        text.push_str(&format!("  - and {} more\n", group.count - named));
    }
    text
}

fn of_record(subject: &Subject) -> String {
    let artifact = if subject.artifact.starts_with(&subject.name) { "" } else { subject.artifact.as_str() };
    let artifact = if artifact.is_empty() { String::new() } else { format!("  {artifact}") };
    match subject.record {
        Some(record) => format!("{artifact}  record {record}"),
        None => artifact,
    }
}

pub(crate) fn number(n: u64) -> Json {
    Json::Int(i64::try_from(n).unwrap_or(i64::MAX))
}
