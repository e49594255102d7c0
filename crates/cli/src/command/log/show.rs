//! `portcullis log show`: the records of a log as people list them, or one whole.
//!
//! A log may be longer than memory, so it is walked twice: first to prove it, then to list it. Nothing is shown of a log
//! that is not what was written.

use std::path::{Path, PathBuf};

use attest::{Digest, Json, Object};
use chokepoint::{Entry, EventKind, Record};
use jiff::Timestamp;
use tlog::{Blobs, Files};

use super::{Key, waiting, waiting_line, walk};
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Lines are at most so wide, but for what is shown of rules.
const WIDTH: usize = 100;
/// The columns before an artifact: index, time, decision, environment, and the gaps between them.
const BEFORE: usize = 6 + 2 + 20 + 2 + 16 + 2 + ENVIRONMENT + 2;
const ENVIRONMENT: usize = 14;
/// So much text is held before it is printed.
const HELD: usize = 64 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The log's folder
    dir: PathBuf,
    /// The record's place, from 0; all without
    index: Option<u64>,
    /// From this place on
    #[arg(long, value_name = "INDEX", conflicts_with = "index")]
    from: Option<u64>,
    /// Up to this place, itself included
    #[arg(long, value_name = "INDEX", conflicts_with = "index")]
    to: Option<u64>,
    /// Only these: `decision`, `event`, or one kind of event; several times for several
    #[arg(long, value_name = "KIND", value_parser = kinds(), conflicts_with = "index")]
    kind: Vec<String>,
    /// Only what was at this time or later, as in 2026-11-22T09:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "index")]
    since: Option<String>,
    #[command(flatten)]
    key: Key,
}

fn kinds() -> clap::builder::PossibleValuesParser {
    let events = EventKind::ALL.into_iter().map(EventKind::name);
    ["decision", "event"].into_iter().chain(events).collect::<Vec<_>>().into()
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    match args.index {
        Some(index) => one(&args.dir, index, &args.key, output),
        None => list(args, output),
    }
}

/// Which entries are listed.
struct Filter<'a> {
    args: &'a Args,
    since: Option<Timestamp>,
}

impl Filter<'_> {
    fn takes(&self, index: u64, entry: Option<&Entry>) -> bool {
        let Args { from, to, kind, .. } = self.args;
        let is_within = from.is_none_or(|from| index >= from) && to.is_none_or(|to| index <= to);
        let is_of_kind = |kind: &String| match entry {
            Some(Entry::Decision(_)) => kind == "decision",
            Some(Entry::Event(event)) => kind == "event" || kind == event.kind.name(),
            None => false,
        };
        // what is no entry of ours has neither a kind nor a time
        let is_kind = kind.is_empty() || kind.iter().any(is_of_kind);
        is_within && is_kind && self.since.is_none_or(|since| entry.is_some_and(|entry| entry.at() >= since))
    }
}

/// What is printed, a piece at a time.
struct Listing<'a> {
    output: &'a Output,
    held: String,
    is_first: bool,
}

impl Listing<'_> {
    fn add(&mut self, index: u64, leaf: &[u8], entry: Option<&Entry>) {
        if self.output.is_json() {
            self.held.push_str(if self.is_first { "[\n" } else { ",\n" });
            self.held.push_str(&json(index, leaf, entry).to_string());
            self.is_first = false;
        } else {
            self.held.push_str(&lines(index, leaf, entry));
        }
        if self.held.len() >= HELD {
            self.print();
        }
    }

    fn print(&mut self) {
        self.output.script(&std::mem::take(&mut self.held));
    }

    fn finish(mut self, waiting: u64) {
        match (self.output.is_json(), self.is_first) {
            (true, true) => self.held.push_str("[]\n"),
            (true, false) => self.held.push_str("\n]\n"),
            (false, _) => self.held.push_str(&waiting_line(waiting)),
        }
        self.print();
    }
}

fn list(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let since = args.since.as_deref().map(|since| clock::now(Some(since))).transpose()?;
    if let (Some(from), Some(to)) = (args.from, args.to.filter(|to| args.from > Some(*to))) {
        return Err(Failure::new("the first place is after the last")
            .line("found", &format!("--from {from} and --to {to}"))
            .line("fix", "write the lower place after --from"));
    }
    let filter = Filter { args, since };
    let key = args.key.read(&args.dir)?;
    let proven = walk(&args.dir, &key, None, |_, _| {})?;
    let waiting = waiting(&args.dir, &key, proven.size)?;
    let mut listing = Listing { output, held: String::new(), is_first: true };
    // a log that goes on is shown as far as it was proven, and must continue that
    walk(&args.dir, &key, Some(&proven), |index, leaf| {
        let entry = Entry::parse(leaf).ok();
        if index < proven.size && filter.takes(index, entry.as_ref()) {
            listing.add(index, leaf, entry.as_ref());
        }
    })?;
    listing.finish(waiting);
    Ok(Exit::Clean)
}

fn one(dir: &Path, wanted: u64, key: &Key, output: &Output) -> Result<Exit, Failure> {
    let key = key.read(dir)?;
    let mut leaf = None;
    let checkpoint = walk(dir, &key, None, |index, bytes| {
        if index == wanted {
            leaf = Some(bytes.to_vec());
        }
    })?;
    let Some(leaf) = leaf else {
        let waiting = waiting(dir, &key, checkpoint.size)?;
        let failure = Failure::new(&format!("there is no record {wanted}"))
            .line("found", &format!("{} records, from 0", checkpoint.size));
        return Err(match waiting {
            0 => failure,
            n => failure.line(
                "waiting",
                &format!("{n} in the journal, which enter when the log is opened for writing"),
            ),
        });
    };
    let json = match Entry::parse(&leaf) {
        Ok(Entry::Decision(record)) => whole(dir, &record)?,
        Ok(Entry::Event(event)) => event.to_json(),
        Err(_) => attest::json::parse(&leaf).unwrap_or(Json::Null),
    };
    output.result(&format!("{}\n", json.pretty()), || json.clone());
    Ok(Exit::Clean)
}

