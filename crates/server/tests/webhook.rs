//! The webhook's listener under everything that a network, an API server and a tenant can do to it.

#[path = "webhook/support.rs"]
mod support;

use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use server::webhook::Kept;
use support::{Place, http2, post, put, review};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_api_server_may_ask_and_the_others_hear_why() {
    let place = Place::new();
    let running = place.start("").await;
    let (status, body) = place.ask(&running, "one").await;
    assert_eq!((status, body.contains("\"allowed\":true")), (200, true), "{body}");

    let (status, body) = place.send(&running, "", review("one", "10s")).await.unwrap();
    assert_eq!(status, 403);
    assert!(body.contains("unauthenticated") && body.contains("no client certificate"), "{body}");

    let (status, body) = place.send(&running, "ci", review("one", "10s")).await.unwrap();
    assert_eq!(status, 403);
    assert!(body.contains("not-permitted") && body.contains("ci, ci.example"), "{body}");

    // another authority's certificate with the right name does not come as far as HTTP
    assert_eq!(place.send(&running, "rogue-apiserver", review("one", "10s")).await, None);
    running.wait_for("portcullis_connections_failed_total{why=\"tls\"}", 1.0).await;
    assert_eq!(running.series("portcullis_requests_total{end=\"unauthenticated\"}").await, 2.0);
    assert_eq!(running.judge.judged.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_review_is_refused_with_its_reason() {
    let place = Place::new();
    let running = place.start("").await;
    let path = "/v1/kubernetes/validate";
    let mut wrong_kind = review("one", "10s");
    wrong_kind.headers_mut().insert("content-type", "application/yaml".parse().unwrap());
    let cases = [
        (post(path, vec![b' '; 65 << 10]), 413, "at most 65536 bytes"),
        (post(path, br#"{"apiVersion":"admission.k8s.io/v1","requ"#.to_vec()), 400, "no AdmissionReview"),
        (post(path, br#"{"request":{"uid":"a","uid":"b"}}"#.to_vec()), 400, "duplicate key"),
        (post(path, Vec::new()), 400, "no AdmissionReview"),
        (wrong_kind, 415, "application/yaml"),
        (review("one", "soon"), 400, "the timeout cannot be read"),
        (review("one", "0s"), 400, "the timeout cannot be read"),
        (post("/v1/kubernetes/other", Vec::new()), 404, "nothing at this address"),
        (put(path, "{}"), 405, "does not take this method"),
    ];
    for (request, wanted, why) in cases {
        let (status, body) = place.send(&running, "kube-apiserver", request).await.unwrap();
        assert_eq!(status, wanted, "{body}");
        assert!(body.contains(why), "{why}: {body}");
        assert!(!body.contains("allowed"), "{body}");
    }
    let counted = running.series("portcullis_requests_total{end=\"malformed\"}").await;
    assert_eq!(counted, 7.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_slowly_is_told_so_and_holds_nobody_up() {
    let place = Place::new();
    let running = place.start("").await;
    let mut slow = place.connect(&running, "kube-apiserver", "http/1.1").await.unwrap();
    let head = "POST /v1/kubernetes/validate?timeout=1s HTTP/1.1\r\nhost: webhook\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(place.ask(&running, "meanwhile").await.0, 200);
    let mut answer = vec![0; 4096];
    let count = tokio::time::timeout(Duration::from_secs(5), slow.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");

    // and whoever never says what it wants is hung up on
    let mut silent = place.connect(&running, "kube-apiserver", "http/1.1").await.unwrap();
    silent.write_all(b"POST /v1/kub").await.unwrap();
    let began = Instant::now();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut rest)).await.unwrap().ok();
    assert!(began.elapsed() > Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_deadline_there_is_an_error_and_the_work_stops() {
    let place = Place::new();
    let running = place.start("").await;
    let began = Instant::now();
    let (status, body) = place.send(&running, "kube-apiserver", review("slow-2000-x", "1s")).await.unwrap();
    assert_eq!(status, 504, "{body}");
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert!(!body.contains("allowed"), "{body}");
    assert_eq!(running.series("portcullis_requests_total{end=\"late\"}").await, 1.0);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(running.judge.stopped_for_caller.load(Ordering::SeqCst), 1);
    assert_eq!(running.series("portcullis_in_flight").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_is_no_answer() {
    let place = Place::new();
    let running = place.start("").await;
    let mut asking = Box::pin(place.send(&running, "kube-apiserver", review("slow-3000-x", "20s")));
    // it goes away once it is being judged, however long the way there was
    while running.judge.judged.load(Ordering::SeqCst) == 0 {
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut asking).await.is_err());
    }
    drop(asking);
    running.wait_for("portcullis_requests_total{end=\"late\"}", 1.0).await;
    for _ in 0..100 {
        if running.judge.stopped_for_caller.load(Ordering::SeqCst) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the judge went on for nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_in_time_is_shed_at_once_and_the_rest_is_right() {
    let place = Place::new();
    let running = place.start("").await;
    for number in 0..4 {
        assert_eq!(place.ask(&running, &format!("slow-700-{number}")).await.0, 200);
    }
    // it was slower before: so the last one that is let in has seconds to spare, also on a busy machine
    let mut asked = Vec::new();
    for connection in 0..4 {
        let stream = place.connect(&running, "kube-apiserver", "h2").await.unwrap();
        let sender = http2(stream).await;
        for number in 0..250 {
            let (mut sender, uid) = (sender.clone(), format!("slow-500-{connection}-{number}"));
            asked.push(tokio::spawn(async move {
                let began = Instant::now();
                let answer = sender.send_request(review(&uid, "10s")).await.unwrap();
                let (status, again) =
                    (answer.status().as_u16(), answer.headers().get("retry-after").cloned());
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                (uid, status, again, String::from_utf8_lossy(&body).into_owned(), began.elapsed())
            }));
        }
    }
    let (mut answered, mut shed) = (0, 0);
    for one in asked {
        let (uid, status, again, body, _) = one.await.unwrap();
        match status {
            200 => {
                answered += 1;
                assert!(body.contains(&format!("\"uid\":\"{uid}\"")), "{uid}: {body}");
            }
            429 => {
                shed += 1;
                assert!(again.is_some() && body.contains("nothing was judged"), "{body}");
            }
            other => panic!("{other}: {body}"),
        }
    }
    assert!(answered >= 64 && shed >= 300, "{answered} answered, {shed} shed");
    assert_eq!(running.series("portcullis_requests_total{end=\"shed\"}").await, f64::from(shed));
    assert_eq!(running.series("portcullis_requests_total{end=\"late\"}").await, 0.0);
    // it does not stay shut
    assert_eq!(place.ask(&running, "after").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_panics_or_fails_is_a_denial_with_the_uid() {
    let place = Place::new();
    let running = place.start("").await;
    for (uid, why) in [("panic-1", "the choke point failed"), ("fail-1", "the log is full")] {
        let (status, body) = place.ask(&running, uid).await;
        assert_eq!(status, 200, "{body}");
        let json = attest::json::parse(body.as_bytes()).unwrap();
        let response = json.as_object().unwrap().object("response").unwrap();
        assert_eq!(response.string("uid").unwrap(), uid);
        assert!(!response.flag("allowed").unwrap());
        let message = response.object("status").unwrap().string("message").unwrap();
        assert!(message.starts_with("cannot decide: ") && message.contains(why), "{message}");
    }
    assert_eq!(running.series("portcullis_requests_total{end=\"panicked\"}").await, 1.0);
    assert_eq!(place.ask(&running, "after").await.0, 200);
    running.judge.is_broken.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (status, body) = running.read("/readyz").await;
    assert_eq!(
        (status, body.contains("it fails when it judges a case that it knows")),
        (503, true),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_drains_before_it_ends() {
    let place = Place::new();
    let mut running = place.start("").await;
    assert_eq!(running.read("/readyz").await.0, 200);
    let stream = place.connect(&running, "kube-apiserver", "h2").await.unwrap();
    let mut sender = http2(stream).await;
    let mut other = sender.clone();
    let long = tokio::spawn(async move { other.send_request(review("slow-2000-x", "10s")).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    running.stop();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (status, body) = running.read("/readyz").await;
    assert_eq!((status, body.contains("it was told to stop")), (503, true), "{body}");
    // until the API server has noticed, it is answered as ever
    assert_eq!(sender.send_request(review("one", "10s")).await.unwrap().status(), 200);
    assert_eq!(place.ask(&running, "two").await.0, 200);
    let long = long.await.unwrap().unwrap();
    assert_eq!(long.status(), 200);
    let body = long.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("slow-2000-x"));
    assert!(running.end().await, "everything that was asked was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_while_connections_stay() {
    let place = Place::new();
    fs::copy(place.at("server.pem"), place.at("good.pem")).unwrap();
    fs::copy(place.at("server.key"), place.at("good.key")).unwrap();
    place.certificate("server", "ca", "IP:127.0.0.1", -1);
    let running = place.start("").await;
    // an expired certificate: nobody gets in, and it says so itself
    assert!(place.connect(&running, "kube-apiserver", "h2").await.is_err());
    let (status, body) = running.read("/readyz").await;
    assert_eq!((status, body.contains("the certificate ended at")), (503, true), "{body}");
    assert!(running.series("portcullis_certificate_expiry_seconds").await < 0.0);

    fs::copy(place.at("good.key"), place.at("server.key")).unwrap();
    fs::copy(place.at("good.pem"), place.at("server.pem")).unwrap();
    running.wait_for("portcullis_certificate_expiry_seconds", 3600.0).await;
    let mut stays = http2(place.connect(&running, "kube-apiserver", "h2").await.unwrap()).await;
    assert_eq!(running.read("/readyz").await.0, 200);

    // a broken pair, and one that ended, leave the good one in force
    fs::write(place.at("server.pem"), "not a certificate").unwrap();
    running.wait_for("portcullis_reloads_total{what=\"certificate\",result=\"refused\"}", 1.0).await;
    assert_eq!(place.ask(&running, "one").await.0, 200);
    place.certificate("server", "ca", "IP:127.0.0.1", -1);
    running.wait_for("portcullis_reloads_total{what=\"certificate\",result=\"refused\"}", 2.0).await;
    assert_eq!(place.ask(&running, "two").await.0, 200);
    assert_eq!(stays.send_request(review("three", "10s")).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_spoken() {
    let place = Place::new();
    let running = place.start("").await;
    assert_eq!(place.ask(&running, "one").await.0, 200);
    let mut sender = http2(place.connect(&running, "kube-apiserver", "h2").await.unwrap()).await;
    for uid in ["two", "three"] {
        let answer = sender.send_request(review(uid, "10s")).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
    }
    let (_, text) = running.read("/metrics").await;
    let admitted =
        "portcullis_decisions_total{environment=\"prod/shop\",basis=\"policy\",decision=\"admit\"} 3";
    assert!(text.contains(admitted), "{text}");
    assert!(text.contains("portcullis_stage_seconds_count{stage=\"total\"} 3"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_brought_by_those_who_are_named_for_it() {
    let place = Place::new();
    let running = place.start("").await;
    let (status, body) = place.send(&running, "ci", put("/v1/evidence", "{\"a\":1}")).await.unwrap();
    assert_eq!((status, body.trim()), (200, "{\"digest\":\"sha256:cc\"}"));
    assert_eq!(place.send(&running, "ci", put("/v1/grants", "{\"a\":1}")).await.unwrap().0, 200);
    let (status, body) = place.send(&running, "ci", put("/v1/evidence", "{}")).await.unwrap();
    assert_eq!((status, body.contains("no envelope")), (400, true), "{body}");
    for (name, code) in [("kube-apiserver", "not-permitted"), ("", "unauthenticated")] {
        let (status, body) = place.send(&running, name, put("/v1/grants", "{\"a\":1}")).await.unwrap();
        assert_eq!((status, body.contains(code)), (403, true), "{body}");
    }
    let kept = running.judge.kept.lock().unwrap().clone();
    let by = "ci.example".to_owned();
    assert_eq!(kept, [(Kept::Evidence, by.clone()), (Kept::Grant, by)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_to_a_collector_under_the_callers_trace_and_a_dead_one_holds_nobody_up() {
    let place = Place::new();
    let collector = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let config = format!("traces: {{ endpoint: \"{endpoint}\" }}");
    let running = place.start(&config).await;
    let mut request = review("one", "10s");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    // nobody takes the collector's connections yet
    let began = Instant::now();
    assert_eq!(place.send(&running, "kube-apiserver", request).await.unwrap().0, 200);
    assert!(began.elapsed() < Duration::from_secs(2));
    let (mut stream, _) = collector.accept().await.unwrap();
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains("portcullis.decision.id") {
            let mut piece = vec![0; 65536];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&piece[..count]);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap();
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.starts_with("POST /v1/traces"), "{seen}");
    for part in ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "7:sha256:aa", "\"name\":\"parse\""]
    {
        assert!(seen.contains(part), "{part}: {seen}");
    }
}
