//! One client that takes all that it can get, and another that comes behind it.

use std::fs;
use std::time::Duration;

use attest::Digest;

use crate::raw::Raw;
use crate::said;
use crate::site::{Policy, Site, TLS, address, proxy, until};
use crate::tools::serving::Serving;
use crate::tools::{code, portcullis, stderr};
use crate::upstream::Recorder;

/// Two may come: `ci`, and the greedy `apiserver`.
fn site(upstream: &str, kind: &str, more: &str) -> Site {
    let tls = TLS.replace("[ci.acme.example]", "[ci.acme.example, kube-apiserver]");
    let section = format!(
        "  - name: files
    kind: {kind}
    {tls}
    upstream: {{ url: \"{upstream}\" }}
    as: files.example
    {more}
    routes: [{{ names: [\"releases/*\"], environment: prod/files }}]
"
    );
    let site = Site::new(&[Policy::tested("prod/files", "files.example/releases/*")], &section);
    fs::write(site.at("good"), vec![b'g'; 500_000]).unwrap();
    site.test(&Digest::sha256(&[b'g'; 500_000]));
    site
}

fn begun(site: &Site, running: &Serving, who: &str, sent: usize) -> Raw {
    let mut client = Raw::connect(site, &address(running, "files"), who);
    client.send(
        b"PUT /releases/shop HTTP/1.1\r\nhost: proxy.example\r\ncontent-length: 1000000\r\nexpect: 100-continue\r\n\r\n",
    );
    client.send(&vec![b'x'; sent]);
    client
}

fn held(running: &Serving) -> u64 {
    let text = running.read("/metrics");
    let line = text.lines().find_map(|l| l.strip_prefix("portcullis_proxy_held_bytes{proxy=\"files\"} "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn put(site: &Site, running: &Serving, who: &str) -> (u16, String) {
    let url = format!("{}/releases/shop", proxy(running, "files"));
    said(site.curl(who).args(["-D", "-", "-T"]).arg(site.at("good")).arg(url))
}

#[test]
fn one_greedy_client_leaves_room_and_places_for_another() {
    let upstream = Recorder::start();
    let site = site(&upstream.url(), "put", "limits: { body: 1MiB, held: 2MiB, requests: 8, time: 1h }");
    let running = site.start();
    // the half of what may wait: one megabyte
    let bodies: Vec<Raw> = (0..2).map(|_| begun(&site, &running, "apiserver", 400_000)).collect();
    until("nothing is held", || held(&running) >= 800_000);
    let (status, text) = put(&site, &running, "apiserver");
    assert_eq!(status, 429, "{text}");
    assert!(
        text.contains("1048576 of the bytes of `limits: held`") && text.contains("`limits: share`"),
        "{text}"
    );
    assert!(text.to_lowercase().contains("retry-after: 5"), "{text}");
    let (status, text) = put(&site, &running, "ci");
    assert_eq!(status, 200, "{text}");
    drop(bodies);
    until("what was held stays", || held(&running) == 0);

    // the half of the places
    let requests: Vec<Raw> = (0..4).map(|_| begun(&site, &running, "apiserver", 10)).collect();
    std::thread::sleep(Duration::from_millis(500));
    let (status, text) = put(&site, &running, "apiserver");
    assert_eq!(status, 429, "{text}");
    assert!(text.contains("4 of the places of `limits: requests`"), "{text}");
    assert!(text.to_lowercase().contains("retry-after: 5"), "{text}");
    let (status, text) = put(&site, &running, "ci");
    assert_eq!(status, 200, "{text}");
    drop(requests);
    assert_eq!(upstream.seen().len(), 2, "nothing of what was refused arrived");
}

#[test]
fn one_greedy_client_leaves_places_on_the_shelf_of_images() {
    let upstream = Recorder::start();
    let site = site(&upstream.url(), "oci", "oci: { places: 16 }");
    let running = site.start();
    let begin = |who: &str| {
        let url = format!("{}/v2/shop/blobs/uploads/", proxy(&running, "files"));
        said(site.curl(who).args(["-D", "-", "-X", "POST"]).arg(url))
    };
    for number in 0..8 {
        let (status, text) = begin("apiserver");
        assert_eq!(status, 202, "{number}: {text}");
    }
    let (status, text) = begin("apiserver");
    assert!(status == 429 && text.contains("8 of the places of `oci: places`"), "{status} {text}");
    assert!(text.to_lowercase().contains("retry-after: 5"), "{text}");
    assert_eq!(begin("ci").0, 202);
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_body_that_could_never_be_held_is_no_configuration() {
    let site = site("http://127.0.0.1:1", "put", "limits: { body: 3GiB, held: 2GiB }");
    let output = portcullis(&["serve", "--check", "--config", crate::tools::path(&site.at("serve.yaml"))]);
    let text = stderr(&output);
    assert_eq!(code(&output), 2, "{text}");
    assert!(text.contains("one body may have more than all bodies together"), "{text}");
    assert!(text.contains("lower `body`, or raise `held`") && text.contains("serve.yaml:"), "{text}");
}

#[test]
fn what_other_proxies_with_the_folder_leave_no_room_for_is_no_configuration() {
    let site = site("http://127.0.0.1:1", "put", "limits: { body: 3GiB, held: 8GiB }");
    let config = site.at("serve.yaml");
    let check = || portcullis(&["serve", "--check", "--config", crate::tools::path(&config)]);
    assert_eq!(code(&check()), 0, "alone it fits: {}", stderr(&check()));
    let text = fs::read_to_string(&config).unwrap();
    let (_, files) = text.split_once("\nproxies:\n").unwrap();
    let others = files.replace("name: files", "name: others").replace("3GiB, held: 8GiB", "1GiB, held: 2GiB");
    site.proxies(&format!("{files}{others}"));
    let (output, text) = (check(), stderr(&check()));
    assert_eq!(code(&output), 2, "{text}");
    assert!(text.contains("it would never come in") && text.contains("the proxy files may have"), "{text}");
}
