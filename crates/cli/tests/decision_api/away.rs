//! Records of what was let in while the choke point was away: whom it wakes, what it takes of them, and how many.

use std::fs;

use attest::SecretKey;
use attest::breakglass::Grant;
use jiff::{SignedDuration, Timestamp};

use crate::place::{Answer, DOCUMENT, Place, shop};
use crate::tools::serving::Serving;
use crate::tools::{expect, path};
use crate::until;

/// So many minutes ago.
#[allow(clippy::disallowed_methods, reason = "a test's own clock")]
fn ago(minutes: i64) -> Timestamp {
    Timestamp::now().checked_sub(SignedDuration::from_mins(minutes)).unwrap()
}

/// A grant of two hours ago that holds for two more, by whoever has this key.
fn grant(place: &Place, key: &str) -> String {
    let pem = fs::read_to_string(place.at(&format!("{key}.key"))).unwrap();
    let grant = Grant {
        id: format!("bg-{key}"),
        environment: "prod/shop".to_owned(),
        artifact: None,
        requester: None,
        reason: "checkout is down".to_owned(),
        ticket: "INC-42".to_owned(),
        issued: ago(120),
        expires: ago(-90),
    };
    grant.sign(&SecretKey::from_pem(&pem, None).unwrap()).unwrap().to_string()
}

/// Something that a machine let in so many minutes ago; `more` are further fields.
fn record(minutes: i64, more: &str) -> String {
    let (at, hex) = (ago(minutes), shop().hex());
    let artifact = format!(r#"{{"uri":"pkg:deb/acme/shop","digest":{{"sha256":"{hex}"}}}}"#);
    format!(
        r#"{{"at":"{at}","environment":"prod/shop","artifact":{artifact},"decision":"admit","basis":"breakglass","chokepoint":"deploy"{more}}}"#
    )
}

fn bring(place: &Place, running: &Serving, records: &[&str]) -> Answer {
    let body = format!("{{\"records\":[{}]}}", records.join(","));
    place.post(running, "ci", "/v1/decisions/spooled", &[], &body)
}

fn alarms(place: &Place) -> String {
    fs::read_to_string(place.at("alarms.jsonl")).unwrap_or_default()
}

/// Events of a kind in the log of a choke point that was ended.
fn events(place: &Place, kind: &str) -> Vec<String> {
    let shown = expect(0, &["log", "show", path(&place.at("log")), "--kind", kind, "--format", "json"]);
    let shown = attest::json::parse(shown.trim().as_bytes()).unwrap();
    shown.as_array().unwrap().iter().map(ToString::to_string).collect()
}

/// Waits until files that were just written are in force.
fn in_force(running: &Serving, place: &Place, what: &str, change: impl FnOnce()) {
    let digest = || {
        let text = running.read("/metrics");
        text.lines().filter(|line| line.contains("digest=")).collect::<Vec<_>>().join("\n")
    };
    let before = digest();
    change();
    until(&format!("the {what} in {} is not in force", place.dir.path().display()), || digest() != before);
}

#[test]
fn what_was_let_in_before_the_newest_record_is_judged_as_of_its_own_time() {
    let place = Place::new("");
    let used = record(60, &format!(",\"grant\":{}", grant(&place, "bob")));
    let running = place.start();
    let newer = DOCUMENT.replace("HEX", &shop().hex());
    assert_eq!(place.ask(&running, "ci", &[], &newer).status, 403, "a record of now");
    assert_eq!(bring(&place, &running, &[&used]).status, 200);
    until("nobody is told", || alarms(&place).contains("breakglass-away"));
    assert_eq!(running.end(), 0);
    assert_eq!((events(&place, "spooled").len(), events(&place, "spooled-unverified").len()), (1, 0));
}

#[test]
fn a_grant_that_somebody_signed_is_alarmed_though_it_holds_no_more_and_says_why() {
    let place = Place::new("");
    let grants = ["bob", "ci-tests", "stranger"].map(|key| grant(&place, key));
    let [bob, machine, stranger] = grants.each_ref().map(|grant| record(60, &format!(",\"grant\":{grant}")));
    let later = record(50, &format!(",\"grant\":{}", grants[0]));
    let running = place.start();
    let trust = fs::read_to_string(place.at("trust-root.yaml")).unwrap();
    // nobody knows the stranger yet
    assert_eq!(bring(&place, &running, &[&stranger]).status, 200);
    // the policy allows it no more
    in_force(&running, &place, "book", || {
        let file = place.at("book/shop.yaml");
        let text = fs::read_to_string(&file).unwrap();
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("breakglass")).collect();
        fs::write(&file, text.join("\n") + "\n").unwrap();
    });
    assert_eq!(bring(&place, &running, &[&bob, &machine]).status, 200);
    until("nobody is told", || alarms(&place).contains("the policy allows no breakglass"));
    // bob's key is stolen, and the stranger is a person
    in_force(&running, &place, "trust root", || {
        place.policy("");
        let pem = fs::read_to_string(place.at("stranger.pub")).unwrap();
        let pem: String = pem.lines().map(|line| format!("          {line}\n")).collect();
        let revoked = "        revoked: { from: 2026-01-01, reason: stolen }\ngroups:";
        let text = trust.replace("version: 1", "version: 2").replace("groups:", revoked).replace(
            "people:\n",
            &format!("people:\n  eve:\n    identities: [eve@acme.example]\n    keys:\n      - key: |\n{pem}"),
        );
        fs::write(place.at("trust-root.yaml"), text).unwrap();
    });
    assert_eq!(bring(&place, &running, &[&stranger, &later]).status, 200);
    until("nobody is told", || alarms(&place).contains("signed with a revoked key"));
    assert_eq!(bring(&place, &running, &[&stranger, &later, &bob, &machine]).status, 200, "the same again");
    let all = alarms(&place);
    assert_eq!(all.matches("\"kind\":\"breakglass-away\"").count(), 4, "{all}");
    // an old grant is no licence to raise alarms until none is raised any more
    let more = |count: usize| -> Vec<String> {
        let one = |_| record(40, &format!(",\"requester\":\"more\",\"grant\":{}", grants[1]));
        (0..count).map(one).collect()
    };
    let (first, rest) = (more(99), more(1));
    assert_eq!(bring(&place, &running, &first.iter().map(String::as_str).collect::<Vec<_>>()).status, 200);
    assert_eq!(bring(&place, &running, &[&rest[0]]).status, 429);
    assert_eq!(bring(&place, &running, &[&first[0]]).status, 200, "what is there already");
    assert_eq!(running.end(), 0);
    for words in ["grant bg-bob by bob", "grant bg-ci-tests by ci-tests", "grant bg-stranger by eve"] {
        assert!(all.contains(words), "{words}: {all}");
    }
    assert_eq!(events(&place, "spooled").len(), 0);
    let unverified = events(&place, "spooled-unverified");
    assert_eq!(unverified.len(), 5 + 99, "the stranger's twice: before and after somebody knew her");
}

