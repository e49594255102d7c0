//! What every test of a proxy needs: a real choke point with a book, a trust root, certificates and an evidence store,
//! in front of whatever the test puts behind it. Used as
//!
//! ```ignore
//! mod tools;
//! #[path = "proxy/site.rs"]
//! mod site;
//! let site = Site::new(&[Policy::tested("prod/shop", "registry.example/shop")], &proxies);
//! site.test(&digest);                    // evidence that suffices, attached
//! let running = site.start();
//! site.curl("ci").arg(format!("{}/path", proxy(&running, "files")));
//! ```
//!
//! Certificates (`tls/` in the site's folder, all by `tls/ca.crt`): `server` for 127.0.0.1 and localhost, `ci` with the
//! name ci.acme.example, `apiserver` with kube-apiserver. [`TLS`] is what a proxy's section says of them.
#![allow(dead_code, reason = "not every test uses every function")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use attest::Digest;
use evidence::Store;

use crate::tools::serving::Serving;
use crate::tools::{code, expect, path, portcullis, stderr};

/// The lines of a proxy's section about its certificate and its clients, and where bodies wait.
pub const TLS: &str = "listen: 127.0.0.1:0
    tls: { certificate: tls/server.crt, key: tls/server.key }
    clients: { ca: tls/ca.crt, names: [ci.acme.example] }
    spool: spool";
/// Who asks with `tls/ci.crt`.
pub const CLIENT: &str = "ci.acme.example";

/// A policy of the book.
pub struct Policy {
    pub environment: String,
    pub artifact: String,
    /// Further lines.
    pub text: String,
}

impl Policy {
    /// One that wants the test `unit` passed, signed by `ci-tests`, and lets grants through.
    pub fn tested(environment: &str, artifact: &str) -> Self {
        let text = "require: { signed-by: [ci-tests], tests: [unit] }
breakglass: { group: sre-oncall, expires: 4h, reviewed-within: 24h }";
        Self { environment: environment.to_owned(), artifact: artifact.to_owned(), text: text.to_owned() }
    }
}

/// A folder with all that `portcullis serve` needs; gone when it is dropped.
pub struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    /// What `init` writes, without governance and guardrails, with these policies, and `proxies` as the items of the
    /// section `proxies:`, each beginning with `  - `.
    pub fn new(policies: &[Policy], proxies: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        expect(0, &["init", path(&dir.path().join("deploy"))]);
        let site = Self { dir };
        let config = fs::read_to_string(site.at("serve.yaml")).unwrap();
        let (begin, end) = (config.find("guardrails:").unwrap(), config.find("log: {").unwrap());
        let config = format!("{}{}", &config[..begin], &config[end..]);
        let config = config.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:9464", "127.0.0.1:0");
        let config =
            config.replace("reload: 10s", "reload: 1s").replace("webhook:\n", "webhook:\n  drain: 1s\n");
        fs::write(site.at("serve.yaml"), config).unwrap();
        fs::remove_dir_all(site.at("book")).unwrap();
        for policy in policies {
            site.policy(policy);
        }
        site.proxies(proxies);
        site
    }

    /// Puts a policy into the book, or another in its place.
    pub fn policy(&self, policy: &Policy) {
        let file = self.at(&format!("book/{}.yaml", policy.environment));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let (environment, artifact) = (&policy.environment, &policy.artifact);
        let text = format!("environment: {environment}\nartifact: \"{artifact}\"\n{}\n", policy.text);
        fs::write(file, text).unwrap();
    }

    /// Sets the section `proxies:`; for the next start.
    pub fn proxies(&self, items: &str) {
        let config = fs::read_to_string(self.at("serve.yaml")).unwrap();
        let config = config.split("\nproxies:\n").next().unwrap().trim_end().to_owned();
        let section = if items.is_empty() { String::new() } else { format!("\nproxies:\n{items}") };
        fs::write(self.at("serve.yaml"), format!("{config}\n{section}\n")).unwrap();
    }

    /// A file in the folder of the configuration.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("deploy").join(name)
    }

    pub fn start(&self) -> Serving {
        Serving::start(&self.at("serve.yaml"))
    }

    /// Evidence that suffices for [`Policy::tested`], attached.
    pub fn test(&self, artifact: &Digest) {
        self.test_as(artifact, "ci-tests", "passed");
    }

    /// Evidence by one of `keys/`, attached in the place of what was.
    pub fn test_as(&self, artifact: &Digest, key: &str, result: &str) {
        let bundle = self.tested(artifact, key, result);
        self.attach(artifact, &bundle);
    }

    /// A signed statement about the test `unit`; gives the bundle.
    pub fn tested(&self, artifact: &Digest, key: &str, result: &str) -> Vec<u8> {
        let out = tempfile::tempdir_in(self.dir.path()).unwrap();
        let (key, out, subject) =
            (self.at(&format!("keys/{key}.key")), out.path().join("test.json"), artifact.to_string());
        let mut args = vec!["attest", "test", &subject, "--name", "unit", "--result", result];
        args.extend(["--key", path(&key), "--out", path(&out)]);
        expect(0, &args);
        fs::read(&out).unwrap()
    }

    /// What one who may attach could bring; gives the digest under which it lies.
    pub fn attach(&self, artifact: &Digest, bundle: &[u8]) -> Digest {
        let store = self.store();
        let digest = store.put(&evidence::compact(bundle).unwrap()).unwrap();
        store.attach(artifact, std::slice::from_ref(&digest)).unwrap();
        digest
    }

    /// A grant in the store, for this artifact alone or for any; gives its digest.
    pub fn grant(&self, environment: &str, artifact: Option<&Digest>) -> Digest {
        let (store, key, root) = (self.at("evidence"), self.at("keys/bob.key"), self.at("trust-root.yaml"));
        let before = self.store().grants().unwrap_or_default();
        let mut args = vec!["breakglass", "open", "--environment", environment, "--reason", "it burns"];
        args.extend(["--ticket", "INC-42", "--expires", "1h", "--key", path(&key)]);
        args.extend(["--trust-root", path(&root), "--store", path(&store)]);
        let subject = artifact.map(ToString::to_string);
        args.extend(subject.iter().flat_map(|subject| ["--artifact", subject]));
        let output = portcullis(&args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let after = self.store().grants().unwrap();
        after.into_iter().find(|digest| !before.contains(digest)).unwrap()
    }

    pub fn store(&self) -> Store {
        Store::new(&self.at("evidence"))
    }

    /// `curl` that trusts the site's authority and comes with a certificate (`ci`, `apiserver`), or with none (``).
    pub fn curl(&self, who: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*"]);
        curl.arg("--cacert").arg(self.at("tls/ca.crt"));
        if !who.is_empty() {
            curl.arg("--cert").arg(self.at(&format!("tls/{who}.crt")));
            curl.arg("--key").arg(self.at(&format!("tls/{who}.key")));
        }
        curl
    }
}

/// `https://127.0.0.1:PORT` of a proxy, by its name.
pub fn proxy(running: &Serving, name: &str) -> String {
    format!("https://{}", address(running, name))
}

/// `127.0.0.1:PORT` of a proxy, by its name.
pub fn address(running: &Serving, name: &str) -> String {
    let line = running.event_with(&["\"proxying\"", &format!("\"proxy\":\"{name}\"")]);
    let line = attest::json::parse(line.as_bytes()).unwrap();
    line.as_object().unwrap().string("address").unwrap().to_owned()
}

pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
