//! The service, killed at random moments: nothing that it acknowledged is lost, nothing appears by halves, and nothing is
//! signed twice with different content. `PORTCULLIS_KILLS` says how often, `PORTCULLIS_SEED` from which seed.

mod service;
mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use server::Client;
use service::{Place, REPOSITORY, ask, ask_with, ended, field, wish};

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Marsaglia's xorshift: the same moments for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What was asked for, by key: the build's id once it was acknowledged.
type Asked = BTreeMap<String, Option<String>>;

const TARGETS: [&str; 4] = ["app", "other", "chatty", "fail"];

/// Asks for a build under a key; gives its id where the service answered before it was killed.
async fn try_submit(client: &Client, key: &str, target: &str) -> Option<String> {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    let body = wish(REPOSITORY, "main", target);
    let (status, body) = ask_with(client, "POST", "/v1/builds", &headers, &body).await.ok()?;
    assert!(matches!(status, 200 | 201), "{status}: {body}");
    Some(field(&body, "id"))
}

fn target(key: &str) -> &'static str {
    let number: usize = key.parse().unwrap();
    TARGETS[number % TARGETS.len()]
}

/// How builds ended, by id: the bundle as anybody can fetch it, or the reason.
type Seen = BTreeMap<String, Result<String, String>>;

/// Waits for every build that was acknowledged, and compares its end with what was seen of it before.
async fn read_all(client: &Client, asked: &Asked, seen: &mut Seen) {
    for id in asked.values().flatten() {
        let job = ended(client, id).await;
        let state = field(&job, "state");
        let now = if state == "done" {
            let (status, bundle) =
                ask(client, "GET", &format!("/v1/builds/{id}/outputs/shop.sigstore.json"), "").await;
            assert_eq!(status, 200, "a build that is done has its bundle: {bundle}");
            let (status, artifact) = ask(client, "GET", &format!("/v1/builds/{id}/outputs/shop"), "").await;
            assert_eq!(status, 200, "a build that is done has its artifact: {artifact}");
            assert_eq!(artifact, format!("artifact of {}\n", field(&bundle, "signed")));
            Ok(bundle)
        } else {
            assert_eq!(state, "failed", "{job}");
            let error = field(&field(&job, "reason"), "error");
            assert!(!error.is_empty(), "a build that failed says why: {job}");
            Err(error)
        };
        let before = seen.insert(id.clone(), now.clone());
        assert!(before.is_none_or(|b| b == now), "{id} ended twice, differently: {now:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_loses_nothing_and_halves_nothing() {
    let (kills, seed) = (setting("PORTCULLIS_KILLS", 12), setting("PORTCULLIS_SEED", 1));
    let place = Place::new("builds: { at-once: 3 }\nqueue: { waiting: 100000, waiting-each: 100000 }\n");
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut asked, mut seen) = (Asked::new(), BTreeMap::new());
    let mut next = 0u64;
    for kill in 0..kills {
        let mut running = place.start();
        let client = place.client(&running.url, "ci");
        let moment = Duration::from_micros(random.below(250_000));
        let submitting = async {
            // what got no answer is asked for again with its key: it must not become two builds
            let unknown: Vec<String> =
                asked.iter().filter(|(_, id)| id.is_none()).map(|(k, _)| k.clone()).collect();
            for key in unknown {
                if let Some(id) = try_submit(&client, &key, target(&key)).await {
                    asked.insert(key, Some(id));
                }
            }
            loop {
                let key = next.to_string();
                next += 1;
                asked.insert(key.clone(), None);
                if let Some(id) = try_submit(&client, &key, target(&key)).await {
                    asked.insert(key, Some(id));
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        tokio::select! { () = submitting => {}, () = tokio::time::sleep(moment) => {} }
        running.kill();
        // now and then the service is left alone, so that there are ends to compare with later
        if kill % 5 == 4 {
            let running = place.start();
            let new = asked.iter().filter(|(_, id)| id.as_ref().is_some_and(|id| !seen.contains_key(id)));
            let new = new.map(|(key, id)| (key.clone(), id.clone())).collect();
            read_all(&place.client(&running.url, "ci"), &new, &mut seen).await;
        }
    }
    let running = place.start();
    let client = place.client(&running.url, "ci");
    read_all(&client, &asked, &mut seen).await;
    check_folders(&place, &seen);
    let count = count_all(&client).await;
    assert!((seen.len()..=asked.len()).contains(&count), "{count} builds for {} requests", asked.len());
    let done = seen.values().filter(|end| end.is_ok()).count();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in seen.values().filter_map(|end| end.as_ref().err()) {
        *reasons.entry(reason).or_default() += 1;
    }
    println!(
        "{kills} kills, seed {seed}: {} requests, {} acknowledged, {done} done",
        asked.len(),
        seen.len()
    );
    reasons.iter().for_each(|(reason, count)| println!("{count:5} failed: {reason}"));
    assert!(done > 0, "some builds get through");
}

/// How many builds there are, page by page.
async fn count_all(client: &Client) -> usize {
    let (mut count, mut before) = (0, String::new());
    loop {
        let (status, page) = ask(client, "GET", &format!("/v1/builds?limit=100{before}"), "").await;
        assert_eq!(status, 200, "{page}");
        count += page.matches("\"submitted_at\"").count();
        match field(&page, "next") {
            next if next.is_empty() => return count,
            next => before = format!("&before={next}"),
        }
    }
}

/// No build has two answers, no outputs that were not announced, and no record but the one in the ledger.
fn check_folders(place: &Place, seen: &Seen) {
    for (id, bundle) in seen {
        let folder = place.at("state/jobs").join(id);
        let outputs: Vec<String> = fs::read_dir(folder.join("outputs"))
            .map(|dir| dir.flatten().map(|e| e.file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        match bundle {
            Ok(bundle) => {
                assert_eq!(outputs.len(), 2, "{id}: {outputs:?}");
                let signed = fs::read_to_string(place.at("ledger").join(id)).unwrap();
                assert_eq!(
                    field(bundle, "signed"),
                    signed.trim_end(),
                    "what is published is what was signed"
                );
            }
            Err(_) => assert!(outputs.is_empty(), "{id} failed and has {outputs:?}"),
        }
        for attempt in 1..=3 {
            assert!(!folder.join(attempt.to_string()).exists(), "{id}: an attempt is left behind");
        }
    }
}
