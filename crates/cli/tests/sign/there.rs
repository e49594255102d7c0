//! Decided and signed by a choke point, with keys that its clients never see.

use std::fs;
use std::process::{Command, Output};

use attest::{Digest, Json, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use server::{Client, ClientTls};

use crate::here::now;
use crate::tools::serving::Serving;
use crate::tools::{code, expect, portcullis, stderr, stdout};
use crate::world::{Desk, RELEASE, ring, takes, until};

const SIGNING: &str = "signing:
  - { name: apt, form: openpgp, key: apt.key, block: apt.asc, environments: [release/apt, release/trial], names: [ci.acme.example] }
  - { name: files, form: minisign, key: files.key, environments: [\"release/*\"], names: [ci.acme.example], rate: 2 }
  - { name: blobs, form: cosign, key: blobs.key, environments: [release/files], names: [somebody.else] }
";

/// A desk whose choke point has the release keys.
fn desk(signing: &str) -> Desk {
    let desk = Desk::new();
    let config = fs::read_to_string(desk.file("serve.yaml")).unwrap();
    let (begin, end) = (config.find("guardrails:").unwrap(), config.find("log: {").unwrap());
    let config = format!("{}{signing}{}", &config[..begin], &config[end..]);
    let config = config.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:9464", "127.0.0.1:0");
    let config = config.replace("reload: 10s", "reload: 1s").replace("webhook:\n", "webhook:\n  drain: 1s\n");
    fs::write(desk.file("serve.yaml"), config).unwrap();
    desk
}

fn start(desk: &Desk) -> Serving {
    Serving::start(&desk.file("serve.yaml"))
}

/// What somebody with a certificate asks of it.
struct Asker<'a> {
    desk: &'a Desk,
    url: String,
    certificate: &'a str,
}

impl Asker<'_> {
    fn sign(&self, key: &str, form: &str, environment: &str, file: &str, more: &[&str]) -> Output {
        let at = |name: &str| self.desk.at(name);
        fs::remove_file(self.desk.file("out")).ok();
        let (crt, own) =
            (at(&format!("tls/{}.crt", self.certificate)), at(&format!("tls/{}.key", self.certificate)));
        let (file, ca, out) = (at(file), at("tls/ca.crt"), at("out"));
        let mut args = vec!["sign", &file, "--as", "shop/Release", "--form", form, "--key", key];
        args.extend(["--environment", environment, "--out", &out, "--server", &self.url, "--ca", &ca]);
        args.extend(["--client-certificate", &crt, "--client-key", &own]);
        portcullis(&[&args[..], more].concat())
    }

    fn refused(&self, exit: i32, asked: (&str, &str, &str, &str), more: &[&str]) -> String {
        let (key, form, environment, file) = asked;
        let before = self.desk.signatures().len();
        let output = self.sign(key, form, environment, file, more);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), exit, "{said}");
        self.desk.nothing(before);
        said
    }

    /// The bytes of a request, whatever they are.
    fn post(&self, body: &Json) -> (u16, String) {
        self.post_under(None, body)
    }

    /// The same under an idempotency key.
    fn post_under(&self, key: Option<&str>, body: &Json) -> (u16, String) {
        let tls = |part: &str| self.desk.file(&format!("tls/{part}"));
        let identity =
            Some((tls(&format!("{}.crt", self.certificate)), tls(&format!("{}.key", self.certificate))));
        let tls = ClientTls { ca: Some(tls("ca.crt")), identity };
        let client = Client::new(&self.url, &tls, None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let headers =
                [("content-type", "application/json"), ("idempotency-key", key.unwrap_or_default())];
            let headers = &headers[..1 + usize::from(key.is_some())];
            let body = body.to_string().into_bytes();
            let answer = client.send("POST", "/v1/signatures", headers, body).await.unwrap();
            (answer.status, String::from_utf8(answer.all(1 << 20).await.unwrap()).unwrap())
        })
    }
}

