//! `portcullis drill`, all of it, once: every threat is stopped for its reason, and every control lets the attack through.

mod tools;

use std::collections::BTreeSet;
use std::fs;
use std::sync::OnceLock;

use attest::Object;
use tools::{code, expect, path, portcullis, stderr, stdout};

/// What one run said, and the page that it wrote.
struct Run {
    said: Object,
    page: String,
}

fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let page = dir.path().join("drill.html");
        let output = portcullis(&["drill", "--format", "json", "--report", path(&page)]);
        assert_eq!(code(&output), 0, "{}\n{}", stdout(&output), stderr(&output));
        assert_eq!(stderr(&output), "", "programs hear nothing but the result");
        let said = attest::json::parse(&output.stdout).unwrap().as_object().unwrap().clone();
        Run { said, page: fs::read_to_string(page).unwrap() }
    })
}

fn drills() -> Vec<Object> {
    run().said.array("drills").unwrap().iter().map(|drill| drill.as_object().unwrap().clone()).collect()
}

fn trials(drill: &Object) -> Vec<Object> {
    let trials = drill.array("trials").unwrap().iter().map(|trial| trial.as_object().unwrap().clone());
    // what this machine has not is told, and is no trial
    trials.filter(|trial| trial.string("kind").unwrap() != "not-staged").collect()
}

/// In CI it must be there.
fn has_postgresql() -> bool {
    tools::part("PostgreSQL", "/usr/lib/postgresql".into()).is_some()
}

/// In CI it must be there.
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn has_api_server() -> bool {
    let named = std::env::var_os("KUBEBUILDER_ASSETS").map(std::path::PathBuf::from);
    tools::part("kube-apiserver", named.unwrap_or_else(|| tools::cache("kubernetes"))).is_some()
}

