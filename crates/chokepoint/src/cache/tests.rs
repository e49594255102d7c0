use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use attest::dsse::{Dsse, IN_TOTO};
use attest::{Object, OpenError, SecretKey, Signer as _, Statement};

use super::*;

fn key() -> SecretKey {
    SecretKey::from_ed25519_seed(&[1; 32]).unwrap()
}

fn root(version: u32, more: &str) -> TrustRoot {
    let pem: String = key().public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
    let text = format!("version: {version}\nsigners:\n  vendor:\n    keys:\n      - key: |\n{pem}{more}");
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

fn envelope(subject: &str) -> Vec<u8> {
    let digests = Digest::sha256(subject.as_bytes()).into();
    let statement = Statement::write(subject, &digests, "https://example.com/x", Object::new());
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key()]).unwrap();
    dsse.to_json().to_string().into_bytes()
}

fn ask(cache: &EvidenceCache, root: &TrustRoot, subject: &str) {
    verify(cache, root, &envelope(subject)).unwrap();
}

fn verified(subject: &str) -> Outcome {
    verify(&Directly, &root(1, ""), &envelope(subject))
}

fn verify(opener: &dyn Opener, root: &TrustRoot, bytes: &[u8]) -> Outcome {
    opener.verify(root, bytes, &Digest::sha256(bytes))
}

fn some_key(name: &str) -> Key {
    (Digest::sha256(&envelope(name)), root(1, "").digest().clone())
}

#[test]
fn the_same_evidence_is_verified_once_and_its_statement_is_shared() {
    let (cache, root) = (EvidenceCache::default(), root(1, ""));
    let first = verify(&cache, &root, &envelope("shop")).unwrap();
    for _ in 0..7 {
        assert!(Arc::ptr_eq(&first, &verify(&cache, &root, &envelope("shop")).unwrap()));
    }
    let counts = cache.counts();
    assert_eq!((counts.misses, counts.hits, counts.entries), (1, 7, 1));
}

#[test]
fn other_bytes_are_never_answered_with_what_was_verified_of_some() {
    let (cache, root) = (EvidenceCache::default(), root(1, ""));
    let good = envelope("shop");
    verify(&cache, &root, &good).unwrap();
    let text = String::from_utf8(good).unwrap();
    let (head, tail) = text.split_once("\"sig\":\"").unwrap();
    let first = if tail.starts_with('A') { "B" } else { "A" };
    let swapped = format!("{head}\"sig\":\"{first}{}", &tail[1..]);
    let error = verify(&cache, &root, swapped.as_bytes()).unwrap_err();
    assert_eq!(error, Unopened::Refused(OpenError::UnknownSigner));
}

#[test]
fn a_question_under_the_digest_of_other_bytes_leaves_nothing_behind() {
    let (cache, root) = (EvidenceCache::default(), root(1, ""));
    let wanted = Digest::sha256(&envelope("other"));
    cache.verify(&root, &envelope("shop"), &wanted).unwrap();
    assert_eq!(cache.counts().entries, 0);
    assert_eq!(*verify(&cache, &root, &envelope("other")).unwrap().envelope(), wanted);
}

#[test]
fn a_changed_trust_root_misses() {
    let cache = EvidenceCache::default();
    ask(&cache, &root(1, ""), "shop");
    ask(&cache, &root(2, ""), "shop");
    assert_eq!((cache.counts().misses, cache.counts().hits), (2, 0));
}

#[test]
fn what_was_verified_of_something_else_does_not_open() {
    struct Stale(Arc<Verified>);
    impl Opener for Stale {
        fn verify(&self, _: &TrustRoot, _: &[u8], _: &Digest) -> Outcome {
            Ok(Arc::clone(&self.0))
        }
    }
    let now = "2026-11-22T09:00:00Z".parse().unwrap();
    let stale: &dyn Opener = &Stale(verified("shop").unwrap());
    assert!(stale.open(&root(1, ""), &envelope("shop"), now).is_ok());
    assert!(stale.open(&root(2, ""), &envelope("shop"), now).is_err(), "another trust root");
    assert!(stale.open(&root(1, ""), &envelope("other"), now).is_err(), "other bytes");
}

#[test]
fn a_failure_is_not_kept() {
    let (cache, root) = (EvidenceCache::default(), root(1, ""));
    for _ in 0..2 {
        assert!(matches!(verify(&cache, &root, b"{}"), Err(Unopened::Unreadable(_))));
    }
    // signed by a key that counts, and no statement
    let dsse = Dsse::sign(IN_TOTO, b"no statement", &[&key()]).unwrap().to_json().to_string();
    assert!(!verify(&cache, &root, dsse.as_bytes()).unwrap().is_readable());
    assert_eq!((cache.counts().misses, cache.counts().hits, cache.counts().entries), (3, 0, 0));
}

