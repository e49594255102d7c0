//! What the API server may say, and what is made of it.

use std::convert::Infallible;
use std::time::Duration;

use super::*;

const POD: &str =
    r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"shop","uid":"7"}}"#;
const NONE: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound",
    "details":{"name":"web","kind":"pods"},"code":404}"#;
const SOON: Duration = Duration::from_secs(5);

/// An API server that gives the same answer to everybody, and none to those who ask elsewhere.
fn cluster(status: u16, body: &str) -> Cluster {
    let body = body.to_owned();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let is_right = request.uri().path() == "/api/v1/namespaces/shop/pods/web";
        let status = if is_right { status } else { 599 };
        let response = http::Response::builder().status(status).body(Body::from(body.clone().into_bytes()));
        async move { Ok::<_, Infallible>(response.unwrap()) }
    });
    Cluster::with(kube::Client::new(service, "default"))
}

async fn pod(cluster: &Cluster) -> Result<Option<Json>, ClusterError> {
    cluster.get("v1", "Pod", Some("shop"), "web", SOON).await
}

#[tokio::test]
async fn an_object_is_found() {
    let found = pod(&cluster(200, POD)).await.unwrap().unwrap();
    assert_eq!(found.as_object().unwrap().object("metadata").unwrap().string("uid").unwrap(), "7");
}

#[tokio::test]
async fn numbers_of_others_are_kept_as_they_stand() {
    let body = POD.replace("\"uid\":\"7\"", "\"uid\":\"7\",\"x\":[1.50,18446744073709551615]");
    let found = pod(&cluster(200, &body)).await.unwrap().unwrap();
    assert!(found.to_string().contains("[1.50,18446744073709551615]"), "{found}");
}

#[tokio::test]
async fn none_is_what_the_server_says_of_this_object() {
    assert_eq!(pod(&cluster(404, NONE)).await, Ok(None));
}

#[tokio::test]
async fn another_404_is_not_none() {
    let without_api = r#"{"kind":"Status","reason":"NotFound","details":{},"code":404}"#;
    let of_another = NONE.replace("\"web\"", "\"other\"");
    for body in ["<html>404</html>", "{}", without_api, of_another.as_str(), POD] {
        let error = pod(&cluster(404, body)).await.unwrap_err();
        assert!(matches!(error, ClusterError::Answer(..)), "{body}: {error}");
    }
}

#[tokio::test]
async fn another_object_is_not_believed() {
    for (from, to) in [
        ("\"web\"", "\"other\""),
        ("\"shop\"", "\"other\""),
        ("\"Pod\"", "\"PodList\""),
        ("\"v1\"", "\"v2\""),
        ("\"metadata\"", "\"meta\""),
    ] {
        let error = pod(&cluster(200, &POD.replace(from, to))).await.unwrap_err();
        assert_eq!(error, ClusterError::Answer("Pod shop/web".to_owned(), "another object".to_owned()));
    }
}

