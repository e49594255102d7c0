use std::collections::BTreeSet;

use super::*;
use crate::breakglass::{Budget, LetIn, Used};
use crate::entry::{Entry, Position};
use crate::event::Event;
use crate::record::Record;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn position() -> Position {
    Position { writer: "local".to_owned(), epoch: 0, sequence: 0, previous: None }
}

fn entry(event: &NewEvent) -> Entry {
    let (kind, body) = (event.kind, event.body.clone());
    let event =
        Event { position: position(), at: event.at, kind, trust_root_version: 1, body, parts: Vec::new() };
    // as it is read back
    Entry::parse(event.to_json().to_string().as_bytes()).unwrap()
}

fn record(basis: &str, digest: &str) -> Record {
    let digest = Digest::sha256(digest.as_bytes());
    Record {
        position: position(),
        at: at(0),
        decision: "admit".to_owned(),
        basis: basis.to_owned(),
        outcome: "unmet".to_owned(),
        environment: "prod/shop".to_owned(),
        artifact: "registry.example/shop@sha256:9f3c…".to_owned(),
        digest: Some(digest.clone()),
        workload: Some("eu-1/shop/Deployment/web".to_owned()),
        requester: Some("bob@acme.example".to_owned()),
        chokepoint: "kubernetes/eu-1".to_owned(),
        grant: (basis == "breakglass").then(|| "bg-1".to_owned()),
        rules: vec!["built-by".to_owned()],
        trust_root_version: 1,
        case: digest.clone(),
        decided: digest.clone(),
        book: digest,
    }
}

fn decision() -> Json {
    let grant = Object::new()
        .with("id", "bg-1")
        .with("digest", Digest::sha256(b"grant").to_string())
        .with("person", "alice")
        .with("reason", "checkout is down\nFrom: nobody")
        .with("ticket", "INC-42")
        .with("expires", "2027-01-15T09:00:00Z");
    Object::new().with("grant", grant).into()
}

fn used() -> Used {
    let one = LetIn {
        index: 7,
        at: at(0),
        artifact: "shop".to_owned(),
        workload: None,
        requester: None,
        due: at(100),
        is_reviewed: false,
    };
    Used {
        digest: Digest::sha256(b"grant"),
        id: "bg-1".to_owned(),
        environment: "prod/shop".to_owned(),
        person: "alice".to_owned(),
        reason: "checkout is down".to_owned(),
        ticket: "INC-42".to_owned(),
        expires: None,
        first: at(0),
        records: [(Digest::sha256(b"leaf"), one)].into(),
        reviews: Vec::new(),
        refused: Vec::new(),
    }
}

fn all() -> Vec<Alarm> {
    let digest = Digest::sha256(b"shop");
    let live = Live {
        workload: "eu-1/shop/Deployment/web",
        environment: "prod/shop",
        artifact: "registry.example/shop@sha256:9f3c…",
        digest: Some(&digest),
    };
    let (day, now) = (attest::time::Span::seconds(86_400), at(200));
    let rules = ["built-by".to_owned(), "scan-clean".to_owned()];
    let mut all = of_recorded(&record("breakglass", "shop"), Some(&decision()));
    all.extend(of_recorded(&record("outage", "shop"), None));
    all.extend([
        Alarm::breakglass_unreviewed(&used(), at(100), now),
        Alarm::breakglass_budget(Budget::parse("3 per 7d").unwrap(), 4, now),
        Alarm::breakglass_away(&away(), now),
        Alarm::breakglass_away(&Away { record: &digest, why_not: Some("its key is revoked"), ..away() }, now),
        Alarm::undecided(live, at(50), now),
        Alarm::revoked_live(
            live,
            "signed by official-ci with a key revoked from 2026-11-20T00:00:00Z (lost)",
            now,
        ),
        Alarm::no_longer_met(live, &rules, "build it with official-ci", now),
        Alarm::advisory(
            live,
            "CVE-2026-1234",
            "pkg:cargo/rustls@0.23.1",
            Some("0.23.5"),
            Severity::Critical,
            now,
        ),
        Alarm::advisory(live, "CVE-2026-1235", "pkg:cargo/old@0.1.0", None, Severity::Warning, now),
        Alarm::queue_overdue(AlarmKind::DryRunAdmitted, "prod/shop", 12, (at(0), day), now),
        Alarm::queue_overdue(AlarmKind::FailedOpen, "prod/shop", 2, (at(0), day), now),
        Alarm::log_degraded("the spool", "90 % of 2 GiB", Severity::Critical, now),
        Alarm::writer_gap("replica-1", 41, 43, now),
        Alarm::writer_silent("replica-1", at(10), attest::time::Span::seconds(30), now),
        Alarm::witness_refuses("witness.example", "409: it signed size 17, and was shown size 12", now),
        Alarm::replay_differs(17, "admit, and the record says reject", now),
        Alarm::files_refused("book", "prod/shop.yaml:3:1: unknown key `requires` in a policy", now),
        Alarm::verifier_stale(at(0), day, now),
        Alarm::summary_failed("cannot write summary/aa in the evidence store: no space left on device", now),
        Alarm::too_many(AlarmKind::Undecided, 10_000, now),
    ]);
    all
}

