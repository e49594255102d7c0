//! The difference of two books against what both decide, case by case: whatever turns is accounted for by a statement,
//! rule for rule.
//!
//! `PORTCULLIS_CASES=100000 PORTCULLIS_SEED=1 cargo test --release -p policy --test diff` runs the full count.

#[path = "diff/change.rs"]
mod change;
#[path = "differential/generate.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod generate;
#[path = "differential/model.rs"]
#[allow(dead_code, reason = "the model is plain data")]
mod model;
#[path = "differential/others.rs"]
mod others;
#[path = "differential/render.rs"]
mod render;
#[path = "diff/turns.rs"]
mod turns;

use std::collections::BTreeMap;

use generate::Random;
use model::Model;
use policy::diff::{Flip, diff};
use policy::{Book, Case, Guardrails, Outcome, SourceFile, Verdict, evaluate};

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// How often something turned by a rule.
#[derive(Default)]
struct Turned(BTreeMap<(String, Flip), u64>);

impl Turned {
    /// Checks that the difference accounts for what two books decide about a case.
    fn check(&mut self, old: (&Book, &Verdict), new: (&Book, &Verdict), case: &Case, context: &str) -> bool {
        let difference = diff(old.0, new.0);
        let ((_, was), (_, is)) = (old, new);
        let context = || format!("{context}\n{}\n{}\n{}", difference.to_json(), was.to_json(), is.to_json());
        let Some((flip, failing)) = flip(was, is) else { return difference.is_empty() };
        match flip {
            Flip::Met => assert!(difference.admits(), "{}", context()),
            Flip::Unmet => assert!(difference.refuses(), "{}", context()),
        }
        let (environment, uri) = (case.environment(), case.artifact().uri());
        for finding in failing.findings() {
            let mut there = difference.statements().iter().filter(|s| s.covers(environment, uri, case.at()));
            let is_told = there.any(|s| s.explains(finding.rule, was, is));
            assert!(is_told, "{} is not accounted for\n{}", finding.rule, context());
            *self.0.entry((finding.rule.to_owned(), flip)).or_default() += 1;
        }
        false
    }
}

#[test]
fn whatever_turns_between_two_books_is_in_their_difference() {
    let (cases, seed) = (setting("PORTCULLIS_CASES", 600), setting("PORTCULLIS_SEED", 20_261_123));
    let mut random = Random::new(seed);
    let (mut turned, mut empty) = (Turned::default(), 0);
    for number in 0..cases {
        let model = generate::model(&mut random);
        let (book, root, scenario) = render::render(&model);
        let judge = |book: &Book| {
            let (root, case) = scenario.prepare(book, &root);
            (evaluate(&case, book, &root), case)
        };
        let (verdict, case) = judge(&book);
        // most cases are unmet for several reasons, and stay so
        for _ in 0..if verdict.is_met() { 24 } else { 2 } {
            let policies: Vec<_> = model.policies.iter().map(|p| change::policy(&mut random, p)).collect();
            let changed = Model { root: model.root.clone(), policies, case: model.case.clone() };
            let (other, ..) = render::render(&changed);
            let (its, _) = judge(&other);
            let context =
                format!("seed {seed}, case {number}\n{:#?}\n{:#?}", model.policies, changed.policies);
            let is_empty = turned.check((&book, &verdict), (&other, &its), &case, &context);
            let is_empty_back = turned.check((&other, &its), (&book, &verdict), &case, &context);
            empty += u64::from(is_empty && is_empty_back);
        }
    }
    println!("{cases} cases (seed {seed}): {empty} times nothing changes, turned by: {:?}", turned.0);
    assert!(empty > 0);
    for rule in policy::rules::all().filter(|r| r.read.is_some()) {
        for flip in [Flip::Met, Flip::Unmet] {
            let is_there = turned.0.contains_key(&(rule.name.to_owned(), flip));
            assert!(is_there, "nothing turned {flip:?} by {}", rule.name);
        }
    }
}

/// A policy of a pattern for a pattern, which asks for one signature.
fn simple(r: &mut Random) -> (String, String) {
    let segment = |r: &mut Random| r.pick(&["a", "b", "*"]);
    let environment =
        if r.chance(50) { segment(r).to_owned() } else { format!("{}/{}", segment(r), segment(r)) };
    let artifacts: Vec<String> =
        (0..1 + r.below(3)).map(|_| format!("r/{}/{}", segment(r), segment(r))).collect();
    let (mode, signer) = (r.pick(&["enforce", "enforce", "dry-run"]), r.pick(&["x", "z"]));
    let text = format!(
        "environment: \"{environment}\"\nartifact: [\"{}\"]\nmode: {mode}\nrequire: {{ signed-by: [{signer}] }}\n",
        artifacts.join("\", \"")
    );
    (format!("{mode} {signer}"), text)
}