#[tokio::test]
async fn every_other_status_is_an_error_that_says_what_to_do() {
    for (status, words, passes) in [
        (401, "renew the credentials", false),
        (403, "bind a role with the verb `get`", false),
        (429, "answers 429", true),
        (500, "answers 500", true),
        (201, "answers 201", false),
        (302, "answers 302", false),
    ] {
        let error = pod(&cluster(status, POD)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.is_passing(), passes, "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let filler = "x".repeat(5 << 20);
    let error = pod(&cluster(200, &format!("{{\"a\":\"{filler}\"}}"))).await.unwrap_err();
    assert!(error.to_string().contains("more than 4194304 bytes"), "{error}");
    let error = pod(&cluster(200, &POD.replace('{', "{\"kind\":1,"))).await.unwrap_err();
    assert!(error.to_string().contains("duplicate key"), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_the_deadline_and_no_more() {
    let service = tower::service_fn(|_: http::Request<Body>| {
        std::future::pending::<Result<http::Response<Body>, Infallible>>()
    });
    let cluster = Cluster::with(kube::Client::new(service, "default"));
    let soon = Duration::from_millis(50);
    let start = std::time::Instant::now();
    // more than may ask at once: those that wait for their turn keep their deadline, too
    let asked: Vec<_> = (0..AT_ONCE + 8)
        .map(|_| {
            let cluster = cluster.clone();
            tokio::spawn(async move { cluster.get("v1", "Pod", Some("shop"), "web", soon).await })
        })
        .collect();
    for answer in asked {
        let error = answer.await.unwrap().unwrap_err();
        assert_eq!(error, ClusterError::Late("Pod shop/web".to_owned(), soon));
    }
    assert!(start.elapsed() < SOON);
}

#[tokio::test]
async fn no_name_makes_another_path() {
    let cluster = cluster(200, POD);
    for (namespace, name) in [
        (Some("shop"), ".."),
        (Some(".."), "web"),
        (Some("shop"), "web/log"),
        (Some("shop"), "web?x=1"),
        (Some("shop"), "web%2f"),
        (Some("shop"), ""),
        (Some("shop"), "Web"),
        (Some("shop"), "web\n"),
        (Some(""), "web"),
        (None, "web"),
    ] {
        let error = cluster.get("v1", "Pod", namespace, name, SOON).await.unwrap_err();
        assert!(matches!(error, ClusterError::Name(_)), "{namespace:?} {name}: {error}");
    }
    for (version, kind) in [("v1", "Secret"), ("apps/v1beta1", "Deployment"), ("v1/../..", "Pod"), ("", "")] {
        let error = cluster.get(version, kind, Some("shop"), "web", SOON).await.unwrap_err();
        assert!(matches!(error, ClusterError::Kind { .. }), "{version} {kind}: {error}");
    }
}

#[test]
fn the_api_has_every_kind_where_the_table_says() {
    for (version, kind, path) in [
        ("v1", "ReplicationController", "/api/v1/namespaces/a/replicationcontrollers/b.c"),
        ("apps/v1", "ReplicaSet", "/apis/apps/v1/namespaces/a/replicasets/b.c"),
        ("apps/v1", "StatefulSet", "/apis/apps/v1/namespaces/a/statefulsets/b.c"),
        ("apps/v1", "DaemonSet", "/apis/apps/v1/namespaces/a/daemonsets/b.c"),
        ("batch/v1", "CronJob", "/apis/batch/v1/namespaces/a/cronjobs/b.c"),
    ] {
        assert_eq!(Address::new(version, kind, Some("a"), "b.c").unwrap().path(), path);
    }
}

fn kubeconfig(cluster: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- name: a\n  context: {{cluster: a, user: a}}\n\
         users:\n- name: a\n  user: {{token: t}}\nclusters:\n- name: a\n  cluster: {cluster}\n"
    );
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

#[tokio::test]
async fn a_connection_that_proves_nothing_is_refused() {
    for cluster in
        ["{server: 'http://127.0.0.1:1'}", "{server: 'https://127.0.0.1:1', insecure-skip-tls-verify: true}"]
    {
        let (_dir, path) = kubeconfig(cluster);
        let error = Cluster::from_kubeconfig(&path).await.unwrap_err();
        assert!(matches!(error, ClusterError::Insecure(_)), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_no_absence() {
    let (_dir, path) = kubeconfig("{server: 'https://127.0.0.1:1'}");
    let cluster = Cluster::from_kubeconfig(&path).await.unwrap();
    let error = pod(&cluster).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unreachable(_)) && error.is_passing(), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_kubeconfig_that_does_not_do_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in
        [("absent", None), ("noise", Some("\u{0}\u{1}: [")), ("empty", Some("")), ("list", Some("[]"))]
    {
        let path = dir.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let error = Cluster::from_kubeconfig(&path).await.unwrap_err();
        assert!(error.to_string().contains(&format!("{}", path.display())), "{error}");
    }
}
