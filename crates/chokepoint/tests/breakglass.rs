//! What breakglass let in is flagged until a second person has looked at it, and nobody else's word counts.

use std::path::Path;

use attest::breakglass::{Grant, GrantReview, ReviewVerdict};
use attest::time::Span;
use attest::{Artifact, Digest, SecretKey, Signer as _, TrustRoot};
use chokepoint::breakglass::{Budget, Reviews};
use chokepoint::{Basis, Chokepoint, append};
use jiff::Timestamp;
use policy::{Book, DeploymentRequest, Guardrails, SourceFile, Submitted};
use tlog::{Blobs, Files, Log, Reader};

const HOUR: i64 = 3600;
const BOOK: &str = "environment: prod/shop\nartifact: shop\nmode: enforce\nbreakglass: { group: oncall, expires: 4h, reviewed-within: 24h }\nrequire: { signed-by: [vendor] }\n";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

/// alice gives grants, bob deploys, carol has two keys, dave's was stolen, vendor is a machine in the group.
fn root(version: u64) -> TrustRoot {
    let one = |seed: u8, more: &str| {
        let pem: String = key(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
        format!("      - key: |\n{pem}{more}")
    };
    let revoked = "        revoked: { from: 2020-01-01T00:00:00Z, reason: stolen }\n";
    let text = format!(
        "version: {version}\nsigners:\n  vendor:\n    keys:\n{}people:\n  alice:\n    identities: [alice@x]\n    keys:\n{}{}  bob:\n    identities: [bob@x]\n    keys:\n{}  carol:\n    identities: [carol@x]\n    keys:\n{}{}  dave:\n    identities: [dave@x]\n    keys:\n{}groups:\n  oncall: [alice, vendor]\n",
        one(1, ""),
        one(2, ""),
        one(12, ""),
        one(3, ""),
        one(4, ""),
        one(14, ""),
        one(5, revoked),
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn open(dir: &Path) -> Log<Files> {
    let signer = || Box::new(key(9));
    let files = Files::new(dir);
    Log::open(files.clone(), "test.example", signer())
        .or_else(|_| Log::create(files, "test.example", signer()))
        .unwrap()
}

fn grant(id: &str, reason: &str) -> Submitted {
    let grant = Grant {
        id: id.to_owned(),
        environment: "prod/shop".to_owned(),
        artifact: None,
        requester: None,
        reason: reason.to_owned(),
        ticket: "INC-7".to_owned(),
        issued: at(0),
        expires: at(4 * HOUR),
    };
    Submitted { name: "grant".to_owned(), bytes: grant.sign(&key(2)).unwrap().to_string().into_bytes() }
}

fn let_in(dir: &Path, grant: &Submitted, what: &str, seconds: i64) {
    let file = SourceFile { name: "book/shop.yaml".to_owned(), text: BOOK.to_owned() };
    let book = Book::load(vec![file], &Guardrails::none()).unwrap();
    let point = Chokepoint::open(book, root(2), open(dir)).unwrap();
    let artifact = Artifact::new("shop", Digest::sha256(what.as_bytes()).into());
    let mut request = DeploymentRequest::new(artifact, "prod/shop", "test");
    request.grant = Some(grant.clone());
    request.requester = Some("bob@x".to_owned());
    let admission = point.decide(request, at(seconds)).unwrap();
    assert!(admission.is_admitted() && admission.decision().basis() == Basis::Breakglass);
    point.settle().unwrap();
}

fn learnt(dir: &Path, root: Option<&TrustRoot>) -> Reviews {
    let log = open(dir);
    let (files, mut reviews) = (Files::new(dir), Reviews::default());
    let (reader, blobs) = (Reader::new(&files, log.size()), Blobs::new(Files::new(dir)));
    for index in 0..log.size() {
        let leaf = reader.entry(index).unwrap();
        reviews.learn(index, &leaf, &|digest| blobs.get(digest).ok(), root);
    }
    reviews
}

/// A review of all that a grant let in.
fn review(reviews: &Reviews, grant: &Submitted, seconds: i64) -> GrantReview {
    let used = reviews.grant(&Digest::sha256(&grant.bytes)).unwrap();
    GrantReview {
        digest: used.digest.clone(),
        grant: used.id.clone(),
        verdict: ReviewVerdict::Justified,
        comment: "the rollback was right".to_owned(),
        records: used.unreviewed().map(|(leaf, _)| leaf.clone()).collect(),
        reviewed: at(seconds),
    }
}

fn signed(review: &GrantReview, seed: u8) -> Vec<u8> {
    review.sign(&key(seed)).unwrap().to_string().into_bytes()
}

#[test]
fn only_a_second_persons_word_about_this_grant_and_these_records_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (grant("bg-1", "down"), grant("bg-1", "the same id, and another grant"));
    let_in(dir.path(), &one, "shop", HOUR);
    let_in(dir.path(), &other, "shop", HOUR);
    let (root, reviews) = (root(2), learnt(dir.path(), None));
    let good = review(&reviews, &one, 2 * HOUR);
    let theirs = review(&reviews, &other, 2 * HOUR);
    let nowhere = GrantReview { digest: Digest::sha256(b"nowhere"), ..good.clone() };
    let misnamed = GrantReview { grant: "bg-2".to_owned(), ..good.clone() };
    let mixed = GrantReview { records: theirs.records.clone(), ..good.clone() };
    let early = GrantReview { reviewed: at(HOUR - 61), ..good.clone() };
    let late = GrantReview { reviewed: at(3 * HOUR), ..good.clone() };
    for (bytes, why) in [
        (signed(&good, 2), "alice gave the grant"),
        (signed(&good, 12), "alice gave the grant"),
        (signed(&good, 3), "bob deployed under the grant"),
        (signed(&good, 1), "signed by vendor; a person reviews, and no machine"),
        (signed(&good, 7), "no signature on it verifies under a key of the trust root"),
        (signed(&good, 5), "signed by dave with a key revoked from 2020-01-01T00:00:00Z (stolen)"),
        (signed(&nowhere, 4), "nothing in this log was let in by the grant sha256:"),
        (signed(&misnamed, 4), "it calls the grant bg-2, whose id is bg-1"),
        (signed(&mixed, 4), "was not let in by this grant"),
        (signed(&early, 4), "wanted a time between the first record"),
        (signed(&late, 4), "wanted a time between the first record"),
        (one.bytes.clone(), "it is a breakglass grant, and no review of a grant"),
        (b"noise".to_vec(), "it is not authentic: "),
    ] {
        let refused = reviews.check(&root, &bytes, at(2 * HOUR)).unwrap_err().to_string();
        assert!(refused.contains(why), "{why}: {refused}");
    }
    let checked = reviews.check(&root, &signed(&good, 4), at(2 * HOUR)).unwrap();
    assert_eq!(checked.person, "carol");
}

#[test]
fn it_is_due_by_the_clock_flagged_when_that_has_passed_and_open_again_when_more_is_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let one = grant("bg-1", "down");
    let_in(dir.path(), &one, "shop", HOUR);
    let digest = Digest::sha256(&one.bytes);
    let reviews = learnt(dir.path(), None);
    let used = reviews.grant(&digest).unwrap();
    assert_eq!((used.person.as_str(), used.ticket.as_str(), used.first), ("alice", "INC-7", at(HOUR)));
    assert_eq!(used.due(), Some(at(25 * HOUR)), "what the policy says, from the first admission on");
    assert!(!used.is_overdue(at(25 * HOUR - 1)) && used.is_overdue(at(25 * HOUR)));

    let root = root(2);
    let bytes = signed(&review(&reviews, &one, 2 * HOUR), 14);
    let checked = reviews.check(&root, &bytes, at(2 * HOUR)).unwrap();
    append(open(dir.path()), Some(&root), checked.event(&bytes, at(2 * HOUR))).unwrap();
    let reviews = learnt(dir.path(), Some(&root));
    let used = reviews.grant(&digest).unwrap();
    assert_eq!((used.due(), used.reviews[0].person.as_str(), used.reviews[0].index), (None, "carol", 4));
    let again = reviews.check(&root, &bytes, at(2 * HOUR)).unwrap_err().to_string();
    assert_eq!(again, "the same review is on record already, at 4");
    // nobody knows whose word it is without a trust root
    let unproven = learnt(dir.path(), None);
    assert_eq!(unproven.grant(&digest).unwrap().refused[0].1, "no trust root says whose it is");
    assert!(unproven.grant(&digest).unwrap().is_overdue(at(25 * HOUR)));

    let_in(dir.path(), &one, "what the reviewer never saw", 3 * HOUR);
    let reviews = learnt(dir.path(), Some(&root));
    let used = reviews.grant(&digest).unwrap();
    assert_eq!((used.due(), used.unreviewed().count()), (Some(at(27 * HOUR)), 1));
}

#[test]
fn an_event_that_says_it_is_a_review_and_has_no_such_signature_counts_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let one = grant("bg-1", "down");
    let_in(dir.path(), &one, "shop", HOUR);
    let (root, reviews) = (root(2), learnt(dir.path(), None));
    // whoever holds the log's key can write the event, and not carol's signature
    let good = review(&reviews, &one, 2 * HOUR);
    let checked = reviews.check(&root, &signed(&good, 4), at(2 * HOUR)).unwrap();
    append(open(dir.path()), Some(&root), checked.event(&signed(&good, 2), at(2 * HOUR))).unwrap();
    let mut bare = checked.event(b"", at(2 * HOUR));
    bare.parts.clear();
    append(open(dir.path()), Some(&root), bare).unwrap();
    let reviews = learnt(dir.path(), Some(&root));
    let used = reviews.grant(&good.digest).unwrap();
    assert!(used.reviews.is_empty() && used.is_overdue(at(25 * HOUR)));
    assert_eq!(used.refused[0], (4, "alice gave the grant; somebody else reviews it".to_owned()));
    assert_eq!(used.refused[1], (6, "its signed bytes are missing".to_owned()));
}