/// A record with its case and its decision.
fn whole(dir: &Path, record: &Record) -> Result<Json, Failure> {
    let blobs = Blobs::new(Files::new(dir));
    let part = |digest: &Digest| {
        let bytes = blobs.get(digest).map_err(|e| {
            Failure::new("a part of the record cannot be read").line("found", &e.to_string()).found()
        })?;
        Ok::<Json, Failure>(attest::json::parse_with(&bytes, kept()).unwrap_or(Json::Null))
    };
    let object = Object::new().with("record", record.to_json()).with("case", part(&record.case)?);
    Ok(object.with("decision", part(&record.decided)?).into())
}

/// The leaf with its place in the log; what is no entry of ours stands under `leaf`.
fn json(index: u64, leaf: &[u8], entry: Option<&Entry>) -> Json {
    let mut object = Object::new().with("index", i64::try_from(index).unwrap_or(i64::MAX));
    match (entry, attest::json::parse(leaf).ok()) {
        (Some(_), Some(Json::Object(own))) => {
            own.iter().for_each(|(key, value)| object.set(key, value.clone()))
        }
        (_, other) => {
            object.set("hash", Digest::sha256(leaf).to_string());
            object.set_some("leaf", other);
        }
    }
    object.into()
}

/// One line, or for a decision that many rules speak of, another one below it.
fn lines(index: u64, leaf: &[u8], entry: Option<&Entry>) -> String {
    match entry {
        Some(Entry::Decision(record)) => decision(index, record),
        Some(Entry::Event(event)) => {
            let begin = format!("{index:>6}  {}  {:<16}  ", second(event.at), event.kind.name());
            let room = WIDTH.saturating_sub(begin.chars().count());
            let body = policy::one_line(&Json::from(event.body.clone()).to_string());
            format!("{begin}{}\n", end_cut(&body, room))
        }
        None => format!("{index:>6}  {}\n", Digest::sha256(leaf)),
    }
}

fn decision(index: u64, record: &Record) -> String {
    let word = match record.basis.as_str() {
        "policy" | "cannot-decide" => record.decision.clone(),
        basis => format!("{} {basis}", record.decision),
    };
    let environment = end_cut(&policy::one_line(&record.environment), 2 * ENVIRONMENT);
    // a long environment takes from the artifact: the columns after it matter less than one line
    let more = environment.chars().count().saturating_sub(ENVIRONMENT);
    let artifact = middle_cut(&policy::one_line(&record.artifact), WIDTH.saturating_sub(BEFORE + more));
    let at = second(record.at);
    let line = format!("{index:>6}  {at}  {word:<16}  {environment:<ENVIRONMENT$}  {artifact}");
    let rules = record.rules.join(", ");
    if rules.is_empty() {
        format!("{line}\n")
    } else if line.chars().count() + 2 + rules.len() <= WIDTH {
        format!("{line}  {rules}\n")
    } else {
        format!("{line}\n{:>30}{rules}\n", "")
    }
}

/// A time to the second: more of it is in the record.
pub(super) fn second(at: Timestamp) -> String {
    let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
    at.to_string()
}

fn end_cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The end of an artifact, its digest, tells more than the middle of its name.
fn middle_cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let end = most.saturating_sub(1).min(18);
    let begin = most.saturating_sub(1 + end);
    text.chars().take(begin).chain(['…']).chain(text.chars().skip(count - end)).collect()
}

/// As large, as deep and as exact as what a case may hold.
fn kept() -> attest::json::Limits {
    attest::json::Limits { bytes: 64 << 20, depth: 128, values: 4_000_000, exact_numbers: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_at_most_a_hundred_wide_and_says_what_it_is() {
        let digest = Digest::sha256(b"");
        let record = |environment: &str, artifact: &str, basis: &str, rules: &[&str]| {
            let text = format!(
                r#"{{"format":"portcullis-record/v2","writer":"w","epoch":1,"sequence":0,"at":"2026-11-22T09:00:00.123456789Z",
                "decision":"admit","basis":"{basis}","outcome":"unmet","environment":"{environment}","artifact":"{artifact}",
                "chokepoint":"kubernetes/eu-1","rules":{},"trust_root_version":1,"case":"{digest}","decided":"{digest}",
                "book":"{digest}"}}"#,
                Json::from(rules.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>())
            );
            let entry = Entry::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{text}"));
            lines(123_456, text.as_bytes(), Some(&entry))
        };
        let short = record("prod/shop", "r.example/shop@sha256:8664…ed9b", "policy", &[]);
        assert_eq!(
            short,
            "123456  2026-11-22T09:00:00Z  admit             prod/shop       r.example/shop@sha256:8664…ed9b\n"
        );
        let long =
            record(&"e".repeat(90), &"a".repeat(300), "breakglass", &["built-by", "evidence-authentic"]);
        let (first, second) = long.split_once('\n').unwrap();
        assert_eq!(first.chars().count(), WIDTH);
        assert!(
            first.contains("  admit breakglass  ") && first.contains("e…") && first.ends_with('a'),
            "{first}"
        );
        assert_eq!(second.trim(), "built-by, evidence-authentic");
        assert!(!record("x\\u001b[31m", "r/x", "policy", &[]).contains('\u{1b}'));
    }
}
