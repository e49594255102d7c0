//! A choke point's folder without Kubernetes: a book, a trust root, keys, certificates; and curl.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use attest::{Digest, Object};

use crate::tools::certificates::{authority, certificate};
use crate::tools::serving::Serving;
use crate::tools::{expect, path};

/// A question without evidence.
pub const DOCUMENT: &str =
    r#"{"environment":"prod/shop","artifact":{"uri":"pkg:deb/acme/shop","digest":{"sha256":"HEX"}}}"#;

pub fn shop() -> Digest {
    Digest::sha256(b"shop")
}

/// A question about an artifact with a bundle.
pub fn tested(artifact: &Digest, bundle: &str, more: &str) -> String {
    let document = DOCUMENT.replace("HEX", &artifact.hex());
    let document = document.strip_suffix('}').unwrap();
    format!("{document},\"evidence\":[{{\"name\":\"tests\",\"bundle\":{bundle}}}]{more}}}")
}

pub struct Place {
    pub dir: tempfile::TempDir,
}

/// What curl says.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Object {
        let json = attest::json::parse(self.body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        json.as_object().unwrap().clone()
    }

    pub fn text(&self, key: &str) -> String {
        self.json().optional_string(key).unwrap().unwrap_or_default().to_owned()
    }

    pub fn is_replayed(&self) -> bool {
        self.head.contains("idempotency-replayed: true")
    }
}

