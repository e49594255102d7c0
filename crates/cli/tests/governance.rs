//! The road of a reviewed file, with real commands: a change on disk counts once it was signed for, and never otherwise.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tools::serving::Serving;
use tools::{code, expect, path, portcullis, portcullis_command, stderr};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        expect(0, &["init", path(&dir.path().join("deploy"))]);
        let place = Self { dir };
        for (from, to) in [
            ("127.0.0.1:8443", "127.0.0.1:0"),
            ("127.0.0.1:9464", "127.0.0.1:0"),
            ("reload: 10s", "reload: 1s"),
            ("webhook:\n", "webhook:\n  drain: 1s\n"),
        ] {
            place.edit("serve.yaml", from, to);
        }
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("deploy").join(name)
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.at(name)).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        fs::write(self.at(name), text.replacen(from, to, 1)).unwrap();
    }

    fn digest(&self, name: &str) -> String {
        expect(0, &["policy", "digest", path(&self.at(name))]).trim().to_owned()
    }

    /// Signs for a file as it is on disk, and brings what was signed.
    fn sign(&self, name: &str, version: &str, keys: &[&str]) {
        let digest = self.digest(name);
        let mut attach = vec!["attach".to_owned(), digest.clone()];
        for key in keys {
            let out = self.dir.path().join(format!("{key}-{}.json", digest.replace(':', "-")));
            fs::remove_file(&out).ok();
            let purl = format!("pkg:generic/files@{version}");
            let (key, out) = (self.at(&format!("keys/{key}.key")), path(&out).to_owned());
            let what = ["attest", "release", &digest, "--purl", &purl, "--for", "portcullis"];
            expect(0, &[&what[..], &["--key", path(&key), "--out", &out]].concat());
            attach.extend(["--bundle".to_owned(), out]);
        }
        attach.extend(["--store".to_owned(), path(&self.at("evidence")).to_owned()]);
        expect(0, &attach.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn start(&self) -> Serving {
        let running = Serving::start(&self.at("serve.yaml"));
        running.event("\"governed\":true");
        running
    }

    /// What it says where it does not start.
    fn refused(&self) -> String {
        let output =
            portcullis_command().args(["serve", "--config"]).arg(self.at("serve.yaml")).output().unwrap();
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        stderr(&output)
    }

    fn replay(&self) -> String {
        expect(0, &["replay", path(&self.at("log"))])
    }

    fn log(&self) -> String {
        expect(0, &["log", "show", path(&self.at("log"))])
    }
}

const POLICY: &str = "book/prod/shop.yaml";

#[test]
fn a_book_counts_once_it_was_signed_for_and_never_again_once_it_was_replaced() {
    let place = Place::new();
    let first = fs::read_to_string(place.at(POLICY)).unwrap();
    let running = place.start();
    place.edit(POLICY, "mode: enforce", "mode: dry-run");
    // guardrails hold before anything is asked
    let said = running.event_with(&["reload-refused", "\"book\""]);
    assert!(said.contains("breaks the guardrail") && said.contains("is in dry run"), "{said}");
    fs::write(place.at(POLICY), format!("{first}# a word\n")).unwrap();
    let said = running.event_with(&["reload-refused", "error[signed-by]"]);
    for part in ["error[released-for]", "error[version]", "portcullis attach sha256:", "portcullis/prod"] {
        assert!(part == "portcullis/prod" || said.contains(part), "{part}: {said}");
    }
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(running.count("error[signed-by]"), 1, "a refusal is said once");
    // one of the two is not enough
    place.sign(POLICY.split('/').next().unwrap(), "1.0.0", &["release-desk"]);
    running.event_with(&["reload-refused", "signed by 1 of the 2"]);
    place.sign("book", "1.0.0", &["release-desk", "bob"]);
    running.event_with(&["\"reloaded\"", "\"book\"", &place.digest("book")]);
    // what was replaced does not come back, whoever signs for it
    fs::write(place.at(POLICY), &first).unwrap();
    place.sign("book", "2.0.0", &["release-desk", "bob"]);
    running.event_with(&["reload-refused", "error[rolled-back]"]);
    // nor what has no higher version
    fs::write(place.at(POLICY), format!("{first}# another\n")).unwrap();
    place.sign("book", "1.0.0", &["release-desk", "bob"]);
    running.event_with(&["reload-refused", "error[version-floor]", "above 1.0.0"]);
    place.sign("book", "1.1.0", &["release-desk", "bob"]);
    running.event_with(&["\"reloaded\"", "\"book\"", &place.digest("book")]);
    assert_eq!(running.end(), 0);
    let words = place.replay();
    assert!(words.contains("the same, byte for byte; 0 differ"), "{words}");
}

#[test]
fn a_reviewed_book_that_breaks_the_guardrails_is_refused() {
    let place = Place::new();
    let running = place.start();
    place.edit(POLICY, "mode: enforce", "mode: dry-run");
    place.sign("book", "1.0.0", &["release-desk", "bob"]);
    let said = running.event_with(&["reload-refused", "\"book\""]);
    assert!(said.contains("guardrail") && !said.contains("signed-by"), "{said}");
    // put back: nothing is refused any more, and the alarm is over
    place.edit(POLICY, "mode: dry-run", "mode: enforce");
    let began = std::time::Instant::now();
    while !place.log().contains("alarm-closed") {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{}", place.log());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(running.end(), 0);
    assert!(place.log().contains("files-refused"), "{}", place.log());
}

#[test]
fn a_trust_root_needs_the_quorum_that_the_one_before_names_and_an_older_one_is_refused() {
    let place = Place::new();
    let first = fs::read_to_string(place.at("trust-root.yaml")).unwrap();
    let running = place.start();
    place.edit("trust-root.yaml", "version: 1", "version: 3");
    place.sign("trust-root.yaml", "3.0.0", &["bob"]);
    let said = running.event_with(&["reload-refused", "\"trust root\""]);
    assert!(said.contains("signed by 1 of the 2") && said.contains("release-desk"), "{said}");
    place.sign("trust-root.yaml", "3.0.0", &["bob", "release-desk"]);
    running.event_with(&["\"reloaded\"", "\"trust root\"", &place.digest("trust-root.yaml")]);
    running.forget();
    fs::write(place.at("trust-root.yaml"), first.replacen("version: 1", "version: 2", 1)).unwrap();
    place.sign("trust-root.yaml", "3.0.0", &["bob", "release-desk"]);
    running.event_with(&["reload-refused", "error[trust-root-older]", "version"]);
    assert_eq!(running.end(), 0);
    place.replay();
}

#[test]
fn what_was_edited_while_nobody_looked_does_not_count_and_the_last_good_one_does() {
    let place = Place::new();
    assert_eq!(place.start().end(), 0);
    place.edit(POLICY, "approvals: 1", "approvals: 2");
    let running = place.start();
    let said = running.event_with(&["reload-refused", "\"book\"", "error[signed-by]"]);
    assert!(said.contains("portcullis:book"), "{said}");
    // the last good one judges: the digest in force is the pinned one
    let config = fs::read_to_string(place.at("serve.yaml")).unwrap();
    let pinned = config.lines().find_map(|line| line.trim().strip_prefix("book: sha256:")).unwrap();
    assert_eq!(running.end(), 0);
    place.sign("book", "1.0.0", &["release-desk", "bob"]);
    let running = place.start();
    running.event_with(&["\"reloaded\"", "\"book\"", &place.digest("book")]);
    assert_eq!(running.end(), 0);
    assert!(!place.digest("book").ends_with(pinned));
    place.replay();
}

#[test]
fn what_is_first_is_pinned_and_governance_does_not_end_by_an_edit() {
    let place = Place::new();
    let pinned = fs::read_to_string(place.at(POLICY)).unwrap();
    place.edit(POLICY, "approvals: 1", "approvals: 2");
    let said = place.refused();
    assert!(said.contains("the book is not the pinned one") && said.contains("error[signed-by]"), "{said}");
    // reviewed, it may be first as well: a new replica begins with what is current
    place.sign("book", "1.0.0", &["release-desk", "bob"]);
    assert_eq!(place.start().end(), 0);
    assert!(place.replay().contains("1 decision is the same"));
    // the policies for files are no book, and what they let in runs nowhere
    let log = path(&place.at("log")).to_owned();
    let audit = portcullis(&["audit", "--log", &log]);
    assert_eq!(code(&audit), 2);
    assert!(stderr(&audit).contains("the log has no decision yet"), "{}", stderr(&audit));
    expect(1, &["running", "--log", &log]);
    assert_ne!(pinned, fs::read_to_string(place.at(POLICY)).unwrap());
    let config = fs::read_to_string(place.at("serve.yaml")).unwrap();
    let (begin, end) = (config.find("governance:\n").unwrap(), config.find("log: {").unwrap());
    fs::write(place.at("serve.yaml"), format!("{}{}", &config[..begin], &config[end..])).unwrap();
    let said = place.refused();
    assert!(said.contains("files come into force only by governance"), "{said}");
}

#[test]
fn a_trust_root_that_is_not_pinned_is_never_first() {
    let place = Place::new();
    place.edit("trust-root.yaml", "version: 1", "version: 2");
    place.sign("trust-root.yaml", "2.0.0", &["bob", "release-desk"]);
    let said = place.refused();
    assert!(said.contains("the trust root is not the pinned one"), "{said}");
    assert!(Path::new(&place.at("log")).exists());
}

#[test]
fn a_configuration_that_is_governed_stays_the_one_in_force() {
    let place = Place::new();
    let policy = "environment: portcullis/prod\nartifact: portcullis:configuration\nmode: enforce\nrequire:\n  \
                  signed-by: { at-least: 2, of: [bob, release-desk] }\non-outage: reject\n";
    let before = place.digest("governance");
    fs::write(place.at("governance/configuration.yaml"), policy).unwrap();
    place.edit("serve.yaml", &before, &place.digest("governance"));
    assert_eq!(place.start().end(), 0);
    place.edit("serve.yaml", "cluster: eu-1", "cluster: eu-2");
    let running = place.start();
    running.event_with(&["reload-refused", "\"configuration\"", "error[signed-by]"]);
    assert_eq!(running.end(), 0);
    // the log is open before anything is known: with another `log` it does not go on, on the old one neither
    place.edit("serve.yaml", "log: { path: log,", "log: { spool: 16MiB, path: log,");
    let said = place.refused();
    assert!(
        said.contains("error[signed-by]") && said.contains("its `log` is not the one in force"),
        "{said}"
    );
    place.edit("serve.yaml", "log: { spool: 16MiB, path: log,", "log: { path: log,");
    // and nothing is written before that is seen: another writer would say in the log what is in force
    let before = place.log();
    place.edit("serve.yaml", "log: { path: log,", "log: { writer: another, path: log,");
    assert!(place.refused().contains("its `log` is not the one in force"));
    fs::rename(place.at("state"), place.at("state-away")).unwrap();
    assert!(place.refused().contains("the configuration in force is not kept in"));
    fs::remove_dir_all(place.at("state")).ok();
    fs::rename(place.at("state-away"), place.at("state")).unwrap();
    assert_eq!(place.log(), before);
    place.edit("serve.yaml", "log: { writer: another, path: log,", "log: { path: log,");
    // nor by an edit of the word that says which policies count for it, with and without the old one at hand
    place.edit("serve.yaml", "environment: portcullis/prod", "environment: nowhere");
    let running = place.start();
    running.event_with(&["reload-refused", "\"configuration\"", "error[signed-by]"]);
    assert_eq!(running.end(), 0);
    fs::rename(place.at("state"), place.at("state-away")).unwrap();
    let said = place.refused();
    assert!(said.contains("the configuration in force is not kept in"), "{said}");
    fs::remove_dir_all(place.at("state")).ok();
    fs::rename(place.at("state-away"), place.at("state")).unwrap();
    place.edit("serve.yaml", "environment: nowhere", "environment: portcullis/prod");
    // reviewed, it counts: with another `log` as well
    place.edit("serve.yaml", "log: { path: log,", "log: { writer: another, path: log,");
    place.sign("serve.yaml", "1.0.0", &["bob", "release-desk"]);
    let running = place.start();
    assert_eq!(running.count("\"configuration\""), 0);
    assert_eq!(running.end(), 0);
    assert_ne!(place.log(), before);
}
