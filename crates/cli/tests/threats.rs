//! `portcullis threats`: what mitigates what, what stays open, and an organisation's own list.

mod tools;

use std::fs;
use std::path::Path;

use tools::{code, expect, path, portcullis, stderr, stdout};

const POLICY: &str = "environment: prod/shop\nartifact: r.example/shop\nmode: dry-run\nrequire:\n  built-by: [ci]\n  tests: [unit]\nupcoming:\n  - from: 2027-01-15\n    require: { hermetic: true }\non-outage: admit\nbreakglass: { group: oncall, expires: 4h, reviewed-within: 24h }\n";

fn book(dir: &Path) -> String {
    fs::create_dir_all(dir.join("book/prod")).unwrap();
    fs::write(dir.join("book/prod/shop.yaml"), POLICY).unwrap();
    dir.join("book").display().to_string()
}

#[test]
fn each_threat_is_mitigated_by_named_rules_or_says_what_to_add_and_what_stays_open() {
    let dir = tempfile::tempdir().unwrap();
    let text = expect(0, &["threats", "--book", &book(dir.path())]);
    for words in [
        "  note dry run: nothing is refused",
        "  note on-outage: admit: while a part of ours is away",
        "  note breakglass: one of oncall lets anything in, for 4h; somebody else looks at it within 1d",
        "  note until 2027-01-15T00:00:00Z: hermetic only warn",
        "       limit reviewers and tests miss things",
        "T12  the choke point is bypassed                            not a matter of this policy: give --config",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let lines: Vec<&str> = text.lines().collect();
    let t2 = lines.iter().position(|line| line.starts_with("  T2 ")).unwrap();
    assert!(
        lines[t2].ends_with("NOT mitigated") && lines[t2 + 1].trim_start().starts_with("add   source: {"),
        "{text}"
    );
    // what is upcoming mitigates nothing yet
    let t10 = lines.iter().find(|line| line.starts_with("  T10 ")).unwrap();
    assert!(t10.ends_with(" built-by"), "{text}");
    assert!(lines.iter().any(|line| line.starts_with("  T1 ") && line.ends_with(" tests")), "{text}");
}

#[test]
fn the_choke_points_configuration_answers_for_what_no_rule_can() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("deploy");
    expect(0, &["init", path(&place)]);
    let (book, config) = (place.join("book"), place.join("serve.yaml"));
    let with = ["threats", "--book", path(&book), "--config", path(&config)];
    let text = expect(0, &with);
    let line = |text: &str, id: &str| {
        text.lines().find(|line| line.starts_with(&format!("  {id} "))).unwrap().to_owned()
    };
    assert!(line(&text, "T15").contains("the files come into force through the choke point"), "{text}");
    assert!(line(&text, "T12").ends_with("NOT mitigated") && text.contains("add   watch: {"), "{text}");
    // without what governs the files nobody says that they are governed
    let whole = fs::read_to_string(&config).unwrap();
    let (begin, end) = (whole.find("guardrails:").unwrap(), whole.find("log: {").unwrap());
    fs::write(&config, format!("{}{}", &whole[..begin], &whole[end..])).unwrap();
    assert!(line(&expect(0, &with), "T15").ends_with("NOT mitigated"));
}

#[test]
fn an_own_list_is_read_like_code_and_what_it_leaves_open_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (book, list) = (book(dir.path()), dir.path().join("own.yaml"));
    let own = |text: &str| {
        fs::write(&list, text).unwrap();
        let at = "2026-11-23T00:00:00Z";
        portcullis(&["threats", "--book", &book, "--list", path(&list), "--at", at, "--format", "json"])
    };
    let good = "threats:\n  - { id: A1, threat: a laptop pushes, mitigated-by: [built-by, tests] }\n  - { id: A2, threat: fire, accepted: { by: carol, until: 2027-06-01, because: backups } }\n  - { id: A3, threat: elsewhere, environments: [staging/*], mitigated-by: [scanned] }\n";
    let output = own(good);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let json = stdout(&output);
    assert!(json.contains("\"accepted by carol until 2027-06-01T00:00:00Z: backups\""), "{json}");
    assert!(json.contains("\"A1\"") && !json.contains("\"A3\""), "{json}");
    for (from, to, why) in [
        ("built-by, tests", "built-by, scanned", "NOT mitigated: scanned is not asked for"),
        (
            "until: 2027-06-01",
            "until: 2026-11-22",
            "NOT mitigated: what carol accepted ended at 2026-11-22T00:00:00Z",
        ),
    ] {
        let output = own(&good.replace(from, to));
        assert_eq!(code(&output), 1);
        assert!(stdout(&output).contains(why), "{}", stdout(&output));
    }
    // a rule that is misspelt is no mitigation
    let output = own(&good.replace("built-by, tests", "built-by, test"));
    assert_eq!(code(&output), 2);
    assert!(
        stdout(&output).contains("own.yaml") && stdout(&output).contains("write tests"),
        "{}",
        stdout(&output)
    );
}
