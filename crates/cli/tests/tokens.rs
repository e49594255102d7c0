//! Keys in a token: a real SoftHSM 2, set up anew for each test in a folder of its own.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attest::Digest;
use builder::{FailureRecord, request_failure};
use tools::{code, expect, part, path, portcullis_command, stderr, stdout};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "428571";

/// A token named `portcullis` and what is signed with it.
struct Token {
    dir: tempfile::TempDir,
}

impl Token {
    fn new() -> Option<Self> {
        part("SoftHSM", PathBuf::from(MODULE))?;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tokens")).unwrap();
        let conf = format!(
            "directories.tokendir = {}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n",
            path(dir.path())
        );
        fs::write(dir.path().join("softhsm2.conf"), conf).unwrap();
        fs::write(dir.path().join("pin"), format!("{PIN}\n")).unwrap();
        fs::write(dir.path().join("shop"), b"the artifact").unwrap();
        let token = Self { dir };
        token.run(
            "softhsm2-util",
            &["--init-token", "--free", "--label", "portcullis", "--pin", PIN, "--so-pin", "0000"],
        );
        Some(token)
    }

    fn at(&self, name: &str) -> String {
        path(&self.dir.path().join(name)).to_owned()
    }

    fn run(&self, program: &str, args: &[&str]) -> Vec<u8> {
        let output =
            Command::new(program).args(args).env("SOFTHSM2_CONF", self.at("softhsm2.conf")).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}\n{}", stderr(&output));
        output.stdout
    }

    fn pkcs11_tool(&self, args: &[&str]) -> Vec<u8> {
        let common = ["--module", MODULE, "--token-label", "portcullis", "--login", "--pin", PIN];
        self.run("pkcs11-tool", &[&common[..], args].concat())
    }

    fn make_key(&self, kind: &str, label: &str, id: &str) {
        self.pkcs11_tool(&["--keypairgen", "--key-type", kind, "--label", label, "--id", id]);
    }

    /// The public half as another program reads it.
    fn public(&self, label: &str) -> String {
        let der = self.pkcs11_tool(&["--read-object", "--type", "pubkey", "--label", label]);
        fs::write(self.at("public.der"), der).unwrap();
        let file = self.at(&format!("{label}.pub"));
        self.run(
            "openssl",
            &["pkey", "-pubin", "-inform", "DER", "-in", &self.at("public.der"), "-out", &file],
        );
        file
    }

    fn uri(&self, object: &str) -> String {
        format!(
            "pkcs11:token=portcullis;object={object}?module-path={MODULE}&pin-source=file:{}",
            self.at("pin")
        )
    }

    fn attest(&self, key: &str, out: &str, more: &[&str]) -> Output {
        let (shop, out) = (self.at("shop"), self.at(out));
        let args =
            ["attest", "test", &shop, "--name", "unit", "--result", "passed", "--key", key, "--out", &out];
        self.portcullis(&[&args[..], more].concat())
    }

    fn portcullis(&self, args: &[&str]) -> Output {
        portcullis_command().args(args).env("SOFTHSM2_CONF", self.at("softhsm2.conf")).output().unwrap()
    }

    fn refusal(&self, key: &str) -> String {
        let output = self.attest(key, "refused.json", &[]);
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), 2, "{text}");
        assert!(!self.dir.path().join("refused.json").exists(), "nothing is written");
        for secret in [PIN, "999999", "Err(", "RvError", "panicked"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        text
    }
}

#[test]
fn a_key_in_a_token_signs_and_the_bundle_opens_under_the_key_that_another_program_exports() {
    let Some(token) = Token::new() else { return };
    token.make_key("EC:prime256v1", "builder", "01");
    // pkcs11-tool exports only P-256: the others are made outside, where their public half is known
    for (algorithm, label, id) in [("p384", "large", "02"), ("ed25519", "small", "03")] {
        expect(0, &["keygen", &token.at(label), "--no-passphrase", "--algorithm", algorithm]);
        let key = token.at(&format!("{label}.key"));
        let place = ["--token", "portcullis", "--pin", PIN, "--label", label, "--id", id];
        token.run("softhsm2-util", &[&["--import", &key][..], &place].concat());
    }
    token.make_key("EC:edwards25519", "made-inside", "04");
    let builder = token.public("builder");
    for label in ["builder", "large", "small", "made-inside"] {
        let read = token.portcullis(&["keygen", &token.at("read"), "--public-of", &token.uri(label)]);
        assert_eq!(code(&read), 0, "{}", stderr(&read));
        let public = fs::read_to_string(token.at("read.pub")).unwrap();
        if label != "made-inside" {
            assert_eq!(public, fs::read_to_string(token.at(&format!("{label}.pub"))).unwrap(), "{label}");
        }
        let out = format!("{label}.json");
        let output = token.attest(&token.uri(label), &out, &[]);
        assert_eq!(code(&output), 0, "{label}: {}", stderr(&output));
        let text = expect(0, &["open", &token.at(&out), &token.at("shop"), "--key", &token.at("read.pub")]);
        assert!(text.contains("authentic, and about"), "{text}");
        assert!(!token.dir.path().join("read.key").exists(), "there is no private half to write");
        fs::remove_file(token.at("read.pub")).unwrap();
    }
    // by id alone, and with module and PIN from the command line
    let key = "pkcs11:token=portcullis;id=%02;type=private";
    let more = ["--pkcs11-module", MODULE, "--passphrase-file", &token.at("pin")];
    let output = token.attest(key, "by-id.json", &more);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    expect(0, &["open", &token.at("by-id.json"), &token.at("shop"), "--key", &token.at("large.pub")]);
    expect(1, &["open", &token.at("by-id.json"), &token.at("shop"), "--key", &builder]);
}

