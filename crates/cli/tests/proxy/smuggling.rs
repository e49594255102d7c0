//! What stands behind the proxy reads exactly what was judged: every way to say two things at once is refused, or loses
//! its second meaning.

use std::time::Duration;

use attest::Digest;

use crate::raw::Raw;
use crate::site::{Policy, Site, TLS, address};
use crate::upstream::Recorder;

fn in_front(upstream: &Recorder) -> Site {
    let section = format!(
        "  - name: files
    kind: put
    {TLS}
    upstream: {{ url: \"{}\" }}
    as: files.example
    routes: [{{ names: [\"releases/*\"], environment: prod/files }}]
",
        upstream.url()
    );
    let site = Site::new(&[Policy::tested("prod/files", "files.example/releases/*")], &section);
    site.test(&Digest::sha256(b"good"));
    site
}

const HEAD: &str = "PUT /releases/shop HTTP/1.1\r\nhost: proxy.example\r\n";

#[test]
fn two_lengths_have_no_second_meaning() {
    let upstream = Recorder::start();
    let site = in_front(&upstream);
    let running = site.start();
    let to = address(&running, "files");
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: proxy.example\r\n\r\n";
    let chunked = "transfer-encoding: chunked\r\n";
    for (more, body) in [
        // for who reads the length, the second request is in the first one's body
        (format!("content-length: {}\r\n{chunked}\r\n", smuggled.len() + 5), format!("0\r\n\r\n{smuggled}")),
        (format!("{chunked}content-length: {}\r\n\r\n", smuggled.len() + 5), format!("0\r\n\r\n{smuggled}")),
        (format!("{chunked}content-length: 4\r\n\r\n"), format!("4\r\ngood\r\n0\r\n\r\n{smuggled}")),
        (format!("{chunked}\r\n"), format!("0\r\n\r\n{smuggled}")),
        ("content-length: 4\r\ncontent-length: 0\r\n\r\n".to_owned(), format!("good{smuggled}")),
        ("content-length: 4, 4\r\n\r\n".to_owned(), format!("good{smuggled}")),
        ("content-length: +4\r\n\r\n".to_owned(), format!("good{smuggled}")),
        ("content-length: 0x4\r\n\r\n".to_owned(), format!("good{smuggled}")),
        ("content-length: 4 \r\ntransfer-encoding : chunked\r\n\r\n".to_owned(), format!("good{smuggled}")),
        ("transfer-encoding: xchunked\r\n\r\n".to_owned(), format!("4\r\ngood\r\n0\r\n\r\n{smuggled}")),
        ("transfer-encoding: gzip, chunked\r\n\r\n".to_owned(), format!("4\r\ngood\r\n0\r\n\r\n{smuggled}")),
        ("transfer-encoding: chunked, identity\r\n\r\n".to_owned(), format!("0\r\n\r\n{smuggled}")),
        (format!("{chunked}{chunked}\r\n"), format!("4\r\ngood\r\n0\r\n\r\n{smuggled}")),
        ("transfer-encoding:\r\n chunked\r\n\r\n".to_owned(), format!("4\r\ngood\r\n0\r\n\r\n{smuggled}")),
        (format!("x: y\r\n folded\r\n{chunked}\r\n"), format!("4\r\ngood\r\n0\r\n\r\n{smuggled}")),
        (format!("{chunked}\r\n"), format!("4;a=b\nc\r\ngood\r\n0\r\n\r\n{smuggled}")),
        (format!("{chunked}\r\n"), format!("4\ngood\n0\n\n{smuggled}")),
        (format!("{chunked}\r\n"), format!("-4\r\ngood\r\n0\r\n\r\n{smuggled}")),
        (format!("{chunked}\r\n"), format!("10000000000000004\r\ngood\r\n0\r\n\r\n{smuggled}")),
    ] {
        let mut client = Raw::connect(&site, &to, "ci");
        client.send(format!("{HEAD}{more}{body}").as_bytes());
        let (said, is_closed) = client.rest(Duration::from_secs(5));
        assert!(is_closed, "{more:?} {body:?}: {said}");
        assert!(said.matches("HTTP/1.1 ").count() <= 1, "{more:?} {body:?}: {said}");
        for seen in upstream.seen() {
            assert!(!seen.head.contains("smuggled"), "{more:?} {body:?}: {seen:?}");
            assert_eq!(seen.body.as_deref(), Some(&b"good"[..]), "{more:?} {body:?}");
            assert_eq!(
                (seen.header("content-length").as_deref(), seen.header("transfer-encoding")),
                (Some("4"), None)
            );
        }
    }
    // chunks are a body like any other, and its connection is not used again
    let before = upstream.seen().len();
    let mut client = Raw::connect(&site, &to, "ci");
    client.send(format!("{HEAD}{chunked}\r\n2\r\ngo\r\n2\r\nod\r\n0\r\nx-trailer: y\r\n\r\n").as_bytes());
    let (said, is_closed) = client.rest(Duration::from_secs(5));
    assert!(said.starts_with("HTTP/1.1 200") && is_closed, "{said}");
    let seen = upstream.seen();
    assert_eq!(seen.len(), before + 1);
    assert!(!format!("{seen:?}").contains("x-trailer"));
    // a length that is said twice the same is one
    let mut client = Raw::connect(&site, &to, "ci");
    client.send(format!("{HEAD}content-length: 4\r\ncontent-length: 4\r\n\r\ngood").as_bytes());
    assert!(client.answer().starts_with("HTTP/1.1 200"));
}

#[test]
fn a_name_has_one_spelling_and_the_upstream_hears_that() {
    let upstream = Recorder::start();
    let site = in_front(&upstream);
    let running = site.start();
    let to = address(&running, "files");
    let put = |target: &str| {
        let mut client = Raw::connect(&site, &to, "ci");
        client.send(
            format!("PUT {target} HTTP/1.1\r\nhost: proxy.example\r\ncontent-length: 4\r\n\r\ngood")
                .as_bytes(),
        );
        client.answer()
    };
    for target in [
        "/releases//shop",
        "//releases/shop",
        "/releases/./shop",
        "/releases/x/../shop",
        "/releases/..",
        "/../releases/shop",
        "/releases/%2e%2e/secret",
        "/releases/.%2E/secret",
        "/releases%2fshop",
        "/releases%2Fshop",
        "/releases%5cshop",
        "/releases\\shop",
        "/releases/shop%00.txt",
        "/releases/shop%0d%0aX: y",
        "/releases/%",
        "/releases/%4",
        "/releases/%252e%252e/x",
        "/releases/%ff",
        "/releases/..;/secret",
        "releases/shop",
        "*",
        "proxy.example:443",
        "/releases/shop/",
        "/releases/shop?a=1&a=2",
        "/releases/shop?a;b",
        "/releases/shop?%",
        "http://proxy.example/releases/shop",
        "https://other.example/releases/shop",
        "https://user@proxy.example/releases/shop",
    ] {
        let said = put(target);
        assert!(said.starts_with("HTTP/1.1 400"), "{target}: {said}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    for (target, line) in [
        ("/releases/shop", "PUT /releases/shop HTTP/1.1"),
        ("/%72eleases/%73hop", "PUT /releases/shop HTTP/1.1"),
        ("/releases/a+b", "PUT /releases/a%2Bb HTTP/1.1"),
        ("/releases/a%2bb", "PUT /releases/a%2Bb HTTP/1.1"),
        ("/releases/other;shop", "PUT /releases/other%3Bshop HTTP/1.1"),
        ("https://proxy.example/releases/shop", "PUT /releases/shop HTTP/1.1"),
        ("/releases/shop#x", "PUT /releases/shop HTTP/1.1"),
    ] {
        let said = put(target);
        if target.contains('#') && said.starts_with("HTTP/1.1 400") {
            continue;
        }
        assert!(said.starts_with("HTTP/1.1 200"), "{target}: {said}");
        assert_eq!(upstream.seen().last().unwrap().first_line(), line, "{target}");
    }
    // and the judged name is that of the one spelling
    let said = put("/%72eleases/%73hop");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    running.event_with(&["\"proxied\"", "files/releases/shop", "\"decision\":\"admit\""]);
}

#[test]
fn no_header_makes_another_request_of_it() {
    let upstream = Recorder::start();
    let site = in_front(&upstream);
    let running = site.start();
    let to = address(&running, "files");
    let send = |first: &str, more: &str| {
        let mut client = Raw::connect(&site, &to, "ci");
        client.send(format!("{first} HTTP/1.1\r\n{more}content-length: 4\r\n\r\ngood").as_bytes());
        client.answer()
    };
    let host = "host: proxy.example\r\n";
    for (more, status) in [
        ("".to_owned(), "400"),
        (format!("{host}host: other.example\r\n"), "400"),
        (format!("{host}X-HTTP-Method-Override: DELETE\r\n"), "400"),
        (format!("{host}X-Original-URL: /releases/other\r\n"), "400"),
        (format!("{host}X-Rewrite-URL: /releases/other\r\n"), "400"),
        (format!("{host}upgrade: websocket\r\nconnection: upgrade\r\n"), "501"),
        (format!("{host}expect: miracles\r\n"), "417"),
        (format!("{host}content-type: a/b\r\ncontent-type: c/d\r\n"), "400"),
        (format!("{host}x\x01y: z\r\n"), "400"),
        (format!("{host}x: a\0b\r\n"), "400"),
    ] {
        let said = send("PUT /releases/shop", &more);
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{more:?}: {said}");
    }
    for line in ["TRACE /releases/shop", "CONNECT proxy.example:443", "GET /releases/shop", "OPTIONS *"] {
        let said = send(line, host);
        assert!(!said.starts_with("HTTP/1.1 2"), "{line}: {said}");
    }
    for line in ["DELETE /releases/shop", "POST /releases/shop", "MOVE /releases/shop", "PUTX /releases/shop"]
    {
        let said = send(line, host);
        assert!(said.starts_with("HTTP/1.1 405"), "{line}: {said}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());

    let said = send(
        "PUT /releases/shop",
        &format!(
            "{host}X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n\
             X-Real-IP: 10.0.0.1\r\nCookie: session=mine\r\nAuthorization: Basic bWluZQ==\r\nProxy-Authorization: x\r\n\
             Impersonate-User: admin\r\nX-Remote-User: admin\r\nContent_Length: 9\r\nTE: trailers\r\n\
             Connection: close, x-gone\r\nX-Gone: y\r\nKeep-Alive: 5\r\nDestination: /other\r\nContent-Type: a/b\r\n"
        ),
    );
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let seen = upstream.seen().remove(0);
    let mut names: Vec<String> =
        seen.head.lines().skip(1).map(|l| l.split(':').next().unwrap().to_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["content-length", "content-type", "host"], "{}", seen.head);
    assert_eq!(seen.header("host").unwrap(), format!("127.0.0.1:{}", upstream.port));

    // 100-continue comes only for who may send, and once
    let mut client = Raw::connect(&site, &to, "ci");
    client.send(format!("{HEAD}expect: 100-continue\r\ncontent-length: 4\r\n\r\n").as_bytes());
    assert!(client.answer().starts_with("HTTP/1.1 100 Continue"));
    client.send(b"good");
    assert!(client.answer().starts_with("HTTP/1.1 200"));
    assert_eq!(upstream.seen().last().unwrap().header("expect"), None);
    let mut client = Raw::connect(&site, &to, "apiserver");
    client.send(format!("{HEAD}expect: 100-continue\r\ncontent-length: 4\r\n\r\n").as_bytes());
    assert!(client.answer().starts_with("HTTP/1.1 403"));

    // requests in one go are requests, each for itself
    let mut client = Raw::connect(&site, &to, "ci");
    let one = format!("{HEAD}content-length: 4\r\n\r\n");
    client.send(format!("{one}good{one}evil{one}good").as_bytes());
    let (said, _) = client.rest(Duration::from_secs(3));
    let answers: Vec<&str> = said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(answers, ["200", "403", "200"], "{said}");
    assert!(upstream.seen().iter().all(|seen| seen.body.as_deref() == Some(b"good")));
}

#[tokio::test]
async fn what_comes_as_http2_means_one_thing_too() {
    let upstream = Recorder::start();
    let site = in_front(&upstream);
    let running = site.start();
    let to = address(&running, "files");
    let send = async |uri: &str, headers: &[(&str, &str)], body: &'static str| {
        let connector =
            tokio_rustls::TlsConnector::from(std::sync::Arc::new(crate::raw::settings(&site, "ci", b"h2")));
        let tcp = tokio::net::TcpStream::connect(&to).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
        let stream = connector.connect(name, tcp).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http2::handshake(
            hyper_util::rt::TokioExecutor::new(),
            hyper_util::rt::TokioIo::new(stream),
        )
        .await
        .unwrap();
        tokio::spawn(connection);
        let mut request = hyper::Request::builder().method("PUT").uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = http_body_util::Full::new(bytes::Bytes::from(body));
        let answer = sender.send_request(request.body(body).unwrap()).await;
        answer.map_or(0, |answer| answer.status().as_u16())
    };
    let good = "https://proxy.example/releases/shop";
    for (uri, headers, wanted) in [
        (good, vec![("host", "other.example")], 400),
        (good, vec![("x-http-method-override", "DELETE")], 400),
        (good, vec![("content-type", "a/b"), ("content-type", "c/d")], 400),
        ("https://proxy.example/releases//shop", vec![], 400),
        ("https://proxy.example/releases/%2e%2e/shop", vec![], 400),
        ("http://proxy.example/releases/shop", vec![], 400),
        (good, vec![("content-length", "9")], 0),
        (good, vec![("content-length", "3")], 0),
    ] {
        let status = send(uri, &headers, "good").await;
        assert!(status == wanted || (wanted == 0 && status >= 400), "{uri} {headers:?}: {status}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    assert_eq!(
        send(good, &[("host", "proxy.example"), ("cookie", "a=b"), ("cookie", "c=d")], "good").await,
        200
    );
    let seen = upstream.seen().remove(0);
    assert_eq!(seen.first_line(), "PUT /releases/shop HTTP/1.1");
    assert_eq!(seen.header("content-length").unwrap(), "4");
    assert_eq!((seen.header("cookie"), seen.header("transfer-encoding")), (None, None));
    assert_eq!(send(good, &[], "evil").await, 403);
    assert_eq!(upstream.seen().len(), 1);
}
