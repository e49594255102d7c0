//! `portcullis builder serve` and its client: who may, what is kept, what is told. The build is a fake; the rest is real.

#[path = "tools/port.rs"]
mod port;
mod service;
mod tools;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use port::free_port;
use service::{Issuer, Place, REPOSITORY, SECRET, ask, ask_with, ended, field, submit, wish};
use tools::{code, expect, part, path, portcullis, stderr, stdout};

fn now() -> i64 {
    let output = Command::new("date").arg("+%s").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_build_is_taken_built_and_handed_out() {
    let place = Place::new("builds: { at-once: 2 }\n");
    let mut running = place.start();
    let client = place.client(&running.url, "ci");
    let (status, ready) = ask(&place.client(&running.url, ""), "GET", "/readyz", "").await;
    assert_eq!((status, field(&ready, "signer").as_str()), (200, "reachable"), "{ready}");
    let id = submit(&client, "app").await;
    assert_eq!((id.len(), id.chars().all(|c| c.is_ascii_hexdigit())), (32, true), "{id}");
    let job = ended(&client, &id).await;
    assert_eq!(field(&job, "state"), "done", "{job}");
    assert!(job.contains("\"requester\":\"certificate spiffe://acme/ci\""), "{job}");
    let (status, artifact) = ask(&client, "GET", &format!("/v1/builds/{id}/outputs/shop"), "").await;
    assert_eq!((status, artifact), (200, format!("artifact of {id} app\n")));
    let (_, bundle) = ask(&client, "GET", &format!("/v1/builds/{id}/outputs/shop.sigstore.json"), "").await;
    assert_eq!(field(&bundle, "signed"), format!("{id} app"));
    let (_, log) = ask(&client, "GET", &format!("/v1/builds/{id}/log"), "").await;
    assert_eq!(log, "building app of main, which descends from main\nsigning\n");
    for odd in ["..%2flog", "lock", ".shop.tmp", "%2e%2e"] {
        let (status, body) = ask(&client, "GET", &format!("/v1/builds/{id}/outputs/{odd}"), "").await;
        assert_eq!((status, field(&body, "code").as_str()), (404, "no-such-output"), "{odd}: {body}");
    }
    // nothing of the service's environment reaches a build
    let environment = fs::read_to_string(place.at("environment")).unwrap();
    assert!(!environment.contains("hunter2"), "{environment}");
    let events = running.event("\"build-done\"");
    assert!(events.contains(&id), "{events}");
}

#[tokio::test]
async fn a_request_sent_twice_is_one_build() {
    let place = Place::new("");
    let running = place.start();
    let client = place.client(&running.url, "ci");
    let send = async |key: &str, target: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let body = wish(REPOSITORY, "main", target);
        ask_with(&client, "POST", "/v1/builds", &headers, &body).await.unwrap()
    };
    let (first, one) = send("a", "app").await;
    let (second, two) = send("a", "app").await;
    assert_eq!((first, second), (201, 200));
    assert_eq!(field(&one, "id"), field(&two, "id"));
    let (status, body) = send("a", "other").await;
    assert_eq!((status, field(&body, "code").as_str()), (409, "idempotency-key-reused"), "{body}");
    let (status, other) = send("b", "app").await;
    assert_eq!(status, 201);
    assert_ne!(field(&one, "id"), field(&other, "id"));
}