fn away() -> Away<'static> {
    static RECORD: std::sync::LazyLock<Digest> = std::sync::LazyLock::new(|| Digest::sha256(b"record"));
    let (artifact, by, requester) = ("shop@sha256:9f3c…1a04", "host-7.example", Some("alice"));
    let grant = ("emergency", "bob");
    let why_not = None;
    Away { record: &RECORD, environment: "prod/shop", artifact, requester, by, when: at(20), grant, why_not }
}

#[test]
fn every_kind_says_what_it_should() {
    let text: String = all().iter().map(Alarm::to_text).collect();
    assert!(text == include_str!("golden.txt"), "{text}");
    let kinds: BTreeSet<AlarmKind> = all().iter().map(|alarm| alarm.kind).collect();
    assert_eq!(kinds, AlarmKind::ALL.into());
    for alarm in all() {
        assert_eq!(Alarm::read(&alarm.to_json()).unwrap(), alarm);
        for text in [&alarm.what, &alarm.wanted, &alarm.found, &alarm.fix] {
            assert!(!text.is_empty() && !text.contains('\n') && !text.ends_with('.'), "{text}");
        }
    }
}

#[test]
fn the_same_alarm_is_raised_once_until_it_is_closed_over_every_restart() {
    for alarm in all() {
        let mut alarms = Alarms::default();
        let event = alarms.raise(alarm.clone(), at(300)).unwrap();
        let later = Alarm { first_seen: at(900), found: "another number".to_owned(), ..alarm.clone() };
        assert_eq!(alarms.raise(later.clone(), at(900)), None, "{}", alarm.what);
        let mut restarted = Alarms::default();
        restarted.learn(&entry(&event));
        assert_eq!(restarted.raise(later.clone(), at(900)), None, "{}", alarm.what);
        assert_eq!(restarted.open().next().unwrap().alarm, alarm);
        let gone = restarted.gone(alarm.kind, &alarm.subject, at(1000)).unwrap();
        assert_eq!(restarted.gone(alarm.kind, &alarm.subject, at(1000)), None);
        let mut again = Alarms::default();
        [&event, &gone].into_iter().for_each(|event| again.learn(&entry(event)));
        assert!(again.raise(later, at(1100)).is_some(), "{}", alarm.what);
    }
}

#[test]
fn what_is_not_on_record_is_raised_again() {
    let mut alarms = Alarms::default();
    let alarm = Alarm::writer_gap("replica-1", 1, 3, at(0));
    let event = alarms.raise(alarm.clone(), at(0)).unwrap();
    alarms.withdraw(&event);
    assert_eq!(alarms.raise(alarm, at(0)), Some(event));
}

#[test]
fn what_was_acknowledged_is_silent_until_it_was_gone_and_alarms_anew_where_it_happens_again() {
    let raise = |alarm: &Alarm| {
        let mut alarms = Alarms::default();
        let raised = alarms.raise(alarm.clone(), at(0)).unwrap();
        let closed = alarms.acknowledge(&alarm.id(), "alice", "known", at(1)).unwrap();
        let mut learnt = Alarms::default();
        [&raised, &closed].into_iter().for_each(|event| learnt.learn(&entry(event)));
        (closed, [alarms, learnt])
    };
    let silent = Alarm::writer_silent("replica-1", at(0), attest::time::Span::seconds(30), at(0));
    let (closed, states) = raise(&silent);
    assert_eq!(closed.kind, EventKind::AlarmClosed);
    assert_eq!((closed.body.string("by"), closed.body.string("reason")), (Ok("alice"), Ok("known")));
    for mut alarms in states {
        assert_eq!(alarms.raise(silent.clone(), at(2)), None);
        assert_eq!(alarms.counts()[&(silent.kind, silent.severity)], 0);
        let again = alarms.acknowledge(&silent.id(), "alice", "known", at(3)).unwrap_err();
        assert!(matches!(again, Refused::Already(_)), "{again}");
        assert!(alarms.gone(silent.kind, &silent.subject, at(4)).is_some());
        assert!(alarms.raise(silent.clone(), at(5)).is_some());
    }
    let used = of_recorded(&record("breakglass", "shop"), None).remove(0);
    for mut alarms in raise(&used).1 {
        assert!(alarms.raise(used.clone(), at(2)).is_some(), "another use of the grant is another alarm");
    }
}

