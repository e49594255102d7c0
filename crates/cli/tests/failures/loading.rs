//! Rows 14, 15, 25 and 68: files that would make a check mean nothing do not load, whoever reads them.

use std::fs;

use attest::TrustRoot;
use policy::{Book, Guardrails, SourceFile};

use super::world::{CI, Place, pem, trust_root};
use crate::tools::{code, path, portcullis, stderr, stdout};

/// What the command line and the server say of a changed file.
fn refused_everywhere(name: &str, text: &str, says: &str) {
    let place = Place::new(&[]);
    fs::write(
        place.at("book").join("first.yaml"),
        "environment: prod/a\nartifact: a\nrequire:\n  signed-by: [carol]\n",
    )
    .unwrap();
    fs::write(place.at(name), text).unwrap();
    let (book, root) = (place.at("book"), place.at("trust-root.yaml"));
    let verify = [
        "verify",
        "sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "--environment",
        "prod/a",
        "--as",
        "a",
    ];
    let words = [&verify[..], &["--book", path(&book), "--trust-root", path(&root)]].concat();
    let output = portcullis(&words);
    let said = stdout(&output) + &stderr(&output);
    assert!(code(&output) == 2 && said.contains(says), "verify, {name}: {said}");
    let output = portcullis(&["serve", "--check", "--config", path(&place.at("serve.yaml"))]);
    let said = stdout(&output) + &stderr(&output);
    assert!(code(&output) == 2 && said.contains(says), "serve, {name}: {said}");
}

fn trust_root_refused(text: &str, says: &str) {
    let problems = TrustRoot::parse("trust-root.yaml", text).unwrap_err();
    assert!(problems.iter().any(|p| format!("{p:?}").contains(says)), "{problems:?}");
    refused_everywhere("trust-root.yaml", text, says);
}

fn policy_refused(require: &str, says: &str) {
    let text = format!("environment: prod/b\nartifact: b\nrequire:\n{require}");
    let file = SourceFile { name: "book/second.yaml".to_owned(), text: text.clone() };
    let problems = Book::load(vec![file], &Guardrails::none()).unwrap_err();
    assert!(problems.iter().any(|p| format!("{p:?}").contains(says)), "{problems:?}");
    refused_everywhere("book/second.yaml", &text, says);
}

#[test]
fn row_14_one_key_under_two_names_does_not_load() {
    let twin = format!("testers:\n  twin:\n    keys:\n      - key: |\n{}", pem(CI));
    trust_root_refused(&format!("{}{twin}", trust_root()), "one key belongs to two names");
}

#[test]
fn row_15_a_threshold_that_nothing_or_everything_meets_does_not_load() {
    for (at_least, says) in [("0", "0"), ("-1", "-1"), ("3", "3"), ("1.5", "1.5"), ("many", "many")] {
        policy_refused(&format!("  signed-by: {{ at-least: {at_least}, of: [carol, ci] }}\n"), says);
    }
}

#[test]
fn row_25_two_policies_for_one_deployment_do_not_load() {
    let text = "environment: prod/*\nartifact: a\nrequire:\n  signed-by: [ci]\n";
    refused_everywhere("book/second.yaml", text, "first.yaml");
}

#[test]
fn row_68_a_pattern_for_everybody_does_not_load() {
    let anybody = "signers:\n  anybody:\n    certificate-identities:\n      - { issuer: \"https://issuer.example\", identity-matching: \"**\" }\n";
    trust_root_refused(&format!("{}{anybody}", trust_root()), "the pattern stands for everything");
}

#[test]
fn a_policy_that_asks_for_nobody_does_not_load() {
    policy_refused("  hermetic: true\n", "built-by");
    policy_refused("  signed-by: []\n", "at least one");
}
