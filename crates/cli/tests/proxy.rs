//! A real `portcullis serve` with a proxy in front of a real nginx, and curl.

mod tools;

#[path = "proxy/auth.rs"]
mod auth;
#[path = "proxy/calls.rs"]
mod calls;
#[path = "proxy/faults.rs"]
mod faults;
#[path = "proxy/nginx.rs"]
mod nginx;
#[path = "proxy/raw.rs"]
mod raw;
#[path = "proxy/server.rs"]
mod server;
#[path = "proxy/share.rs"]
mod share;
#[path = "proxy/site.rs"]
mod site;
#[path = "proxy/smuggling.rs"]
mod smuggling;
#[path = "proxy/upstream.rs"]
mod upstream;

use std::fs;
use std::process::Command;

use attest::Digest;
use nginx::Nginx;
use site::{Policy, Site, TLS, proxy};
use tools::{stderr, stdout};

/// A site in front of this nginx.
fn in_front(nginx: &Nginx, more: &str) -> Site {
    let section = format!(
        "  - name: files
    kind: put
    {TLS}
    upstream: {{ url: \"http://127.0.0.1:{}\" }}
    as: files.example
    {more}
    routes: [{{ names: [\"releases/*\"], environment: prod/files }}]
",
        nginx.port
    );
    Site::new(&[Policy::tested("prod/files", "files.example/releases/*")], &section)
}

/// The status and the body.
fn said(curl: &mut Command) -> (u16, String) {
    let output = curl.args(["--write-out", "\n%{http_code}"]).output().unwrap();
    let text = stdout(&output);
    let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
    (status.trim().parse().unwrap_or(0), format!("{body}{}", stderr(&output)))
}

#[test]
fn what_is_tested_goes_through_and_nothing_else() {
    let Some(nginx) = Nginx::start("", "") else { return };
    let site = in_front(&nginx, "");
    let running = site.start();
    let to = proxy(&running, "files");
    let put = |who: &str, name: &str, body: &str| {
        let (file, url) = (site.at("upload"), format!("{to}/{name}"));
        fs::write(&file, body).unwrap();
        said(site.curl(who).arg("--upload-file").arg(file).arg(url))
    };
    site.test(&Digest::sha256(b"good"));
    site.test_as(&Digest::sha256(b"failed"), "ci-tests", "failed");
    site.test_as(&Digest::sha256(b"stranger"), "official-ci", "passed");
    site.attach(&Digest::sha256(b"swapped"), &site.tested(&Digest::sha256(b"good"), "ci-tests", "passed"));
    for (who, name, body, wanted, why) in [
        ("ci", "releases/shop", "unknown", 403, "error[signed-by]"),
        ("ci", "releases/shop", "failed", 403, "error[tests]"),
        ("ci", "releases/shop", "stranger", 403, "error[signed-by]"),
        ("ci", "releases/shop", "swapped", 403, "another artifact"),
        ("ci", "elsewhere/shop", "good", 403, "no policy"),
        ("apiserver", "releases/shop", "good", 403, "has no name that"),
        ("", "releases/shop", "good", 403, "nobody knows who asks"),
    ] {
        let (status, text) = put(who, name, body);
        assert_eq!(status, wanted, "{name} {body}: {text}");
        assert!(text.contains(why), "{name} {body}: {text}");
    }
    assert!(nginx.is_empty() && nginx.requests().is_empty(), "{:?}", nginx.requests());

    let (status, text) = put("ci", "releases/shop", "good");
    assert_eq!(status, 201, "{text}");
    assert_eq!(fs::read(nginx.file("releases/shop")).unwrap(), b"good");
    assert_eq!(nginx.requests().len(), 1);
    let (status, text) = said(site.curl("ci").arg(format!("{to}/releases/shop")));
    assert_eq!((status, text.as_str()), (200, "good"));
}

#[test]
fn with_tls_on_both_sides_only_the_proxy_has_the_login() {
    let dir = tempfile::tempdir().unwrap();
    let made = Site::new(&[], "");
    for name in ["ca.crt", "server.crt", "server.key"] {
        fs::copy(made.at(&format!("tls/{name}")), dir.path().join(name)).unwrap();
    }
    let at = |name: &str| dir.path().join(name).display().to_string();
    fs::write(dir.path().join("passwords"), "proxy:{PLAIN}secret\n").unwrap();
    let server = format!(
        "ssl_certificate {}; ssl_certificate_key {}; ssl_client_certificate {}; ssl_verify_client on;
    auth_basic upstream; auth_basic_user_file {};",
        at("server.crt"),
        at("server.key"),
        at("ca.crt"),
        at("passwords")
    );
    let Some(nginx) = Nginx::start("ssl", &server) else { return };
    let section = format!(
        "  - name: files
    kind: put
    {TLS}
    upstream: {{ url: \"https://127.0.0.1:{}\", ca: tls/ca.crt, credentials: login, identity: {{ certificate: tls/ci.crt, key: tls/ci.key }} }}
    as: files.example
    routes: [{{ names: [\"releases/*\"], environment: prod/files }}]
",
        nginx.port
    );
    let site = made;
    site.policy(&Policy::tested("prod/files", "files.example/releases/*"));
    site.proxies(&section);
    site.test(&Digest::sha256(b"good"));
    fs::write(site.at("good"), "good").unwrap();
    fs::write(site.at("login"), "Basic cHJveHk6c2VjcmV0").unwrap();
    let running = site.start();
    let url = format!("{}/releases/shop", proxy(&running, "files"));
    let put = || said(site.curl("ci").args(["-D", "-", "-T"]).arg(site.at("good")).arg(&url));
    let (status, text) = put();
    assert_eq!(status, 201, "{text}");
    assert_eq!(fs::read(nginx.file("releases/shop")).unwrap(), b"good");
    assert!(nginx.requests()[0].contains(" - proxy "), "{:?}", nginx.requests());
    // a login that does not do is the proxy's matter, and nobody is asked for another
    fs::remove_file(nginx.file("releases/shop")).unwrap();
    fs::write(site.at("login"), "Basic cHJveHk6d3Jvbmc=").unwrap();
    running.event_with(&["\"reloaded\"", "\"what\":\"upstream\""]);
    let (status, text) = put();
    assert!(status == 502 && text.contains("mend `upstream: credentials`"), "{status} {text}");
    assert!(!text.contains("cHJv") && !text.to_lowercase().contains("www-authenticate"), "{text}");
    assert!(nginx.is_empty());
}
