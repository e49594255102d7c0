//! cargo-vet's files: what counts as a review of a crate, and what never does.

use advisory::vet::{Answer, Audits, locked};

const CONFIG: &str = r#"
[cargo-vet]
version = "0.10"
[imports.mozilla]
url = "https://example.org/audits.toml"
exclude = ["left-out"]
[imports.mozilla.criteria-map]
crypto-reviewed = "crypto-safe"
[[exemptions.exempt]]
version = "1.0.0"
criteria = "safe-to-deploy"
"#;

const AUDITS: &str = r#"
[criteria.crypto-safe]
description = "somebody who knows"
implies = "safe-to-deploy"

[[audits.full]]
who = "Alice <alice@acme.example>"
criteria = "safe-to-deploy"
version = "1.0.0"

[[audits.full]]
who = ["Bob <bob@acme.example>", "Alice <alice@acme.example>"]
criteria = ["safe-to-deploy"]
delta = "1.0.0 -> 1.1.0"

[[audits.full]]
who = "Carol"
criteria = "safe-to-run"
delta = "1.1.0 -> 1.2.0"

[[audits.island]]
who = "Alice"
criteria = "safe-to-deploy"
delta = "1.0.0 -> 1.1.0"

[[audits.git]]
who = "Alice"
criteria = "safe-to-deploy"
version = "1.0.0@git:0000000000000000000000000000000000000000"

[[audits.bad]]
who = "Alice"
criteria = "safe-to-deploy"
version = "1.0.0"

[[audits.bad]]
who = "Alice"
criteria = "safe-to-deploy"
delta = "1.0.0 -> 2.0.0"

[[audits.bad]]
who = "Bob"
criteria = "safe-to-run"
violation = "<2.0.0"

[[audits.special]]
who = "Dana"
criteria = "crypto-safe"
version = "0.3.0"

[[trusted.publisher]]
criteria = "safe-to-deploy"
user-id = 1
start = "2020-01-01"
end = "2030-01-01"

[[wildcard-audits.wild]]
who = "Alice"
criteria = "safe-to-deploy"
user-id = 1
start = "2020-01-01"
end = "2030-01-01"
"#;

const IMPORTS: &str = r#"
[audits.mozilla.criteria.crypto-reviewed]
implies = "safe-to-run"
[[audits.mozilla.audits.theirs]]
who = "Mike"
criteria = "safe-to-deploy"
version = "2.0.0"
[[audits.mozilla.audits.ring-like]]
who = "Mike"
criteria = "crypto-reviewed"
version = "1.0.0"
[[audits.mozilla.audits.left-out]]
who = "Mike"
criteria = "safe-to-deploy"
version = "1.0.0"
[[audits.mozilla.audits.full]]
who = "Mike"
criteria = "their-own-word"
violation = "=1.1.0"
[[audits.gone.audits.forgotten]]
who = "Eve"
criteria = "safe-to-deploy"
version = "1.0.0"
"#;

fn ours() -> Audits {
    Audits::read(AUDITS, CONFIG, None).unwrap()
}

fn deploy(audits: &Audits, name: &str, version: &str) -> Answer {
    audits.answer(name, version, "safe-to-deploy")
}

#[test]
fn full_audits_and_chains_of_deltas_count() {
    let audits = ours();
    let by = |who: &[&str]| Answer::Reviewed(who.iter().map(|w| (*w).to_owned()).collect());
    assert_eq!(deploy(&audits, "full", "1.0.0"), by(&["Alice <alice@acme.example>"]));
    let both = ["Alice <alice@acme.example>", "Bob <bob@acme.example>"];
    assert_eq!(deploy(&audits, "full", "1.1.0"), by(&both));
    assert_eq!(deploy(&audits, "full", "1.2.0"), Answer::Unreviewed, "one step is only safe to run");
    assert!(
        matches!(audits.answer("full", "1.2.0", "safe-to-run"), Answer::Reviewed(_)),
        "deploy implies run"
    );
    assert_eq!(
        deploy(&audits, "special", "0.3.0"),
        by(&["Dana"]),
        "its own criterion implies safe-to-deploy"
    );
    assert_eq!(audits.answer("full", "1.0.0", "crypto-safe"), Answer::Unreviewed);
}

