//! Turns that chance seldom finds: where a rule stays as it is and sees something else, or where more is not wider.

use attest::{Signer as _, TrustRoot};
use policy::diff::{Flip, Kind, diff};
use policy::scenario::{TestFile, test_key};
use policy::{Book, Guardrails, Outcome, SourceFile, Verdict, evaluate};

/// Two builders of one id; only the other one's builds are hermetic.
fn root() -> TrustRoot {
    let keys = |name: &str| {
        let pem: String =
            test_key(name).public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
        format!("  {name}:\n    keys:\n      - key: |\n{pem}")
    };
    let mut text = "version: 1\n".to_owned();
    for (section, names, more) in [
        ("builders", &["ci"][..], "    ids: [id]\n"),
        ("testers", &["unit-runner", "night-runner"], ""),
        ("scanners", &["day-scanner", "night-scanner"], ""),
        ("releasers", &["desk"], ""),
        ("review-authorities", &["forge", "mirror"], ""),
        ("people", &["alice"], "    identities: [alice@x]\n"),
    ] {
        text.push_str(&format!("{section}:\n"));
        text.extend(names.iter().map(|name| keys(name) + more));
        if section == "builders" {
            text.push_str(&format!("{}    ids: [id]\n    hermetic: [\">=2\"]\n", keys("other-ci")));
        }
    }
    text.push_str(&format!("{}    identities: [bob@x]\n", keys("bob")));
    TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"))
}

fn book(require: &str) -> Book {
    let text = format!("environment: prod/shop\nartifact: r/shop\nrequire: {{ {require} }}\n");
    let file = SourceFile { name: "book/shop.yaml".to_owned(), text };
    Book::load(vec![file], &Guardrails::none()).unwrap_or_else(|e| panic!("{e:?}"))
}