#[test]
fn what_cannot_be_opened_says_why_and_repeats_no_secret() {
    let Some(token) = Token::new() else { return };
    token.make_key("EC:prime256v1", "builder", "01");
    token.make_key("EC:prime256v1", "twin", "02");
    token.make_key("EC:prime256v1", "twin", "03");
    token.make_key("rsa:2048", "old", "04");
    fs::write(token.at("wrong"), "999999\n").unwrap();
    fs::write(token.at("empty"), "\n").unwrap();
    let good = token.uri("builder");
    let pin_file = token.at("pin");
    for (uri, wanted) in [
        (good.replace(&pin_file, &token.at("wrong")), "the PIN does not open the token `portcullis`"),
        (good.replace(&pin_file, &token.at("empty")), "is empty"),
        (good.replace(&pin_file, &token.at("absent")), "cannot read the PIN file"),
        (good.replace("token=portcullis", "token=other"), "there is no token `other`; there is `portcullis`"),
        (token.uri("absent"), "the token `portcullis` has no private key `absent`; it has `"),
        (token.uri("twin"), "the token has 2 private keys `twin`: add id=%HEX"),
        (token.uri("old"), "is not one on P-256, P-384 or Ed25519"),
        (good.replace(MODULE, "/usr/lib/none.so"), "/usr/lib/none.so cannot be loaded"),
        (good.replace(&format!("module-path={MODULE}&"), ""), "nothing says which PKCS#11 module"),
        (good.replace(&format!("&pin-source=file:{pin_file}"), ""), "nothing says where the token's PIN is"),
        (good.replace("pin-source=file:", "pin-value=999999&pin-source=file:"), "`pin-value` is refused"),
        (good.replace("object", "objekt"), "the attribute `objekt` is not understood here"),
    ] {
        let text = token.refusal(&uri);
        assert!(text.contains(wanted), "{uri}: wanted {wanted} in\n{text}");
        assert!(text.contains("  fix ") || text.contains("  wanted ") || text.contains("is empty"), "{text}");
    }
    let text = token.refusal(&format!("{};id=%01", "pkcs11:token=portcullis;object=twin"));
    assert!(text.contains("PIN"), "{text}");
    // the id says which twin
    let twin = token.uri("twin").replace("object=twin", "object=twin;id=%03");
    assert_eq!(code(&token.attest(&twin, "twin.json", &[])), 0);
}

/// A production signer whose key is in a token: its own user, and a PIN file that only this user reads.
#[test]
fn a_signer_with_its_key_in_a_token_signs_under_its_own_user_only() {
    let Some(token) = Token::new() else { return };
    if !Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n") {
        eprintln!("\n*** SKIPPED: only root can start a signer as another user ***\n");
        return;
    }
    token.make_key("EC:prime256v1", "builder", "01");
    let public = token.public("builder");
    fs::copy(env!("CARGO_BIN_EXE_portcullis"), token.at("portcullis")).unwrap();
    let owned = Command::new("chown").args(["-R", "12345:12345", path(token.dir.path())]).status().unwrap();
    assert!(owned.success());
    let signer = || {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=12345", "--regid=12345", "--clear-groups", "--", &token.at("portcullis")])
            .args(["builder", "signer", "--builder-id", "https://ci.example/official", "--requests", "1"])
            .args(["--socket", &token.at("s"), "--key", &token.uri("builder"), "--allow-uid", "0"])
            .args(["--log", &token.at("log"), "--log-key", &token.at("log.key")])
            .env("SOFTHSM2_CONF", token.at("softhsm2.conf"));
        command
    };
    let mode = |mode| {
        fs::set_permissions(token.at("pin"), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(0o644);
    let refused = signer().output().unwrap();
    assert!(
        stderr(&refused).contains("the file with its key or PIN can be read by others"),
        "{}",
        stderr(&refused)
    );
    mode(0o600);
    let mut child = signer().spawn().unwrap();
    let socket = token.dir.path().join("s");
    for _ in 0..1000 {
        if socket.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let commit = format!("gitCommit:{}", "a".repeat(40));
    let record = FailureRecord {
        repository: "https://github.com/acme/shop".to_owned(),
        reference: "refs/heads/main".to_owned(),
        target: "shop".to_owned(),
        commit: Digest::parse(&commit).unwrap(),
        reason: "exit status 2".to_owned(),
        log: Digest::sha256(b"the log"),
        started: "2026-01-01T08:00:00Z".parse().unwrap(),
        finished: "2026-01-01T08:30:00Z".parse().unwrap(),
        invocation: "run-00001".to_owned(),
    };
    let bundle = request_failure(Path::new(&socket), &record).unwrap();
    assert!(child.wait().unwrap().success());
    fs::write(token.at("failed.json"), bundle.to_string()).unwrap();
    let text = expect(0, &["open", &token.at("failed.json"), &commit, "--key", &public]);
    assert!(text.contains("https://portcullis.dev/build-failure/v1"), "{text}");
}
