//! Every combination of what can bear on a decision, against the order written down a second time.

use attest::breakglass::Grant;
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Artifact, Digest, DigestSet, SecretKey, Signer as _, Statement, TrustRoot};
use jiff::Timestamp;
use policy::{Book, DeploymentRequest, Frame, Guardrails, Outage, SourceFile, Submitted, evaluate};

use super::*;
use crate::summary::Passed;

const DAY: i64 = 86_400;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

fn now(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn root() -> TrustRoot {
    let pem = |seed| -> String {
        key(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
    };
    let text = format!(
        "version: 1\nsigners:\n  vendor:\n    keys:\n      - key: |\n{}  left:\n    keys:\n      - key: |\n{}        revoked: {{ from: 2020-01-01T00:00:00Z, reason: lost }}\npeople:\n  alice:\n    identities: [alice@x]\n    keys:\n      - key: |\n{}groups:\n  oncall: [alice]\n",
        pem(1),
        pem(2),
        pem(3)
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

fn signature(seed: u8) -> Submitted {
    let digests = Digest::sha256(b"shop").into();
    let statement = Statement::write("shop", &digests, "https://example.com/x", Object::new());
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key(seed)]).unwrap();
    Submitted { name: format!("{seed}.json"), bytes: dsse.to_json().to_string().into_bytes() }
}

fn grant(expires: i64) -> Submitted {
    let grant = Grant {
        id: "inc-7".to_owned(),
        environment: "prod/shop".to_owned(),
        artifact: None,
        requester: None,
        reason: "down".to_owned(),
        ticket: "INC-7".to_owned(),
        issued: now(-3600),
        expires: now(expires),
    };
    Submitted { name: "grant".to_owned(), bytes: grant.sign(&key(3)).unwrap().to_string().into_bytes() }
}

fn recreated(age: i64) -> Standing {
    let (owner, template) = ("ReplicaSet/shop/web/1".to_owned(), Digest::sha256(b"template"));
    Standing::Recreated { owner, template, decided: 1, at: now(-age) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    Enough,
    None,
    Revoked,
    Garbage,
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    evidence: Evidence,
    has_digest: bool,
    is_claimed: bool,
    /// `true` for one that holds, `false` for one that has expired.
    grant: Option<bool>,
    outage: bool,
    standing: usize,
    is_dry_run: bool,
    admits_on_outage: bool,
    standing_span: &'static str,
}

/// The standings that are tried, and whether they hold under `7d`, `1d` and `0d`.
fn standings() -> [(Option<Standing>, [bool; 3]); 7] {
    [
        (None, [false; 3]),
        (Some(Standing::Unchanged), [true; 3]),
        (Some(recreated(0)), [true, true, false]),
        (Some(recreated(DAY + 1)), [true, false, false]),
        (Some(recreated(7 * DAY)), [true, false, false]),
        (Some(recreated(7 * DAY + 1)), [false; 3]),
        (Some(recreated(-61)), [false; 3]),
    ]
}

const SPANS: [&str; 3] = ["7d", "1d", "0d"];

fn settings() -> Vec<Setting> {
    let mut all = Vec::new();
    let flags = |n: usize, bit: usize| n & (1 << bit) != 0;
    for evidence in [Evidence::Enough, Evidence::None, Evidence::Revoked, Evidence::Garbage] {
        for grant in [None, Some(true), Some(false)] {
            for standing in 0..standings().len() {
                for standing_span in SPANS {
                    for n in 0..32 {
                        all.push(Setting {
                            evidence,
                            has_digest: flags(n, 0),
                            is_claimed: flags(n, 1),
                            grant,
                            outage: flags(n, 2),
                            standing,
                            is_dry_run: flags(n, 3),
                            admits_on_outage: flags(n, 4),
                            standing_span,
                        });
                    }
                }
            }
        }
    }
    all
}

fn book(s: Setting) -> Book {
    let (mode, outage) = (
        if s.is_dry_run { "dry-run" } else { "enforce" },
        if s.admits_on_outage { "admit" } else { "reject" },
    );
    let environment = if s.is_claimed { "prod/shop" } else { "prod/other" };
    let text = format!(
        "environment: {environment}\nartifact: shop\nmode: {mode}\non-outage: {outage}\nstanding: {}\nbreakglass: {{ group: oncall, expires: 4h, reviewed-within: 24h }}\nrequire: {{ signed-by: [vendor] }}\n",
        s.standing_span
    );
    Book::load(vec![SourceFile { name: "book/shop.yaml".to_owned(), text }], &Guardrails::none()).unwrap()
}

fn case(s: Setting, book: &Book, root: &TrustRoot) -> Case {
    let digests = if s.has_digest { Digest::sha256(b"shop").into() } else { DigestSet::default() };
    let mut request = DeploymentRequest::new(Artifact::new("shop", digests), "prod/shop", "test");
    request.envelopes = match s.evidence {
        Evidence::Enough => vec![signature(1)],
        Evidence::None => Vec::new(),
        Evidence::Revoked => vec![signature(2)],
        Evidence::Garbage => vec![Submitted { name: "garbage".to_owned(), bytes: b"{".to_vec() }],
    };
    request.grant = s.grant.map(|holds| grant(if holds { 3600 } else { -1 }));
    request.outage = s.outage.then_some(Outage::EvidenceStore);
    request.standing = standings()[s.standing].0.clone();
    let frame = Frame {
        at: now(0),
        last_seen: None,
        book: book.digest().clone(),
        trust_root: root.digest().clone(),
        trust_root_version: root.version(),
        beside: policy::Beside::default(),
        engine: "test".to_owned(),
    };
    Case::open(request, frame)
}

/// The order, once more and by other means than the engine's.
fn expected(s: Setting) -> (Answer, Basis) {
    let is_judged = s.is_claimed && s.has_digest;
    let is_bad = is_judged && matches!(s.evidence, Evidence::Revoked | Evidence::Garbage);
    let span = SPANS.iter().position(|span| *span == s.standing_span).unwrap();
    let is_unchanged = s.standing == 1;
    let stands = standings()[s.standing].1[span] && (is_unchanged || (is_judged && !is_bad));
    if is_judged && s.evidence == Evidence::Enough {
        return (Answer::Admit, Basis::Policy);
    }
    if is_judged && s.grant == Some(true) {
        return (Answer::Admit, Basis::Breakglass);
    }
    if is_judged && s.outage && !is_bad {
        return match (s.admits_on_outage, stands, s.is_dry_run) {
            (true, ..) => (Answer::Admit, Basis::Outage),
            (_, true, _) => (Answer::Admit, Basis::Standing),
            (.., true) => (Answer::Admit, Basis::DryRun),
            _ => (Answer::Reject, Basis::CannotDecide),
        };
    }
    match (stands, s.is_dry_run && s.is_claimed) {
        (true, _) => (Answer::Admit, Basis::Standing),
        (false, true) => (Answer::Admit, Basis::DryRun),
        (false, false) => (Answer::Reject, Basis::Policy),
    }
}

#[test]
fn every_combination_is_decided_in_the_order_and_again_from_its_json() {
    let root = root();
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for setting in settings() {
        let book = book(setting);
        let case = case(setting, &book, &root);
        let policy = book.select(case.environment(), case.artifact().uri());
        let decision = Decision::of(evaluate(&case, &book, &root), &case, policy);
        let found = (decision.answer(), decision.basis());
        assert_eq!(found, expected(setting), "{setting:?}\n{}", decision.to_json().pretty());
        *counts.entry(decision.basis().name()).or_default() += 1;
        let passed = Passed::of(&decision, &case, &book, &root, Digest::sha256(b"leaf"));
        assert_eq!(passed.is_some(), expected(setting) == (Answer::Admit, Basis::Policy), "{setting:?}");
        let json = attest::json::parse(case.to_json().to_string().as_bytes()).unwrap();
        let fetch = |digest: &Digest| {
            case.parts().find(|(_, own)| *own == digest).map(|(part, _)| part.bytes.clone())
        };
        let again = Case::read(&json, fetch).unwrap();
        let replayed = Decision::of(evaluate(&again, &book, &root), &again, policy);
        assert_eq!(replayed.to_json().to_string(), decision.to_json().to_string());
    }
    assert_eq!(counts.len(), 6, "every basis was there: {counts:?}");
}

#[test]
fn the_json_says_which_standing_and_which_grant_and_nothing_where_there_is_none() {
    let plain = Setting {
        evidence: Evidence::None,
        has_digest: true,
        is_claimed: true,
        grant: None,
        outage: false,
        standing: 0,
        is_dry_run: false,
        admits_on_outage: false,
        standing_span: "7d",
    };
    let keys = |s: Setting| {
        let (book, root) = (book(s), root());
        let case = case(s, &book, &root);
        let policy = book.select(case.environment(), case.artifact().uri());
        let json = Decision::of(evaluate(&case, &book, &root), &case, policy).to_json();
        let object = json.as_object().unwrap().clone();
        let keys: Vec<String> = object.iter().map(|(key, _)| key.to_owned()).collect();
        (keys.join(" "), object)
    };
    assert_eq!(keys(plain).0, "decision basis verdict");
    let (all, object) = keys(Setting { standing: 2, ..plain });
    assert_eq!(
        (all.as_str(), object.string("standing").unwrap()),
        ("decision basis standing verdict", "recreated")
    );
    let met = Setting { evidence: Evidence::Enough, standing: 1, grant: Some(true), ..plain };
    let (all, object) = keys(met);
    assert_eq!(all, "decision basis grant verdict", "a grant is on record where it was not needed, too");
    let grant = object.object("grant").unwrap();
    for (key, value) in [("id", "inc-7"), ("person", "alice"), ("reason", "down"), ("ticket", "INC-7")] {
        assert_eq!(grant.string(key).unwrap(), value);
    }
    assert_eq!(grant.string("expires").unwrap(), now(3600).to_string());
    assert!(grant.string("digest").unwrap().starts_with("sha256:"));
}
