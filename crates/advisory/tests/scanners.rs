//! What scanners print. `scanners/osv-scanner-1.9.2.*` were printed by that release, offline and with a database of two
//! advisories; but for the folder's name they stand as printed. The others were written by hand in the shape that each
//! tool documents.

use advisory::scanners::{Report, Scanner};
use advisory::vex::Statements;
use attest::claims::Severity;
use attest::{Digest, DigestSet};
use jiff::Timestamp;

const OSV: &str = include_str!("scanners/osv-scanner.json");
const GRYPE: &str = include_str!("scanners/grype.json");
const TRIVY: &str = include_str!("scanners/trivy.json");
const SARIF: &str = include_str!("scanners/scan.sarif");

fn read(scanner: Scanner, text: &str) -> Report {
    scanner.read(text.as_bytes()).unwrap()
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

/// What is attested without any VEX.
fn found(report: &Report) -> Vec<(String, Severity)> {
    let nothing = Statements::default();
    let weighed = report.weigh(Timestamp::UNIX_EPOCH, None, &nothing.about(&DigestSet::default(), &[]));
    weighed.scan.vulnerabilities.into_iter().map(|v| (v.id, v.severity)).collect()
}

fn expected(list: &[(&str, Severity)]) -> Vec<(String, Severity)> {
    list.iter().map(|(id, severity)| ((*id).to_owned(), *severity)).collect()
}

#[test]
fn osv_scanner_says_neither_when_nor_how_old_its_knowledge_is() {
    let report = read(Scanner::OsvScanner, OSV);
    assert_eq!((report.finished, report.database, report.version.clone()), (None, None, None));
    let list = [
        ("GHSA-29mw-wpgm-hmr9", Severity::Medium),
        ("GHSA-35jh-r3h4-6jhm", Severity::High),
        ("MAL-2026-0001", Severity::Critical),
    ];
    assert_eq!(found(&report), expected(&list));
    assert_eq!(report.found[0].component.label(), "npm lodash 4.17.20");
    assert_eq!(report.found[0].aliases, ["CVE-2021-23337"]);
    assert_eq!(found(&read(Scanner::OsvScanner, r#"{"results":[]}"#)), []);
}

#[test]
fn what_a_real_osv_scanner_printed_is_read() {
    let report = read(Scanner::OsvScanner, include_str!("scanners/osv-scanner-1.9.2.json"));
    let list = [("GHSA-35jh-r3h4-6jhm", Severity::High), ("GHSA-none-none-none", Severity::Critical)];
    assert_eq!(found(&report), expected(&list));
    let report = read(Scanner::Sarif, include_str!("scanners/osv-scanner-1.9.2.sarif"));
    assert_eq!(report.scanner, "https://github.com/google/osv-scanner");
    assert_eq!(report.version.as_deref(), Some("1.9.2"));
    let ids: Vec<_> = report.found.iter().map(|f| (f.id.as_str(), f.aliases.len())).collect();
    assert_eq!(ids, [("CVE-2021-23337", 2), ("GHSA-none-none-none", 1)]);
}

#[test]
fn grype_says_when_and_how_old_its_database_is() {
    let report = read(Scanner::Grype, GRYPE);
    assert_eq!(report.finished, at("2026-11-22T10:00:00.123456789Z"));
    assert_eq!(report.database, at("2026-11-22T06:31:20Z"));
    assert_eq!(report.version.as_deref(), Some("0.104.0"));
    let list = [
        ("CVE-2026-0002", Severity::Critical),
        ("CVE-2026-0003", Severity::Critical),
        ("GHSA-35jh-r3h4-6jhm", Severity::High),
    ];
    assert_eq!(found(&report), expected(&list), "what it was told to ignore is there");
    let scanned: Vec<String> = report.scanned.iter().map(|d| d.hex()[..2].to_owned()).collect();
    assert_eq!(scanned, ["33", "22", "11"]);
    let before = GRYPE
        .replace(r#""db": { "status": {"#, r#""db": { "#)
        .replace(r#""valid": true } }"#, r#""valid": true }"#);
    assert_eq!(read(Scanner::Grype, &before).database, at("2026-11-22T06:31:20Z"), "schema 5");
    let unset = GRYPE.replace("2026-11-22T06:31:20Z", "0001-01-01T00:00:00Z");
    assert_eq!(read(Scanner::Grype, &unset).database, None, "a time that nobody set");
}

#[test]
fn trivy_says_when_and_keeps_what_its_ignore_file_hid() {
    let report = read(Scanner::Trivy, TRIVY);
    assert_eq!((report.finished, report.database), (at("2026-11-22T10:00:00.5Z"), None));
    assert_eq!(report.version.as_deref(), Some("0.68.1"));
    let list = [
        ("CVE-2021-23337", Severity::High),
        ("CVE-2026-0002", Severity::Critical),
        ("CVE-2026-0003", Severity::Critical),
    ];
    assert_eq!(found(&report), expected(&list));
    assert_eq!(report.scanned.len(), 2);
}

#[test]
fn sarif_says_what_it_says() {
    let report = read(Scanner::Sarif, SARIF);
    assert_eq!((report.finished, report.database), (at("2026-11-22T10:00:00Z"), None));
    assert_eq!(report.scanner, "https://scanner.example/thing");
    let list = [
        ("CVE-2021-23337", Severity::High),
        ("CVE-2026-0002", Severity::Critical),
        ("CVE-2026-0003", Severity::Critical),
    ];
    assert_eq!(found(&report), expected(&list));
}

#[test]
fn only_a_justified_word_about_this_artifact_takes_a_finding_out() {
    let digest = Digest::sha256(b"shop");
    let vex = |status: &str, product: &str| {
        let text = format!(
            r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"d","author":"us","timestamp":"2026-11-01T00:00:00Z",
            "statements":[{{"vulnerability":{{"name":"CVE-2021-23337"}},"products":[{product}],{status}}}]}}"#
        );
        Statements::parse(text.as_bytes()).unwrap()
    };
    let not_affected = r#""status":"not_affected","justification":"vulnerable_code_not_present""#;
    let shop = format!(
        r#"{{"@id":"shop","hashes":{{"sha-256":"{}"}},"subcomponents":[{{"@id":"pkg:npm/lodash@4.17.20"}}]}}"#,
        digest.hex()
    );
    let left = |statements: &Statements, text: &str, scanner| {
        let digests = digest.clone().into();
        let report = read(scanner, text);
        let weighed = report.weigh(Timestamp::UNIX_EPOCH, None, &statements.about(&digests, &[]));
        (
            weighed.scan.vulnerabilities.len(),
            weighed.excused.into_iter().map(|(f, why)| (f.id, why)).collect::<Vec<_>>(),
        )
    };
    let reason = "vulnerable_code_not_present";
    let good = vex(not_affected, &shop);
    assert_eq!(left(&good, TRIVY, Scanner::Trivy), (2, vec![("CVE-2021-23337".to_owned(), reason)]));
    assert_eq!(
        left(&good, GRYPE, Scanner::Grype),
        (2, vec![("GHSA-35jh-r3h4-6jhm".to_owned(), reason)]),
        "by another of its names"
    );
    assert_eq!(left(&good, SARIF, Scanner::Sarif).0, 3, "of which component is not known");
    for (status, product) in [
        (not_affected, r#"{"@id":"pkg:npm/other"}"#),
        (not_affected, r#"{"@id":"pkg:npm/lodash@4.17.19"}"#),
        (r#""status":"fixed""#, shop.as_str()),
        (r#""status":"affected""#, shop.as_str()),
        (r#""status":"under_investigation""#, shop.as_str()),
    ] {
        assert_eq!(left(&vex(status, product), TRIVY, Scanner::Trivy), (3, vec![]), "{status} {product}");
    }
}

#[test]
fn an_output_that_looked_at_nothing_is_not_clean() {
    let refused = |scanner: Scanner, text: &str| scanner.read(text.as_bytes()).unwrap_err().to_string();
    for (scanner, text, why) in [
        (Scanner::OsvScanner, "{}", "results: wanted a list"),
        (Scanner::Grype, r#"{"matches":[]}"#, "descriptor: wanted an object"),
        (Scanner::Grype, r#"{"descriptor":{"name":"grype"}}"#, "matches: wanted a list"),
        (
            Scanner::Grype,
            r#"{"matches":[],"descriptor":{"name":"syft"}}"#,
            "descriptor.name: wanted grype, found syft",
        ),
        (Scanner::Trivy, r#"{"SchemaVersion":2}"#, "no package was looked at"),
        (Scanner::Trivy, r#"{"SchemaVersion":2,"Results":[{"Class":"secret"}]}"#, "no package was looked at"),
        (Scanner::Trivy, r#"{"SchemaVersion":1,"Results":[]}"#, "SchemaVersion: wanted 2, found 1"),
        (Scanner::Sarif, r#"{"version":"2.1.0","runs":[]}"#, "wanted one run"),
        (
            Scanner::Sarif,
            r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}}}]}"#,
            "runs[0].results: wanted a list",
        ),
    ] {
        assert!(refused(scanner, text).contains(why), "{text}: {}", refused(scanner, text));
    }
    let failed = SARIF.replace(r#""executionSuccessful": true"#, r#""executionSuccessful": false"#);
    assert!(refused(Scanner::Sarif, &failed).contains("executionSuccessful: wanted true, found false"));
}

#[test]
fn hostile_outputs_are_errors() {
    let all = [
        (Scanner::OsvScanner, OSV),
        (Scanner::Grype, GRYPE),
        (Scanner::Trivy, TRIVY),
        (Scanner::Sarif, SARIF),
    ];
    for (scanner, text) in all {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let key = text.trim_start().trim_start_matches('{').trim_start();
        let first = key.split(':').next().unwrap();
        for hostile in [
            deep,
            text[..text.len() / 2].to_owned(),
            text.replacen('{', &format!("{{{first}:null,"), 1),
            text.replace("CVE-2026-0002", r"CVE\u0007").replace("MAL-2026-0001", r"MAL\u0007"),
            text.replace("\"CVE-2026-0002\"", "7").replace("\"MAL-2026-0001\"", "7"),
            text.replace("CVE-2026-0002", &"x".repeat(201)).replace("MAL-2026-0001", &"x".repeat(201)),
        ] {
            assert!(scanner.read(hostile.as_bytes()).is_err(), "{}: {:.300}", scanner.name(), hostile);
        }
        assert!(scanner.read(b"\xff").is_err() && scanner.read(b"").is_err() && scanner.read(b"[]").is_err());
        for (other, _) in all.iter().filter(|(other, _)| *other != scanner) {
            assert!(other.read(text.as_bytes()).is_err(), "{} is not {}", scanner.name(), other.name());
        }
    }
}