#[test]
fn a_clients_word_is_bounded_in_an_hour_and_keeps_nobodys_grant_out() {
    let place = Place::new("");
    let bob = grant(&place, "bob");
    let used = |minutes: i64| record(minutes, &format!(",\"grant\":{bob}"));
    let running = place.start();
    let hundred = vec!["{}"; 100];
    for _ in 0..11 {
        assert_eq!(bring(&place, &running, &hundred).status, 400, "what cannot be read costs nothing");
    }
    let said: Vec<String> =
        (0..1001).map(|number| record(30, &format!(",\"requester\":\"{number}\""))).collect();
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    for some in said[..900].chunks(100) {
        assert_eq!(bring(&place, &running, some).status, 200);
        assert_eq!(bring(&place, &running, some).status, 200, "what is there already costs nothing");
    }
    assert_eq!(bring(&place, &running, &said[900..999]).status, 200);
    // one more has room, and two have not: then neither is taken, but a grant is
    let first = used(20);
    let answer = bring(&place, &running, &[said[999], said[1000], &first]);
    assert_eq!((answer.status, answer.text("code").as_str()), (429, "too-often"), "{}", answer.body);
    let message = "ci.example brings more than 1000 records in an hour";
    assert!(answer.text("message").starts_with(message), "{}", answer.body);
    assert!(answer.head.contains("retry-after: 600"), "{}", answer.head);
    assert_eq!(bring(&place, &running, &said[999..1000]).status, 200);
    assert_eq!(bring(&place, &running, &said[1000..]).status, 429);
    assert_eq!(bring(&place, &running, &[&used(10), &first]).status, 200, "a grant gets through");
    until("nobody is told", || alarms(&place).matches("breakglass-away-").count() >= 2);
    assert_eq!(running.end(), 0);
    assert_eq!((events(&place, "spooled").len(), events(&place, "spooled-unverified").len()), (2, 1000));
}

