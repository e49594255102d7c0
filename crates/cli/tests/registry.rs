//! Evidence in registries, with real ones: Debian's docker-registry, which keeps no list of referrers, and one that does;
//! cosign, oras, crane and skopeo push what we find, and find what we push.

mod registries;
mod tools;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};

use attest::{Digest, Json};
use registries::{Registry, layout};
use tools::{cache, code, expect, part, path, portcullis, stderr, stdout};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Keys, a policy that wants a signature by one of them, and an image in a layout.
struct Setting {
    dir: tempfile::TempDir,
    digest: Digest,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let setting = Self { digest: layout(&dir.path().join("image")), dir };
        for name in ["ours", "theirs"] {
            expect(0, &["keygen", &setting.at(name), "--no-passphrase"]);
        }
        setting.attest("test.json");
        setting
            .write("signing.json", r#"{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}"#);
        let definition = r#""buildDefinition":{"buildType":"x","externalParameters":{}}"#;
        setting
            .write("predicate.json", &format!(r#"{{{definition},"runDetails":{{"builder":{{"id":"b"}}}}}}"#));
        setting
    }

    fn at(&self, name: &str) -> String {
        path(&self.dir.path().join(name)).to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.dir.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn attest(&self, out: &str) {
        let (key, out, digest) = (self.at("ours.key"), self.at(out), self.digest.to_string());
        expect(
            0,
            &[
                "attest", "test", &digest, "--name", "unit", "--result", "passed", "--key", &key, "--out",
                &out,
            ],
        );
    }

    /// Another program, with nothing of the caller's home.
    fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        let home = [("HOME", self.dir.path().as_os_str())];
        command.args(args).envs(home).env("COSIGN_PASSWORD", "").current_dir(self.dir.path());
        command.output().unwrap()
    }

    fn succeed(&self, program: &str, args: &[&str]) -> String {
        let output = self.run(program, args);
        assert!(output.status.success(), "{program} {args:?}\n{}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    fn oras(&self, args: &[&str]) -> String {
        self.succeed(path(&cache("registry/oras")), args)
    }

    fn crane(&self, args: &[&str]) -> String {
        self.succeed(path(&cache("registry/crane")), args)
    }

    fn cosign(&self, args: &[&str]) -> bool {
        self.run(path(&cache("tools/cosign")), args).status.success()
    }

    /// Pushes the image with skopeo, and says what it is called there.
    fn push(&self, registry: &str, more: &[&str]) -> String {
        let to = format!("docker://{registry}/shop:1");
        let copy = ["copy", "--insecure-policy", "--preserve-digests", "--dest-tls-verify=false"];
        self.succeed("skopeo", &[&copy[..], more, &[&format!("oci:{}", self.at("image")), &to]].concat());
        format!("{registry}/shop@{}", self.digest)
    }

    fn cosign_key(&self) {
        assert!(self.cosign(&["import-key-pair", "--key", &self.at("theirs.key"), "-o", "imported", "-y"]));
    }

    fn cosign_attests(&self, image: &str, form: &[&str]) {
        let what = ["--predicate", "predicate.json", "--type", "slsaprovenance1", "-y", image];
        assert!(self.cosign(&[&["attest", "--key", "imported.key"], form, &what].concat()));
    }

    /// Asks whether an image may be deployed that has to be signed by the owner of a key.
    fn verify(&self, image: &str, key: &str, more: &[&str]) -> Output {
        let pem = fs::read_to_string(self.at(&format!("{key}.pub"))).unwrap();
        let pem: String = pem.lines().map(|line| format!("          {line}\n")).collect();
        let root = format!("version: 1\nsigners:\n  vendor:\n    keys:\n      - key: |\n{pem}");
        self.write(&format!("{key}.yaml"), &root);
        let artifact = image.split('@').next().unwrap();
        let book =
            format!("environment: prod/shop\nartifact: {artifact}\nrequire: {{ signed-by: [vendor] }}\n");
        self.write(&format!("book-{key}/shop.yaml"), &book);
        let (book, root) = (self.at(&format!("book-{key}")), self.at(&format!("{key}.yaml")));
        let given = ["verify", image, "--environment", "prod/shop", "--book", &book, "--trust-root", &root];
        portcullis(&[&given[..], more].concat())
    }

    fn admits(&self, image: &str, key: &str, more: &[&str]) -> String {
        let output = self.verify(image, key, more);
        assert_eq!(code(&output), 0, "{more:?}\n{}{}", stdout(&output), stderr(&output));
        stderr(&output)
    }

    fn attach(&self, image: &str, more: &[&str]) -> Output {
        portcullis(&[&["attach", image, "--bundle", &self.at("test.json"), "--registry"], more].concat())
    }
}

fn json(output: &Output) -> Json {
    attest::json::parse(stdout(output).as_bytes()).unwrap_or_else(|e| panic!("{e}: {}", stdout(output)))
}

fn has_cosign() -> bool {
    part("cosign", cache("tools/cosign")).is_some()
}

#[test]
fn what_we_push_is_found_by_cosign_oras_and_crane() {
    let Some(registries) = Registry::all().filter(|_| has_cosign()) else { return };
    let setting = Setting::new();
    for (registry, keeps_list) in &registries {
        let image = setting.push(&registry.address, &[]);
        assert_eq!(setting.crane(&["digest", "--insecure", &image]).trim(), setting.digest.to_string());
        // nothing is attached yet: the policy is not met, which is not the same as not knowing
        let output = setting.verify(&image, "ours", &["--registry"]);
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        assert!(stderr(&output).contains("no evidence is attached"), "{}", stderr(&output));
        let output = setting.attach(&image, &["--format", "json"]);
        assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
        let value = json(&output);
        let pushed = value.as_object().unwrap().array("pushed").unwrap()[0].as_object().unwrap();
        let tag = format!("sha256-{}", setting.digest.hex());
        assert_eq!(pushed.optional_string("tag").unwrap(), (!keeps_list).then_some(tag.as_str()));
        let (manifest, bundle) = (pushed.string("manifest").unwrap(), pushed.string("bundle").unwrap());
        // again: the same
        assert_eq!(json(&setting.attach(&image, &["--format", "json"])), value);
        let said = setting.oras(&["discover", "--plain-http", "--format", "json", &image]);
        assert_eq!(said.matches(manifest).count(), 2, "as digest and as reference: {said}");
        let manifest = format!("{}/shop@{manifest}", registry.address);
        assert!(setting.crane(&["manifest", "--insecure", &manifest]).contains(bundle));
        let kind = "https://in-toto.io/attestation/test-result/v0.1";
        let verify = |key: &str| {
            let key = setting.at(key);
            setting.cosign(&[
                "verify-attestation",
                "--key",
                &key,
                "--insecure-ignore-tlog",
                "--type",
                kind,
                &image,
            ])
        };
        assert!(verify("ours.pub"));
        assert!(!verify("theirs.pub"));
        assert!(setting.admits(&image, "ours", &["--registry"]).contains("1 piece of evidence"));
        // to who trusts another key it is nothing, and is named
        let output = setting.verify(&image, "theirs", &["--registry"]);
        assert!(code(&output) == 1 && stderr(&output).contains("left out"), "{}", stderr(&output));
        // the same bundle by another tool, and with other blanks, is the same evidence
        let typed = format!("test.json:{BUNDLE}");
        setting.oras(&["attach", "--plain-http", "--artifact-type", BUNDLE, &image, &typed]);
        assert!(setting.admits(&image, "ours", &["--registry"]).contains("1 piece of evidence"));
    }
}

#[test]
fn what_cosign_pushes_is_found_in_both_its_forms() {
    let Some(registries) = Registry::all().filter(|_| has_cosign()) else { return };
    let setting = Setting::new();
    setting.cosign_key();
    let old = ["--use-signing-config=false", "--new-bundle-format=false", "--tlog-upload=false"];
    for (registry, _) in &registries {
        let image = setting.push(&registry.address, &[]);
        setting.cosign_attests(&image, &["--signing-config", "signing.json"]);
        assert!(setting.admits(&image, "theirs", &["--registry"]).contains("1 piece of evidence"));
        assert_eq!(code(&setting.verify(&image, "ours", &["--registry"])), 1);
        // cosign 2's form beside it: two provenances, and none is picked
        setting.cosign_attests(&image, &old);
        assert!(setting.cosign(&[&["sign", "--key", "imported.key", "-y"], &old[..], &[&image]].concat()));
        let output = setting.verify(&image, "theirs", &["--registry", "--format", "json"]);
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        let value = json(&output);
        let object = value.as_object().unwrap();
        let rule = object.array("findings").unwrap()[0].as_object().unwrap().string("rule").unwrap();
        assert_eq!(rule, "evidence-unambiguous");
        let attached = object.object("attached").unwrap();
        assert_eq!((attached.int("taken").unwrap(), attached.int("records").unwrap()), (2, 3));
        assert_eq!(attached.array("unread").unwrap().len(), 1, "a signature without a statement");
        // one of them, by the digest of its layer
        let tag = format!("{}/shop:sha256-{}.att", registry.address, setting.digest.hex());
        let manifest = setting.crane(&["manifest", "--insecure", &tag]);
        let manifest = attest::json::parse(manifest.as_bytes()).unwrap();
        let layer = manifest.as_object().unwrap().array("layers").unwrap()[0].as_object().unwrap();
        let layer = layer.string("digest").unwrap();
        setting.admits(&image, "theirs", &["--registry", "--only", layer]);
        // what others attach refuses nothing
        assert_eq!(code(&setting.attach(&image, &[])), 0);
        setting.admits(&image, "ours", &["--registry"]);
        let none = Digest::sha256(b"nobody's").to_string();
        let output = setting.verify(&image, "theirs", &["--registry", "--only", &none]);
        assert!(code(&output) == 1 && stderr(&output).contains("is not attached to"), "{}", stderr(&output));
    }
}

#[test]
fn layouts_of_oras_and_cosign_are_read() {
    let Some(registries) = Registry::all().filter(|_| has_cosign()) else { return };
    let setting = Setting::new();
    setting.cosign_key();
    for (at, (registry, _)) in registries.iter().enumerate() {
        let image = setting.push(&registry.address, &[]);
        setting.cosign_attests(&image, &["--signing-config", "signing.json"]);
        let layout = format!("layout-{at}");
        let to = format!("{layout}:1");
        setting.oras(&["copy", "--recursive", "--from-plain-http", &image, "--to-oci-layout", &to]);
        setting.admits(&image, "theirs", &["--layout", &setting.at(&layout)]);
        assert_eq!(code(&setting.verify(&image, "ours", &["--layout", &setting.at(&layout)])), 1);
        let flags = ["--use-signing-config=false", "--new-bundle-format=false", "--tlog-upload=false"];
        setting.cosign_attests(&image, &flags);
        let saved = setting.at(&format!("saved-{at}"));
        assert!(setting.cosign(&["save", "--dir", &saved, &image]));
        setting.admits(&image, "theirs", &["--layout", &saved]);
    }
    let image = format!("registry.example/shop@{}", setting.digest);
    let output = setting.verify(&image, "ours", &["--layout", &setting.at("book-theirs")]);
    assert!(code(&output) == 2 && stderr(&output).contains("is no OCI image layout"), "{}", stderr(&output));
    // an image alone has nothing attached
    assert_eq!(code(&setting.verify(&image, "ours", &["--layout", &setting.at("image")])), 1);
}

#[test]
fn a_registry_that_wants_a_login_gets_that_of_its_own() {
    let auth = "auth: { htpasswd: { realm: test, path: FOLDER/login } }\n";
    let Some(registry) = Registry::debian(auth) else { return };
    let setting = Setting::new();
    let image = setting.push(&registry.address, &["--dest-creds", "alice:secret"]);
    let config = |host: &str, auth: &str| format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#);
    setting.write("right.json", &config(&registry.address, "YWxpY2U6c2VjcmV0"));
    setting.write("wrong.json", &config(&registry.address, "YWxpY2U6d3Jvbmc="));
    setting.write("other.json", &config("registry.example", "YWxpY2U6c2VjcmV0"));
    let right = setting.at("right.json");
    for arguments in [
        &[][..],
        &["--docker-config", &setting.at("wrong.json")],
        &["--docker-config", &setting.at("other.json")],
    ] {
        let output = setting.verify(&image, "ours", &[&["--registry"], arguments].concat());
        assert_eq!(code(&output), 2, "{}", stdout(&output));
        assert!(stderr(&output).contains("wants other credentials (401)"), "{}", stderr(&output));
        assert!(stderr(&output).contains("--docker-config FILE"), "{}", stderr(&output));
        assert_eq!(code(&setting.attach(&image, arguments)), 2);
    }
    assert_eq!(code(&setting.attach(&image, &["--docker-config", &right])), 0);
    setting.admits(&image, "ours", &["--registry", "--docker-config", &right]);
    setting.write("broken.json", r#"{"auths":{"r.example":{"auth":"verysecret"}}}"#);
    let output = setting.attach(&image, &["--docker-config", &setting.at("broken.json")]);
    assert!(code(&output) == 2 && stderr(&output).contains("auths.r.example.auth"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("verysecret"), "{}", stderr(&output));
}

/// A registry that has one answer for everybody.
fn always(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Ok(1..) = stream.read(&mut [0; 4096]) else { continue };
            stream.write_all(answer.as_bytes()).ok();
        }
    });
    address
}

#[test]
fn not_to_know_is_never_said_to_be_unsigned() {
    let setting = Setting::new();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (address, wanted) in [
        (gone, "the connection failed"),
        (always("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"), "answers 503"),
        (always("HTTP/1.1 403 X\r\ncontent-length: 0\r\n\r\n"), "may not (403)"),
        (always("HTTP/1.1 429 X\r\ncontent-length: 0\r\n\r\n"), "too many requests"),
        (always("HTTP/1.1 200 X\r\ncontent-length: 6\r\n\r\n<html>"), "no manifest and no index"),
        (
            always("HTTP/1.1 200 X\r\ncontent-encoding: gzip\r\ncontent-length: 6\r\n\r\n<html>"),
            "encoded as gzip",
        ),
        (always("HTTP/1.1 404 X\r\ncontent-length: 6\r\n\r\n<html>"), "not in a registry's words"),
        (always("HTTP/1.1 200 X\r\ncontent-length: 99999999999\r\n\r\n"), "more than 4194304 bytes"),
    ] {
        let image = format!("{address}/shop@{}", setting.digest);
        let output = setting.verify(&image, "ours", &["--registry", "--format", "json"]);
        assert_eq!(code(&output), 2, "{wanted}: {}", stdout(&output));
        let value = json(&output);
        assert_eq!(value.as_object().unwrap().string("code").unwrap(), "evidence-unknown");
        assert!(stdout(&output).contains(wanted), "{wanted}: {}", stdout(&output));
        let output = setting.attach(&image, &[]);
        assert!(code(&output) == 2 && stderr(&output).contains("cannot be pushed"), "{}", stderr(&output));
    }
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let setting = Setting::new();
    let image = format!("registry.example/shop@{}", setting.digest);
    for (artifact, more, wanted) in [
        ("registry.example/shop:1", &["--registry"][..], "names no digest"),
        ("registry.example/Shop@sha256:aa", &["--registry"], "is no image"),
        (&image, &["--registry", "--layout", "x"], "cannot be used with"),
        (&image, &["--only", "sha256:aa"], "say where it is attached"),
        (&image, &["--registry", "--only", "sha256:aa"], "is no digest"),
        (&image, &["--registry", "--docker-config", "/nowhere"], "cannot read the login file"),
        (&image, &["--plain-http"], "--registry"),
    ] {
        let output = setting.verify(artifact, "ours", more);
        assert!(code(&output) == 2 && stderr(&output).contains(wanted), "{wanted}: {}", stderr(&output));
    }
    let output = setting.attach(&setting.digest.to_string(), &[]);
    assert!(code(&output) == 2 && stderr(&output).contains("REGISTRY/REPOSITORY@"), "{}", stderr(&output));
}