#[test]
fn no_acknowledgement_ends_what_only_a_review_does_and_none_is_without_a_reason() {
    let mut alarms = Alarms::default();
    let alarm = Alarm::breakglass_unreviewed(&used(), at(100), at(200));
    alarms.raise(alarm.clone(), at(200));
    let refused = |alarms: &mut Alarms, id: &str, reason: &str| {
        alarms.acknowledge(id, "alice", reason, at(300)).unwrap_err().to_string()
    };
    let said = refused(&mut alarms, &alarm.id(), "it was me, and it was fine");
    assert!(
        said.starts_with("no acknowledgement ends breakglass-unreviewed-") && said.contains("second person"),
        "{said}"
    );
    assert!(refused(&mut alarms, &alarm.id(), "  ").contains("with a reason"));
    assert!(
        refused(&mut alarms, "writer-gap-0000", "x").starts_with("no open alarm is called writer-gap-0000")
    );
    assert!(alarms.raise(alarm, at(400)).is_none(), "it is open still");
}

#[test]
fn two_subjects_that_look_alike_are_two() {
    let mut alarms = Alarms::default();
    let long = "w".repeat(400);
    let subjects = ["a b", "a\nb", "a\u{202e}b", &long, &format!("{long}x")].map(str::to_owned);
    for subject in &subjects {
        let alarm = Alarm::witness_refuses(subject, "409", at(0));
        assert!(!alarm.subject.contains('\n') && alarm.subject.len() < 400, "{}", alarm.subject);
        assert!(alarms.raise(alarm, at(0)).is_some(), "{subject:?}");
    }
    for subject in &subjects {
        assert!(alarms.gone(AlarmKind::WitnessRefuses, subject, at(1)).is_some(), "{subject:?}");
    }
    assert_eq!(alarms.open().count(), 0);
}

#[test]
fn what_must_be_alarmed_and_is_not_is_owed() {
    let decided = |record: Record| Entry::Decision(Box::new(record));
    let mut alarms = Alarms::default();
    for quiet in ["policy", "dry-run", "standing", "cannot-decide"] {
        alarms.learn(&decided(record(quiet, "shop")));
    }
    alarms.learn(&decided(Record { decision: "reject".to_owned(), ..record("breakglass", "shop") }));
    assert_eq!(alarms.owed().count(), 0);
    let shop = record("breakglass", "shop");
    alarms.learn(&decided(shop.clone()));
    alarms.learn(&decided(shop.clone()));
    alarms.learn(&decided(record("breakglass", "another artifact under the same grant")));
    alarms.learn(&decided(record("outage", "shop")));
    assert_eq!(alarms.owed().count(), 3);
    let told = of_recorded(&shop, Some(&decision())).remove(0);
    let event = Alarms::default().raise(told, at(1)).unwrap();
    alarms.learn(&entry(&event));
    assert_eq!(alarms.owed().count(), 2);
    // it is open: the same again is not owed
    alarms.learn(&decided(shop));
    assert_eq!(alarms.owed().count(), 2);
}

#[test]
fn a_flood_of_one_kind_is_bounded_says_so_once_and_silences_no_other() {
    let mut alarms = Alarms::default();
    let gap = |n: u64| Alarm::writer_gap("w", n, n + 2, at(0));
    let raised = (0..10_000).filter(|n| alarms.raise(gap(*n), at(0)).is_some()).count();
    assert_eq!(raised, 10_000);
    let event = alarms.raise(gap(10_000), at(0)).unwrap();
    assert_eq!(event.body.string("kind"), Ok("too-many"));
    assert_eq!(alarms.raise(gap(10_001), at(0)), None);
    assert!(alarms.raise(Alarm::witness_refuses("w", "409", at(0)), at(0)).is_some());
    alarms.gone(AlarmKind::WriterGap, "w 5", at(1)).unwrap();
    assert_eq!(alarms.raise(gap(10_002), at(2)).unwrap().body.string("kind"), Ok("writer-gap"));
}
