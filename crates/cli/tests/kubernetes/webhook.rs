//! A real `portcullis serve` with a book, a trust root, keys and an evidence store, in front of the cluster.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use attest::Digest;
use server::{Client, ClientTls};

use super::cluster::{Cluster, free_port};
use super::fixtures::{Images, REPOSITORY};
use super::process::{Folder, Process};
use super::schema::at as at_path;
use crate::tools::{expect, path};

/// What a namespace is to Portcullis.
#[derive(Debug)]
pub struct Claim {
    pub namespace: String,
    /// Empty: nobody claimed it.
    pub environment: String,
    pub policy: Option<&'static str>,
    pub guarded: &'static [&'static str],
}

impl Claim {
    pub fn new(namespace: &str, environment: &str) -> Self {
        let (namespace, environment) = (namespace.to_owned(), environment.to_owned());
        Self { namespace, environment, policy: None, guarded: &[] }
    }
}

/// What `prod/shop` requires. The cases' own policies begin with it too.
pub const REQUIRED: &str = "mode: enforce
require:
  built-by: [ci, leaving-ci]
  source: { repository: \"https://git.example/acme/shop\", branch: main, reviewed: { approvals: 1 } }
breakglass: { group: sre-oncall, expires: 4h, reviewed-within: 24h }
";

/// How often it looks for new files.
const RELOAD: Duration = Duration::from_secs(1);

pub struct Webhook {
    pub folder: Folder,
    port: u16,
    metrics: u16,
    process: Mutex<Option<Process>>,
    /// The cluster's folder, with the keys of who comes.
    keys: PathBuf,
    /// The file that says how wrong the program's clock is, where it is.
    clock: Option<PathBuf>,
}

/// Makes a program's clock another one.
pub const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

impl Webhook {
    pub fn start(cluster: &Cluster, images: &Images, claims: Vec<Claim>) -> Self {
        let webhook = Self::lay_out(cluster, images, &claims);
        webhook.run();
        webhook
    }

    /// Everything that it needs; it does not run yet.
    pub fn lay_out(cluster: &Cluster, images: &Images, claims: &[Claim]) -> Self {
        let folder = Folder::new();
        for name in ["book", "evidence", "state"] {
            std::fs::create_dir(folder.at(name)).unwrap();
        }
        let (port, metrics) = (free_port(), free_port());
        folder.write("trust-root.yaml", &images.trust_root(false));
        expect(0, &["keygen", &folder.text("log"), "--no-passphrase", "--algorithm", "ed25519"]);
        folder.write("secret.key", &"k".repeat(32));
        folder.write("serve.yaml", &configuration(cluster, claims, port, metrics));
        let keys = cluster.folder.at("");
        let webhook = Self { folder, keys, port, metrics, process: Mutex::new(None), clock: None };
        webhook.write_book(claims);
        // two that make the same at once: one of them is told that it is there already
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cluster.prepare(&["apply", "-f", "-"], READER);
        drop(turn);
        webhook
    }

    /// With a clock that [`Webhook::step_clock`] makes wrong.
    pub fn with_a_clock(mut self) -> Self {
        self.clock = Some(self.folder.at("clock"));
        self.step_clock(0);
        self
    }

    /// From now on its clock is so many seconds off.
    pub fn step_clock(&self, seconds: i64) {
        let at = self.folder.write("clock.tmp", &format!("{seconds:+}\n"));
        std::fs::rename(at, self.clock.as_ref().unwrap()).unwrap();
    }

    /// Starts the program, and waits until it says that it can decide.
    pub fn run(&self) {
        let mut process = self.begin();
        let start = Instant::now();
        while self.metrics("/readyz").is_none_or(|answer| !answer.starts_with("HTTP/1.1 200")) {
            let ended = process.ended();
            let is_late = start.elapsed() > Duration::from_secs(20);
            assert!(ended.is_none() && !is_late, "no webhook, {ended:?}:\n{}", process.tail());
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.process.lock().unwrap() = Some(process);
    }

    /// Starts the program.
    pub fn begin(&self) -> Process {
        let program = env!("CARGO_BIN_EXE_portcullis");
        let words = [program, "serve", "--config", &self.folder.text("serve.yaml")].map(str::to_owned);
        let clock = self.clock.as_ref().map(|file| {
            // only what is on the wall: waiting takes as long as ever
            let settings = ["DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_NO_CACHE=1"];
            let mut all: Vec<String> = settings.map(str::to_owned).into();
            all.push(format!("LD_PRELOAD={FAKETIME}"));
            all.push(format!("FAKETIME_TIMESTAMP_FILE={}", file.display()));
            all
        });
        let args: Vec<String> = clock.into_iter().flatten().chain(words).collect();
        Process::start(Path::new("/usr/bin/env"), &args, &self.folder.at("serve.log"))
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        self.process.lock().unwrap().as_ref().unwrap().signal(signal);
    }

    /// The most memory that it had so far, in KiB.
    pub fn peak_memory(&self) -> u64 {
        let id = self.process.lock().unwrap().as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Where it listens, and where it says how it is.
    pub fn ports(&self) -> (u16, u16) {
        (self.port, self.metrics)
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&self) {
        self.process.lock().unwrap().take();
    }

    /// Asks it to end, and gives its exit code.
    pub fn terminate(&self) -> Option<i32> {
        let mut process = self.process.lock().unwrap().take().unwrap();
        process.signal(rustix::process::Signal::TERM);
        process.wait().code()
    }

    pub fn url(&self, what: &str) -> String {
        format!("https://localhost:{}/v1/kubernetes/{what}", self.port)
    }

    /// What the plain listener answers: `/metrics`, `/healthz`, `/readyz`.
    pub fn metrics(&self, what: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {what} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn write_book(&self, claims: &[Claim]) {
        for environment in ["prod/shop", "prod/pinned"] {
            self.write_policy(environment, &environment.replace('/', "-"), REQUIRED);
        }
        self.write_policy("dry/shop", "dry-shop", &REQUIRED.replace("enforce", "dry-run"));
        for claim in claims {
            if let Some(policy) = claim.policy {
                self.write_policy(&claim.environment, &claim.namespace, policy);
            }
        }
    }

    /// Writes a policy. `{ns}` in it is the file's name: the namespace of a case with an environment of its own.
    pub fn write_policy(&self, environment: &str, file: &str, policy: &str) {
        let images = "artifact: [registry.example/shop, registry.example/tool]\n";
        let artifact = if policy.contains("artifact:") { "" } else { images };
        let text = format!("environment: {environment}\n{artifact}{}", policy.replace("{ns}", file));
        let at = self.folder.write("policy.tmp", &text);
        std::fs::rename(at, self.folder.at(&format!("book/{file}.yaml"))).unwrap();
    }

    pub fn write_trust_root(&self, text: &str) {
        let at = self.folder.write("trust-root.tmp", text);
        std::fs::rename(at, self.folder.at("trust-root.yaml")).unwrap();
        self.await_reload();
    }

    pub fn await_reload(&self) {
        std::thread::sleep(RELOAD * 2 + Duration::from_millis(500));
    }

    /// Brings evidence beside an artifact with `portcullis attach`, and perhaps says what a tag stands for; gives the text of
    /// the annotation that names it.
    pub fn attach(&self, artifact: &str, bundles: &[String], tag: Option<&str>) -> String {
        let at = |name: &str| path(&self.keys.join(name)).to_owned();
        let url = format!("https://localhost:{}", self.port);
        let (ca, certificate, key) = (at("webhook-serving.pem"), at("ci.pem"), at("ci.key"));
        let mut args = vec!["--format", "json", "attach", artifact, "--server", &url, "--ca", &ca];
        args.extend(["--client-certificate", &certificate, "--client-key", &key]);
        args.extend(tag.into_iter().flat_map(|tag| ["--tag", tag]));
        let written = |text: &String| {
            let name = format!("{}.json", Digest::sha256(text.as_bytes()).hex());
            self.folder.write(&name, text)
        };
        let files: Vec<String> = bundles.iter().map(written).collect();
        files.iter().for_each(|file| args.extend(["--bundle", file]));
        let said = attest::json::parse(expect(0, &args).as_bytes()).unwrap();
        at_path(&said, &["annotation", "value"]).unwrap().as_str().unwrap().to_owned()
    }

    /// Puts a grant into the store, as it is: also one that `portcullis breakglass open` would not sign.
    pub fn put_grant(&self, text: &str) {
        let identity = Some((self.keys.join("ci.pem"), self.keys.join("ci.key")));
        let tls = ClientTls { ca: Some(self.keys.join("webhook-serving.pem")), identity };
        let client = Client::new(&format!("https://localhost:{}", self.port), &tls, None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let headers = [("content-type", "application/json")];
            let answer = client.send("PUT", "/v1/grants", &headers, text.as_bytes().to_vec()).await.unwrap();
            let status = answer.status;
            let body = String::from_utf8(answer.all(1 << 20).await.unwrap()).unwrap();
            assert_eq!(status, 200, "{body}");
        });
    }

    /// The canonical digest of an object as the server would store it: asked for in a namespace that nobody guards, where a dry
    /// run gives the final form.
    pub fn configuration_digest(&self, cluster: &Cluster, namespace: &str, manifest: &str) -> Digest {
        let said = cluster.kubectl(
            super::cluster::Person::ClusterAdmin,
            "default",
            &["create", "--dry-run=server", "-o", "json", "-f", "-"],
            manifest,
        );
        assert_eq!(said.exit, 0, "{}", said.stderr);
        let spoken = format!("\"namespace\": \"{namespace}\"");
        let file =
            self.folder.write("final.json", &said.stdout.replace("\"namespace\": \"default\"", &spoken));
        let digest = expect(0, &["kubernetes", "digest", &file]);
        Digest::parse(digest.split_whitespace().next().unwrap()).unwrap()
    }

    /// None of these texts is in anything that it wrote.
    pub fn is_free_of(&self, texts: &[&str]) {
        let mut folders = vec![self.folder.at("")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let at = entry.unwrap().path();
                if at.is_dir() {
                    folders.push(at);
                    continue;
                }
                let bytes = std::fs::read(&at).unwrap_or_default();
                for text in texts {
                    let is_there = bytes.windows(text.len()).any(|window| window == text.as_bytes());
                    assert!(!is_there, "{text} stands in {}", at.display());
                }
            }
        }
    }

    /// The log is sound, and every decision in it comes out the same again. Gives what `replay` says.
    pub fn check_log(&self) -> String {
        let log = self.folder.text("log");
        // what was answered a moment ago is durable beside the tree, and about to enter it
        let begin = Instant::now();
        while !expect(0, &["--format", "json", "log", "verify", &log]).contains("\"waiting\": 0") {
            assert!(begin.elapsed() < Duration::from_secs(20), "what waits never enters the tree");
        }
        expect(0, &["replay", &log])
    }
}

/// What Portcullis may read: the owners of what it is asked about.
const READER: &str = r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"portcullis"},"rules":[
{"apiGroups":["apps"],"resources":["controllerrevisions","deployments","replicasets","statefulsets","daemonsets"],"verbs":["get"]},
{"apiGroups":["batch"],"resources":["jobs","cronjobs"],"verbs":["get"]},
{"apiGroups":["argoproj.io"],"resources":["rollouts"],"verbs":["get"]},
{"apiGroups":[""],"resources":["pods","replicationcontrollers","namespaces"],"verbs":["get"]}]}
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"portcullis"},
"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"portcullis"},
"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"portcullis"}]}"#;

