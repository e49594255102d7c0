//! What a request says beside its evidence: no digest, a grant, what stands, an outage, what was consulted.
//!
//! `GOLDEN=overwrite cargo test -p policy --test requests` rewrites the expected texts; read the diff.

#[path = "requests/setting.rs"]
mod setting;

use std::path::Path;

use attest::breakglass::Grant;
use attest::{Artifact, Digest, DigestSet, Json, Object};
use policy::{
    Book, Case, Consulted, DeploymentRequest, Diagnostic, Guardrails, Outage, Outcome, Severity, SourceFile,
    Standing, Style, Submitted, Unreadable, Verdict,
};
use setting::{BREAKGLASS, at, book, case, given, grant, judge, request, root, signature, submitted};

fn with_grant(grant: Submitted) -> DeploymentRequest {
    DeploymentRequest { grant: Some(grant), ..request() }
}

fn nameless() -> DeploymentRequest {
    let artifact = Artifact::new("registry.example/shop:1.2", DigestSet::default());
    DeploymentRequest { artifact, ..request() }
}

fn reference() -> Unreadable {
    Unreadable {
        what: "the image reference cannot be read: the repository has a capital letter".to_owned(),
        place: "spec.containers[0].image".to_owned(),
        wanted: "registry/repository[:tag]@sha256:HEX".to_owned(),
        found: "registry.example/Shop".to_owned(),
        fix: "write the repository in lower case".to_owned(),
    }
}