#[tokio::test]
async fn strangers_are_401_and_known_people_without_permission_403() {
    let place = Place::new("");
    let mut running = place.start();
    let url = running.url.clone();
    let request = wish(REPOSITORY, "main", "app");
    let try_as =
        async |name: &str, body: &str| ask(&place.client(&url, name), "POST", "/v1/builds", body).await;
    let (status, body) = try_as("", &request).await;
    assert_eq!((status, field(&body, "code").as_str()), (401, "unauthenticated"), "{body}");
    assert!(field(&body, "fix").contains("--client-certificate"), "{body}");
    let (status, body) = try_as("twofold", &request).await;
    assert_eq!(status, 401, "{body}");
    assert!(field(&body, "found").contains("exactly one URI in subjectAltName, and has 2"), "{body}");
    // somebody else's authority does not get past the handshake
    let rogue = place.client(&url, "rogue-ci");
    assert!(ask_with(&rogue, "GET", "/v1/builds", &[], "").await.is_err());
    for (name, body, permission) in [
        ("nobody", request.clone(), "build"),
        ("auditor", request.clone(), "build"),
        ("ci", wish(SECRET, "main", "app"), "build"),
        ("ci", wish("https://git.example/none", "main", "app"), "build"),
    ] {
        let (status, body) = try_as(name, &body).await;
        assert_eq!((status, field(&body, "code").as_str()), (403, "not-permitted"), "{name}: {body}");
        assert!(field(&body, "wanted").contains(&format!("the permission `{permission}` on")), "{body}");
    }
    let (status, body) = try_as("ci", &wish(REPOSITORY, "feature", "app")).await;
    assert_eq!((status, field(&body, "code").as_str()), (403, "ref-not-permitted"), "{body}");
    let (status, body) = try_as("ci", &wish(REPOSITORY, "release/1", "app")).await;
    assert_eq!(status, 201, "{body}");
    let id = field(&body, "id");
    // who may read reads, and cannot cancel; who may not see nothing
    let auditor = place.client(&url, "auditor");
    assert_eq!(ask(&auditor, "GET", &format!("/v1/builds/{id}"), "").await.0, 200);
    assert_eq!(ask(&auditor, "POST", &format!("/v1/builds/{id}/cancel"), "").await.0, 403);
    let nobody = place.client(&url, "nobody");
    assert_eq!(ask(&nobody, "GET", &format!("/v1/builds/{id}/log"), "").await.0, 403);
    assert_eq!(ask(&nobody, "GET", "/v1/builds", "").await.1, "{\"builds\":[]}\n");
    assert!(running.event("\"refused\"").contains("unauthenticated"));
}