#[test]
fn a_hundred_who_ask_at_once_are_answered_by_one_verification() {
    let (cache, verifications, barrier) = (EvidenceCache::default(), AtomicUsize::new(0), Barrier::new(100));
    let key = some_key("shop");
    let outcome = verified("shop");
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                barrier.wait();
                let found = cache.get_or(&key, 1, || {
                    verifications.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    outcome.clone()
                });
                assert!(found.is_ok());
            });
        }
    });
    let counts = cache.counts();
    assert_eq!(verifications.load(Ordering::SeqCst), 1);
    assert_eq!((counts.misses, counts.hits + counts.shared), (1, 99));
}

#[test]
fn a_leader_that_does_not_come_to_an_end_takes_nobody_with_it() {
    let (cache, leads, others) = (EvidenceCache::default(), AtomicBool::new(false), AtomicUsize::new(0));
    let key = some_key("shop");
    let outcome = verified("shop");
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get_or(&key, 1, || {
                leads.store(true, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(100));
                std::panic::resume_unwind(Box::new("the leader is cancelled"));
            })
        });
        while !leads.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let followers: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    cache.get_or(&key, 1, || {
                        others.fetch_add(1, Ordering::SeqCst);
                        outcome.clone()
                    })
                })
            })
            .collect();
        assert!(leader.join().is_err(), "the leader did panic");
        for follower in followers {
            assert!(follower.join().unwrap().is_ok());
        }
    });
    assert_eq!(others.load(Ordering::SeqCst), 1, "one of the others led, once");
    assert!(cache.state().flights.is_empty());
}

#[test]
fn a_failure_of_the_bytes_is_everybodys_who_waits_and_nobodys_afterwards() {
    let (cache, asked) = (EvidenceCache::default(), AtomicUsize::new(0));
    let key = some_key("shop");
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let found = cache.get_or(&key, 1, || {
                    asked.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    Err(Unopened::Refused(OpenError::UnknownSigner))
                });
                assert_eq!(found.unwrap_err(), Unopened::Refused(OpenError::UnknownSigner));
            });
        }
    });
    assert!(cache.get_or(&key, 1, || verified("shop")).is_ok(), "the failure was not kept");
}

#[test]
fn the_least_recently_asked_for_makes_room() {
    let cache = EvidenceCache::new(CacheLimits { count: 2, bytes: usize::MAX });
    let root = root(1, "");
    for subject in ["a", "b", "a", "c", "a"] {
        ask(&cache, &root, subject);
    }
    let counts = cache.counts();
    assert_eq!((counts.misses, counts.hits, counts.evicted, counts.entries), (3, 2, 1, 2));
    ask(&cache, &root, "b");
    assert_eq!(cache.counts().misses, 4, "b made room for c");
}

#[test]
fn thousands_of_envelopes_do_not_outgrow_the_bounds() {
    for limits in [
        CacheLimits { count: 50, bytes: usize::MAX },
        CacheLimits { count: usize::MAX, bytes: 60_000 },
        CacheLimits { count: 20, bytes: 60_000 },
    ] {
        let (cache, root) = (EvidenceCache::new(limits), root(1, ""));
        for number in 0..1500_usize {
            ask(&cache, &root, &"x".repeat(number % 300));
        }
        let state = cache.state();
        let sum: usize = state.kept.values().map(|k| k.cost).sum();
        assert!(state.bytes <= limits.bytes && state.kept.len() <= limits.count && !state.kept.is_empty());
        assert_eq!((state.bytes, state.order.len(), state.flights.len()), (sum, state.kept.len(), 0));
    }
}

#[test]
fn what_is_larger_than_everything_that_may_be_kept_is_verified_and_not_kept() {
    let cache = EvidenceCache::new(CacheLimits { count: 10, bytes: 100 });
    ask(&cache, &root(1, ""), "shop");
    assert_eq!((cache.counts().entries, cache.counts().evicted), (0, 0));
}

#[test]
fn a_key_that_ran_out_between_two_questions_is_refused_on_a_hit() {
    let (cache, root) = (EvidenceCache::default(), root(1, "        until: 2026-11-23T00:00:00Z\n"));
    let bytes = envelope("shop");
    let opener: &dyn Opener = &cache;
    let at = |text: &str| opener.open(&root, &bytes, text.parse().unwrap());
    assert!(at("2026-11-22T09:00:00Z").is_ok());
    let error = at("2026-11-23T09:00:00Z").unwrap_err();
    assert!(matches!(error, Unopened::Refused(OpenError::OutsideWindow { .. })));
    assert_eq!((cache.counts().misses, cache.counts().hits), (1, 1));
}
