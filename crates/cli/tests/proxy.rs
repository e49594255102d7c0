//! A real `portcullis serve` with a proxy in front of a real nginx, and curl.

mod tools;

#[path = "proxy/nginx.rs"]
mod nginx;
#[path = "proxy/site.rs"]
mod site;

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