#[test]
fn fifteen_of_fifteen_threats_are_stopped_for_the_stated_reason() {
    let said = &run().said;
    assert_eq!((said.int("passed").unwrap(), said.int("of").unwrap()), (15, 15));
    let threats: Vec<String> = drills().iter().map(|d| d.string("threat").unwrap().to_owned()).collect();
    assert_eq!(threats, (1..=15).map(|number| format!("T{number}")).collect::<Vec<_>>());
    for drill in drills() {
        let attacks: Vec<Object> =
            trials(&drill).into_iter().filter(|trial| trial.string("kind").unwrap() == "attack").collect();
        assert!(!attacks.is_empty(), "{drill}");
        for attack in attacks {
            let (seen, wanted) = (attack.object("seen").unwrap(), attack.object("wanted").unwrap());
            assert!(!seen.flag("let-through").unwrap(), "{attack}");
            let sorted = |object: &Object| {
                let reasons = object.array("reasons").unwrap().iter();
                reasons.map(|reason| reason.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
            };
            assert_eq!(sorted(seen), sorted(wanted), "{attack}");
            assert_eq!(seen.string("basis").unwrap(), wanted.string("basis").unwrap());
            assert!(!seen.string("message").unwrap().is_empty(), "{attack}");
            assert!(seen.array("left").unwrap().is_empty(), "{attack}");
        }
    }
}

#[test]
fn every_attack_succeeds_where_its_mitigation_is_off() {
    let mut count = 0;
    for trial in drills().iter().flat_map(trials) {
        assert!(trial.array("flaws").unwrap().is_empty(), "{trial}");
        if trial.string("kind").unwrap() == "attack" {
            let control = trial.object("control").unwrap();
            assert!(control.object("seen").unwrap().flag("let-through").unwrap(), "{trial}");
            assert!(!control.string("off").unwrap().is_empty());
            count += 1;
        }
    }
    let more = usize::from(has_api_server()) + if has_postgresql() { 5 } else { 0 };
    assert_eq!(count, 53 + more);
}

/// CI always has PostgreSQL, and so has whoever ran `cargo xtask setup`.
#[test]
fn what_needs_a_postgresql_was_tried_with_one() {
    if !has_postgresql() {
        return;
    }
    for (threat, what, kind, words) in [
        ("T4", "a migration that nobody reviewed", "attack", "error[signed-by]"),
        ("T4", "the reviewed migration is applied", "honest", ""),
        ("T5", "a migration is changed after its review", "attack", "error[evidence-applies]"),
        ("T5", "a migration is swapped once it was admitted", "attack", "ALTER TABLE"),
        (
            "T14",
            "the database of a shared log is restored from an old backup",
            "attack",
            "`portcullis log adopt` raises the database to it",
        ),
        ("T14", "the same, and the folder with the tree is as old", "attack", "nothing is signed until then"),
    ] {
        let drill = drills().into_iter().find(|drill| drill.string("threat").unwrap() == threat).unwrap();
        let trial = trials(&drill).into_iter().find(|trial| trial.string("what").unwrap() == what);
        let trial = trial.unwrap_or_else(|| panic!("{threat}: {what}: {drill}"));
        assert_eq!(trial.string("kind").unwrap(), kind, "{trial}");
        assert!(trial.object("seen").unwrap().string("message").unwrap().contains(words), "{trial}");
    }
}

/// The same for an API server.
#[test]
fn what_needs_an_api_server_was_tried_with_one() {
    if !has_api_server() {
        return;
    }
    let drill = drills().into_iter().find(|drill| drill.string("threat").unwrap() == "T12").unwrap();
    let what = "a real API server has no webhook, and a Pod is created in it";
    let trial = trials(&drill).into_iter().find(|trial| trial.string("what").unwrap() == what).unwrap();
    assert_eq!(trial.string("kind").unwrap(), "attack");
    let message = trial.object("seen").unwrap().string("message").unwrap().to_owned();
    assert!(message.contains("created shop/pods/evil: nobody of ours was asked about it"), "{message}");
}

/// What is missing is counted, and what is counted is missing.
#[test]
fn what_was_not_staged_is_what_this_machine_has_not() {
    let missing = usize::from(!has_api_server()) + if has_postgresql() { 0 } else { 6 };
    assert_eq!(run().said.int("not-staged").unwrap(), i64::try_from(missing).unwrap());
}

/// A policy's refusal says how to mend it, and four ways of being old have a message each.
#[test]
fn messages_say_what_to_do() {
    let mut of_t8 = BTreeSet::new();
    for drill in drills() {
        for trial in trials(&drill) {
            let seen = trial.object("seen").unwrap();
            let message = seen.string("message").unwrap();
            if seen.string("basis").unwrap() == "policy" && !seen.flag("let-through").unwrap() {
                assert!(message.contains("\n  fix       "), "{message}");
                if drill.string("threat").unwrap() == "T8" {
                    of_t8.insert(message.lines().next().unwrap().to_owned());
                }
            }
        }
    }
    assert_eq!(of_t8.len(), 5, "{of_t8:?}");
    let of = |threat: &str| drills().into_iter().find(|d| d.string("threat").unwrap() == threat).unwrap();
    for (threat, words) in [
        ("T4", "changed   spec.template.spec.containers[web].args: \"--debug\" added"),
        ("T11", "DIFFERENT shop"),
        ("T12", "created shop/deployments.apps/evil: nobody of ours was asked about it"),
        ("T14", "record 2 is not the one that was logged"),
        ("T15", "breaks the guardrail"),
    ] {
        let said = |trial: &Object| trial.object("seen").unwrap().string("message").unwrap().contains(words);
        assert!(trials(&of(threat)).iter().any(said), "{threat}: {words}");
    }
}

#[test]
fn the_page_shows_all_of_it_and_runs_nothing() {
    let page = &run().page;
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    assert!(page.contains("15 of 15 threats are stopped"));
    for forbidden in ["<script", "http-equiv=\"refresh", "src=", "@import", "url("] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let escaped = |text: &str| {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    };
    for trial in drills().iter().flat_map(trials) {
        let seen = trial.object("seen").unwrap();
        assert!(page.contains(&escaped(trial.string("what").unwrap())), "{trial}");
        assert!(page.contains(&escaped(seen.string("message").unwrap().trim_end())), "{trial}");
        if let Ok(control) = trial.object("control") {
            assert!(page.contains(&escaped(control.string("off").unwrap())), "{trial}");
        }
    }
}

#[test]
fn only_one_is_staged_where_only_one_is_asked_for_and_kept_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let output = portcullis(&["drill", "--only", "t8", "--keep", path(&kept)]);
    assert_eq!(code(&output), 0, "{}\n{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("T8   ok     an old version") && !text.contains("T9"), "{text}");
    assert!(text.contains("nobody scanned it") && text.contains("scanned (policy)"), "{text}");
    assert!(text.contains("\n      error[version]: "), "{text}");
    assert!(text.ends_with("1 of 1 threats are stopped for the stated reason; 5 attacks, each tried with its mitigation off as well\n"), "{text}");
    assert!(stderr(&output).contains("building shop of main in the sandbox"), "{}", stderr(&output));
    // what was decided is on record there, and can be proven
    let logs = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path().join("log"));
    let logs: Vec<_> = logs.filter(|log| log.is_dir()).collect();
    assert!(logs.len() > 8, "{logs:?}");
    expect(0, &["log", "verify", path(&logs[0])]);
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_staged() {
    let dir = tempfile::tempdir().unwrap();
    let said = expect(2, &["drill", "--only", "T8", "--only", "T16"]);
    assert!(said.contains("there is no drill for `T16`") && said.contains("T1, T2"), "{said}");
    fs::write(dir.path().join("page.html"), "mine").unwrap();
    let page = dir.path().join("page.html");
    assert!(expect(2, &["drill", "--report", path(&page)]).contains("is there already"));
    assert!(expect(2, &["drill", "--keep", path(dir.path())]).contains("is not empty"));
    let nowhere = dir.path().join("no/such/folder/page.html");
    assert!(expect(2, &["drill", "--report", path(&nowhere)]).contains("no/such/folder"));
    assert_eq!(fs::read_to_string(&page).unwrap(), "mine");
}
