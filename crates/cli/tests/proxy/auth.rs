//! Who may come, and with what: certificates, tokens, tokens as passwords; and files that change while it runs.

use std::fs;
use std::process::Command;

use attest::{Digest, SecretKey, Signer as _};

use crate::said;
use crate::site::{Policy, Site, TLS, proxy, until};
use crate::tools::{path, stdout};
use crate::upstream::Recorder;

const ISSUER: &str = "https://ci.example";

struct Issuer(SecretKey);

impl Issuer {
    fn new(site: &Site) -> Self {
        let issuer = Self(SecretKey::generate(attest::Scheme::P256).unwrap());
        issuer.publish(site);
        issuer
    }

    fn publish(&self, site: &Site) {
        let point = self.0.public().raw().to_vec();
        let (x, y) = point[1..].split_at(32);
        let (x, y) = (encode(x), encode(y));
        let jwks = format!(
            r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k1","use":"sig","x":"{x}","y":"{y}"}}]}}"#
        );
        fs::write(site.at("jwks.json"), jwks).unwrap();
    }

    fn token(&self, audience: &str, lasts: i64) -> String {
        let end = now() + lasts;
        let claims = format!(r#"{{"iss":"{ISSUER}","aud":"{audience}","sub":"job-7","exp":{end}}}"#);
        let signed = format!("{}.{}", encode(br#"{"alg":"ES256","kid":"k1"}"#), encode(claims.as_bytes()));
        let signature = self.0.sign_jose(signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(&signature))
    }
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[allow(clippy::disallowed_methods, reason = "a test's own clock")]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A proxy with these lines instead of those about clients.
fn site(upstream: &Recorder, clients: &str, more: &str) -> Site {
    let tls = TLS.replace("clients: { ca: tls/ca.crt, names: [ci.acme.example] }", clients);
    let section = format!(
        "  - name: files
    kind: put
    {tls}
    upstream: {{ url: \"{}\"{more} }}
    as: files.example
    routes: [{{ names: [\"releases/*\"], environment: prod/files }}]
",
        upstream.url()
    );
    let site = Site::new(&[Policy::tested("prod/files", "files.example/releases/*")], &section);
    site.test(&Digest::sha256(b"good"));
    fs::write(site.at("good"), "good").unwrap();
    site
}

fn issuers() -> String {
    format!(
        "issuers: [{{ issuer: \"{ISSUER}\", audience: files.example, algorithm: ES256, keys: {{ file: jwks.json }}, identity: sub }}]"
    )
}

#[test]
fn a_token_says_who_asks_also_as_a_password() {
    let upstream = Recorder::start();
    let site = site(&upstream, &issuers(), "");
    let issuer = Issuer::new(&site);
    let running = site.start();
    let url = format!("{}/releases/shop", proxy(&running, "files"));
    let put =
        |more: &[&str]| said(site.curl("").args(["-D", "-", "-T"]).arg(site.at("good")).args(more).arg(&url));
    let stranger = Issuer(SecretKey::generate(attest::Scheme::P256).unwrap());
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let good = issuer.token("files.example", 600);
    for (header, why) in [
        (String::new(), "come with a token"),
        (bearer(&issuer.token("other.example", 600)), "its audience is another"),
        (bearer(&issuer.token("files.example", -600)), "has expired"),
        (bearer(&stranger.token("files.example", 600)), "by no key of its issuer"),
        ("Authorization: Digest username=x".to_owned(), "neither a bearer token nor a password"),
        ("Authorization: Basic eDp5".to_owned(), "the token cannot be read"),
    ] {
        let (status, text) = put(&["-H", &header]);
        assert_eq!(status, 401, "{header}: {text}");
        assert!(text.contains(why), "{header}: {text}");
        assert!(text.to_lowercase().contains("www-authenticate: basic realm=\"files\""), "{text}");
        assert!(!text.contains(&good), "{text}");
    }
    assert!(upstream.seen().is_empty());
    for more in [["-H", &bearer(&good)], ["-u", &format!("anybody:{good}")]] {
        let (status, text) = put(&more);
        assert_eq!(status, 200, "{text}");
    }
    running.event_with(&["\"proxied\"", &format!("token {ISSUER} job-7"), "\"admit\""]);
    for seen in upstream.seen() {
        assert_eq!(seen.header("authorization"), None);
    }
}

#[test]
fn nobody_is_two_people_and_an_issuer_that_is_silent_is_no_refusal() {
    let upstream = Recorder::start();
    let both = format!("clients: {{ ca: tls/ca.crt, names: [ci.acme.example] }}\n    {}", issuers());
    let site = site(&upstream, &both, "");
    let issuer = Issuer::new(&site);
    let running = site.start();
    let url = format!("{}/releases/shop", proxy(&running, "files"));
    let good = format!("Authorization: Bearer {}", issuer.token("files.example", 600));
    fs::remove_file(site.at("jwks.json")).unwrap();
    let put = |who: &str, header: &str| {
        said(site.curl(who).arg("-T").arg(site.at("good")).args(["-H", header, &url]))
    };
    let (status, text) = put("ci", &good);
    assert!(status == 401 && text.contains("both a certificate and a token"), "{status} {text}");
    let (status, text) = put("", &good);
    assert!(status == 503 && text.contains("cannot be had"), "{status} {text}");
    assert!(upstream.seen().is_empty());
    assert_eq!(put("ci", "x: y").0, 200);
    let ended = |end: &str| {
        format!("portcullis_proxy_requests_total{{proxy=\"files\",kind=\"put\",result=\"{end}\"}}")
    };
    let numbers = running.read("/metrics");
    assert!(numbers.contains(&format!("{} 2", ended("unauthenticated"))), "{numbers}");
    assert!(numbers.contains(&format!("{} 1", ended("admitted"))), "{numbers}");
}

#[test]
fn anybody_may_come_only_where_the_word_stands() {
    let upstream = Recorder::start();
    let site = site(&upstream, "anonymous: true", "");
    let running = site.start();
    let url = format!("{}/releases/shop", proxy(&running, "files"));
    let (status, text) = said(site.curl("").arg("-T").arg(site.at("good")).arg(&url));
    assert_eq!(status, 200, "{text}");
    // what a client sends that nobody asked for is not sent on
    let (status, text) = said(site.curl("").arg("-T").arg(site.at("good")).args(["-u", "a:b", &url]));
    assert_eq!(status, 200, "{text}");
    assert!(upstream.seen().iter().all(|seen| seen.header("authorization").is_none()));
    drop(running);
    for (clients, why) in [
        ("", "clients"),
        ("anonymous: false", "clients"),
        ("issuers: []", "at least one issuer"),
        ("anonymous: true\n    clients: { ca: tls/ca.crt, names: [a] }", "`anonymous: true` together"),
    ] {
        let text = fs::read_to_string(site.at("serve.yaml")).unwrap().replace("anonymous: true", clients);
        fs::write(site.at("tried.yaml"), text).unwrap();
        let said = crate::tools::expect(2, &["serve", "--check", "--config", path(&site.at("tried.yaml"))]);
        assert!(said.contains(why), "{clients}: {said}");
    }
}

#[test]
fn what_changes_on_disk_is_in_force_soon_and_what_does_not_do_is_not() {
    let upstream = Recorder::start();
    let ours = "clients: { ca: tls/ca.crt, names: [ci.acme.example] }";
    let site = site(&upstream, ours, ", credentials: login");
    fs::write(site.at("login"), "Basic b25l\n").unwrap();
    let text = fs::read_to_string(site.at("serve.yaml")).unwrap().replace("tls/server", "tls/proxy");
    let webhook = "tls: { certificate: tls/proxy.crt, key: tls/proxy.key }\n  clients: { ca: tls/ca.crt, names: [kube-apiserver]";
    assert!(text.contains(webhook));
    fs::write(site.at("serve.yaml"), text.replace(webhook, &webhook.replace("proxy", "server"))).unwrap();
    for part in ["crt", "key"] {
        fs::copy(site.at(&format!("tls/server.{part}")), site.at(&format!("tls/proxy.{part}"))).unwrap();
    }
    let running = site.start();
    let url = format!("{}/releases/shop", proxy(&running, "files"));
    let put = |ca: &str| {
        let mut curl = site.curl("ci");
        said(curl.arg("--cacert").arg(site.at(ca)).arg("-T").arg(site.at("good")).arg(&url))
    };
    assert_eq!(put("tls/ca.crt").0, 200);
    assert_eq!(upstream.seen()[0].header("authorization").unwrap(), "Basic b25l");

    fs::write(site.at("login"), "Basic two\nlines").unwrap();
    let refused = running.event_with(&["\"reload-refused\"", "\"proxy\":\"files\""]);
    assert!(refused.contains("no value of an Authorization header") && !refused.contains("two"), "{refused}");
    assert_eq!(put("tls/ca.crt").0, 200);
    fs::write(site.at("login"), "Basic dGhyZWU=").unwrap();
    running.event_with(&["\"reloaded\"", "\"what\":\"upstream\""]);
    assert_eq!(put("tls/ca.crt").0, 200);
    let sent: Vec<String> =
        upstream.seen().iter().map(|seen| seen.header("authorization").unwrap()).collect();
    assert_eq!(sent, ["Basic b25l", "Basic b25l", "Basic dGhyZWU="]);

    let new = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=new -addext subjectAltName=IP:127.0.0.1".split(' '))
        .args(["-keyout", path(&site.at("tls/new.key")), "-out", path(&site.at("tls/new.crt"))])
        .output()
        .unwrap();
    assert!(new.status.success(), "{}", stdout(&new));
    for part in ["key", "crt"] {
        fs::copy(site.at(&format!("tls/new.{part}")), site.at(&format!("tls/proxy.{part}"))).unwrap();
    }
    running.event_with(&["\"reloaded\"", "\"proxy\":\"files\"", "\"what\":\"certificate\""]);
    until("the new certificate is not shown", || put("tls/new.crt").0 == 200);
    assert_eq!(put("tls/ca.crt").0, 0);
}

#[test]
fn what_is_not_there_is_named_before_it_starts() {
    let upstream = Recorder::start();
    let site = site(
        &upstream,
        &issuers(),
        ", ca: internal.crt, credentials: login, identity: { certificate: a.crt, key: a.key }",
    );
    let said = crate::tools::expect(1, &["serve", "--check", "--config", path(&site.at("serve.yaml"))]);
    for name in ["internal.crt", "login", "a.crt", "a.key", "jwks.json"] {
        assert!(said.contains(name), "{name}: {said}");
    }
}