fn configuration(cluster: &Cluster, claims: &[Claim], port: u16, metrics: u16) -> String {
    let at = |name: &str| path(&cluster.folder.at(name)).to_owned();
    let mut environments = std::collections::BTreeMap::<&str, Vec<&str>>::new();
    let mut guarded = String::new();
    for claim in claims.iter().filter(|claim| !claim.environment.is_empty()) {
        environments.entry(&claim.environment).or_default().push(&claim.namespace);
        if !claim.guarded.is_empty() {
            let (kinds, namespace) = (claim.guarded.join(", "), &claim.namespace);
            writeln!(guarded, "    - {{ kinds: [{kinds}], namespaces: [{namespace}] }}").unwrap();
        }
    }
    let mut claimed = String::new();
    for (environment, namespaces) in environments {
        let namespaces = namespaces.join(", ");
        writeln!(claimed, "    - {{ environment: {environment}, namespaces: [{namespaces}] }}").unwrap();
    }
    let guard = if guarded.is_empty() { String::new() } else { format!("  guard:\n{guarded}") };
    format!(
        "# the repository is {REPOSITORY}
book: book
trust-root: trust-root.yaml
log: {{ path: log, origin: portcullis.example/tests, key: log.key }}
evidence: evidence
state: state
reload: {}s
metrics: {{ listen: 127.0.0.1:{metrics} }}
attach: {{ names: [ci.example] }}
webhook:
  listen: 127.0.0.1:{port}
  tls: {{ certificate: {}, key: {} }}
  clients: {{ ca: {}, names: [kube-apiserver] }}
  cluster: tests
  api: {{ kubeconfig: {} }}
  secret-key: secret.key
  environments:
{claimed}{guard}  images:
    - {{ kind: Rollout.argoproj.io, paths: [\"spec.template.spec.containers[*].image\"] }}
",
        RELOAD.as_secs(),
        at("webhook.pem"),
        at("webhook.key"),
        at("webhook-clients.pem"),
        at("portcullis.yaml"),
    )
}
