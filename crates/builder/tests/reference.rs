//! `docs/reference/build-definition.md` says what the code does: its examples parse, its refusals are refused with the
//! words that it gives, and its limits are the ones in force.

use std::collections::BTreeMap;

use builder::{Action, BuildDefinition, Limits, Locked};

const PAGE: &str = include_str!("../../../docs/reference/build-definition.md");

/// The blocks of a kind: what stands after the three backquotes, whole.
fn blocks(kind: &str) -> Vec<String> {
    let (mut found, mut open): (Vec<String>, Option<(bool, String)>) = (Vec::new(), None);
    for line in PAGE.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(word), None) => open = Some((word == kind, String::new())),
            (Some(_), Some((is_wanted, text))) => found.extend(is_wanted.then_some(text)),
            (None, Some((is_wanted, text))) => open = Some((is_wanted, format!("{text}{line}\n"))),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end");
    found
}

/// The action of the only target of a definition that has nothing but `key: value` in it.
fn action(key: &str, value: &str) -> Option<Action> {
    let text = format!(
        "toolchain: {{ debian: {{ packages: [make] }} }}\ntargets:\n  shop:\n    command: [make]\n    outputs: [shop]\n    {key}: {value}\n"
    );
    let definition = BuildDefinition::parse("portcullis.build.yaml", &text).ok()?;
    Some(definition.target("shop").unwrap().action.clone())
}

/// The rows of the table of limits: key, default, most.
fn limits() -> BTreeMap<String, (String, String)> {
    let section = PAGE.split("\n## Limits\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let bare = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        (bare(cells[0]), (bare(cells[2]), bare(cells[3])))
    })
    .collect()
}

#[test]
fn every_example_is_read() {
    let examples = blocks("yaml");
    assert!(examples.len() >= 2, "{}", examples.len());
    for text in examples {
        let read = BuildDefinition::parse("portcullis.build.yaml", &text);
        assert!(read.is_ok(), "{text}\n{read:?}");
    }
    let files = blocks("yaml lock");
    assert_eq!(files.len(), 1);
    let locked = Locked::parse("portcullis.build.lock", &files[0]).unwrap();
    assert_eq!((locked.toolchain.len(), locked.inputs.len()), (1, 1));
}

#[test]
fn every_refusal_is_refused_in_the_words_that_are_given() {
    let refusals = blocks("yaml refused");
    assert!(refusals.len() >= 8, "{}", refusals.len());
    for text in refusals {
        let wanted = text.lines().find_map(|l| l.strip_prefix("# refused: ")).expect("a refusal says why");
        let errors = BuildDefinition::parse("portcullis.build.yaml", &text).unwrap_err();
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|e| e.contains(wanted)), "{wanted}\n{said:?}");
        assert_eq!(errors.len(), 1, "one example, one mistake: {said:?}");
    }
}

#[test]
fn the_limits_are_the_ones_in_force() {
    let limits = limits();
    let keys: Vec<&str> = limits.keys().map(String::as_str).collect();
    assert_eq!(keys, ["disk", "files", "memory", "processes", "time"], "every limit has its row");
    for (key, (default, most)) in &limits {
        assert_eq!(action(key, default).unwrap().limits, Limits::DEFAULT, "the default of {key}");
        assert!(action(key, most).is_some(), "{key}: {most} is allowed");
        let digits = most.find(|c: char| !c.is_ascii_digit()).unwrap_or(most.len());
        let more = format!("{}{}", most[..digits].parse::<u64>().unwrap() + 1, &most[digits..]);
        assert!(action(key, &more).is_none(), "{key}: {more} is too much");
    }
}

/// `path::test` between backquotes, as in THREATS.md, which `cargo xtask threats` checks in the same way.
#[test]
fn the_self_assessment_names_tests_and_files_that_exist() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let page = include_str!("../../../docs/slsa.md");
    let mut named = 0;
    for word in page.split('`').skip(1).step_by(2).filter(|w| w.starts_with("crates/")) {
        let (file, test) = word.split_once("::").unwrap_or((word, ""));
        let source = std::fs::read_to_string(format!("{root}/{file}")).unwrap_or_default();
        assert!(!source.is_empty(), "docs/slsa.md names {file}, which is not there");
        assert!(test.is_empty() || source.contains(&format!("fn {test}(")), "docs/slsa.md names {word}");
        named += usize::from(!test.is_empty());
    }
    assert!(named >= 12, "{named}");
}