#[test]
fn a_record_with_a_secret_is_refused_and_nothing_of_it_is_kept() {
    let place = Place::new("");
    let with_grant = format!(",\"grant\":{}", grant(&place, "bob"));
    let good = record(20, &with_grant);
    let login = good.replace("pkg:deb/acme/shop", "https://ci:hunter2@r.example/shop");
    let token = record(20, &format!(",\"workload\":\"deploy --password hunter2\"{with_grant}"));
    let running = place.start();
    for (bad, key) in [(&login, "artifact"), (&token, "workload")] {
        let answer = bring(&place, &running, &[&good, bad]);
        assert_eq!((answer.status, answer.text("code").as_str()), (400, "malformed"), "{}", answer.body);
        let found = answer.text("found");
        assert!(found.starts_with(&format!("{key}: wanted a record without logins")), "{}", answer.body);
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    }
    assert_eq!(bring(&place, &running, &[&good]).status, 200, "as it came, the other one is good");
    assert_eq!(running.end(), 0);
    assert_eq!((events(&place, "spooled").len(), events(&place, "spooled-unverified").len()), (1, 0));
}

/// A grant by bob for prod/shop, signed, in `grant.json`.
fn opened(place: &Place) -> String {
    let (key, root, out) = (place.at("bob.key"), place.at("trust-root.yaml"), place.at("grant.json"));
    let what = [
        "breakglass",
        "open",
        "--environment",
        "prod/shop",
        "--reason",
        "checkout is down",
        "--ticket",
        "INC-42",
    ];
    let who = ["--expires", "1h", "--key", path(&key), "--trust-root", path(&root), "--out", path(&out)];
    expect(0, &[&what[..], &who[..]].concat());
    place.bundle("grant.json")
}

#[test]
fn what_was_let_in_while_the_choke_point_was_away_is_judged_alarmed_and_on_record_once() {
    let place = Place::new("");
    let grant = opened(&place);
    let running = place.start();
    #[allow(clippy::disallowed_methods, reason = "a test's own clock")]
    let at = jiff::Timestamp::now();
    let record = |at: &str, grant: &str| {
        let artifact =
            format!("{{\"uri\":\"pkg:deb/acme/shop\",\"digest\":{{\"sha256\":\"{}\"}}}}", shop().hex());
        format!(
            r#"{{"at":"{at}","environment":"prod/shop","artifact":{artifact},"decision":"admit","basis":"breakglass","chokepoint":"deploy","record":"0:sha256:aa","requester":"alice"{grant}}}"#
        )
    };
    let good = record(&at.to_string(), &format!(",\"grant\":{grant}"));
    let bring = |running: &Serving, who: &str, records: &str| {
        place.post(running, who, "/v1/decisions/spooled", &[], &format!("{{\"records\":[{records}]}}"))
    };
    for (who, records, status) in [
        ("", good.clone(), 401),
        ("other", good.clone(), 403),
        ("ci", String::new(), 400),
        ("ci", good.replace("\"basis\"", "\"is-reviewed\":true,\"basis\""), 400),
        ("ci", record("2100-01-01T00:00:00Z", ""), 400),
        ("ci", record("soon", ""), 400),
    ] {
        let answer = bring(&running, who, &records);
        assert_eq!(answer.status, status, "{records}: {}", answer.body);
    }
    // one whose grant holds, and one whose does not, twice
    let forged =
        record(&at.to_string(), &format!(",\"grant\":{}", grant.replace("\"sig\":\"", "\"sig\":\"AAAA")));
    let both = format!("{good},{forged}");
    let first = bring(&running, "ci", &both);
    assert_eq!((first.status, first.json().array("records").unwrap().len()), (200, 2), "{}", first.body);
    assert_eq!(bring(&running, "ci", &both).body, first.body);
    let alarms = || fs::read_to_string(place.at("alarms.jsonl")).unwrap_or_default();
    until("nobody is told", || alarms().contains("breakglass-away"));
    let told = "by bob, used at ";
    assert!(alarms().contains(told) && alarms().contains("brought by ci.example"), "{}", alarms());
    assert_eq!(running.end(), 0);
    let running = place.start();
    assert_eq!(bring(&running, "ci", &both).body, first.body, "over a restart");
    assert!(place.records(running).is_empty(), "they are no decisions of this choke point");
    let log = place.at("log");
    // whose grant holds is alarmed; the other is on record as the word of whoever brought it, and wakes nobody
    for (kind, words) in [
        ("spooled", &["\"grant_holds\":true", "\"by\":\"ci.example\""][..]),
        (
            "spooled-unverified",
            &[
                "\"grant_holds\":false",
                "\"by\":\"ci.example\"",
                "\"found\":\"the breakglass grant is signed by nobody",
            ],
        ),
        ("alarm", &["breakglass-away"]),
    ] {
        let shown = expect(0, &["log", "show", path(&log), "--kind", kind, "--format", "json"]);
        let shown = attest::json::parse(shown.trim().as_bytes()).unwrap();
        assert_eq!(shown.as_array().unwrap().len(), 1, "{kind}: {shown}");
        let text = shown.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{kind}: {text}");
    }
    assert_eq!(alarms().matches("\"kind\":\"breakglass-away\"").count(), 1, "{}", alarms());
}
