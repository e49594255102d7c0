//! What `init` writes works together as it is.

mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use attest::yaml::{Node, Value};
use tools::{expect, path};

fn deploy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    expect(0, &["init", path(&dir.path().join("deploy"))]);
    dir
}

/// The texts of a map below some keys.
fn get<'a>(node: &'a Node, keys: &[&str]) -> &'a Node {
    keys.iter().fold(node, |node, key| {
        let Value::Map(pairs) = &node.value else { panic!("{key}: no map") };
        let is_it = |node: &Node| matches!(&node.value, Value::Scalar { text, .. } if text == key);
        &pairs.iter().find(|(k, _)| is_it(k)).unwrap_or_else(|| panic!("no {key}")).1
    })
}

fn text<'a>(node: &'a Node, keys: &[&str]) -> &'a str {
    match &get(node, keys).value {
        Value::Scalar { text, .. } => text,
        _ => panic!("{keys:?} is no text"),
    }
}

#[test]
fn everything_that_the_choke_point_needs_is_there() {
    let dir = deploy();
    let deploy = dir.path().join("deploy");
    let config = Node::parse("serve.yaml", &fs::read_to_string(deploy.join("serve.yaml")).unwrap()).unwrap();
    for keys in [
        vec!["book"],
        vec!["trust-root"],
        vec!["guardrails"],
        vec!["log", "path"],
        vec!["log", "key"],
        vec!["evidence"],
        vec!["state"],
        vec!["webhook", "tls", "certificate"],
        vec!["webhook", "tls", "key"],
        vec!["webhook", "clients", "ca"],
    ] {
        assert!(deploy.join(text(&config, &keys)).exists(), "{keys:?}");
    }
    // the log is one, under the name and the key that the configuration says
    let log = deploy.join("log");
    let vkey = fs::read_to_string(log.join("log.vkey")).unwrap();
    assert!(vkey.starts_with(&format!("{}+", text(&config, &["log", "origin"]))), "{vkey}");
    let words = expect(0, &["log", "verify", path(&log)]);
    assert!(words.starts_with("0 records"), "{words}");
    // the environment that is mapped has a policy
    let Value::List(environments) = &get(&config, &["webhook", "environments"]).value else {
        panic!("no list")
    };
    let policy = fs::read_to_string(deploy.join("book/prod/shop.yaml")).unwrap();
    assert!(policy.contains(&format!("environment: {} ", text(&environments[0], &["environment"]))));
    for entry in fs::read_dir(deploy.join("tls")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let is_key = entry.path().extension().is_some_and(|e| e == "key");
        assert!(!is_key || mode == 0o600, "{:?} {mode:o}", entry.path());
    }
}

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn openssl(dir: &Path, args: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(args).current_dir(dir).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn another_reader_takes_the_certificates_for_what_they_are() {
    let dir = deploy();
    let tls = dir.path().join("deploy/tls");
    let verify =
        |more: &[&str]| openssl(&tls, &[&["verify", "-x509_strict", "-CAfile", "ca.crt"], more].concat());
    for (is_good, more) in [
        (true, vec!["-purpose", "sslserver", "-verify_hostname", "localhost", "server.crt"]),
        (true, vec!["-purpose", "sslserver", "-verify_ip", "127.0.0.1", "server.crt"]),
        (true, vec!["-purpose", "sslserver", "-verify_ip", "::1", "server.crt"]),
        (true, vec!["-purpose", "sslclient", "apiserver.crt"]),
        (true, vec!["-purpose", "sslclient", "-verify_hostname", "ci.acme.example", "ci.crt"]),
        (false, vec!["-purpose", "sslclient", "server.crt"]),
        (false, vec!["-purpose", "sslserver", "ci.crt"]),
        (false, vec!["-verify_hostname", "other", "server.crt"]),
        (false, vec!["-attime", "4102444800", "server.crt"]),
    ] {
        let (good, words) = verify(&more);
        assert_eq!(good, is_good, "{more:?}\n{words}");
    }
    for name in ["server", "apiserver", "ci"] {
        let (_, certified) = openssl(&tls, &["x509", "-in", &format!("{name}.crt"), "-noout", "-pubkey"]);
        let (_, own) = openssl(&tls, &["pkey", "-in", &format!("{name}.key"), "-pubout"]);
        assert_eq!(certified, own, "{name}");
    }
    let (_, subject) = openssl(&tls, &["x509", "-in", "apiserver.crt", "-noout", "-subject"]);
    assert!(subject.contains("CN = kube-apiserver") || subject.contains("CN=kube-apiserver"), "{subject}");
    assert!(!tls.join("ca.key").exists(), "nothing can be issued in the authority's name later");
}