#[test]
fn a_trust_root_that_is_older_than_the_logs_puts_nothing_on_record() {
    let dir = tempfile::tempdir().unwrap();
    let one = grant("bg-1", "down");
    let_in(dir.path(), &one, "shop", HOUR);
    let reviews = learnt(dir.path(), None);
    let good = signed(&review(&reviews, &one, 2 * HOUR), 4);
    let event = reviews.check(&root(2), &good, at(2 * HOUR)).unwrap().event(&good, at(2 * HOUR));
    let refused = append(open(dir.path()), Some(&root(1)), event).unwrap_err().to_string();
    assert_eq!(refused, "trust root version 1 is older than version 2, which was in force");
    assert_eq!(open(dir.path()).size(), 3, "the record, and what the process said of itself");
}

#[test]
fn grants_that_were_used_are_counted_against_a_budget() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = [grant("bg-1", "down"), grant("bg-2", "down again")];
    let_in(dir.path(), &one, "shop", 0);
    let_in(dir.path(), &one, "shop 2", 60);
    let_in(dir.path(), &two, "shop 3", 2 * HOUR);
    let (reviews, hour) = (learnt(dir.path(), None), Span::seconds(HOUR));
    assert_eq!(reviews.used_within(hour, at(120)), 2, "the clock went back: nothing is forgotten");
    assert_eq!(reviews.used_within(hour, at(2 * HOUR)), 1);
    assert_eq!(reviews.used_within(Span::seconds(24 * HOUR), at(2 * HOUR)), 2);
    assert_eq!(reviews.used_within(hour, at(9 * HOUR)), 0);
    let budget = Budget::parse("3 per 7d").unwrap();
    assert_eq!((budget.grants, budget.to_string().as_str()), (3, "3 per 7d"));
    for bad in ["3", "3 per", "per 7d", "-1 per 7d", "3 per week", "3  per 7d", "99999 per 7d"] {
        assert_eq!(Budget::parse(bad), None, "{bad}");
    }
}
