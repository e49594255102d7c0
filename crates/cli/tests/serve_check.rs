//! `serve --check` refuses what `serve` refuses, all at once, and says what would start and might surprise.

mod tools;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use attest::Json;
use tools::{code, expect, path, portcullis, stderr, stdout};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        expect(0, &["init", path(&dir.path().join("deploy"))]);
        Self { dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("deploy").join(name)
    }

    fn change(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.at(name)).unwrap();
        assert!(text.contains(old), "{text}");
        fs::write(self.at(name), text.replacen(old, new, 1)).unwrap();
    }

    /// What both say; `serve` itself ends at once, because it refuses.
    fn both(&self, exit: i32) -> String {
        let file = self.at("serve.yaml");
        let checked = expect(exit, &["serve", "--config", path(&file), "--check"]);
        let served = expect(2, &["serve", "--config", path(&file)]);
        if exit == 2 {
            assert_eq!(checked, served);
        }
        checked
    }

    fn json(&self, exit: i32) -> Json {
        let output =
            portcullis(&["serve", "--config", path(&self.at("serve.yaml")), "--check", "--format", "json"]);
        assert_eq!(code(&output), exit, "{}{}", stdout(&output), stderr(&output));
        attest::json::parse(stdout(&output).as_bytes()).unwrap()
    }
}

#[test]
fn what_init_writes_is_well_formed_and_its_surprise_is_noted() {
    let place = Place::new();
    let said = expect(0, &["serve", "--config", path(&place.at("serve.yaml")), "--check"]);
    assert!(said.contains("the configuration is well formed"), "{said}");
    assert!(said.contains("asks who requested it, and there is no `webhook: api`"), "{said}");
    let json = place.json(0);
    let json = json.as_object().unwrap();
    assert_eq!(json.get("well_formed"), Some(&Json::Bool(true)));
    assert!(json.array("missing").unwrap().is_empty());
    assert_eq!(json.array("notes").unwrap().len(), 1);
}

#[test]
fn what_nobody_guards_and_secrets_without_a_key_are_noted() {
    let place = Place::new();
    let wider = "    - { environment: prod/pay, namespaces: [pay] }\n  guard:\n    - { kinds: [Secret], namespaces: [shop] }\n";
    place.change("serve.yaml", "  # guard:", &format!("{wider}  # guard:"));
    let said = expect(0, &["serve", "--config", path(&place.at("serve.yaml")), "--check"]);
    assert!(said.contains("note: no policy guards prod/pay: what is deployed there is refused"), "{said}");
    assert!(!said.contains("no policy guards prod/shop"), "{said}");
    assert!(said.contains("note: Secrets are guarded, and there is no `webhook: secret-key`"), "{said}");
}

#[test]
fn all_that_serve_would_refuse_is_said_at_once_with_places() {
    let place = Place::new();
    place.change("book/prod/shop.yaml", "mode: enforce", "mode: enforced");
    place.change("trust-root.yaml", "version: 1", "version: one");
    fs::copy(place.at("tls/ci.key"), place.at("tls/server.key")).unwrap();
    fs::write(place.at("keys/log.key"), "no key").unwrap();
    fs::write(place.at("short"), "0123456789abcdef").unwrap();
    fs::write(place.at("kubeconfig"), "clusters: 1").unwrap();
    place.change(
        "serve.yaml",
        "  cluster: eu-1\n",
        "  cluster: eu-1\n  secret-key: short\n  api: { kubeconfig: kubeconfig }\n",
    );
    let said = place.both(2);
    for wanted in [
        "error[policy-invalid]",
        "book/prod/shop.yaml:",
        "enforced",
        "error[trust-root-invalid]",
        "trust-root.yaml:",
        "error[tls-invalid]",
        "server.crt",
        "server.key",
        "error[log-key-invalid]",
        "portcullis keygen log --algorithm ed25519 --no-passphrase",
        "error[secret-key-invalid]",
        "16 bytes",
        "error[kubeconfig-invalid]",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let json = place.json(2);
    let json = json.as_object().unwrap();
    assert_eq!(json.string("code").unwrap(), "serve-refused");
    assert_eq!(json.array("files").unwrap().len(), 6);
}

#[test]
fn a_log_key_that_cannot_sign_by_itself_is_refused() {
    for (algorithm, words) in [("p256", "Ed25519"), ("ed25519", "passphrase")] {
        let place = Place::new();
        let out = place.dir.path().join("keys");
        fs::create_dir(&out).unwrap();
        let passphrase = place.dir.path().join("passphrase");
        fs::write(&passphrase, "correct horse\n").unwrap();
        let how: &[&str] = match algorithm {
            "ed25519" => &["--passphrase-file", path(&passphrase)],
            _ => &["--no-passphrase"],
        };
        let name = out.join("log");
        expect(0, &[&["keygen", path(&name), "--algorithm", algorithm], how].concat());
        fs::copy(out.join("log.key"), place.at("keys/log.key")).unwrap();
        let said = place.both(2);
        assert!(said.contains("error[log-key-invalid]") && said.contains(words), "{said}");
    }
}

#[test]
fn what_is_missing_is_listed_and_is_no_refusal_yet() {
    let place = Place::new();
    fs::remove_file(place.at("tls/server.key")).unwrap();
    let said = place.both(1);
    assert!(said.contains("missing: its key: there is no"), "{said}");
    let json = place.json(1);
    let json = json.as_object().unwrap();
    let missing = json.array("missing").unwrap()[0].as_object().unwrap();
    assert_eq!(missing.string("what").unwrap(), "its key");
    assert!(missing.string("file").unwrap().ends_with("tls/server.key"));
}

#[test]
fn an_address_that_is_taken_is_said_to_be() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    place.change("serve.yaml", "127.0.0.1:8443", &taken.local_addr().unwrap().to_string());
    place.change("serve.yaml", "127.0.0.1:9464", "127.0.0.1:0");
    let said = expect(2, &["serve", "--config", path(&place.at("serve.yaml"))]);
    assert!(said.contains("cannot listen on 127.0.0.1") && said.contains("end what listens there"), "{said}");
}

#[test]
fn a_file_that_holds_no_certificate_and_one_of_another_key_are_named() {
    let place = Place::new();
    fs::copy(place.at("tls/ci.key"), place.at("tls/server.key")).unwrap();
    let said = place.both(2);
    assert!(said.contains("server.crt") && said.contains("it does not belong to the key"), "{said}");
    assert!(said.contains("server.key"), "{said}");
    fs::write(place.at("tls/server.crt"), "").unwrap();
    let said = place.both(2);
    assert!(said.contains("the file holds no certificate"), "{said}");
    fs::copy(place.at("tls/ci.crt"), place.at("tls/server.crt")).unwrap();
    fs::copy(place.at("tls/ci.crt"), place.at("tls/server.key")).unwrap();
    let said = place.both(2);
    assert!(said.contains("server.key") && said.contains("the file holds no private key"), "{said}");
}
