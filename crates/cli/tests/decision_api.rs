//! The decision API: a real choke point of a company without Kubernetes, asked with curl.

#[path = "decision_api/away.rs"]
mod away;
#[path = "decision_api/described.rs"]
mod described;
#[path = "decision_api/examples.rs"]
mod examples;
#[path = "decision_api/files.rs"]
mod files;
#[path = "decision_api/place.rs"]
mod place;
mod service;
mod tools;

use std::fs;
use std::time::{Duration, Instant};

use attest::Digest;
use place::{Answer, DOCUMENT, Disk, Place, shop, tested};
use service::{Issuer, field};
use tools::serving::Serving;
use tools::{expect, path};

/// Refused by these rules, and on record.
fn refused(answer: &Answer, rules: &[&str]) {
    assert_eq!(answer.status, 403, "{}", answer.body);
    let json = answer.json();
    let findings = json.array("findings").unwrap();
    let found: Vec<&str> = findings.iter().map(|f| f.as_object().unwrap().string("rule").unwrap()).collect();
    assert_eq!(found, rules, "{}", answer.body);
    assert_eq!(json.string("decision").unwrap(), "reject");
    assert!(!json.string("record").unwrap().is_empty());
}

/// How many decisions were made, as metrics count them.
fn decisions(running: &Serving) -> u64 {
    let text = running.read("/metrics");
    let lines = text.lines().filter(|line| line.starts_with("portcullis_decisions_total"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// A question about what is tested and brings its evidence.
fn good(place: &Place) -> String {
    place.test_passed(&shop());
    tested(&shop(), &place.bundle("test.json"), "")
}

#[test]
fn what_meets_its_policy_is_admitted_on_record_and_the_rest_is_refused_by_name() {
    let place = Place::new("");
    let running = place.start();
    assert!(running.read("/readyz").contains("\"serves\":[\"decisions\"]"));
    place.test_passed(&shop());
    let bundle = place.bundle("test.json");
    let ask = |body: &str| place.ask(&running, "ci", &[], body);
    let admitted = ask(&tested(&shop(), &bundle, ""));
    assert_eq!(admitted.status, 200, "{}", admitted.body);
    let json = admitted.json();
    assert_eq!((json.string("decision").unwrap(), json.string("basis").unwrap()), ("admit", "policy"));
    let record = json.string("record").unwrap().to_owned();
    // an answer that is kept says what it is about
    let artifact = json.object("artifact").unwrap();
    assert_eq!(json.string("environment").unwrap(), "prod/shop");
    assert_eq!(artifact.string("uri").unwrap(), "pkg:deb/acme/shop");
    assert_eq!(artifact.object("digest").unwrap().string("sha256").unwrap(), shop().hex());
    let about = format!("\nenvironment: prod/shop\nartifact: pkg:deb/acme/shop@{}\nrecord: ", shop());
    assert!(json.string("text").unwrap().contains(&about), "{}", admitted.body);
    let event = running.event("\"decision\"");
    assert_eq!(
        (field(&event, "asker"), field(&event, "environment")),
        ("ci.example".to_owned(), "prod/shop".to_owned())
    );
    assert_eq!(format!("{}:{}", field(&event, "record"), field(&event, "leaf")), record);
    let before = decisions(&running);
    // not tested; a test of something else; by a stranger; another name; nobody's environment; another digest's evidence
    refused(&ask(&DOCUMENT.replace("HEX", &Digest::sha256(b"untested").hex())), &["signed-by", "tests"]);
    let other = Digest::sha256(b"other");
    refused(&ask(&tested(&other, &bundle, "")), &["evidence-applies", "signed-by", "tests"]);
    place.test_of(&shop(), "stranger.key", "forged.json");
    refused(
        &ask(&tested(&shop(), &place.bundle("forged.json"), "")),
        &["evidence-authentic", "signed-by", "tests"],
    );
    let named = tested(&shop(), &bundle, "").replace("pkg:deb/acme/shop", "pkg:deb/acme/shop-evil");
    refused(&ask(&named), &["policy-missing"]);
    refused(&ask(&tested(&shop(), &bundle, "").replace("prod/shop", "prod/nobody")), &["policy-missing"]);
    let text = tested(&shop(), "\"noise\"", "").replace("\"bundle\":", "\"text\":");
    refused(&ask(&text), &["evidence-readable", "signed-by", "tests"]);
    refused(&ask(&DOCUMENT.replace("\"sha256\":\"HEX\"", "")), &["digest-required"]);
    assert_eq!(decisions(&running), before + 7);
    assert_eq!(running.count("\"decision\""), 8);
    // nothing of Kubernetes is there
    for path in ["/v1/kubernetes/validate", "/v1/kubernetes/mutate"] {
        assert_eq!(place.post(&running, "ci", path, &[], "{}").status, 404);
    }
    assert_eq!(place.records(running).len(), 8);
}

#[test]
fn only_who_is_named_asks_and_only_as_itself() {
    let place = Place::new("");
    place.policy("");
    let text = fs::read_to_string(place.at("book/shop.yaml")).unwrap();
    fs::write(
        place.at("book/shop.yaml"),
        text.replace("tests: [unit]", "tests: [unit], requested-by: [deployers]"),
    )
    .unwrap();
    let running = place.start();
    let good = good(&place);
    let refusal = |who: &str, status: u16, code: &str, found: &str| {
        let answer = place.ask(&running, who, &[], &good);
        assert_eq!((answer.status, answer.text("code").as_str()), (status, code), "{who}: {}", answer.body);
        assert!(answer.text("found").contains(found), "{}", answer.body);
    };
    refusal("", 401, "unauthenticated", "neither");
    refusal("other", 403, "not-permitted", "other.example");
    refusal("both", 403, "not-permitted", "ci.example, bot.example");
    assert_eq!(place.ask(&running, "impostor", &[], &good).status, 0, "no handshake with another authority");
    let basic = place.ask(&running, "", &["authorization: Basic YTpi"], &good);
    assert_eq!(
        (basic.status, basic.head.contains("www-authenticate: bearer")),
        (401, true),
        "{}",
        basic.body
    );
    // what only the choke point says is no part of a question
    for more in [
        ",\"requester\":\"bob@acme.example\"",
        ",\"at\":\"2020-01-01T00:00:00Z\"",
        ",\"standing\":{\"kind\":\"unchanged\"}",
        ",\"outage\":\"evidence-store\"",
        ",\"dry_run\":true",
        ",\"environment\":\"prod/other\"",
    ] {
        let smuggled = good.replacen(",\"artifact\"", &format!("{more},\"artifact\""), 1);
        let answer = place.ask(&running, "ci", &[], &smuggled);
        assert_eq!(
            (answer.status, answer.text("code").as_str()),
            (400, "malformed"),
            "{more}: {}",
            answer.body
        );
    }
    for (headers, to, body, status) in [
        (&["content-type: text/plain"][..], "/v1/decisions", good.as_str(), 415),
        (&[], "/v1/decisions?requester=bob", &good, 400),
        (&[], "/v1/decisions?timeout=soon", &good, 400),
        (&["idempotency-key: a", "idempotency-key: b"], "/v1/decisions", &good, 400),
        (&[], "/v1/decisions", "{", 400),
        (&[], "/v1/decisions", &" ".repeat(300 << 10), 413),
    ] {
        let answer = place.post(&running, "ci", to, headers, body);
        assert_eq!(answer.status, status, "{to} {headers:?}: {}", answer.body);
    }
    assert_eq!((decisions(&running), running.count("\"decision\"")), (0, 0), "nothing was decided");
    let admitted = place.ask(&running, "ci", &[], &good);
    assert_eq!(admitted.status, 200, "the certificate's name is a deployer's: {}", admitted.body);
    assert_eq!(place.records(running).len(), 1);
}

#[test]
fn a_token_asks_under_its_issuer_s_name_while_it_counts() {
    let place = Place::new(
        "  issuers:\n    - { issuer: \"https://token.example\", audience: portcullis, algorithm: ES256, keys: { file: jwks.json }, identity: sub, claims: { owner: acme } }\n",
    );
    let issuer = Issuer::new(place.dir.path());
    let running = place.start();
    let good = good(&place);
    let now = now();
    let claims = |sub: &str, exp: i64, more: &str| {
        format!(r#"{{"iss":"https://token.example","aud":"portcullis","sub":"{sub}","exp":{exp}{more}}}"#)
    };
    let ask = |claims: &str, who: &str| {
        let token = issuer.token(r#"{"alg":"ES256","kid":"k1"}"#, claims);
        place.ask(&running, who, &[&format!("authorization: Bearer {token}")], &good)
    };
    let acme = r#","owner":"acme""#;
    let admitted = ask(&claims("repo:acme/shop", now + 300, acme), "");
    assert_eq!(admitted.status, 200, "{}", admitted.body);
    assert_eq!(field(&running.event("\"decision\""), "asker"), "token https://token.example repo:acme/shop");
    for (claims, who, found) in [
        (claims("repo:acme/shop", now - 300, acme), "", "expired"),
        (claims("repo:evil/shop", now + 300, r#","owner":"evil""#), "", "owner"),
        (claims("repo:evil/shop", now + 300, ""), "", "owner"),
        (claims("repo:acme/shop", now + 300, acme).replace("portcullis", "another"), "", "audience"),
        (claims("repo:acme/shop", now + 300, acme).replace("token.example", "token.evil"), "", "issuer"),
        (claims("repo:acme/shop", now + 300, acme), "ci", "both"),
        (claims("a\\nb", now + 300, acme), "", "no line"),
    ] {
        let answer = ask(&claims, who);
        assert_eq!(answer.status, 401, "{claims}: {}", answer.body);
        assert!(answer.text("found").contains(found), "{}", answer.body);
    }
    let none = place.ask(&running, "", &["authorization: Bearer eyJhbGciOiJub25lIn0.e30."], &good);
    assert_eq!(none.status, 401, "{}", none.body);
    // when nobody can tell who asks, nobody is told that it is nobody
    drop(running);
    fs::remove_file(place.at("jwks.json")).unwrap();
    fs::create_dir(place.at("jwks.json")).unwrap();
    let running = place.start();
    let token = issuer.token(r#"{"alg":"ES256","kid":"k1"}"#, &claims("repo:acme/shop", now + 300, acme));
    let answer = place.ask(&running, "", &[&format!("authorization: Bearer {token}")], &good);
    assert_eq!((answer.status, answer.text("code").as_str()), (503, "issuer-away"), "{}", answer.body);
    assert!(answer.head.contains("retry-after: 5"), "{}", answer.head);
}

#[test]
fn one_question_under_a_key_is_decided_once() {
    let place = Place::new("");
    let running = place.start();
    let good = good(&place);
    let key = ["idempotency-key: run-1"];
    let all: Vec<Answer> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| place.ask(&running, "ci", &key, &good))).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let first = all[0].clone();
    assert!(all.iter().all(|one| (one.status, &one.body) == (200, &first.body)), "{all:?}");
    assert_eq!(all.iter().filter(|one| !one.is_replayed()).count(), 1, "one of them decided");
    assert_eq!(decisions(&running), 1);
    // in the other form it is the same answer
    let text = place.ask(&running, "ci", &[key[0], "accept: text/plain"], &good);
    assert!(
        text.is_replayed() && text.body.ends_with(&format!("record: {}\n", first.text("record"))),
        "{text:?}"
    );
    let other = place.ask(&running, "ci", &key, &good.replace("prod/shop", "prod/other"));
    assert_eq!((other.status, other.text("code").as_str()), (409, "idempotency-key-reused"));
    // a refusal too is the same, and without a key each question is its own
    let bad = DOCUMENT.replace("HEX", &shop().hex());
    let key2 = ["idempotency-key: run-2"];
    let refused = place.ask(&running, "ci", &key2, &bad);
    assert_eq!((refused.status, decisions(&running)), (403, 2));
    assert_eq!(place.ask(&running, "ci", &key2, &bad).body, refused.body);
    assert_eq!(decisions(&running), 2);
    assert_ne!(place.ask(&running, "ci", &[], &good).text("record"), first.text("record"));
    assert_eq!(decisions(&running), 3);
    // an admission under other files is none: the tester is revoked
    place.policy("");
    let text = fs::read_to_string(place.at("book/shop.yaml")).unwrap();
    fs::write(place.at("book/shop.yaml"), text.replace("[unit]", "[unit, smoke]")).unwrap();
    running.event("\"reloaded\"");
    let stale = place.ask(&running, "ci", &key, &good);
    assert_eq!((stale.status, stale.is_replayed()), (403, false), "{}", stale.body);
    assert_eq!(place.records(running).len(), 4);
}

#[test]
fn a_grant_lets_it_go_on_by_digest_and_in_the_question_and_is_alarmed() {
    let place = Place::new("");
    let running = place.start();
    let (key, root, store, out) =
        (place.at("bob.key"), place.at("trust-root.yaml"), place.at("evidence"), place.at("grant.json"));
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
    let who = [
        "--expires",
        "1h",
        "--key",
        path(&key),
        "--trust-root",
        path(&root),
        "--store",
        path(&store),
        "--out",
        path(&out),
    ];
    expect(0, &[&what[..], &who[..]].concat());
    let grant = place.bundle("grant.json");
    let digest = Digest::sha256(&fs::read(&out).unwrap());
    let bad = DOCUMENT.replace("HEX", &shop().hex());
    let with = |grant: &str| format!("{},\"grant\":{grant}}}", bad.strip_suffix('}').unwrap());
    for grant in [format!("\"{digest}\""), grant.clone()] {
        let answer = place.ask(&running, "ci", &[], &with(&grant));
        assert_eq!((answer.status, answer.text("basis").as_str()), (200, "breakglass"), "{}", answer.body);
        assert!(answer.body.contains("is admitted by a grant, which is on record"), "{}", answer.body);
    }
    until("nobody is told", || {
        fs::read_to_string(place.at("alarms.jsonl")).unwrap_or_default().contains("breakglass-used")
    });
    // one that nobody gave, one for another environment, and one that is nowhere
    let elsewhere = with(&grant).replacen("prod/shop", "prod/other", 1);
    assert_eq!(place.ask(&running, "ci", &[], &elsewhere).status, 403);
    let forged = grant.replace("\"sig\":\"", "\"sig\":\"AAAA");
    let answer = place.ask(&running, "ci", &[], &with(&forged));
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert!(answer.body.contains("breakglass-grant"), "{}", answer.body);
    let nowhere = place.ask(&running, "ci", &[], &with(&format!("\"{}\"", Digest::sha256(b"nowhere"))));
    assert!(
        nowhere.status == 403 && nowhere.text("text").contains("is not in the evidence store"),
        "{nowhere:?}"
    );
}

#[test]
fn a_dry_run_says_what_would_be_and_records_nothing() {
    let place = Place::new("");
    let running = place.start();
    let dry = good(&place);
    let dry = format!("{},\"dry-run\":true}}", dry.strip_suffix('}').unwrap());
    let answer = place.ask(&running, "ci", &[], &dry);
    assert_eq!((answer.status, answer.text("record").as_str()), (200, ""), "{}", answer.body);
    let bad =
        DOCUMENT.replace("HEX", &shop().hex()).replace("\"environment\"", "\"dry-run\":true,\"environment\"");
    let text = place.ask(&running, "ci", &["accept: text/plain"], &bad);
    assert_eq!((text.status, text.body.contains("error[signed-by]")), (403, true), "{}", text.body);
    let line = format!("reject: pkg:deb/acme/shop@{}\n", shop().short());
    let about = format!("environment: prod/shop\nartifact: pkg:deb/acme/shop@{}\n", shop());
    assert!(text.body.ends_with(&(line + &about)), "{}", text.body);
    assert!(place.records(running).is_empty());
}

#[test]
fn evidence_that_was_attached_counts_and_a_store_that_is_away_is_no_refusal() {
    let place = Place::new("");
    let running = place.start();
    place.test_passed(&shop());
    let test = place.at("test.json");
    let (ca, cert, key) = (place.at("ca.pem"), place.at("ci.pem"), place.at("ci.key"));
    let tls = ["--ca", path(&ca), "--client-certificate", path(&cert), "--client-key", path(&key)];
    let artifact = shop().to_string();
    // who asks may attach: with the same certificate
    expect(
        0,
        &[&["attach", &artifact, "--bundle", path(&test), "--server", &running.url], &tls[..]].concat(),
    );
    let plain = DOCUMENT.replace("HEX", &shop().hex());
    assert_eq!(place.ask(&running, "ci", &[], &plain).status, 200);
    let digest = Digest::sha256(place.bundle("test.json").as_bytes());
    let named = format!("{},\"evidence-digests\":[\"{digest}\"]}}", plain.strip_suffix('}').unwrap());
    assert_eq!(place.ask(&running, "ci", &[], &named).status, 200);
    let lost = named.replace(&digest.to_string(), &Digest::sha256(b"lost").to_string());
    let lost = place.ask(&running, "ci", &[], &lost);
    assert!(lost.status == 403 && lost.text("text").contains("evidence-missing"), "{}", lost.body);
    // the store is a file: nobody knows what is there
    fs::rename(place.at("evidence"), place.at("away")).unwrap();
    fs::write(place.at("evidence"), "").unwrap();
    let key = ["idempotency-key: k"];
    let away = place.ask(&running, "ci", &key, &plain);
    assert_eq!((away.status, away.text("decision").as_str()), (503, "cannot-decide"), "{}", away.body);
    assert!(away.head.contains("retry-after: ") && !away.text("record").is_empty(), "{away:?}");
    let text = place.ask(&running, "ci", &["accept: text/plain"], &plain);
    assert!(text.status == 503 && text.body.contains("cannot decide: "), "{}", text.body);
    assert_eq!(place.ask(&running, "ci", &[], &good(&place)).status, 200, "what came along needs no store");
    fs::remove_file(place.at("evidence")).unwrap();
    fs::rename(place.at("away"), place.at("evidence")).unwrap();
    assert_eq!(
        place.ask(&running, "ci", &key, &plain).status,
        200,
        "what could not be decided is asked anew"
    );
    let total = running.read("/metrics");
    let undecided = r#"portcullis_requests_total{end="undecided"} 2"#;
    assert!(total.contains(undecided), "{total}");
}

#[test]
fn a_log_without_room_admits_nothing() {
    let place = Place::new("");
    let Some(disk) = Disk::under(&place) else { return };
    let running = place.start();
    let good = good(&place);
    assert_eq!(place.ask(&running, "ci", &[], &good).status, 200);
    disk.fill();
    let began = Instant::now();
    let last = loop {
        let answer = place.ask(&running, "ci", &[], &good);
        if answer.status != 200 {
            break answer;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it goes on without a log");
    };
    assert_eq!((last.status, last.text("code").as_str()), (503, "failed"), "{}", last.body);
    assert!(
        last.text("message").starts_with("cannot decide: ") && last.head.contains("retry-after"),
        "{last:?}"
    );
    let text = place.ask(&running, "ci", &["accept: text/plain"], &good);
    assert!(text.status == 503 && text.body.contains("cannot decide"), "{}", text.body);
}

#[test]
fn after_a_restart_the_same_question_under_a_key_is_decided_anew_and_comes_to_the_same() {
    let place = Place::new("");
    let running = place.start();
    let bad = DOCUMENT.replace("HEX", &shop().hex());
    let questions = [("idempotency-key: run-1", good(&place)), ("idempotency-key: run-2", bad)];
    let ask = |running: &Serving, (key, body): &(&str, String)| place.ask(running, "ci", &[key], body);
    // all but the record's name
    let said = |answer: &Answer| {
        let mut json = answer.json();
        let record = json.remove("record").unwrap().to_string();
        json.remove("text");
        (answer.status, json, record)
    };
    let before: Vec<Answer> = questions.iter().map(|question| ask(&running, question)).collect();
    assert_eq!(before.iter().map(|one| one.status).collect::<Vec<_>>(), [200, 403]);
    assert_eq!(running.end(), 0);
    let running = place.start();
    for (question, before) in questions.iter().zip(&before) {
        let after = ask(&running, question);
        assert!(!after.is_replayed(), "{after:?}");
        let ((status, json, record), (was_status, was_json, was_record)) = (said(&after), said(before));
        assert_eq!((status, json), (was_status, was_json), "the same facts have the same answer");
        assert_ne!(record, was_record, "and a record of their own");
        assert!(ask(&running, question).is_replayed(), "from then on it is given again");
    }
    // a key that was another question's is free again: nobody remembers it
    let other = questions[0].1.replace("prod/shop", "prod/other");
    assert_eq!(place.ask(&running, "ci", &[questions[0].0], &other).status, 409);
    assert_eq!(running.end(), 0);
    let running = place.start();
    assert_eq!(place.ask(&running, "ci", &[questions[0].0], &other).status, 403, "decided, and not 409");
    assert_eq!(place.records(running).len(), 5);
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[allow(clippy::disallowed_methods, reason = "a test's own clock")]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
