//! A release desk: policies, a trust root, a log, release keys in each form, and people who say that something is released.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use attest::{Digest, Json, Object};

use crate::tools::{code, expect, path, portcullis, portcullis_command, stderr, stdout};

pub const USER: &str = "Shop releases <release@shop.example>";
pub const RELEASE: &[u8] = b"Origin: Shop\nSuite: stable\nDescription: - what is signed\n- dash\n";

/// What is required in every environment: the desk's own word that it is released there.
const ASKED: &str = "require: { signed-by: [release-desk], released-for: release }";
const GLASS: &str = "breakglass: { group: sre-oncall, expires: 4h, reviewed-within: 24h }";

pub struct Desk {
    pub dir: tempfile::TempDir,
}

/// How something is signed, but for the file.
pub struct Ask<'a> {
    pub form: &'a str,
    pub key: String,
    pub environment: &'a str,
    pub bundles: Vec<String>,
    pub more: Vec<String>,
}

impl Desk {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        expect(0, &["init", path(&dir.path().join("deploy"))]);
        let desk = Self { dir };
        fs::remove_dir_all(desk.file("book")).unwrap();
        fs::create_dir_all(desk.file("book/release")).unwrap();
        for (name, rest) in [
            ("apt", format!("{ASKED}\n{GLASS}")),
            ("files", ASKED.to_owned()),
            ("images", ASKED.to_owned()),
            ("trial", format!("mode: dry-run\n{ASKED}")),
        ] {
            let text = format!("environment: release/{name}\nartifact: shop/Release\n{rest}\n");
            fs::write(desk.file(&format!("book/release/{name}.yaml")), text).unwrap();
        }
        for (name, algorithm) in [("apt", "ed25519"), ("files", "ed25519"), ("blobs", "p256")] {
            expect(0, &["keygen", &desk.at(name), "--no-passphrase", "--algorithm", algorithm]);
        }
        let key = desk.at("apt.key");
        expect(0, &["keygen", &desk.at("apt"), "--public-of", &key, "--form", "openpgp", "--user-id", USER]);
        let key = desk.at("files.key");
        expect(0, &["keygen", &desk.at("files"), "--public-of", &key, "--form", "minisign"]);
        fs::write(desk.file("Release"), RELEASE).unwrap();
        desk
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("deploy").join(name)
    }

    pub fn at(&self, name: &str) -> String {
        path(&self.file(name)).to_owned()
    }

    /// The desk says that a file is released. Gives the bundle.
    pub fn release(&self, file: &str, environment: &str) -> String {
        let out = self.at(&format!("{file}.{environment}.json"));
        let (file, key) = (self.at(file), self.at("keys/release-desk.key"));
        let purl = "pkg:generic/shop@1";
        let args = ["--purl", purl, "--for", environment, "--key", &key, "--out", &out];
        expect(0, &[&["attest", "release", &file], &args[..]].concat());
        out
    }

    /// Somebody on call lets it be signed in an emergency. Gives the grant.
    pub fn grant(&self, at: &str, expires: &str) -> String {
        let out = self.at("grant.json");
        fs::remove_file(&out).ok();
        let (key, root) = (self.at("keys/bob.key"), self.at("trust-root.yaml"));
        let why = ["--reason", "a hole is exploited", "--ticket", "INC-7", "--environment", "release/apt"];
        let who = ["--key", &key, "--trust-root", &root, "--at", at, "--expires", expires, "--out", &out];
        expect(0, &[&["breakglass", "open"], &why[..], &who].concat());
        out
    }

    pub fn ask<'a>(&self, form: &'a str, key: &str, environment: &'a str) -> Ask<'a> {
        let more =
            if form.starts_with("openpgp") { vec!["--block".into(), self.at("apt.asc")] } else { vec![] };
        Ask { form, key: self.at(key), environment, bundles: Vec::new(), more }
    }

    pub fn arguments(&self, ask: &Ask<'_>, file: &str) -> Vec<String> {
        let mut args: Vec<String> =
            ["sign", &self.at(file), "--as", "shop/Release"].map(str::to_owned).into();
        let mut add = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
        add("--form", ask.form);
        add("--environment", ask.environment);
        add("--key", &ask.key);
        add("--out", &self.at("out"));
        add("--book", &self.at("book"));
        add("--trust-root", &self.at("trust-root.yaml"));
        add("--log", &self.at("log"));
        add("--log-key", &self.at("keys/log.key"));
        add("--origin", "portcullis.acme.example/prod");
        ask.bundles.iter().for_each(|bundle| add("--bundle", bundle));
        args.extend(ask.more.iter().cloned());
        args
    }

    pub fn sign(&self, ask: &Ask<'_>, file: &str) -> Output {
        fs::remove_file(self.file("out")).ok();
        let args = self.arguments(ask, file);
        portcullis(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same, and does not wait for the end.
    pub fn begin(&self, ask: &Ask<'_>, file: &str) -> Child {
        let mut command = portcullis_command();
        command.args(self.arguments(ask, file)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Signed: what was said, and the signature.
    pub fn signed(&self, ask: &Ask<'_>, file: &str) -> (String, String) {
        let output = self.sign(ask, file);
        assert_eq!(code(&output), 0, "{}\n{}", stdout(&output), stderr(&output));
        (stdout(&output), fs::read_to_string(self.file("out")).unwrap())
    }

    /// Refused with this exit code: what was said. Nothing is written, and no signature is on record.
    pub fn refused(&self, exit: i32, ask: &Ask<'_>, file: &str) -> String {
        let before = self.signatures().len();
        let output = self.sign(ask, file);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), exit, "{said}");
        self.nothing(before);
        said
    }

    pub fn nothing(&self, before: usize) {
        assert!(!self.file("out").exists(), "nothing is written");
        assert_eq!(self.signatures().len(), before, "no signature is on record");
    }

    /// The entries of one kind, oldest first.
    pub fn entries(&self, kind: &str) -> Vec<Object> {
        let log = self.at("log");
        let text = expect(0, &["log", "show", &log, "--kind", kind, "--format", "json"]);
        let json: Json = attest::json::parse(text.as_bytes()).unwrap();
        json.as_array().unwrap().iter().map(|entry| entry.as_object().unwrap().clone()).collect()
    }

    pub fn signatures(&self) -> Vec<Object> {
        let bodies = self.entries("signature").into_iter();
        bodies.map(|event| event.object("body").unwrap().clone()).collect()
    }

    /// The newest signature on record is this one, of these bytes, after a decision with this basis.
    pub fn on_record(&self, signature: &str, bytes: &[u8], basis: &str) {
        let event = self.entries("signature").pop().unwrap();
        let body = event.object("body").unwrap();
        assert_eq!(body.string("signature").unwrap(), Digest::sha256(signature.as_bytes()).to_string());
        assert_eq!(body.string("file").unwrap(), Digest::sha256(bytes).to_string());
        let (number, _) = body.string("record").unwrap().split_once(':').unwrap();
        let records = self.entries("decision");
        let record = records.iter().find(|r| r.int("index").unwrap().to_string() == number).unwrap();
        assert_eq!(record.string("decision").unwrap(), "admit");
        assert_eq!(record.string("basis").unwrap(), basis);
        assert_eq!(record.string("environment").unwrap(), body.string("environment").unwrap());
        assert!(event.int("index").unwrap() > record.int("index").unwrap());
    }

    pub fn fifo(&self, name: &str) -> String {
        let file = self.at(name);
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        file
    }
}

/// Waits until it is so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a process said that must end by itself.
pub fn finish(mut child: Child) -> Output {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("it did not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// A program that takes or refuses what was signed.
pub fn takes(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is there (cargo xtask setup): {e}"));
    let text = stdout(&output) + &stderr(&output);
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// The published block as gpgv wants it.
pub fn ring(desk: &Desk) -> String {
    let ring = desk.at("ring.gpg");
    takes("gpg", &["--batch", "--yes", "--dearmor", "--output", &ring, &desk.at("apt.asc")]).unwrap();
    ring
}