#[test]
fn a_choke_point_signs_what_it_admitted_and_its_client_never_has_the_key() {
    let desk = desk(SIGNING);
    let running = start(&desk);
    let ci = Asker { desk: &desk, url: running.url.clone(), certificate: "ci" };
    let bundle = desk.release("Release", "release");
    let (out, file) = (desk.at("out"), desk.at("Release"));
    let output = ci.sign("apt", "openpgp-clear", "release/apt", "Release", &["--bundle", &bundle]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    takes("gpgv", &["--keyring", &ring(&desk), "--output", &desk.at("read"), &out]).unwrap();
    assert_eq!(fs::read(desk.file("read")).unwrap(), RELEASE);
    let signature = fs::read_to_string(&out).unwrap();
    until("the signature is not in the tree", || !desk.signatures().is_empty());
    desk.on_record(&signature, RELEASE, "policy");
    let record = desk.entries("decision").pop().unwrap();
    assert_eq!(record.string("requester").unwrap(), "ci.acme.example");
    assert_eq!(record.string("chokepoint").unwrap(), "signatures");
    running.event_with(&["\"event\":\"signed\"", &Digest::sha256(signature.as_bytes()).to_string()]);

    let output = ci.sign("files", "minisign", "release/files", "Release", &["--bundle", &bundle]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let public = desk.at("files.minisign.pub");
    takes("minisign", &["-V", "-p", &public, "-x", &out, "-m", &file]).unwrap();
    assert_eq!(running.end(), 0);
    assert_eq!(desk.signatures().len(), 2);
    expect(0, &["log", "verify", &desk.at("log")]);
}

#[test]
fn what_it_refuses_it_does_not_sign_and_opens_no_key_for() {
    let desk = desk(SIGNING);
    let running = start(&desk);
    let ci = Asker { desk: &desk, url: running.url.clone(), certificate: "ci" };
    let other = Asker { desk: &desk, url: running.url.clone(), certificate: "apiserver" };
    let bundle = desk.release("Release", "release");
    fs::write(desk.file("changed"), [RELEASE, b"more\n"].concat()).unwrap();
    // whoever opens it from now on waits for ever
    fs::remove_file(desk.file("apt.key")).unwrap();
    desk.fifo("apt.key");
    let good = ["--bundle", &bundle];
    let (apt, trial) = ("release/apt", "release/trial");
    for (exit, asked, more, reasons) in [
        (1, ("apt", "openpgp", apt, "Release"), &[][..], vec!["signed-by", "reject:"]),
        (1, ("apt", "openpgp", apt, "changed"), &good, vec!["evidence-applies"]),
        (2, ("apt", "openpgp", "release/files", "Release"), &good, vec!["which the key apt is not for"]),
        (2, ("apt", "minisign", apt, "Release"), &good, vec!["it is one for openpgp"]),
        (2, ("apt", "openpgp", trial, "Release"), &[], vec!["admitted by dry-run alone"]),
        (2, ("none", "openpgp", apt, "Release"), &good, vec!["may have nothing signed"]),
        (2, ("blobs", "cosign", "release/files", "Release"), &good, vec!["may have nothing signed"]),
        (1, ("files", "minisign", "release/none", "Release"), &good, vec!["policy-missing"]),
    ] {
        let said = ci.refused(exit, asked, more);
        for reason in reasons {
            assert!(said.contains(reason), "{asked:?}: wanted `{reason}` in\n{said}");
        }
    }
    let said = other.refused(2, ("apt", "openpgp", apt, "Release"), &good);
    assert!(said.contains("may have nothing signed") && said.contains("kube-apiserver"), "{said}");

    // what is decided about is what is signed
    let artifact = |bytes: &[u8]| {
        let digest = Object::new().with("sha256", Digest::sha256(bytes).hex());
        Object::new().with("uri", "shop/Release").with("digest", digest)
    };
    let ask = |of: &[u8], content: &[u8]| {
        let envelope = attest::json::parse(&fs::read(&bundle).unwrap()).unwrap();
        let piece = Json::from(Object::new().with("bundle", envelope));
        Object::new()
            .with("key", "apt")
            .with("form", "openpgp")
            .with("environment", apt)
            .with("artifact", artifact(of))
            .with("evidence", Json::Array(vec![piece]))
            .with("content", STANDARD.encode(content))
    };
    let (status, said) = ci.post(&ask(RELEASE, b"something else\n").into());
    assert!(status == 400 && said.contains("content that has not the artifact's digests"), "{status} {said}");
    let (status, said) = ci.post(&ask(RELEASE, RELEASE).with("dry-run", true).into());
    assert!(status == 400 && said.contains("a dry run, which signs nothing"), "{status} {said}");
    let (status, said) = ci.post(&ask(RELEASE, RELEASE).with("requester", "bob").into());
    assert!(status == 400 && said.contains("requester"), "{status} {said}");
    desk.nothing(0);

    // the second question about this key in an hour was the last
    ci.refused(1, ("files", "minisign", "release/files", "Release"), &[]);
    let said = ci.refused(2, ("files", "minisign", "release/files", "Release"), &good);
    assert!(said.contains("asked for too often in this hour"), "{said}");
    let url = running.url.clone();
    assert_eq!(running.end(), 0);
    let gone = Asker { desk: &desk, url, certificate: "ci" };
    let said = gone.refused(2, ("files", "minisign", "release/files", "Release"), &good);
    assert!(said.contains("cannot be reached, and it holds the key"), "{said}");
}

#[test]
fn one_question_under_a_key_is_signed_once_and_after_a_restart_anew() {
    let desk = desk(SIGNING);
    let running = start(&desk);
    let ci = |running: &Serving| Asker { desk: &desk, url: running.url.clone(), certificate: "ci" };
    let envelope = attest::json::parse(&fs::read(desk.release("Release", "release")).unwrap()).unwrap();
    let piece = Json::from(Object::new().with("bundle", envelope));
    let digest = Object::new().with("sha256", Digest::sha256(RELEASE).hex());
    let ask = |environment: &str| {
        let ask = Object::new().with("key", "apt").with("form", "openpgp").with("environment", environment);
        let ask =
            ask.with("artifact", Object::new().with("uri", "shop/Release").with("digest", digest.clone()));
        let ask = ask.with("evidence", Json::Array(vec![piece.clone()]));
        Json::from(ask.with("content", STANDARD.encode(RELEASE)))
    };
    let first = ci(&running).post_under(Some("run-1"), &ask("release/apt"));
    assert_eq!(first.0, 200, "{}", first.1);
    assert_eq!(ci(&running).post_under(Some("run-1"), &ask("release/apt")), first, "the same, said again");
    let (status, said) = ci(&running).post_under(Some("run-1"), &ask("release/trial"));
    assert!(status == 409 && said.contains("idempotency-key-reused"), "{status} {said}");
    assert_eq!(running.end(), 0);
    assert_eq!((desk.entries("decision").len(), desk.signatures().len()), (1, 1));
    let running = start(&desk);
    let anew = ci(&running).post_under(Some("run-1"), &ask("release/apt"));
    assert!(anew.0 == 200 && anew.1 != first.1, "{}", anew.1);
    assert_eq!(running.end(), 0);
    assert_eq!((desk.entries("decision").len(), desk.signatures().len()), (2, 2));
}

#[test]
fn a_grant_has_it_signed_and_is_alarmed() {
    let desk = desk(SIGNING);
    let running = start(&desk);
    let ci = Asker { desk: &desk, url: running.url.clone(), certificate: "ci" };
    let grant = desk.grant(&now(), "1h");
    let output = ci.sign("apt", "openpgp", "release/apt", "Release", &["--breakglass", &grant]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    takes("gpgv", &["--keyring", &ring(&desk), &desk.at("out"), &desk.at("Release")]).unwrap();
    until("the signature is not in the tree", || !desk.signatures().is_empty());
    desk.on_record(&fs::read_to_string(desk.file("out")).unwrap(), RELEASE, "breakglass");
    let alarmed = || fs::read_to_string(desk.file("alarms.jsonl")).unwrap_or_default();
    until("no alarm", || alarmed().contains("breakglass") && alarmed().contains("INC-7"));
    assert!(desk.entries("alarm").iter().any(|a| Json::from(a.clone()).to_string().contains("breakglass")));
}

#[test]
fn a_key_that_is_anothers_begins_no_choke_point() {
    let entry = |name: &str, form: &str, key: &str, more: &str| {
        format!(
            "  - {{ name: {name}, form: {form}, key: {key}, environments: [release/apt], names: [ci.acme.example]{more} }}\n"
        )
    };
    for (signing, reason) in [
        (entry("a", "minisign", "keys/log.key", ""), "the log's, in"),
        (entry("a", "cosign", "keys/bob.key", ""), "of bob, a reviewer of the trust root"),
        (
            entry("a", "minisign", "apt.key", "") + &entry("b", "openpgp", "apt.key", ", block: apt.asc"),
            "it is the release key a",
        ),
        (entry("a", "openpgp", "apt.key", ""), "`block` with form openpgp"),
        (entry("a", "pgp", "apt.key", ""), "openpgp, minisign or cosign"),
        (entry("a", "minisign", "none.key", ""), "none.key"),
        (
            entry("a", "minisign", "apt.key", "").replace("ci.acme.example", "kube-apiserver"),
            "kube-apiserver",
        ),
    ] {
        let desk = desk(&format!("signing:\n{signing}"));
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve", "--config", &desk.at("serve.yaml")])
            .output();
        let output = output.unwrap();
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        assert!(stderr(&output).contains(reason), "wanted `{reason}` in\n{}", stderr(&output));
        if reason.starts_with("of bob") || reason.starts_with("the log's") || reason.contains("key a") {
            // at the last key, and not at the top of the file
            let config = fs::read_to_string(desk.file("serve.yaml")).unwrap();
            let (at, line) =
                config.lines().enumerate().filter(|(_, line)| line.contains("- { name: ")).last().unwrap();
            let column = line.find("key: ").unwrap() + "key: ".len() + 1;
            let place = format!("serve.yaml:{}:{column}", at + 1);
            assert!(stderr(&output).contains(&place), "wanted {place} in\n{}", stderr(&output));
        }
    }
}