impl Place {
    pub fn new(more: &str) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["ci-tests", "bob", "stranger"] {
            expect(0, &["keygen", "--no-passphrase", path(&place.at(name))]);
        }
        place.certificates();
        place.trust(1);
        place.policy("");
        fs::create_dir_all(place.at("evidence")).unwrap();
        fs::create_dir_all(place.at("state")).unwrap();
        place.configure(more);
        place
    }

    pub fn configure(&self, more: &str) {
        let made = expect(0, &["init", path(&self.at("init"))]);
        drop(made);
        for part in ["log", "keys"] {
            fs::rename(self.at("init").join(part), self.at(part)).unwrap();
        }
        fs::remove_dir_all(self.at("init")).unwrap();
        let text = format!(
            "book: book
trust-root: trust-root.yaml
log: {{ path: log, origin: portcullis.acme.example/prod, key: keys/log.key, spool: 16MiB }}
evidence: evidence
state: state
reload: 1s
metrics: {{ listen: 127.0.0.1:0 }}
attach: {{ names: [ci.example] }}
alarms: {{ sinks: [{{ file: alarms.jsonl }}] }}
webhook:
  listen: 127.0.0.1:0
  tls: {{ certificate: server.pem, key: server.key }}
  clients: {{ ca: ca.pem }}
  drain: 1s
  body: 256KiB
decisions:
  names: [ci.example, bot.example]
{more}"
        );
        fs::write(self.at("serve.yaml"), text).unwrap();
    }

    pub fn policy(&self, more: &str) {
        fs::create_dir_all(self.at("book")).unwrap();
        let text = format!(
            "environment: prod/shop\nartifact: pkg:deb/acme/shop\nrequire: {{ signed-by: [ci-tests], tests: [unit] }}\nbreakglass: {{ group: oncall, expires: 4h, reviewed-within: 24h }}\n{more}"
        );
        fs::write(self.at("book/shop.yaml"), text).unwrap();
    }

    /// A trust root of this version: the tester, and bob, who may give grants.
    pub fn trust(&self, version: u64) {
        let key = |name: &str| {
            let pem = fs::read_to_string(self.at(&format!("{name}.pub"))).unwrap();
            let pem: String = pem.lines().map(|l| format!("          {l}\n")).collect();
            format!("    keys:\n      - key: |\n{pem}")
        };
        let text = format!(
            "version: {version}\ntesters:\n  ci-tests:\n{}people:\n  ci:\n    identities: [ci.example]\n  bob:\n    identities: [bob@acme.example]\n{}groups:\n  oncall: [bob]\n  deployers: [ci]\n",
            key("ci-tests"),
            key("bob")
        );
        fs::write(self.at("trust-root.yaml"), text).unwrap();
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn certificates(&self) {
        ["ca", "rogue"].iter().for_each(|name| authority(self.dir.path(), name));
        for (name, ca, san) in [
            ("server", "ca", "IP:127.0.0.1"),
            ("ci", "ca", "DNS:ci.example"),
            ("both", "ca", "DNS:ci.example,DNS:bot.example"),
            ("other", "ca", "DNS:other.example"),
            ("impostor", "rogue", "DNS:ci.example"),
        ] {
            certificate(self.dir.path(), ca, name, san);
        }
    }

    /// Ends the choke point; gives the decisions in its log.
    pub fn records(&self, running: Serving) -> Vec<Object> {
        assert_eq!(running.end(), 0);
        let log = self.at("log");
        expect(0, &["log", "verify", path(&log)]);
        let shown = expect(0, &["log", "show", path(&log), "--kind", "decision", "--format", "json"]);
        let all = attest::json::parse(shown.trim().as_bytes()).unwrap_or_else(|e| panic!("{e}: {shown}"));
        all.as_array().unwrap().iter().map(|one| one.as_object().unwrap().clone()).collect()
    }

    pub fn start(&self) -> Serving {
        Serving::start(&self.at("serve.yaml"))
    }

    /// Evidence that an artifact's tests passed, signed with a key.
    pub fn test_of(&self, artifact: &Digest, key: &str, out: &str) {
        let (artifact, key, out) = (artifact.to_string(), self.at(key), self.at(out));
        let what = ["attest", "test", &artifact, "--name", "unit", "--result", "passed"];
        expect(0, &[&what[..], &["--key", path(&key), "--out", path(&out)]].concat());
    }

    /// Evidence that counts, in `test.json`.
    pub fn test_passed(&self, artifact: &Digest) {
        if !self.at("test.json").exists() {
            self.test_of(artifact, "ci-tests.key", "test.json");
        }
    }

    pub fn bundle(&self, name: &str) -> String {
        String::from_utf8(evidence::compact(&fs::read(self.at(name)).unwrap()).unwrap()).unwrap()
    }

    pub fn ask(&self, running: &Serving, who: &str, headers: &[&str], body: &str) -> Answer {
        self.post(running, who, "/v1/decisions", headers, body)
    }

    /// Asks with curl, as somebody with a certificate or as nobody.
    pub fn post(&self, running: &Serving, who: &str, to: &str, headers: &[&str], body: &str) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--max-time", "60", "--cacert"])
            .arg(self.at("ca.pem"));
        if !who.is_empty() {
            curl.arg("--cert")
                .arg(self.at(&format!("{who}.pem")))
                .arg("--key")
                .arg(self.at(&format!("{who}.key")));
        }
        let kind = headers
            .iter()
            .all(|h| !h.starts_with("content-type"))
            .then_some("content-type: application/json");
        for header in kind.iter().chain(&["expect:"]).chain(headers) {
            curl.args(["--header", header]);
        }
        curl.args(["--data-binary", "@-", &format!("{}{to}", running.url)]);
        let mut child =
            curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body.as_bytes()).ok();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return Answer {
                status: 0,
                head: String::new(),
                body: String::from_utf8_lossy(&output.stderr).into_owned(),
            };
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

/// A small disk for the log, which goes with it.
pub struct Disk(PathBuf);

impl Disk {
    /// Nothing, said loudly, where nobody may mount one.
    pub fn under(place: &Place) -> Option<Self> {
        let (log, kept) = (place.at("log"), place.at("kept"));
        fs::rename(&log, &kept).unwrap();
        fs::create_dir(&log).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"])
            .arg(&log)
            .output()
            .unwrap();
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
            eprintln!(
                "\n*** SKIPPED: only root can mount a small disk ({}); NOTHING was filled ***\n",
                why.trim()
            );
            return None;
        }
        let disk = Self(log.clone());
        let copied = Command::new("cp").arg("-a").arg(kept.join(".")).arg(&log).status().unwrap();
        assert!(copied.success());
        Some(disk)
    }

    /// Writes until nothing more fits.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.0.join("ballast")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}
