//! What the API server may do while we watch.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::client::Body;

use super::*;

const RIGHT: &str = "/api/v1/pods";

fn pod(name: &str, version: u32) -> String {
    format!(r#"{{"metadata":{{"name":"{name}","namespace":"shop","resourceVersion":"{version}"}}}}"#)
}

fn page(version: u32, next: &str, pods: &[String]) -> (u16, String) {
    let items = pods.join(",");
    let text = format!(
        r#"{{"kind":"PodList","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{items}]}}"#
    );
    (200, text)
}

fn changes(lines: &[(&str, String)]) -> (u16, String) {
    let line = |(kind, object): &(&str, String)| format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
    (200, lines.iter().map(line).collect())
}

const EXPIRED: &str =
    r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}"#;

/// Plays the answers one after the other, then says nothing any more; gives what was asked and what was told.
async fn watched(script: Vec<(u16, String)>) -> (Vec<String>, Vec<String>) {
    let script = Arc::new(Mutex::new(VecDeque::from(script)));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (own_script, own_asked) = (Arc::clone(&script), Arc::clone(&asked));
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let next = own_script.lock().unwrap().pop_front();
        own_asked.lock().unwrap().push(request.uri().to_string());
        async move {
            let Some((status, body)) = next else { return std::future::pending().await };
            let response = http::Response::builder().status(status).body(Body::from(body.into_bytes()));
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let cluster = Cluster::with(kube::Client::new(service, "default"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let own_told = Arc::clone(&told);
    let mut tell = move |seen: Seen| {
        let name = |object: &Json| {
            let metadata = object.as_object().unwrap().object("metadata").unwrap().clone();
            metadata.string("name").unwrap().to_owned()
        };
        let text = match &seen {
            Seen::Begin => "begin".to_owned(),
            Seen::Object(object) => name(object),
            Seen::Gone(object) => format!("gone {}", name(object)),
            Seen::Complete => "complete".to_owned(),
            Seen::Current => "current".to_owned(),
            Seen::Broken(error, pause) => format!("broken {} ms: {error}", pause.as_millis()),
        };
        own_told.lock().unwrap().push(text);
    };
    let watching = cluster.watch("v1", "Pod", &mut tell);
    tokio::time::timeout(Duration::from_millis(2500), watching).await.unwrap_err();
    let (asked, told) = (asked.lock().unwrap().clone(), told.lock().unwrap().clone());
    (asked, told)
}

fn follow(version: u32) -> String {
    format!("{RIGHT}?watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=60")
}

#[tokio::test]
async fn a_list_in_pages_and_then_every_change_from_where_it_ends() {
    let (asked, told) = watched(vec![
        page(10, "a b&c", &[pod("one", 3)]),
        page(10, "", &[pod("two", 4)]),
        changes(&[("ADDED", pod("three", 11)), ("DELETED", pod("one", 12)), ("BOOKMARK", pod("", 20))]),
    ])
    .await;
    assert_eq!(
        told,
        ["begin", "one", "two", "complete", "current", "three", "gone one", "current"].map(str::to_owned)
    );
    let pages = [format!("{RIGHT}?limit=500"), format!("{RIGHT}?limit=500&continue=a%20b%26c")];
    assert_eq!(asked, [pages.as_slice(), &[follow(10), follow(20)]].concat());
}

#[tokio::test]
async fn a_place_that_was_forgotten_begins_a_list_anew() {
    let gone = (410, EXPIRED.to_owned());
    let told_of = |told: &[String]| told.iter().filter(|word| *word == "begin").count();
    // when the watch begins, and in its middle
    for forgotten in [gone.clone(), changes(&[("ADDED", pod("two", 11)), ("ERROR", EXPIRED.to_owned())])] {
        let (asked, told) =
            watched(vec![page(10, "", &[pod("one", 3)]), forgotten, page(90, "", &[pod("one", 3)])]).await;
        assert_eq!(told_of(&told), 2, "{told:?}");
        assert!(!told.iter().any(|word| word.starts_with("broken")), "{told:?}");
        assert_eq!(asked.last().unwrap(), &follow(90));
    }
    // a list that took too long: its next page is gone, and nothing of it counts as complete
    let (asked, told) = watched(vec![page(10, "next", &[pod("one", 3)]), gone, page(90, "", &[])]).await;
    assert_eq!(told.iter().filter(|word| *word == "complete").count(), 1, "{told:?}");
    assert_eq!(told_of(&told), 2, "{told:?}");
    assert_eq!(asked.last().unwrap(), &follow(90));
}

#[tokio::test]
async fn what_fails_is_told_and_tried_again_after_growing_pauses() {
    let (_, told) = watched(vec![
        (500, String::new()),
        (403, String::new()),
        (200, "{".to_owned()),
        page(10, "", &[]),
        (500, String::new()),
    ])
    .await;
    let broken: Vec<&String> = told.iter().filter(|word| word.starts_with("broken")).collect();
    for (found, wanted) in broken.iter().zip([
        "broken 250 ms: the API server answers 500 when asked for all pods",
        "broken 500 ms: the API server does not let us list and watch all pods; bind a cluster role with the verbs",
        "broken 1000 ms: the API server's answer about all pods does not do",
        // it was well in between
        "broken 250 ms: the API server answers 500",
    ]) {
        assert!(found.starts_with(wanted), "{found}");
    }
    assert_eq!(broken.len(), 4, "{told:?}");
    // who answers with something else than a watch is asked for everything
    assert_eq!(told.last().unwrap(), "begin", "{told:?}");
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_in_halves() {
    let large = format!(r#"{{"metadata":{{"resourceVersion":"1"}},"items":["{}"]}}"#, "x".repeat(17 << 20));
    let (asked, told) = watched(vec![(200, large), page(10, "", &[pod("one", 3)])]).await;
    assert_eq!(asked[1], format!("{RIGHT}?limit=250"));
    assert_eq!(told[..3], ["begin", "one", "complete"].map(str::to_owned));
}

#[tokio::test]
async fn a_list_that_is_none_is_not_an_empty_cluster() {
    for body in [r#"{"metadata":{"resourceVersion":"1"}}"#, r#"{"items":[]}"#, "[]", "<html>"] {
        let (_, told) = watched(vec![(200, body.to_owned())]).await;
        assert!(!told.contains(&"complete".to_owned()), "{body}: {told:?}");
        assert!(told[1].contains("does not do"), "{body}: {told:?}");
    }
}

#[tokio::test]
async fn a_kind_that_is_not_looked_up_is_said_at_once() {
    let service = tower::service_fn(|_: http::Request<Body>| {
        std::future::pending::<Result<http::Response<Body>, Infallible>>()
    });
    let cluster = Cluster::with(kube::Client::new(service, "default"));
    let error = cluster.watch("v1", "Secret", &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, ClusterError::Kind { .. }), "{error}");
}
