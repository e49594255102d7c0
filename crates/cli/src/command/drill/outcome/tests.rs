//! A drill that could not fail would prove nothing: each way in which one must.

use super::*;

fn stopped(rule: &str) -> Seen {
    Seen {
        is_let_through: false,
        reasons: vec![rule.to_owned()],
        basis: "policy".to_owned(),
        message: format!("error[{rule}]: no"),
        left: Vec::new(),
    }
}

fn through() -> Seen {
    Seen { is_let_through: true, basis: "policy".to_owned(), ..Seen::default() }
}

fn attack(seen: Seen, control: Seen) -> Trial {
    let control = Control { off: "no rule", seen: control };
    Trial::Attack { what: "an attack", wanted: Wanted::rules(&["tests"]), seen, control }
}

fn drilled(trials: Vec<Trial>) -> Drilled {
    Drilled { threat: "T1", title: "a threat", trials: Ok(trials) }
}

#[test]
fn only_what_is_stopped_for_its_reason_and_let_through_without_it_passes() {
    let good = attack(stopped("tests"), through());
    assert_eq!(good.flaws(), Vec::<String>::new());
    assert_eq!(exit(&[drilled(vec![good.clone()])]), Exit::Clean);
    let mut two = stopped("tests");
    two.reasons.push("scanned".to_owned());
    let mut outage = stopped("tests");
    outage.basis = "cannot-decide".to_owned();
    let mut silent = stopped("tests");
    silent.message = " ".to_owned();
    let mut stored = stopped("tests");
    stored.left.push("it was put in place".to_owned());
    for (seen, control, words) in [
        (through(), through(), "the attack succeeded, and tests should have stopped it"),
        (stopped("scanned"), through(), "stopped by scanned, and not by tests"),
        (two, through(), "stopped by tests, scanned, and not by tests"),
        (outage, through(), "stopped with cannot-decide, and not with policy"),
        (silent, through(), "nobody is told why"),
        (stored, through(), "refused, and still it was put in place"),
        (stopped("tests"), stopped("tests"), "the control failed: with no rule it was stopped all the same"),
    ] {
        let bad = attack(seen, control);
        assert!(bad.flaws().iter().any(|flaw| flaw.contains(words)), "{words}: {:?}", bad.flaws());
        let all = drilled(vec![good.clone(), bad]);
        assert_eq!((all.word(), exit(&[drilled(vec![good.clone()]), all])), ("FAILED", Exit::Found));
    }
}

#[test]
fn what_is_honest_must_come_through_and_something_must_be_attacked() {
    let good = attack(stopped("tests"), through());
    let honest = |seen| Trial::Honest { what: "as it should be", seen };
    assert!(drilled(vec![good.clone(), honest(through())]).is_passed());
    assert!(!drilled(vec![good, honest(stopped("tests"))]).is_passed());
    assert!(!drilled(vec![honest(through())]).is_passed() && !drilled(Vec::new()).is_passed());
}

#[test]
fn what_could_not_be_staged_is_no_success_and_no_failure_of_a_mitigation() {
    let missing = Drilled { threat: "T1", title: "a threat", trials: Err(Failure::new("no bubblewrap")) };
    assert_eq!(missing.word(), "NOT STAGED");
    let good = drilled(vec![attack(stopped("tests"), through())]);
    let bad = drilled(vec![attack(through(), through())]);
    assert_eq!(exit(&[good, missing, bad]), Exit::Failed);
}

/// What this machine has not is neither a success nor a failure, and stands in all three reports.
#[test]
fn what_was_not_staged_is_told_loudly_and_fails_nothing() {
    let attack = attack(stopped("tests"), through());
    let absent = |what| Trial::NotStaged { what, why: "no PostgreSQL on this machine" };
    let good = drilled(vec![attack, absent("a migration"), absent("a log")]);
    assert!(good.is_passed() && exit(std::slice::from_ref(&good)) == Exit::Clean);
    // by itself it proves nothing
    assert!(!drilled(vec![absent("a migration")]).is_passed());
    let all = [good];
    assert_eq!(not_staged(&all), Some((2, "no PostgreSQL on this machine".to_owned())));
    let text = super::super::report::to_text(&all);
    assert!(text.contains("a migration") && text.contains("NOT STAGED: no PostgreSQL on this machine\n"));
    assert!(
        text.contains("; 1 attacks, each")
            && text.ends_with("2 of what could be tried NOT STAGED: no PostgreSQL on this machine\n"),
        "{text}"
    );
    let json = super::super::report::to_json(&all).to_string();
    assert!(json.contains(r#""not-staged":2"#), "{json}");
    assert!(
        json.contains(r#"{"kind":"not-staged","what":"a log","why":"no PostgreSQL on this machine"}"#),
        "{json}"
    );
    let page = super::super::page::of(&all);
    assert!(page.contains("<p class=\"flaw\">2 of what could be tried NOT STAGED: no PostgreSQL"), "{page}");
    assert!(
        page.contains("<h3>a log</h3>\n<p class=\"flaw\">NOT STAGED: no PostgreSQL on this machine</p>"),
        "{page}"
    );
}
