//! An API that speaks JSON, guarded by its methods and paths.

use attest::Digest;

use crate::said;
use crate::site::{Policy, Site, TLS, proxy};
use crate::tools::serving::Serving;
use crate::upstream::Recorder;

#[test]
fn an_access_list_goes_through_in_the_one_spelling_that_was_judged() {
    let upstream = Recorder::start();
    let section = format!(
        "  - name: cloud
    kind: json
    {TLS}
    upstream: {{ url: \"{}\" }}
    as: cloud://acme
    calls:
      - {{ method: PUT, path: \"/v1/acl/*\" }}
      - {{ method: POST, path: \"/v1/policy/*\", at: /policy }}
    routes: [{{ names: [\"v1/**\"], environment: prod/cloud }}]
",
        upstream.url()
    );
    let site = Site::new(&[Policy::tested("prod/cloud", "cloud://acme/v1/*/*")], &section);
    site.test(&Digest::sha256(br#"{"bucket":"shop","readers":["alice","bob"]}"#));
    let running = site.start();
    let to = proxy(&running, "cloud");
    let send = |method: &str, path: &str, kind: &str, body: &str| {
        let kind = format!("content-type: {kind}");
        let mut curl = site.curl("ci");
        said(curl.args(["-X", method, "-H", &kind, "--data-binary", body]).arg(format!("{to}{path}")))
    };
    const JSON: &str = "application/json";
    let good = "{ \"readers\": [\"alice\", \"bob\"],\n  \"bucket\": \"sh\\u006fp\" }";
    for (method, path, kind, body, status, why) in [
        ("PUT", "/v1/acl/shop", JSON, r#"{"bucket":"shop","readers":["mallory"]}"#, 403, "error[signed-by]"),
        ("PUT", "/v1/acl/shop", JSON, r#"{"bucket":"shop","bucket":"other","readers":[]}"#, 400, "duplicate"),
        ("PUT", "/v1/acl/shop", "application/x-www-form-urlencoded", good, 400, "something else than"),
        ("PUT", "/v1/acl/shop?public=true", JSON, good, 400, "with a query"),
        ("PUT", "/v1/acl/shop/more", JSON, good, 403, "does not go through here"),
        ("DELETE", "/v1/acl/shop", JSON, good, 403, "does not go through here"),
        ("POST", "/v1/acl/shop", JSON, good, 403, "does not go through here"),
        ("POST", "/v1/policy/shop", JSON, r#"{"policy":{},"force":true}"#, 400, "what nobody would judge"),
        ("PUT", "/v1/acl/shop", JSON, "", 400, "no JSON"),
    ] {
        let (found, text) = send(method, path, kind, body);
        assert_eq!(found, status, "{method} {path} {body}: {text}");
        assert!(text.contains(why), "{method} {path} {body}: {text}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    let (status, text) = send("PUT", "/v1/acl/shop", JSON, good);
    assert_eq!(status, 200, "{text}");
    let (status, text) = send("POST", "/v1/policy/shop", JSON, &format!("{{\"policy\":{good}}}"));
    assert_eq!(status, 200, "{text}");
    let canonical = r#"{"bucket":"shop","readers":["alice","bob"]}"#;
    let bodies: Vec<Vec<u8>> = upstream.seen().into_iter().map(|seen| seen.body.unwrap()).collect();
    assert_eq!(bodies, [canonical.as_bytes().to_vec(), format!("{{\"policy\":{canonical}}}").into_bytes()]);
    let (status, text) = said(site.curl("ci").arg(format!("{to}/v1/acl/shop?page=2")));
    assert_eq!((status, text.as_str()), (200, "ok\n"));
    assert_eq!(upstream.seen().last().unwrap().first_line(), "GET /v1/acl/shop?page=2 HTTP/1.1");
}

#[test]
fn what_an_api_is_sent_is_no_word_about_a_cluster() {
    let upstream = Recorder::start();
    let section = format!(
        "  - name: cloud
    kind: json
    {TLS}
    upstream: {{ url: \"{}\" }}
    as: cloud://acme
    calls: [{{ method: PUT, path: \"/v1/acl/*\" }}]
    routes: [{{ names: [\"v1/**\"], environment: dev/cloud }}]
",
        upstream.url()
    );
    let site = Site::new(&[Policy::tested("dev/cloud", "cloud://acme/v1/*/*")], &section);
    // as the record of a ReplicaSet that was admitted: whoever reads the log must not believe it
    let template = Digest::sha256(b"a template that nobody judged");
    let body =
        format!(r#"{{"owner":"ReplicaSet/shop/web/1","parts":1,"template":"{template}","uid":"review"}}"#);
    site.test(&Digest::sha256(body.as_bytes()));
    let put = |running: &Serving| {
        let to = format!("{}/v1/acl/shop", proxy(running, "cloud"));
        let kind = "content-type: application/json";
        let (status, text) =
            said(site.curl("ci").args(["-X", "PUT", "-H", kind, "--data-binary", &body, &to]));
        assert_eq!(status, 200, "{text}");
    };
    let running = site.start();
    put(&running);
    // killed: what was decided is read out of the log
    drop(running);
    let running = site.start();
    put(&running);
    running.end();
    let decided = std::fs::read_to_string(site.at("state/decided.json")).unwrap();
    assert!(!decided.contains("ReplicaSet/shop"), "{decided}");
}