fn judge(book: &Book, evidence: &[&str]) -> Verdict {
    let evidence: String = evidence.iter().map(|e| format!("      - {{ {e} }}\n")).collect();
    let text = format!(
        "book: book\ntrust-root: root\ntests:\n  - name: x\n    at: 2026-11-23T00:00:00Z\n    environment: prod/shop\n    artifact: r/shop\n    expect: met\n    evidence:\n{evidence}"
    );
    let tests = TestFile::parse("x.test.yaml", &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    let (root, case) = tests.tests[0].prepare(book, &root());
    evaluate(&case, book, &root)
}

const BUILD: &str = "builder: id, version: 2.0.0, repository: \"https://git/shop\", commit: 4b825dc642cb6eb9a060e54bf8d69288fbee4904, hermetic: true";
const COMMIT: &str = "about: \"gitCommit:4b825dc642cb6eb9a060e54bf8d69288fbee4904\"";

/// The old book's requirements, the new one's, the evidence, and the rule by which what was met is unmet.
fn turns() -> Vec<(&'static str, &'static str, Vec<String>, &'static str)> {
    let build =
        |signers: &str, more: &str| format!("signed-by: [{signers}], provenance: {{ {BUILD}{more} }}");
    let scan = |signer: &str, day: &str, found: &str| {
        format!("signed-by: [{signer}], scan: {{ finished: \"2026-11-{day}T00:00:00Z\", found: [{found}] }}")
    };
    let test = |signer: &str, result: &str| {
        format!("signed-by: [{signer}], test: {{ names: [unit], result: {result} }}")
    };
    let release = || {
        "signed-by: [desk], release: { purl: \"pkg:generic/shop@1.5.0\", environments: [prod] }".to_owned()
    };
    let review = |signer: &str, author: &str| {
        format!(
            "signed-by: [{signer}], {COMMIT}, review: {{ repository: \"https://git/shop\", authors: [{author}], reviewers: [bob@x] }}"
        )
    };
    let parts = |signer: &str, licence: &str| {
        format!(
            "signed-by: [{signer}], predicate: {{ type: \"https://cyclonedx.org/bom\", body: {{ bomFormat: CycloneDX, specVersion: \"1.6\", components: [{{ name: left, licenses: [{{ expression: \"{licence}\" }}] }}] }} }}"
        )
    };
    let scans = || vec![release(), scan("day-scanner", "22", ""), scan("night-scanner", "12", "high")];
    let tests = || vec![release(), test("unit-runner", "PASSED"), test("night-runner", "FAILED")];
    vec![
        (
            "built-by: [ci, other-ci], hermetic: true",
            "built-by: [ci], hermetic: true",
            vec![build("ci, other-ci", "")],
            "hermetic",
        ),
        (
            "signed-by: [desk], version: \">=1.4.2\"",
            "signed-by: [desk], version: \">=1.4.2\", built-by: [ci]",
            vec![release(), build("ci", ", ref: refs/tags/v1.0.0")],
            "version",
        ),
        (
            "signed-by: [ci], built-by: [ci], tests: [unit]",
            "signed-by: [ci], tests: [unit]",
            vec![build("ci", ""), format!("signed-by: [unit-runner], {COMMIT}, test: {{ names: [unit] }}")],
            "tests",
        ),
        (
            "signed-by: [ci], built-by: [ci]",
            "signed-by: [ci]",
            vec![build("ci", ""), format!("signed-by: [unit-runner], {COMMIT}, test: {{ names: [unit] }}")],
            "evidence-applies",
        ),
        (
            "signed-by: [desk], scanned: { within: 7d, worst: low }",
            "signed-by: [desk], scanned: { within: 30d, worst: low }",
            scans(),
            "scanned",
        ),
        (
            "signed-by: [desk], scanned: { within: 30d, worst: low, by: [day-scanner] }",
            "signed-by: [desk], scanned: { within: 30d, worst: low }",
            scans(),
            "scanned",
        ),
        (
            "signed-by: [desk], tests: { names: [unit], by: [unit-runner] }",
            "signed-by: [desk], tests: [unit]",
            tests(),
            "tests",
        ),
        (
            "built-by: [ci], source: { reviewed: { approvals: 1, by: [forge] } }",
            "built-by: [ci], source: { reviewed: { approvals: 1 } }",
            vec![build("ci", ""), review("forge", "alice@x"), review("mirror", "stranger@x")],
            "source-reviewed",
        ),
        (
            "built-by: [ci], dependencies: { denied: [\"pkg:npm/evil\"] }",
            "built-by: [ci], dependencies: { denied: [\"pkg:npm/evil\"], pinned: true }",
            vec![build("ci", ", dependencies: [{ uri: \"pkg:npm/left@1\" }]")],
            "dependencies",
        ),
        (
            "built-by: [ci], dependencies: { licences: { allowed: [MIT] } }",
            "built-by: [ci, other-ci], dependencies: { licences: { allowed: [MIT] } }",
            vec![build("ci, other-ci", ""), parts("ci", "MIT"), parts("other-ci", "Zlib")],
            "dependencies",
        ),
        (
            "built-by: [ci, other-ci], dependencies: { licences: { allowed: [MIT] } }",
            "built-by: [ci], dependencies: { licences: { allowed: [MIT] } }",
            vec![build("ci, other-ci", ""), parts("other-ci", "MIT")],
            "dependencies",
        ),
        // nothing went into a hermetic build that lists nothing: there is nothing to review
        (
            "built-by: [ci, other-ci], dependencies: { reviewed: { by: [forge] } }",
            "built-by: [ci], dependencies: { reviewed: { by: [forge] } }",
            vec![build("ci, other-ci", "")],
            "dependencies",
        ),
    ]
}

/// Each builder would do alone or not; a policy that lists one more admits no less.
#[test]
fn one_more_builder_refuses_nothing() {
    let evidence = |signers: &str| format!("signed-by: [{signers}], provenance: {{ {BUILD} }}");
    let asked = |builders: &str| book(&format!("built-by: [{builders}], hermetic: true"));
    for (signers, builders, is_met) in [
        ("ci, other-ci", "ci", false),
        ("ci, other-ci", "other-ci", true),
        ("ci, other-ci", "ci, other-ci", true),
        ("other-ci, ci", "ci, other-ci", true),
        // the other one's grant is worth nothing where the other one did not sign
        ("ci", "ci, other-ci", false),
    ] {
        let verdict = judge(&asked(builders), &[&evidence(signers)]);
        assert_eq!(verdict.is_met(), is_met, "{signers} for {builders}: {}", verdict.to_json().pretty());
    }
    let there = diff(&asked("other-ci"), &asked("ci, other-ci"));
    let refuses =
        |rule: &str| there.statements().iter().any(|s| s.kind == Kind::Refuses && s.rules.contains(&rule));
    assert!(!refuses("hermetic") && !refuses("built-by"), "{:?}", there.statements());
}

#[test]
fn what_turns_seldom_is_told_too() {
    for (old, new, evidence, rule) in turns() {
        let (old, new) = (book(old), book(new));
        let evidence: Vec<&str> = evidence.iter().map(String::as_str).collect();
        let (was, is) = (judge(&old, &evidence), judge(&new, &evidence));
        assert_eq!(*was.outcome(), Outcome::Met, "{rule}: {}", was.to_json().pretty());
        let rules: Vec<&str> = is.findings().iter().map(|f| f.rule).collect();
        assert_eq!(rules, [rule], "{}", is.to_json().pretty());
        let there = diff(&old, &new);
        assert!(
            there.statements().iter().any(|s| s.kind == Kind::Refuses && s.explains(rule, &was, &is)),
            "{rule}"
        );
        let back = diff(&new, &old);
        let is_told = |s: &policy::diff::Statement| s.flip == Some(Flip::Met) && s.explains(rule, &is, &was);
        assert!(back.statements().iter().any(is_told), "{rule}: {}", back.to_json().pretty());
    }
}

/// What is said where it is exactly nothing: a value that is no narrower, however it is written.
#[test]
fn what_is_written_otherwise_and_means_the_same_changes_nothing() {
    for (one, other) in [
        ("signed-by: [a, b]", "signed-by: [b, a]"),
        ("built-by: [ci]", "built-by: [ci], parameters: {}"),
        ("built-by: [ci], version: \"^1.4\"", "built-by: [ci], version: \">=1.4, <2\""),
        ("built-by: [ci], built-within: 24h", "built-by: [ci], built-within: 1d"),
        (
            "built-by: [ci], dependencies: { denied: [\"pkg:npm/A\", \"pkg:npm/a@1\"] }",
            "built-by: [ci], dependencies: { denied: [\"pkg:npm/a\"], pinned: false }",
        ),
        ("signed-by: [a], tests: [u, v]", "signed-by: [a], tests: { names: [v, u] }"),
        ("signed-by: [a], released-for: prod", "signed-by: [a], released-for: { environment: prod }"),
        (
            "verified-by: { verifiers: [u, v], within: 24h, levels: [SLSA_BUILD_LEVEL_2] }",
            "verified-by: { verifiers: [v, u], within: 1d, levels: [SLSA_BUILD_LEVEL_1, SLSA_BUILD_LEVEL_2] }",
        ),
        ("signed-by: [a], scanned: { within: 7d }", "signed-by: [a], scanned: { within: 7d, worst: none }"),
    ] {
        let (one, other) = (book(one), book(other));
        assert!(diff(&one, &other).is_empty(), "{}", diff(&one, &other).to_json().pretty());
        assert!(diff(&other, &one).is_empty());
    }
}

/// One direction only: the wider value admits and refuses nothing, the narrower one refuses and admits nothing.
#[test]
fn what_is_only_narrower_admits_nothing() {
    for (wide, narrow) in [
        ("built-by: [a, b]", "built-by: [a]"),
        (
            "built-by: [a], source: { reviewed: { approvals: 1 } }",
            "built-by: [a], source: { reviewed: { approvals: 2 } }",
        ),
        ("built-by: [a]", "built-by: [a], source: { branch: main }"),
        ("built-by: [a], logged: { log: l }", "built-by: [a], logged: { log: l, witnesses: 1 }"),
        ("signed-by: [a], tests: [u]", "signed-by: [a], tests: [u, v]"),
        ("signed-by: [a], version: \">=1\"", "signed-by: [a], version: \">=1.4.2\""),
        ("built-by: [a], built-within: 30d", "built-by: [a], built-within: 7d"),
        (
            "built-by: [a], dependencies: { pinned: true }",
            "built-by: [a], dependencies: { pinned: true, denied: [\"pkg:npm/x\"] }",
        ),
        (
            "built-by: [a], dependencies: { denied: [\"pkg:npm/x@1\"] }",
            "built-by: [a], dependencies: { denied: [\"pkg:npm/x\"] }",
        ),
        // one scanner: an older scan cannot speak against a newer one, which would be ambiguous
        (
            "signed-by: [a], scanned: { within: 30d, by: [s] }",
            "signed-by: [a], scanned: { within: 7d, by: [s] }",
        ),
        (
            "signed-by: [a], scanned: { within: 7d, worst: high }",
            "signed-by: [a], scanned: { within: 7d, worst: low }",
        ),
        (
            "signed-by: [a], scanned: { within: 7d, by: [s] }",
            "signed-by: [a], scanned: { within: 7d, database-within: 7d, by: [s] }",
        ),
        (
            "signed-by: [a], scanned: { within: 7d, database-within: 7d, by: [s] }",
            "signed-by: [a], scanned: { within: 7d, database-within: 2d, by: [s] }",
        ),
        (
            "built-by: [a], dependencies: { licences: { allowed: [MIT, Zlib] } }",
            "built-by: [a], dependencies: { licences: { allowed: [MIT] } }",
        ),
        (
            "built-by: [a], dependencies: { licences: { denied: [AGPL-3.0-only] } }",
            "built-by: [a], dependencies: { licences: { allowed: [MIT] } }",
        ),
        (
            "built-by: [a], dependencies: { reviewed: { by: [bob, desk] } }",
            "built-by: [a], dependencies: { reviewed: { by: [bob] } }",
        ),
        ("built-by: [a], rebuilt: { at-least: 1 }", "built-by: [a], rebuilt: { at-least: 2 }"),
        ("built-by: [a], rebuilt: { at-least: 1 }", "built-by: [a], rebuilt: { at-least: 1, by: [u, v] }"),
        (
            "built-by: [a], rebuilt: { at-least: 1, by: [u, v] }",
            "built-by: [a], rebuilt: { at-least: 2, by: [u, v] }",
        ),
        // whoever of three is left out, two of three are one of two
        (
            "built-by: [a], rebuilt: { at-least: 1, by: [u, v] }",
            "built-by: [a], rebuilt: { at-least: 2, by: [u, v, w] }",
        ),
        ("signed-by: [a], requested-by: [g, h]", "signed-by: [a], requested-by: [g]"),
        (
            "verified-by: { verifiers: [u, v], within: 2d }",
            "verified-by: { verifiers: [u], within: 1d, policy: { uri: p }, levels: [SLSA_BUILD_LEVEL_1] }",
        ),
        (
            "verified-by: { verifiers: [u], within: 1d, levels: [SLSA_BUILD_LEVEL_1] }",
            "verified-by: { verifiers: [u], within: 1d, levels: [SLSA_BUILD_LEVEL_3, OURS] }",
        ),
        (
            "signed-by: [a], released-for: prod",
            "signed-by: [a], released-for: { environment: prod, by: [desk] }",
        ),
    ] {
        let (wide, narrow) = (book(wide), book(narrow));
        let (there, back) = (diff(&wide, &narrow), diff(&narrow, &wide));
        assert!(there.refuses() && !there.admits(), "{}", there.to_json().pretty());
        assert!(back.admits() && !back.refuses(), "{}", back.to_json().pretty());
    }
}

/// An entry of `upcoming` that is past, moved into `require`: nothing changes from now on.
#[test]
fn what_comes_due_changes_nothing_when_it_is_moved() {
    let policy = |require: &str, upcoming: &str| {
        let text = format!(
            "environment: prod/shop\nartifact: r/shop\nrequire: {{ signed-by: [a]{require} }}\n{upcoming}"
        );
        let file = SourceFile { name: "book/shop.yaml".to_owned(), text };
        Book::load(vec![file], &Guardrails::none()).unwrap_or_else(|e| panic!("{e:?}"))
    };
    let old = policy(", tests: [unit]", "upcoming:\n  - { from: 2026-11-01, require: { tests: [e2e] } }\n");
    let new = policy(", tests: [unit, e2e]", "");
    let (there, back) = (diff(&old, &new), diff(&new, &old));
    assert!(there.refuses() && !there.admits() && back.admits() && !back.refuses());
    let now = "2026-11-01T00:00:00Z".parse().unwrap();
    let before = "2026-10-31T23:59:59Z".parse().unwrap();
    assert!(there.clone().since(now).is_empty() && back.clone().since(now).is_empty());
    let still = there.since(before);
    assert_eq!(still.statements().len(), 1);
    assert!(still.statements()[0].covers("prod/shop", "r/shop", before));
    assert!(!still.statements()[0].covers("prod/shop", "r/shop", now));
}