fn annotation() -> Unreadable {
    Unreadable {
        what: "the annotation portcullis.dev/evidense is none that is known".to_owned(),
        place: "metadata.annotations[portcullis.dev/evidense]".to_owned(),
        wanted: String::new(),
        found: String::new(),
        fix: "write portcullis.dev/evidence".to_owned(),
    }
}

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn golden(path: &Path, found: &str) {
    if std::env::var_os("GOLDEN").is_some_and(|v| v == "overwrite") {
        std::fs::write(path, found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(expected == found, "{} differs; GOLDEN=overwrite rewrites it. Now:\n{found}", path.display());
}

/// Every way in which a grant does not hold, and what is said then.
fn grants_that_do_not_hold() -> Vec<(&'static str, DeploymentRequest)> {
    let for_other = Some(Digest::sha256(b"other"));
    let late = at("2026-11-22T12:00:00Z");
    let early = at("2026-11-22T09:01:01Z");
    let by_alice = |grant: Grant| with_grant(given(&grant, "alice"));
    vec![
        ("not readable", with_grant(submitted("{}".to_owned()))),
        ("a stranger's", with_grant(given(&grant(), "stranger"))),
        ("under a revoked key", with_grant(given(&grant(), "carol"))),
        ("under a key that ran out", with_grant(given(&grant(), "dave"))),
        ("another statement", with_grant(signature("alice", "shop"))),
        ("by a person outside of the group", with_grant(given(&grant(), "bob"))),
        ("by a machine in the group", with_grant(given(&grant(), "ci"))),
        ("for another environment", by_alice(Grant { environment: "prod/*".into(), ..grant() })),
        ("for another artifact", by_alice(Grant { artifact: for_other, ..grant() })),
        ("for another requester", by_alice(Grant { requester: Some("carol@x".into()), ..grant() })),
        ("expired", by_alice(Grant { expires: at(setting::NOW), ..grant() })),
        ("not yet", by_alice(Grant { issued: early, ..grant() })),
        ("for too long", by_alice(Grant { expires: at("2026-11-22T12:00:00.000000001Z"), ..grant() })),
        (
            "too long and long ago",
            by_alice(Grant { issued: at("2026-11-01T00:00:00Z"), expires: late, ..grant() }),
        ),
    ]
}

#[test]
fn every_new_finding_says_what_it_said() {
    let mut cases: Vec<(String, Verdict)> = Vec::new();
    cases.push(("no digest".to_owned(), judge(nameless(), &book(""))));
    let suggestion = Some(Digest::sha256(b"shop"));
    let known = DeploymentRequest { suggestion, ..nameless() };
    cases.push(("no digest, and it is known".to_owned(), judge(known, &book(""))));
    let asked = DeploymentRequest { unreadable: vec![reference(), annotation()], ..nameless() };
    cases.push(("what cannot be read".to_owned(), judge(asked, &book(""))));
    for (name, request) in grants_that_do_not_hold() {
        cases.push((format!("grant {name}"), judge(request, &book(BREAKGLASS))));
    }
    let held = || with_grant(given(&grant(), "alice"));
    cases.push(("grant, and the policy allows none".to_owned(), judge(held(), &book(""))));
    let unclaimed = DeploymentRequest { environment: "prod/other".to_owned(), ..held() };
    cases.push(("grant, and no policy".to_owned(), judge(unclaimed, &book(BREAKGLASS))));
    let outage = DeploymentRequest { outage: Some(Outage::EvidenceStore), ..request() };
    cases.push(("outage".to_owned(), judge(outage, &book(""))));
    let mut text = String::new();
    for (name, verdict) in cases {
        assert!(verdict.grant().is_none(), "{name}");
        text.push_str(&format!("=== {name}: {:?}\n\n", verdict.outcome()));
        for finding in verdict.findings().iter().filter(|f| f.rule != "signed-by") {
            assert!(!finding.wanted.is_empty() && !finding.found.is_empty(), "{finding:?}");
            let diagnostic = Diagnostic::of_finding(finding, "registry.example/shop", Severity::Error);
            text.push_str(&format!("{}\n", diagnostic.to_text(Style::Plain)));
        }
    }
    golden(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests/expected.txt"), &text);
}

#[test]
fn without_a_digest_nothing_else_is_said_and_no_grant_helps() {
    let mut asked = nameless();
    asked.envelopes = vec![signature("stranger", "other"), signature("vendor", "shop")];
    asked.grant = Some(given(&grant(), "alice"));
    let verdict = judge(asked, &book(BREAKGLASS));
    let rules: Vec<_> = verdict.findings().iter().map(|f| f.rule).collect();
    assert_eq!(rules, ["digest-required"]);
    assert!(verdict.grant().is_none());
    let fix = DeploymentRequest { suggestion: Some(Digest::sha256(b"shop")), ..nameless() };
    let fix = judge(fix, &book("")).findings()[0].fixes()[0].clone();
    assert_eq!(fix, format!("write registry.example/shop@{}", Digest::sha256(b"shop")));
}

#[test]
fn where_a_request_cannot_be_read_nothing_else_is_said() {
    let rules = |verdict: &Verdict| verdict.findings().iter().map(|f| f.rule).collect::<Vec<_>>();
    let mut asked = DeploymentRequest { unreadable: vec![annotation()], ..request() };
    asked.envelopes = vec![signature("vendor", "shop")];
    asked.outage = Some(Outage::EvidenceStore);
    let verdict = judge(asked.clone(), &book("on-outage: admit\n"));
    assert_eq!((verdict.outcome(), rules(&verdict)), (&Outcome::Unmet, vec!["request-readable"]));
    assert!(verdict.outage().is_none() && verdict.findings()[0].ends_standing());
    asked.environment = "prod/other".to_owned();
    assert_eq!(rules(&judge(asked, &book(""))), ["request-readable"]);
    // one whose name cannot be read has no digest, and no grant is for it
    let granted = |request| DeploymentRequest {
        unreadable: vec![reference()],
        grant: Some(given(&grant(), "alice")),
        ..request
    };
    let nameless = judge(granted(nameless()), &book(BREAKGLASS));
    assert_eq!((rules(&nameless), nameless.grant()), (vec!["request-readable"], None));
    let held = judge(granted(request()), &book(BREAKGLASS));
    assert_eq!((rules(&held), held.grant().is_some()), (vec!["request-readable"], true));
    let none = judge(granted(request()), &book(""));
    assert_eq!(rules(&none), ["request-readable", "breakglass-grant"]);
    // with a clock that went back nobody knows whether a grant holds
    let (book, root) = (book(BREAKGLASS), root());
    let case = case(granted(request()), &book, &root);
    let frame = policy::Frame { last_seen: Some(at("2026-11-22T09:30:00Z")), ..case.frame().clone() };
    let verdict = policy::evaluate(&Case::open(case.request().clone(), frame), &book, &root);
    assert!(matches!(verdict.outcome(), Outcome::CannotDecide(_)) && verdict.grant().is_none());
}

#[test]
fn what_cannot_be_read_is_kept_without_secrets_and_only_where_there_is_some() {
    let (book, root) = (book(""), root());
    assert!(!case(request(), &book, &root).to_json().to_string().contains("unreadable"));
    let found = "https://bob:hunter2@registry.example/Shop\u{202e}".to_owned();
    let unreadable = vec![Unreadable { found: format!("{found}{}", "x".repeat(500)), ..reference() }];
    let case = case(DeploymentRequest { unreadable, ..request() }, &book, &root);
    let text = case.to_json().to_string();
    assert!(!text.contains("hunter2") && !text.contains('\u{202e}'), "{text}");
    let again = Case::read(&attest::json::parse(text.as_bytes()).unwrap(), |_| None).unwrap();
    assert_eq!((again.to_json().to_string(), &again), (text, &case));
}

#[test]
fn a_grant_holds_for_its_scope_and_leaves_the_verdict_as_it_is() {
    let ours = Some(Digest::sha256(b"shop"));
    for granted in [
        grant(),
        Grant { artifact: ours, ..grant() },
        Grant { requester: Some("BOB@x".into()), ..grant() },
        Grant { issued: at("2026-11-22T09:01:00Z"), ..grant() },
        Grant { expires: at("2026-11-22T12:00:00Z"), ..grant() },
    ] {
        let verdict = judge(with_grant(given(&granted, "alice")), &book(BREAKGLASS));
        let held = verdict.grant().unwrap_or_else(|| panic!("{granted:?}: {}", verdict.to_json()));
        assert_eq!((held.person(), held.grant()), ("alice", &granted));
        let without = judge(request(), &book(BREAKGLASS));
        assert_eq!((verdict.outcome(), verdict.findings()), (without.outcome(), without.findings()));
    }
}

#[test]
fn a_grant_that_does_not_hold_changes_no_outcome() {
    for (name, mut asked) in grants_that_do_not_hold() {
        assert_eq!(*judge(asked.clone(), &book(BREAKGLASS)).outcome(), Outcome::Unmet, "{name}");
        asked.envelopes = vec![signature("vendor", "shop")];
        let met = judge(asked, &book(BREAKGLASS));
        assert!(met.is_met() && met.findings().is_empty(), "{name}: {}", met.to_json());
        let warned: Vec<_> = met.warnings().iter().map(|f| f.rule).collect();
        assert_eq!(warned, ["breakglass-grant"], "{name}");
    }
}

#[test]
fn a_grant_is_no_evidence() {
    let granted = Grant { artifact: Some(Digest::sha256(b"shop")), ..grant() };
    let mut asked = request();
    asked.envelopes = vec![given(&granted, "vendor")];
    let verdict = judge(asked, &book(""));
    let rules: Vec<_> = verdict.findings().iter().map(|f| f.rule).collect();
    assert_eq!(rules, ["signed-by"], "the vendor signed a grant, and nothing that vouches");
}

#[test]
fn with_a_clock_that_went_back_no_grant_holds() {
    let (book, root) = (book(BREAKGLASS), root());
    let case = case(with_grant(given(&grant(), "alice")), &book, &root);
    let mut frame = case.frame().clone();
    frame.last_seen = Some(at("2026-11-22T09:30:00Z"));
    let verdict = policy::evaluate(&Case::open(case.request().clone(), frame), &book, &root);
    assert!(matches!(verdict.outcome(), Outcome::CannotDecide(_)) && verdict.grant().is_none());
}

#[test]
fn where_no_owner_could_be_looked_up_nobody_is_told_that_a_controller_may_not_ask() {
    let text = "environment: prod/shop\nartifact: registry.example/shop\nrequire: { signed-by: [vendor], requested-by: [oncall] }\n";
    let file = SourceFile { name: "book/shop.yaml".to_owned(), text: text.to_owned() };
    let policy = Book::load(vec![file], &Guardrails::none()).unwrap();
    let asked =
        |outage| DeploymentRequest { outage, envelopes: vec![signature("vendor", "shop")], ..request() };
    let store = judge(asked(Some(Outage::EvidenceStore)), &policy);
    assert_eq!(store.findings().iter().map(|f| f.rule).collect::<Vec<_>>(), ["requested-by"]);
    let verdict = judge(asked(Some(Outage::ClusterApi)), &policy);
    assert_eq!((verdict.outage(), verdict.findings()), (Some(Outage::ClusterApi), &[][..]));
    let Outcome::CannotDecide(why) = verdict.outcome() else { panic!("{:?}", verdict.outcome()) };
    assert!(why.starts_with("the cluster's API server did not answer"), "{why}");
}

#[test]
fn in_an_outage_what_is_missing_is_no_finding_and_what_is_wrong_still_is() {
    let outage = |envelopes: Vec<Submitted>| DeploymentRequest {
        outage: Some(Outage::EvidenceStore),
        envelopes,
        ..request()
    };
    let missing = judge(outage(Vec::new()), &book(""));
    assert_eq!(missing.outage(), Some(Outage::EvidenceStore));
    assert!(matches!(missing.outcome(), Outcome::CannotDecide(_)) && missing.findings().is_empty());
    let met = judge(outage(vec![signature("vendor", "shop")]), &book(""));
    assert!(met.is_met() && met.outage().is_none(), "what is there is enough");
    for (submitted, rule) in [
        (signature("stranger", "shop"), "evidence-authentic"),
        (signature("left", "shop"), "evidence-authentic"),
        (signature("vendor", "other"), "evidence-applies"),
        (setting::submitted("{".to_owned()), "evidence-readable"),
    ] {
        let verdict = judge(outage(vec![submitted]), &book("on-outage: admit\n"));
        let rules: Vec<_> = verdict.findings().iter().map(|f| f.rule).collect();
        assert_eq!((verdict.outcome(), rules), (&Outcome::Unmet, vec![rule]));
        assert_eq!(verdict.outage(), None, "an outage excuses nothing that is wrong");
    }
    let unclaimed = DeploymentRequest { environment: "prod/other".to_owned(), ..outage(Vec::new()) };
    assert_eq!(judge(unclaimed, &book("")).findings()[0].rule, "policy-missing");
    let strangers = judge(outage(Vec::new()), &book_that_asks_for_people());
    assert_eq!(strangers.findings()[0].rule, "requested-by");
}

fn book_that_asks_for_people() -> policy::Book {
    let text = "environment: prod/shop\nartifact: registry.example/shop\nrequire: { signed-by: [vendor], requested-by: [oncall] }\n";
    let file = policy::SourceFile { name: "book/shop.yaml".to_owned(), text: text.to_owned() };
    policy::Book::load(vec![file], &policy::Guardrails::none()).unwrap()
}

#[test]
fn what_ends_a_standing_is_what_is_false_or_revoked_and_not_what_is_missing_or_old() {
    for (by, about, ends) in
        [("stranger", "shop", true), ("left", "shop", true), ("aged", "shop", false), ("ci", "shop", false)]
    {
        let verdict =
            judge(DeploymentRequest { envelopes: vec![signature(by, about)], ..request() }, &book(""));
        assert_eq!(verdict.findings().iter().any(policy::Finding::ends_standing), ends, "{by}");
    }
    let unreadable = DeploymentRequest { envelopes: vec![submitted("{".to_owned())], ..request() };
    assert!(judge(unreadable, &book("")).findings()[0].ends_standing());
}

/// All requests: each of the new fields there and not there.
fn requests() -> Vec<DeploymentRequest> {
    let secret = Object::new().with("kind", "Secret").with("data", Object::new().with("a", "hunter2"));
    let consulted = vec![
        Consulted { name: "Secret shop/db".to_owned(), object: secret.into() },
        Consulted { name: "ReplicaSet shop/web".to_owned(), object: Json::Null },
    ];
    let standings = [
        None,
        Some(Standing::Unchanged),
        Some(Standing::Recreated {
            owner: "ReplicaSet/shop/web/uid-1".to_owned(),
            template: Digest::sha256(b"template"),
            decided: 7,
            at: at("2026-11-20T09:00:00.123Z"),
        }),
        Some(Standing::Recreated {
            owner: String::new(),
            template: Digest::sha256(b""),
            decided: u64::MAX,
            at: at("2026-11-20T09:00:00Z"),
        }),
    ];
    let mut all = Vec::new();
    for (number, standing) in (0..64_usize).flat_map(|n| standings.iter().map(move |s| (n, s))) {
        let mut request = if number & 1 == 0 { request() } else { nameless() };
        request.standing = standing.clone();
        request.consulted = if number & 2 == 0 { Vec::new() } else { consulted.clone() };
        request.grant = (number & 4 != 0).then(|| given(&grant(), "alice"));
        let outage = if number & 4 == 0 { Outage::EvidenceStore } else { Outage::ClusterApi };
        request.outage = (number & 8 != 0).then_some(outage);
        request.suggestion = (number & 16 != 0).then(|| Digest::sha256(b"suggested"));
        request.body = (number & 32 != 0).then_some(Json::Null);
        request.envelopes = vec![signature("vendor", "shop")];
        request.unreadable = if number & 3 == 3 { vec![annotation(), reference()] } else { Vec::new() };
        all.push(request);
    }
    all
}

#[test]
fn a_case_reads_back_as_it_was_and_judges_the_same() {
    let (book, root) = (book(BREAKGLASS), root());
    for request in requests() {
        let case = case(request, &book, &root);
        let json = case.to_json();
        assert!(!json.to_string().contains("hunter2"));
        assert_eq!(case.to_text(), json.to_string());
        let fetch = |digest: &Digest| {
            case.parts().find(|(_, own)| *own == digest).map(|(part, _)| part.bytes.clone())
        };
        let parsed = attest::json::parse(json.to_string().as_bytes()).unwrap();
        let again = Case::read(&parsed, fetch).unwrap();
        assert_eq!((&again, again.to_json()), (&case, json));
        let verdicts = [&case, &again].map(|c| policy::evaluate(c, &book, &root));
        assert_eq!(verdicts[0], verdicts[1]);
    }
}

#[test]
fn a_case_without_anything_new_has_the_bytes_it_always_had() {
    let (book, root) = (book(""), root());
    let json = case(request(), &book, &root).to_json();
    let keys: Vec<_> = json.as_object().unwrap().iter().map(|(key, _)| key).collect();
    let expected = "format at engine book trust_root trust_root_version chokepoint environment artifact requester envelopes";
    assert_eq!(keys, expected.split(' ').collect::<Vec<_>>());
    let verdict = policy::evaluate(&case(request(), &book, &root), &book, &root).to_json();
    let keys: Vec<_> = verdict.as_object().unwrap().iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["outcome", "policy", "findings", "warnings"]);
}

#[test]
fn a_case_whose_grant_is_gone_or_another_does_not_read() {
    let (book, root) = (book(""), root());
    let json = case(with_grant(given(&grant(), "alice")), &book, &root).to_json();
    for other in [None, Some(b"other".to_vec())] {
        let error = Case::read(&json, |_| other.clone()).unwrap_err();
        assert_eq!(error.path, "grant.digest");
    }
}

#[test]
fn how_long_things_stand_is_the_policys_to_say() {
    let stands = |more: &str| book(more).policies()[0].standing().map(|s| s.to_string());
    assert_eq!(stands("").as_deref(), Some("7d"));
    assert_eq!(stands("standing: 36h\n").as_deref(), Some("36h"));
    assert_eq!(stands("standing: 0d\n"), None);
}

#[test]
fn a_summary_is_no_way_around_what_a_guardrail_asks_for() {
    let summary = "verified-by: { verifiers: [gate], within: 1d }";
    for (guardrail, require, loads) in [
        ("require: [built-by]", format!("{{ {summary} }}"), false),
        ("require: [signed-by]", format!("{{ {summary} }}"), false),
        ("require: [source-reviewed]", format!("{{ {summary} }}"), false),
        ("approvals: 1", format!("{{ {summary} }}"), false),
        ("require: [built-by]", format!("{{ built-by: [ci], {summary} }}"), true),
        ("require: [verified-by]", format!("{{ {summary} }}"), true),
        ("require: [verified-by]", "{ built-by: [ci] }".to_owned(), false),
    ] {
        let text = format!("guardrails:\n  - {{ name: all, environment: \"prod/*\", {guardrail} }}\n");
        let guardrails = policy::Guardrails::parse("guardrails.yaml", &text).unwrap();
        let text = format!("environment: prod/shop\nartifact: a/b\nrequire: {require}\n");
        let file = policy::SourceFile { name: "book/shop.yaml".to_owned(), text };
        let found = policy::Book::load(vec![file], &guardrails);
        assert_eq!(found.is_ok(), loads, "{guardrail} {require}: {found:?}");
    }
    // and no rule that reads provenance believes anybody because of it
    let text = format!("environment: prod/shop\nartifact: a/b\nrequire: {{ {summary}, hermetic: true }}\n");
    let file = policy::SourceFile { name: "book/shop.yaml".to_owned(), text };
    let errors = policy::Book::load(vec![file], &policy::Guardrails::none()).unwrap_err();
    assert!(errors[0].message.contains("nothing says whose to believe"), "{}", errors[0]);
}

#[test]
fn a_guardrail_bounds_how_long_things_stand() {
    for (guardrail, standing, loads) in [
        ("3d", "", false),
        ("3d", "standing: 3d\n", true),
        ("3d", "standing: 73h\n", false),
        ("0d", "standing: 1s\n", false),
        ("0d", "standing: 0d\n", true),
    ] {
        let text =
            format!("guardrails:\n  - {{ name: short, environment: \"prod/*\", standing: {guardrail} }}\n");
        let guardrails = policy::Guardrails::parse("guardrails.yaml", &text).unwrap();
        let text =
            format!("environment: prod/shop\nartifact: a/b\nrequire: {{ signed-by: [x] }}\n{standing}");
        let file = policy::SourceFile { name: "book/shop.yaml".to_owned(), text };
        let found = policy::Book::load(vec![file], &guardrails);
        assert_eq!(found.is_ok(), loads, "{guardrail} {standing}");
        if let Err(errors) = found {
            assert!(errors[0].message.contains("lets things stand too long"), "{}", errors[0]);
        }
    }
}