#[test]
fn what_nobody_looked_at_never_counts() {
    let audits = Audits::read(AUDITS, CONFIG, Some(IMPORTS)).unwrap();
    for name in ["exempt", "publisher", "wild", "git", "left-out", "forgotten", "unheard-of"] {
        assert_eq!(deploy(&audits, name, "1.0.0"), Answer::Unreviewed, "{name}");
    }
    assert_eq!(deploy(&audits, "island", "1.1.0"), Answer::Unreviewed, "a delta from what nobody reviewed");
}

#[test]
fn a_violation_vetoes_and_nothing_is_reached_through_it() {
    let audits = ours();
    let vetoed = Answer::Violated("audits.toml has a violation of <2.0.0".to_owned());
    assert_eq!(deploy(&audits, "bad", "1.0.0"), vetoed);
    assert_eq!(deploy(&audits, "bad", "1.9.0-alpha.1"), vetoed, "a version before its release is no way out");
    assert_eq!(deploy(&audits, "bad", "2.0.0"), Answer::Unreviewed, "the chain goes through 1.0.0");
}

#[test]
fn imports_count_by_their_mapped_criteria_and_their_violations_always() {
    let audits = Audits::read(AUDITS, CONFIG, Some(IMPORTS)).unwrap();
    assert_eq!(deploy(&audits, "theirs", "2.0.0"), Answer::Reviewed(vec!["Mike".to_owned()]));
    assert_eq!(deploy(&audits, "ring-like", "1.0.0"), Answer::Reviewed(vec!["Mike".to_owned()]));
    assert!(
        matches!(deploy(&audits, "full", "1.1.0"), Answer::Violated(_)),
        "a criterion that is not known here"
    );
}

#[test]
fn a_lock_file_gives_digests_for_crates_io_alone() {
    let checksum = "a".repeat(64);
    let text = format!(
        "version = 4\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\
         [[package]]\nname = \"full\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{checksum}\"\n\
         [[package]]\nname = \"full\"\nversion = \"1.0.0\"\nsource = \"registry+https://mirror.example/index\"\nchecksum = \"{checksum}\"\n\
         [[package]]\nname = \"git\"\nversion = \"1.0.0\"\nsource = \"git+https://example.org/git#abc\"\n"
    );
    let found: Vec<_> = locked(&text).unwrap().into_iter().map(|l| (l.name, l.digest.is_some())).collect();
    let expected = [("full", true), ("full", false), ("git", false)].map(|(n, d)| (n.to_owned(), d));
    assert_eq!(found, expected);
    assert!(
        locked(&text.replace(&format!("checksum = \"{checksum}\""), ""))
            .unwrap_err()
            .why
            .contains("no checksum")
    );
}

#[test]
fn what_is_none_of_its_files_says_where() {
    let read = |audits: &str| Audits::read(audits, CONFIG, None).unwrap_err().to_string();
    for (audits, why) in [
        ("[audits", "audits.toml: "),
        ("audits = 1", "audits.toml: audits is no table"),
        ("[audits]\nx = 1", "audits.x is no list"),
        ("[[audits.x]]\ncriteria = \"a\"", "audits.x[0]: wanted one of version, delta and violation"),
        ("[[audits.x]]\nversion = \"1\"", "audits.x[0]: no criteria"),
        ("[[audits.x]]\ncriteria = \"a\"\ndelta = \"1\"", "is not FROM -> TO"),
        ("[[audits.x]]\ncriteria = \"a\"\nviolation = \"no\"", "violation `no`"),
        ("[[audits.x]]\ncriteria = \"a\"\nversion = \"1\"\nviolation = \"*\"", "wanted one of"),
        ("[[audits.x]]\ncriteria = 1\nversion = \"1\"", "neither a text nor a list"),
    ] {
        assert!(read(audits).contains(why), "{audits}: {}", read(audits));
    }
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Audits::read(&deep, CONFIG, None).is_err(), "deep nesting is an error and no overflow");
    assert!(locked("x = 1").unwrap_err().why.contains("no list of packages"));
}