#[tokio::test]
async fn a_token_counts_for_its_issuer_audience_time_and_algorithm_alone() {
    let place = Place::new("");
    let issuer = Issuer::new(place.dir.path());
    let running = place.start();
    let header = r#"{"alg":"ES256","kid":"k1"}"#;
    let (start, end) = (now(), now() + 300);
    let claims = |iss: &str, aud: &str, exp: i64, owner: &str| {
        format!(r#"{{"iss":"{iss}","aud":"{aud}","sub":"bot","iat":{start},"exp":{exp},"owner":"{owner}"}}"#)
    };
    let good = claims("https://token.example", "portcullis", end, "acme");
    let token = issuer.token(header, &good);
    let answer = async |token: &str| ask(&place.bearer(&running.url, token), "GET", "/v1/builds", "").await;
    let (status, body) = answer(&token).await;
    assert_eq!(status, 200, "{body}");
    let forge = |mut token: String| {
        let at = token.len() - 10;
        let other = if token[at..].starts_with('A') { "B" } else { "A" };
        token.replace_range(at..=at, other);
        token
    };
    let other = |from: &str, to: &str| issuer.token(header, &good.replace(from, to));
    for (token, why) in [
        ("x".to_owned(), "cannot be read"),
        (forge(token.clone()), "by no key of its issuer"),
        (other("https://token.example", "https://evil.example"), "issuer is not in"),
        (other("\"portcullis\"", "\"another\""), "audience is another"),
        (other(&end.to_string(), &(start - 100).to_string()), "has expired"),
        (other(",\"exp\"", ",\"sub\":\"boss\",\"exp\""), "cannot be read"),
        (other("\"acme\"", "\"evil\""), "claim `owner`"),
        (other("\"iat\"", "\"nbf\":99999999999,\"iat\""), "not valid yet"),
        (other("\"iat\"", "\"nbf\":\"99999999999\",\"iat\""), "not valid yet"),
        (other("\"iat\"", "\"nbf\":null,\"iat\""), "not valid yet"),
        (other("\"iat\"", "\"nbf\":[1],\"iat\""), "not valid yet"),
        (other(&format!("\"iat\":{start}"), "\"iat\":null"), "not valid yet"),
        (other(&format!("\"exp\":{end}"), &format!("\"exp\":\"{end}\"")), "never expires"),
        (other(&format!("\"exp\":{end}"), "\"exp\":null"), "never expires"),
        (other(&format!("\"exp\":{end}"), "\"exp\":true"), "never expires"),
        (other(&format!("\"exp\":{end}"), "\"exp\":9e99"), "cannot be read"),
        (other("\"portcullis\"", "null"), "audience is another"),
        (other("\"portcullis\"", "[]"), "audience is another"),
        (other("\"portcullis\"", "[\"another\"]"), "audience is another"),
        (other("\"portcullis\"", "{\"portcullis\":1}"), "audience is another"),
        (forge(other(&end.to_string(), &(start - 100).to_string())), "by no key of its issuer"),
        (issuer.token(r#"{"alg":"none"}"#, &good), "another algorithm"),
        (issuer.token(r#"{"alg":"HS256","kid":"k1"}"#, &good), "another algorithm"),
        (issuer.token(r#"{"alg":"ES256","kid":"k2"}"#, &good), "by no key of its issuer"),
        (issuer.token(r#"{"alg":"ES256","kid":"k1","crit":["x"]}"#, &good), "cannot be read"),
    ] {
        let (status, body) = answer(&token).await;
        assert_eq!(status, 401, "{why}: {body}");
        assert!(field(&body, "found").contains(why), "{why}: {body}");
    }
    // the same name from another voucher is somebody else, and a token beside a certificate is nobody
    let both = place.client(&running.url, "ci");
    let headers = [("authorization", format!("Bearer {token}"))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let (status, body) = ask_with(&both, "GET", "/v1/builds", &headers, "").await.unwrap();
    assert_eq!((status, field(&body, "found").as_str()), (401, "both"), "{body}");
    let logged = running.events.lock().unwrap().join("\n");
    assert!(!logged.contains(&token[..40]) && !logged.contains("Bearer"), "{logged}");
}

#[tokio::test]
async fn bad_requests_say_what_is_wrong() {
    let place = Place::new("");
    let running = place.start();
    let client = place.client(&running.url, "ci");
    let long = "x".repeat(300);
    for (body, status, word) in [
        ("{", 400, "found"),
        ("[]", 400, "an object"),
        (r#"{"repository":"a","ref":"b"}"#, 400, "target"),
        (r#"{"repository":"a","ref":"b","target":"c","x":1}"#, 400, "`x`"),
        (r#"{"repository":"a","ref":"b","target":"c","target":"d"}"#, 400, "target"),
        (&wish(REPOSITORY, "--upload-pack=x", "a"), 400, "starts with `-`"),
        (&wish(REPOSITORY, "main", "a\nb"), 400, "blanks"),
        (&wish(REPOSITORY, &long, "a"), 400, "too long"),
        (&"x".repeat(20_000), 413, "at most"),
    ] {
        let (found, answer) = ask(&client, "POST", "/v1/builds", body).await;
        assert_eq!(found, status, "{body}: {answer}");
        assert!(answer.contains(word), "{body}: {answer}");
    }
    let plain = [("content-type", "text/plain")];
    let body = wish(REPOSITORY, "main", "app");
    assert_eq!(ask_with(&client, "POST", "/v1/builds", &plain, &body).await.unwrap().0, 415);
    for (method, path, status) in [
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/builds", 405),
        ("GET", "/v1/builds/0000", 404),
        ("GET", "/v1/builds?limit=0", 400),
        ("GET", "/v1/builds?state=odd", 400),
        ("GET", "/v1/builds?colour=red", 400),
        ("GET", "/v1/builds?limit=1&limit=2", 400),
    ] {
        let (found, answer) = ask(&client, method, path, "").await;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(!field(&answer, "message").is_empty(), "{answer}");
    }
}

#[tokio::test]
async fn the_queue_is_bounded_paged_and_can_be_cancelled() {
    let place = Place::new("builds: { at-once: 1 }\nqueue: { waiting: 4, waiting-each: 3 }\n");
    let mut running = place.start();
    let client = place.client(&running.url, "ci");
    let first = submit(&client, "slow").await;
    running.event("\"build-started\"");
    let mut ids = vec![first.clone()];
    for _ in 0..3 {
        ids.push(submit(&client, "app").await);
    }
    let (status, body) = ask(&client, "POST", "/v1/builds", &wish(REPOSITORY, "main", "app")).await;
    assert_eq!((status, field(&body, "code").as_str()), (429, "queue-full"), "{body}");
    let (_, page) = ask(&client, "GET", "/v1/builds?limit=3", "").await;
    let next = field(&page, "next");
    assert!(page.contains(&ids[3]) && page.contains(&ids[1]) && !page.contains(&ids[0]), "{page}");
    let (_, rest) = ask(&client, "GET", &format!("/v1/builds?limit=3&before={next}"), "").await;
    assert!(rest.contains(&ids[0]) && !rest.contains(&ids[1]) && field(&rest, "next").is_empty(), "{rest}");
    // one that waits is gone at once, one that runs is ended, and the next begins
    let (_, body) = ask(&client, "POST", &format!("/v1/builds/{}/cancel", ids[3]), "").await;
    assert_eq!(field(&body, "state"), "cancelled", "{body}");
    let (_, body) = ask(&client, "POST", &format!("/v1/builds/{first}/cancel"), "").await;
    assert_eq!(field(&body, "cancel_requested"), "true", "{body}");
    let job = ended(&client, &first).await;
    assert_eq!(field(&job, "state"), "cancelled", "{job}");
    assert!(job.contains("cancelled by certificate spiffe://acme/ci"), "{job}");
    assert_eq!(field(&ended(&client, &ids[1]).await, "state"), "done");
    // one that is over stays as it is
    let (_, body) = ask(&client, "POST", &format!("/v1/builds/{}/cancel", ids[1]), "").await;
    assert_eq!(field(&body, "state"), "done", "{body}");
}

#[tokio::test]
async fn failures_are_told_with_their_reason_and_end_with_everything_they_started() {
    let place = Place::new("builds: { at-once: 4, time: 1s, log: 1KiB }\n");
    let running = place.start();
    let client = place.client(&running.url, "ci");
    for (target, reason) in [
        ("fail", "the command ended with 1"),
        ("crash", "the build's process ended with signal: 9"),
        ("deaf", "the build took longer than 1s"),
    ] {
        let id = submit(&client, target).await;
        let job = ended(&client, &id).await;
        assert_eq!(field(&job, "state"), "failed", "{job}");
        assert!(job.contains(reason), "{target}: {job}");
        let (status, _) = ask(&client, "GET", &format!("/v1/builds/{id}/outputs/shop"), "").await;
        assert_eq!(status, 409);
    }
    let id = submit(&client, "chatty").await;
    assert_eq!(field(&ended(&client, &id).await, "state"), "done");
    let (_, log) = ask(&client, "GET", &format!("/v1/builds/{id}/log"), "").await;
    assert!(log.len() < 1200 && log.ends_with("[the log is longer than this service keeps]\n"), "{log}");
    assert_eq!(left_over(place.dir.path()), "");
}

/// Processes of builds of this place that are still there.
fn left_over(dir: &Path) -> String {
    for _ in 0..100 {
        let found: Vec<String> = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|e| fs::read_to_string(e.path().join("cmdline")).ok())
            .filter(|line| line.contains(path(&dir.join("fake-build"))) && !line.contains("serve"))
            .collect();
        if found.is_empty() {
            return String::new();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    "there are".to_owned()
}

#[tokio::test]
async fn told_to_stop_it_puts_running_builds_back_and_the_next_one_builds_them() {
    let place = Place::new("builds: { at-once: 1, drain: 1s }\n");
    let mut running = place.start();
    let client = place.client(&running.url, "ci");
    let slow = submit(&client, "slow").await;
    let app = submit(&client, "app").await;
    running.event("\"build-started\"");
    running.terminate();
    running.event("\"build-put-back\"");
    assert_eq!(running.wait(), 0);
    assert_eq!(left_over(place.dir.path()), "");
    let mut again = place.start();
    let client = place.client(&again.url, "ci");
    again.event("\"build-started\"");
    let (_, job) = ask(&client, "GET", &format!("/v1/builds/{slow}"), "").await;
    assert_eq!((field(&job, "state").as_str(), field(&job, "attempts").as_str()), ("running", "1"), "{job}");
    ask(&client, "POST", &format!("/v1/builds/{slow}/cancel"), "").await;
    assert_eq!(field(&ended(&client, &app).await, "state"), "done");
}

#[tokio::test]
async fn a_service_that_is_killed_each_time_says_so_in_the_end() {
    let place = Place::new("");
    let mut id = String::new();
    for attempt in 0..3 {
        let mut running = place.start();
        if attempt == 0 {
            id = submit(&place.client(&running.url, "ci"), "slow").await;
        }
        running.event("\"build-started\"");
        running.kill();
        assert_eq!(left_over(place.dir.path()), "", "a build does not outlive its service");
    }
    let running = place.start();
    let job = ended(&place.client(&running.url, "ci"), &id).await;
    assert_eq!(field(&job, "state"), "failed");
    assert!(job.contains("the service was stopped while it ran, 3 times"), "{job}");
}

#[test]
fn two_services_do_not_share_a_queue() {
    let place = Place::new("");
    let _running = place.start();
    let text = expect(2, &["builder", "serve", "--config", path(&place.at("service.yaml"))]);
    assert!(text.contains("another service uses it"), "{text}");
}

fn remote(place: &Place, url: &str, target: &str, more: &[&str]) -> Vec<String> {
    let at = |name: &str| path(&place.at(name)).to_owned();
    let mut args: Vec<String> =
        ["build", REPOSITORY, "--ref", "main", "--target", target, "--out"].map(str::to_owned).to_vec();
    args.extend([at("dist"), "--service".to_owned(), url.to_owned(), "--ca".to_owned(), at("ca.pem")]);
    args.extend(["--client-certificate".to_owned(), at("ci.pem"), "--client-key".to_owned(), at("ci.key")]);
    args.extend(more.iter().map(|m| (*m).to_owned()));
    args
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_follows_fetches_and_tells() {
    let place = Place::new("");
    let running = place.start();
    let run = |target: &str, more: &[&str]| {
        let args = remote(&place, &running.url, target, more);
        portcullis(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let good = run("app", &[]);
    assert_eq!(code(&good), 0, "{}", stderr(&good));
    assert!(stderr(&good).contains("building app of main"), "{}", stderr(&good));
    assert!(stdout(&good).ends_with("dist/shop\n"), "the artifact comes last: {}", stdout(&good));
    assert!(fs::read_to_string(place.at("dist/shop")).unwrap().starts_with("artifact of"));
    assert_eq!(fs::read_dir(place.at("dist")).unwrap().count(), 2);
    let bad = run("fail", &[]);
    assert_eq!(code(&bad), 2);
    let text = stderr(&bad);
    assert!(
        text.contains("error: the command ended with 1") && text.contains("fix       see the log"),
        "{text}"
    );
    let id = stdout(&run("slow", &["--no-wait"]));
    let client = place.client(&running.url, "ci");
    ask(&client, "POST", &format!("/v1/builds/{}/cancel", id.trim()), "").await;
    assert_eq!(field(&ended(&client, id.trim()).await, "state"), "cancelled");
    let wrong = portcullis(&[
        "build",
        ".",
        "--ref",
        "m",
        "--target",
        "t",
        "--out",
        "/tmp/x",
        "--service",
        "http://x",
    ]);
    assert!(stderr(&wrong).contains("no https:// address"), "{}", stderr(&wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_and_a_service_that_comes_back_is_waited_for() {
    let place = Place::new("");
    let config = fs::read_to_string(place.at("service.yaml")).unwrap();
    let mut running = place.start();
    // the next service must have the same address
    let address = running.url.trim_start_matches("https://");
    fs::write(place.at("service.yaml"), config.replace("127.0.0.1:0", address)).unwrap();
    let spawn = |url: &str, target: &str| {
        Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(remote(&place, url, target, &[]))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let url = running.url.clone();
    let child = spawn(&url, "slow");
    running.event("\"build-started\"");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(stderr(&output).contains("is cancelled"), "{}", stderr(&output));
    running.event("\"build-cancelled\"");
    // this one takes its time, so that the kill comes in the middle
    let child = spawn(&url, "chatty");
    while running.events.lock().unwrap().iter().filter(|l| l.contains("\"build-started\"")).count() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    running.kill();
    let _again = place.start();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(place.at("dist/shop").exists());
}

#[test]
fn the_configuration_says_what_is_wrong_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("service.yaml");
    let example = expect(0, &["builder", "serve", "--example"]);
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        portcullis(&["builder", "serve", "--check", "--config", path(&file)])
    };
    let good = check(&example);
    assert_eq!(code(&good), 1, "{}", stderr(&good));
    assert!(
        stderr(&good).contains("well formed")
            && stderr(&good).contains("missing: the certificate: there is no")
    );
    for (from, to, words) in [
        ("0.0.0.0:8443", "localhost", "an address and a port"),
        ("algorithm: RS256", "algorithm: HS256", "one of RS256"),
        ("identity: uri", "identity: url", "uri, email or common-name"),
        ("\"release/*\"", "\"*/release\"", "no ref and no start of one"),
        ("protected: main", "protect: main", "write `protected`"),
        ("url: https://token.ci.example/jwks", "url: http://token.ci.example/jwks", "an https:// address"),
        ("log: 64MiB", "log: 64MB", "a size, as in 64MiB"),
        ("at-once: 2", "at-once: 0", "a whole number from 1 to"),
        ("- { certificate: \"spiffe://acme.example/ci\" }", "- { issuer: x }", "needs the key `identity`"),
        ("state: /var", "stat: /var", "needs the key `state`"),
    ] {
        assert!(example.contains(from), "{from}");
        let output = check(&example.replacen(from, to, 1));
        assert_eq!(code(&output), 2, "{to}");
        let text = stderr(&output);
        assert!(
            text.contains(words) && text.contains("service.yaml:") && text.contains("fix"),
            "{to}: {text}"
        );
    }
}

#[test]
fn the_reference_of_the_api_is_the_one_that_is_served() {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/builder-api.json"));
    let served = format!("{}\n", server::openapi().pretty());
    if std::env::vars().any(|(name, value)| name == "GOLDEN" && value == "overwrite") {
        fs::write(file, &served).unwrap();
    }
    assert_eq!(fs::read_to_string(file).unwrap_or_default(), served, "GOLDEN=overwrite writes it");
}

#[tokio::test]
async fn every_described_route_is_there() {
    let place = Place::new("");
    let running = place.start();
    let client = place.client(&running.url, "");
    let (_, text) = ask(&client, "GET", "/v1/openapi.json", "").await;
    let json = attest::json::parse(text.as_bytes()).unwrap();
    assert_eq!(json, server::openapi());
    let paths = json.as_object().unwrap().get("paths").unwrap().as_object().unwrap().clone();
    let mut count = 0;
    for (route, methods) in paths.iter() {
        for (method, operation) in methods.as_object().unwrap().iter() {
            let is_open = operation.as_object().unwrap().get("security").is_none();
            let at = route.replace("{id}", "0").replace("{name}", "x");
            let (status, body) = ask(&client, &method.to_uppercase(), &at, "").await;
            assert_eq!(status, if is_open { 200 } else { 401 }, "{method} {route}: {body}");
            count += 1;
        }
    }
    assert_eq!(count, 9);
}

/// The statement in a bundle, decoded by a tool that nobody here wrote.
fn signed(bundle: &str) -> String {
    let json = attest::json::parse(bundle.as_bytes()).unwrap();
    let envelope = json.as_object().unwrap().get("dsseEnvelope").unwrap().as_object().unwrap().clone();
    let payload = envelope.string("payload").unwrap().to_owned();
    let output = Command::new("sh").args(["-c", "printf %s \"$0\" | base64 -d", &payload]).output().unwrap();
    stdout(&output)
}

/// Ends with the test, however that ends.
struct Signer(std::process::Child);

impl Drop for Signer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The whole way: a real repository, the real build in the real sandbox, the real signer.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_build_comes_out_signed() {
    let Some(busybox) = part("static busybox", "/usr/bin/busybox".into()) else { return };
    let place = Place::new("");
    let shell = |script: &str| {
        let output =
            Command::new("sh").args(["-euc", script]).current_dir(place.dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    shell(&format!(
        "mkdir -p root/usr/bin && cp {} root/usr/bin/sh && ln -s usr/bin root/bin && tar -C root -cf toolchain.tar .",
        busybox.display()
    ));
    let store = place.at("store");
    let put = expect(0, &["builder", "put", path(&place.at("toolchain.tar")), "--store", path(&store)]);
    let sha = put.split_whitespace().next().unwrap();
    let definition = format!(
        "toolchain: {{ uri: \"toolchain:busybox\", sha256: \"{sha}\" }}\ntargets:\n  app: {{ command: [sh, -c, \"echo hello from the sandbox; echo made > app\"], outputs: [app] }}\n  bad: {{ command: [sh, -c, \"exit 3\"], outputs: [app] }}\n"
    );
    fs::create_dir(place.at("repo")).unwrap();
    fs::write(place.at("repo/portcullis.build.yaml"), definition).unwrap();
    shell(
        "cd repo && git init -q -b main && git add . && git -c user.name=A -c user.email=a@acme.example commit -qm first",
    );
    let url = format!("file://{}", place.at("repo").display());
    let config = fs::read_to_string(place.at("service.yaml")).unwrap().replace(REPOSITORY, &url);
    fs::write(place.at("service.yaml"), config).unwrap();
    fs::remove_file(place.at("signer.sock")).unwrap();
    expect(0, &["keygen", path(&place.at("builder")), "--no-passphrase"]);
    let at = |name: &str| path(&place.at(name)).to_owned();
    let signer = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["builder", "signer", "--builder-id", "https://portcullis.dev/builders/local-demo"])
        .args(["--socket", &at("signer.sock"), "--key", &at("builder.key")])
        .args(["--log", &at("log"), "--log-key", &at("log.key")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let signer = Signer(signer);
    let running = place.start_with(Path::new(env!("CARGO_BIN_EXE_portcullis")));
    let client = place.client(&running.url, "ci");
    let (_, body) = ask(&client, "POST", "/v1/builds", &wish(&url, "main", "app")).await;
    let id = field(&body, "id");
    let job = ended(&client, &id).await;
    let (_, log) = ask(&client, "GET", &format!("/v1/builds/{id}/log"), "").await;
    assert_eq!(field(&job, "state"), "done", "{job}\n{log}");
    let (_, artifact) = ask(&client, "GET", &format!("/v1/builds/{id}/outputs/app"), "").await;
    assert_eq!(artifact, "made\n");
    let (_, bundle) = ask(&client, "GET", &format!("/v1/builds/{id}/outputs/app.sigstore.json"), "").await;
    assert!(bundle.contains("dsseEnvelope"), "{bundle}");
    assert!(log.contains("building in the sandbox") && log.contains("hello from the sandbox"), "{log}");
    assert!(signed(&bundle).contains(&id), "the provenance names the job as its invocation");
    let (_, body) = ask(&client, "POST", "/v1/builds", &wish(&url, "main", "bad")).await;
    let job = ended(&client, &field(&body, "id")).await;
    assert_eq!(field(&job, "state"), "failed", "{job}");
    assert!(job.contains("\"label\":\"fix\""), "the build's own words: {job}");
    // a command that failed leaves a signed record that it did
    let record = format!("/v1/builds/{}/outputs/bad.failed.sigstore.json", field(&job, "id"));
    let (status, record) = ask(&client, "GET", &record, "").await;
    assert!(status == 200 && record.contains("dsseEnvelope"), "{record}");
    drop(signer);
}

#[tokio::test]
async fn a_permission_that_was_withdrawn_meanwhile_counts() {
    let place = Place::new("builds: { at-once: 1 }\n");
    let mut running = place.start();
    let client = place.client(&running.url, "ci");
    submit(&client, "slow").await;
    let id = {
        let (status, body) = ask(&client, "POST", "/v1/builds", &wish(REPOSITORY, "release/1", "app")).await;
        assert_eq!(status, 201, "{body}");
        field(&body, "id")
    };
    running.kill();
    let config =
        fs::read_to_string(place.at("service.yaml")).unwrap().replace("[main, \"release/*\"]", "[main]");
    fs::write(place.at("service.yaml"), config.replace("at-once: 1", "at-once: 2")).unwrap();
    let running = place.start();
    let job = ended(&place.client(&running.url, "ci"), &id).await;
    assert_eq!(field(&job, "state"), "failed", "{job}");
    assert!(job.contains("does not permit this repository and ref any more"), "{job}");
}

#[test]
fn what_others_on_the_machine_could_read_is_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new("");
    let _running = place.start();
    for (name, mode) in
        [("queue.sqlite", 0o600), ("queue.sqlite-wal", 0o600), ("lock", 0o600), ("jobs", 0o711)]
    {
        let found = fs::metadata(place.at("state").join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name} has {found:o}");
    }
}

#[tokio::test]
async fn a_log_is_heard_while_the_build_runs() {
    let place = Place::new("");
    let running = place.start();
    let client = place.client(&running.url, "ci");
    let id = submit(&client, "slow").await;
    let path = format!("/v1/builds/{id}/log?follow=true");
    let mut answer = client.send("GET", &path, &[], Vec::new()).await.unwrap();
    let piece = tokio::time::timeout(Duration::from_secs(10), answer.piece()).await;
    let piece = piece.expect("something comes before the build ends").unwrap().unwrap();
    assert!(piece.starts_with(b"building slow"), "{piece:?}");
    let (_, job) = ask(&client, "GET", &format!("/v1/builds/{id}"), "").await;
    assert_eq!(field(&job, "state"), "running");
    ask(&client, "POST", &format!("/v1/builds/{id}/cancel"), "").await;
    let rest = tokio::time::timeout(Duration::from_secs(10), answer.all(1 << 20)).await;
    assert!(rest.is_ok_and(|r| r.is_ok()), "it ends with the build");
    let (_, tail) = ask(&client, "GET", &format!("/v1/builds/{id}/log?from=9"), "").await;
    assert!(tail.starts_with("slow of main"), "{tail}");
}

#[tokio::test]
async fn it_is_ready_only_with_a_signer_and_a_canary_that_passed() {
    let canary = "[sh, -c, \"echo no bubblewrap here; exit 1\"]";
    let place = Place::new(&format!("builds: {{ canary: {canary} }}\n"));
    let mut running = place.start();
    let stranger = place.client(&running.url, "");
    let (status, body) = ask(&stranger, "GET", "/readyz", "").await;
    assert_eq!((status, field(&body, "canary").as_str()), (503, "not passed"), "{body}");
    let event = running.event("\"canary-failed\"");
    assert!(event.contains("exit status: 1") && event.contains("it said: no bubblewrap here"), "{event}");
    let client = place.client(&running.url, "ci");
    let id = submit(&client, "app").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (_, job) = ask(&client, "GET", &format!("/v1/builds/{id}"), "").await;
    assert_eq!(field(&job, "state"), "queued", "nothing is built before the canary passes");
    let args = remote(&place, &running.url, "other", &["--wait-at-most", "3s"]);
    let waited = portcullis(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(code(&waited), 2, "{}", stderr(&waited));
    for word in ["it waits in the queue; 1 before it", "its canary did not pass", "is not over after 3s"] {
        assert!(stderr(&waited).contains(word), "{}", stderr(&waited));
    }
    running.kill();
    let config = fs::read_to_string(place.at("service.yaml")).unwrap().replace(canary, "[/bin/true]");
    fs::write(place.at("service.yaml"), config).unwrap();
    fs::remove_file(place.at("signer.sock")).unwrap();
    let running = place.start();
    assert_eq!(field(&ended(&place.client(&running.url, "ci"), &id).await, "state"), "done");
    let (status, body) = ask(&place.client(&running.url, ""), "GET", "/readyz", "").await;
    assert_eq!((status, field(&body, "signer").as_str()), (503, "not reachable"), "{body}");
    assert_eq!(field(&body, "canary"), "passed");
    assert_eq!(ask(&place.client(&running.url, ""), "GET", "/healthz", "").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuers_keys_come_from_its_own_address() {
    let place = Place::new("");
    let issuer = Issuer::new(place.dir.path());
    let port = free_port();
    let mut keys = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-WWW"])
        .args(["-cert", "server.pem", "-key", "server.key"])
        .current_dir(place.dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let config = fs::read_to_string(place.at("service.yaml")).unwrap();
    let file = format!("keys: {{ file: {} }}", place.at("jwks.json").display());
    let url = format!(
        "keys: {{ url: \"https://127.0.0.1:{port}/jwks.json\", ca: {} }}",
        place.at("ca.pem").display()
    );
    assert!(config.contains(&file));
    fs::write(place.at("service.yaml"), config.replace(&file, &url)).unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let running = place.start();
    let claims = format!(
        r#"{{"iss":"https://token.example","aud":["x","portcullis"],"sub":"bot","exp":{},"owner":"acme"}}"#,
        now() + 300
    );
    fs::write(place.at("token"), issuer.token(r#"{"alg":"ES256","kid":"k1"}"#, &claims)).unwrap();
    let (ca, token, out) = (place.at("ca.pem"), place.at("token"), place.at("dist"));
    let text = expect(
        0,
        &[
            "build",
            REPOSITORY,
            "--ref",
            "main",
            "--target",
            "app",
            "--out",
            path(&out),
            "--service",
            &running.url,
            "--ca",
            path(&ca),
            "--token-file",
            path(&token),
        ],
    );
    assert!(text.contains("dist/shop"), "{text}");
    keys.kill().unwrap();
    keys.wait().unwrap();
}

#[tokio::test]
async fn who_opens_connections_and_says_nothing_does_not_hold_the_service_up() {
    let place = Place::new("");
    let running = place.start();
    let address = running.url.trim_start_matches("https://");
    let idle: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let client = place.client(&running.url, "");
    // some come in vain while the silent ones hold every place, and that ends with the handshake's deadline
    let mut answered = false;
    for _ in 0..150 {
        answered = ask_with(&client, "GET", "/healthz", &[], "").await.is_ok_and(|(status, _)| status == 200);
        if answered {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(answered, "the silent connections were closed");
    assert!(running.events.lock().unwrap().join("\n").contains("connection-refused"));
    drop(idle);
}