/// A book of up to three policies, and what each asks for.
fn simple_book(r: &mut Random) -> (Book, Vec<String>) {
    loop {
        let (asked, texts): (Vec<String>, Vec<String>) = (0..1 + r.below(3)).map(|_| simple(r)).unzip();
        let named = |(n, text): (usize, String)| SourceFile { name: format!("book/{n}.yaml"), text };
        let files = texts.into_iter().enumerate().map(named).collect();
        if let Ok(book) = Book::load(files, &Guardrails::none()) {
            return (book, asked);
        }
    }
}

/// Every name of a small alphabet, one letter of which no pattern names.
fn names() -> Vec<(String, String)> {
    let letters = ["a", "b", "c"];
    let pairs: Vec<String> =
        letters.iter().flat_map(|a| letters.iter().map(move |b| format!("{a}/{b}"))).collect();
    let environments = letters.iter().map(|a| (*a).to_owned()).chain(pairs.clone());
    environments.flat_map(|e| pairs.iter().map(move |p| (e.clone(), format!("r/{p}")))).collect()
}

#[test]
fn regions_are_cut_exactly() {
    let mut random = Random::new(setting("PORTCULLIS_SEED", 20_261_123));
    let mut kinds = BTreeMap::<String, u64>::new();
    for _ in 0..setting("PORTCULLIS_CASES", 600) {
        let ((old, before), (new, after)) = (simple_book(&mut random), simple_book(&mut random));
        let difference = diff(&old, &new);
        let asked = |book: &Book, asked: &[String], (e, uri): &(String, String)| {
            let policy = book.select(e, uri)?;
            let index = book.policies().iter().position(|p| p.name() == policy.name())?;
            Some(asked[index].clone())
        };
        for name in names() {
            let pair = (asked(&old, &before, &name), asked(&new, &after, &name));
            let at = "2026-11-23T00:00:00Z".parse().unwrap();
            let there = difference.statements().iter().filter(|s| s.covers(&name.0, &name.1, at));
            let mut told: Vec<String> = there.map(|s| format!("{:?} {}", s.kind, s.about)).collect();
            told.sort();
            told.dedup();
            let wanted: &[&str] = match (pair.0.as_deref(), pair.1.as_deref()) {
                (None, None) => &[],
                (a, b) if a == b => &[],
                (Some(_), None) => &["Refuses policy-missing"],
                (None, Some(_)) => &["Admits policy-missing"],
                (Some("enforce x"), Some("enforce z")) | (Some("enforce z"), Some("enforce x")) => {
                    &["Admits signed-by", "Refuses signed-by"]
                }
                (Some("dry-run x"), Some("dry-run z")) | (Some("dry-run z"), Some("dry-run x")) => {
                    &["Otherwise signed-by"]
                }
                (Some(a), Some(b)) => match (a.ends_with('x') == b.ends_with('x'), a.starts_with('e')) {
                    (true, true) => &["Admits mode"],
                    (true, false) => &["Refuses mode"],
                    (false, true) => &["Admits mode", "Otherwise signed-by"],
                    (false, false) => &["Otherwise signed-by", "Refuses mode"],
                },
            };
            assert_eq!(told, wanted, "{name:?} {pair:?}\n{}", difference.to_json().pretty());
            *kinds.entry(wanted.join(", ")).or_default() += 1;
        }
    }
    assert_eq!(kinds.len(), 9, "{kinds:?}");
}

/// Which way a verdict turned, and the one that is unmet.
fn flip<'v>(was: &'v Verdict, is: &'v Verdict) -> Option<(Flip, &'v Verdict)> {
    match (was.outcome(), is.outcome()) {
        (Outcome::Unmet, Outcome::Met) => Some((Flip::Met, was)),
        (Outcome::Met, Outcome::Unmet) => Some((Flip::Unmet, is)),
        (Outcome::CannotDecide(_), Outcome::CannotDecide(_)) => None,
        (one, other) => {
            // a book that guards nothing decides what another one cannot
            assert!(one == other || [was, is].iter().any(|v| v.policy().is_none()), "{one:?} {other:?}");
            None
        }
    }
}
