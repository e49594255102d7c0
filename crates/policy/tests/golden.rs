//! Golden cases: for every rule what meets it, what does not, absent and ambiguous evidence, and the exact words.
//!
//! `GOLDEN=overwrite cargo test -p policy --test golden` rewrites the expected texts; read the diff.

use std::path::{Path, PathBuf};

use attest::{LoadError, TrustRoot};
use policy::scenario::TestFile;
use policy::{Book, Diagnostic, Guardrails, Severity, SourceFile, Style, rules};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn book(dir: &Path) -> Result<Book, Vec<LoadError>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("book/{}", path.file_name().unwrap().to_string_lossy());
        files.push(SourceFile { name, text: read(&path) });
    }
    Book::load(files, &Guardrails::none())
}

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn golden(path: &Path, found: &str) {
    if std::env::var_os("GOLDEN").is_some_and(|v| v == "overwrite") {
        std::fs::write(path, found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(expected == found, "{} differs; GOLDEN=overwrite rewrites it. Now:\n{found}", path.display());
}

fn rules_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules")
}

#[test]
fn every_rule_has_its_cases_and_says_what_it_said() {
    let root = rules_dir();
    let trust_root = TrustRoot::parse("trust-root.yaml", &read(&root.join("trust-root.yaml"))).unwrap();
    for rule in rules::all().filter(|r| r.read.is_some()) {
        let dir = root.join(rule.name);
        let tests = TestFile::parse("cases.test.yaml", &read(&dir.join("cases.test.yaml"))).unwrap();
        let book = book(&dir.join("book")).unwrap();
        for needed in ["met", "unmet", "absent", "ambiguous"] {
            assert!(tests.tests.iter().any(|t| t.name == needed), "{} has no case `{needed}`", rule.name);
        }
        assert!(
            tests.tests.iter().any(|t| t.expect.iter().any(|r| r == rule.name)),
            "{} never refuses",
            rule.name
        );
        let mut text = String::new();
        for test in &tests.tests {
            let outcome = test.run(&book, &trust_root);
            text.push_str(&format!("=== {}: {:?}\n\n", test.name, outcome.verdict.outcome()));
            for finding in outcome.verdict.findings() {
                let diagnostic = Diagnostic::of_finding(finding, &outcome.artifact, Severity::Error);
                text.push_str(&diagnostic.to_text(Style::Plain));
                text.push_str(&format!("{}\n\n", finding.to_json()));
                check_words(finding);
            }
            assert_eq!(outcome.difference, None, "{}: {}", rule.name, test.name);
        }
        golden(&dir.join("expected.txt"), &text);
    }
}

/// What every message owes to the person whose deployment was refused.
fn check_words(finding: &policy::Finding) {
    let all = [std::slice::from_ref(&finding.message), finding.fixes()].concat();
    for text in &all {
        assert!(!text.is_empty() && !text.ends_with('.'), "{text}");
        assert!(!text.contains("does not meet policy") && !text.contains("Some("), "{text}");
        assert!(text.chars().next().is_some_and(|c| !c.is_uppercase()), "{text}");
    }
    assert!(!finding.wanted.is_empty() && !finding.found.is_empty(), "{finding:?}");
}

#[test]
fn every_way_to_get_a_policy_wrong_names_place_and_mend() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language");
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(dir.join("bad")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 30, "{} ways", names.len());
    let mut text = String::new();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let whole = read(&path);
        let files = whole.split("\n=====\n").enumerate().map(|(index, part)| SourceFile {
            name: if index == 0 { "book/shop.yaml".to_owned() } else { format!("book/other{index}.yaml") },
            text: part.to_owned(),
        });
        let errors = Book::load(files.collect(), &Guardrails::none()).map(|_| ()).expect_err(&name);
        text.push_str(&format!("=== {name}\n\n"));
        for error in &errors {
            assert!(error.place.line >= 1 && error.place.column >= 1, "{name}");
            assert!(error.fix.is_some() || error.wanted.is_some(), "{name}: {error} has no mend");
            text.push_str(&Diagnostic::of_load_error("policy-invalid", error).to_text(Style::Plain));
            text.push('\n');
        }
    }
    golden(&dir.join("expected.txt"), &text);
}

#[test]
fn formatting_is_idempotent_and_keeps_comments() {
    let messy =
        "environment: prod/shop   \r\n\r\n\r\n\r\n# why\r\nartifact: a/b\r\nrequire: { signed-by: [x] }";
    let once = policy::language::format("x", messy).unwrap();
    assert_eq!(once, "environment: prod/shop\n\n# why\nartifact: a/b\nrequire: { signed-by: [x] }\n");
    assert_eq!(policy::language::format("x", &once).unwrap(), once);
}
