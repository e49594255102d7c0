//! A book, a trust root, keys of everybody, and artifacts with honest evidence.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::tools::{code, expect, path, portcullis_command, stderr, stdout};

pub const COMMIT: &str = "4f2a4f2a4f2a4f2a4f2a4f2a4f2a4f2a4f2a4f2a";
const BUILDER: &str = "https://ci.acme.example/jobs/non-isolated";
const REPOSITORY: &str = "https://github.com/acme/orders";

pub struct World {
    pub dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        expect(0, &["init", path(&world.at("init"))]);
        expect(0, &["keygen", path(&world.at("jobs")), "--no-passphrase"]);
        let pem = fs::read_to_string(world.at("jobs.pub")).unwrap();
        let pem: String = pem.lines().map(|line| format!("          {line}\n")).collect();
        let jobs = format!("builders:\n  jobs:\n    ids: [\"{BUILDER}\"]\n    keys:\n      - key: |\n{pem}");
        let root = fs::read_to_string(world.at("init/trust-root.yaml")).unwrap();
        fs::write(world.at("trust-root.yaml"), root.replacen("builders:\n", &jobs, 1)).unwrap();
        for (environment, artifact) in [
            ("prod/orders", "sql://orders/migrations"),
            ("prod/shop", "pkg:generic/shop"),
            ("test/orders", "sql://test/x"),
        ] {
            let file = world.at("book").join(environment).with_extension("yaml");
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let policy = format!(
                "environment: {environment}\nartifact: {artifact}\nmode: enforce\nrequire:\n  built-by: [jobs]\n  source:\n    \
                 repository: {REPOSITORY}\n    branch: main\n    reviewed: {{ approvals: 1 }}\n  target: migrations\n  \
                 built-within: 30d\n  scanned: {{ within: 7d, worst: medium }}\non-outage: reject\n\
                 breakglass: {{ group: sre-oncall, expires: 4h, reviewed-within: 24h }}\n"
            );
            fs::write(file, policy).unwrap();
        }
        world
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        path(&self.at(name)).to_owned()
    }

    /// A file, and what its job says of it.
    pub fn built(&self, name: &str, bytes: &[u8], more: &[&str]) {
        fs::write(self.at(name), bytes).unwrap();
        self.attested(name, more);
    }

    fn attested(&self, name: &str, more: &[&str]) {
        let (file, key) = (self.text(name), self.text("jobs.key"));
        let what =
            ["attest", "build", &file, "--key", &key, "--builder-id", BUILDER, "--target", "migrations"];
        let source = ["--repository", REPOSITORY, "--ref", "refs/heads/main", "--commit", COMMIT];
        expect(0, &[&what[..], &source, more].concat());
    }

    pub fn reviewed(&self, out: &str, reviewer: &str) {
        let (key, out, subject) =
            (self.text("init/keys/forge.key"), self.text(out), format!("gitCommit:{COMMIT}"));
        let what =
            ["attest", "review", &subject, "--repository", REPOSITORY, "--author", "alice@acme.example"];
        expect(0, &[&what[..], &["--reviewer", reviewer, "--key", &key, "--out", &out]].concat());
    }

    pub fn scanned(&self, name: &str, out: &str, at: Option<&str>) {
        let (key, out, file) = (self.text("init/keys/ci-scanner.key"), self.text(out), self.text(name));
        let database = at.unwrap_or("2026-11-22T06:00:00Z");
        let what = ["attest", "scan", &file, "--scanner", "https://osv.dev", "--database", database];
        let when: Vec<&str> = at.map(|at| vec!["--at", at]).unwrap_or_default();
        expect(0, &[&what[..], &["--key", &key, "--out", &out], &when].concat());
    }

    /// A file with all of its evidence: `NAME.sigstore.json`, `review.json`, `NAME.scan.json`.
    pub fn good(&self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
        self.vouched(name);
    }

    /// The same for a file that is there.
    pub fn vouched(&self, name: &str) {
        self.attested(name, &[]);
        if !self.at("review.json").exists() {
            self.reviewed("review.json", "bob@acme.example");
        }
        self.scanned(name, &format!("{name}.scan.json"), None);
    }

    pub fn evidence(&self, name: &str) -> Vec<String> {
        let files = [format!("{name}.sigstore.json"), "review.json".to_owned(), format!("{name}.scan.json")];
        files.iter().flat_map(|file| ["--bundle".to_owned(), self.text(file)]).collect()
    }

    /// Where this machine decides.
    pub fn gate(&self) -> Vec<String> {
        let (book, root) = (self.text("book"), self.text("trust-root.yaml"));
        let (log, key) = (self.text("log"), self.text("log.key"));
        let words = ["--book", &book, "--trust-root", &root, "--log", &log, "--log-key", &key];
        let words = words.iter().chain(&["--origin", "deploy.example/db-1"]);
        words.map(|word| (*word).to_owned()).collect()
    }

    /// `portcullis deploy` of a file with its evidence to prod/orders; `more` goes before the command.
    pub fn command(&self, name: &str, more: &[&str], command: &[&str]) -> Command {
        let mut deploy = portcullis_command();
        deploy
            .current_dir(self.dir.path())
            .args(["deploy", name])
            .args(self.evidence(name))
            .args(self.gate());
        if !more.contains(&"--environment") {
            deploy.args(["--environment", "prod/orders"]);
        }
        deploy.args(more);
        if !command.is_empty() {
            deploy.arg("--").args(command);
        }
        deploy
    }

    /// The same, run, with all it said.
    pub fn deploy(&self, exit: i32, name: &str, more: &[&str], command: &[&str]) -> String {
        let output = self.command(name, more, command).output().unwrap();
        said(exit, &output)
    }

    /// A program that counts how often it was asked for the secret; whatever else it does comes first.
    pub fn vault(&self, secret: &str, first: &str) -> String {
        let script = format!("#!/bin/sh\n{first}\necho asked >> {}\necho '{secret}'\n", self.text("asked"));
        fs::write(self.at("vault"), script).unwrap();
        fs::set_permissions(self.at("vault"), fs::Permissions::from_mode(0o755)).unwrap();
        format!("PGPASSWORD=command:{}", self.text("vault"))
    }

    pub fn asked(&self) -> usize {
        fs::read_to_string(self.at("asked")).unwrap_or_default().lines().count()
    }

    /// Records in the log, by their words.
    pub fn records(&self) -> Vec<String> {
        if !self.at("log/checkpoint").exists() {
            return Vec::new();
        }
        let text = expect(0, &["log", "show", &self.text("log"), "--format", "json"]);
        let json = attest::json::parse(text.as_bytes()).unwrap();
        let records = json.as_array().map(<[attest::Json]>::to_vec);
        let records =
            records.unwrap_or_else(|_| json.as_object().unwrap().array("records").unwrap().to_vec());
        let word = |record: &attest::Json| {
            let object = record.as_object().unwrap().clone();
            object.string("decision").ok().map(|word| format!("{word} {}", object.string("basis").unwrap()))
        };
        records.iter().filter_map(word).collect()
    }
}

pub fn said(exit: i32, output: &Output) -> String {
    let text = format!("{}{}", stdout(output), stderr(output));
    assert_eq!(code(output), exit, "{text}");
    text
}
