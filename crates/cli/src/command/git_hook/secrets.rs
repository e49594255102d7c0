//! A scanner for secrets, run on what is pushed while git still keeps it apart.
//!
//! It inherits the hook's environment, in which git says where the pushed objects are. What it finds is told by its
//! place; the secret itself is never printed.

use std::process::Command;
use std::time::Instant;

use attest::json::{Limits, parse_with};
use attest::{Digest, Json, Object};

use super::config::Scanner;
use super::push::{Kind, Update};
use super::refusal::Refusal;
use super::repository::Repository;
use crate::bounded;
use crate::failure::Failure;

const MAX_REPORT: usize = 16 << 20;
/// As many places as are told.
const MOST: usize = 10;

/// What the scanner finds in the commits that are new to the repository.
pub(super) fn found(
    scanner: &Scanner,
    repository: &Repository,
    updates: &[Update],
) -> Result<Vec<Refusal>, Failure> {
    let mut tips = Vec::new();
    for update in updates.iter().filter(|u| !matches!(u.kind(), Kind::Review(_))) {
        if let Some(new) = &update.new {
            tips.extend(repository.git.peel(&new.hex())?);
        }
    }
    tips.sort();
    tips.dedup();
    let ids: Vec<String> = tips.iter().map(Digest::hex).collect();
    let range: Vec<&str> = ids.iter().map(String::as_str).chain(["--not", "--all"]).collect();
    if tips.is_empty() || repository.git.commits(&range)?.is_empty() {
        return Ok(Vec::new());
    }
    let report = run(scanner, &range.join(" "))?;
    Ok(report.map(|places| refusal(scanner, &places)).into_iter().collect())
}

/// Runs it. Gives the places of what it found; nothing where it is clean, and says so in its report.
fn run(scanner: &Scanner, commits: &str) -> Result<Option<Vec<String>>, Failure> {
    let mut words = scanner.command.iter().map(|word| word.replace("{commits}", commits));
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_OPTIONAL_LOCKS", "0");
    let ended = bounded::run(&mut command, Vec::new(), Instant::now() + scanner.within, MAX_REPORT)
        .map_err(|stopped| undecided(scanner, &stopped.to_string()))?;
    let report = parse_with(&ended.stdout, Limits::default().exact());
    let items = report.as_ref().ok().and_then(|report| report.as_array().ok());
    match (ended.code, items) {
        (Some(0), Some([])) => Ok(None),
        // exit code 0 also ends a scan that saw nothing: only a report says that there was one
        (Some(0), None) => Err(undecided(scanner, "exit code 0, and no report in JSON on standard output")),
        (Some(0), Some(items)) => Ok(Some(places(items))),
        (Some(code), items) if code == scanner.found => Ok(Some(places(items.unwrap_or_default()))),
        (code, _) => {
            let code = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
            Err(undecided(scanner, &code))
        }
    }
}

fn undecided(scanner: &Scanner, found: &str) -> Failure {
    Failure::new("it cannot be decided whether secrets are in what is pushed, so nothing of it is taken")
        .code("secrets-undecided")
        .line(
            "wanted",
            &format!("exit code 0 or {}, and a report in JSON ({})", scanner.found, scanner.place),
        )
        .line("found", &policy::one_line(found))
        .line("fix", "tell who runs the repository: the scanner does not work")
}

/// `shop.env:3 in 4f2a…91bc, by the scanner's rule aws-access-token`.
fn places(items: &[Json]) -> Vec<String> {
    items.iter().filter_map(|item| item.as_object().ok()).map(place).collect()
}

fn place(item: &Object) -> String {
    let text = |key: &str| item.optional_string(key).ok().flatten().unwrap_or("?");
    let line = item.int("StartLine").map_or("?".to_owned(), |line| line.to_string());
    let commit: String = text("Commit").chars().take(12).collect();
    format!("{}:{line} in commit {commit}, by the scanner's rule {}", text("File"), text("RuleID"))
}

fn refusal(scanner: &Scanner, places: &[String]) -> Refusal {
    let refusal = Refusal::of("secrets-absent", "the push", "there are secrets in what is pushed")
        .wanted_at("no secret in any new commit", &scanner.place);
    let refusal = match places {
        [] => refusal.found("something, and the scanner does not say where"),
        places => places.iter().take(MOST).fold(refusal, |refusal, place| refusal.found(place)),
    };
    let more = places.len().saturating_sub(MOST);
    let refusal = if more > 0 { refusal.found(&format!("and {more} more")) } else { refusal };
    refusal
        .fix("take it out of the commits themselves, not in a later one: git rebase -i")
        .fix("if it is a real secret, have it changed: whoever could read the commits has it")
}
