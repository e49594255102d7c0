//! Bad input of every kind: one clear error, the right exit code, and nothing half-written.

#[path = "bad_input/choke_points.rs"]
mod choke_points;
#[path = "bad_input/readers.rs"]
mod readers;
mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use attest::Digest;
use tools::{code, expect, path, portcullis, stderr, stdout};

struct Setting {
    dir: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        expect(0, &["init", path(&dir.path().join("deploy"))]);
        fs::write(dir.path().join("shop"), b"the artifact").unwrap();
        let setting = Self { dir };
        setting.attest("good.json");
        setting
    }

    fn at(&self, name: &str) -> String {
        path(&self.dir.path().join(name)).to_owned()
    }

    fn attest(&self, out: &str) {
        let key = self.at("deploy/keys/ci-tests.key");
        expect(
            0,
            &[
                "attest",
                "test",
                &self.at("shop"),
                "--name",
                "unit",
                "--result",
                "passed",
                "--key",
                &key,
                "--out",
                &self.at(out),
            ],
        );
    }

    fn verify(&self, bundle: &str, extra: &[&str]) -> std::process::Output {
        let (shop, bundle) = (self.at("shop"), self.at(bundle));
        let (book, root) = (self.at("deploy/book"), self.at("deploy/trust-root.yaml"));
        let mut args = vec!["verify", &shop, "--environment", "prod/shop", "--bundle", &bundle];
        args.extend(["--book", &book, "--trust-root", &root]);
        args.extend(extra);
        portcullis(&args)
    }
}

/// One error, with how to mend it, and no traces of the program itself.
fn is_clear(text: &str) {
    assert!(text.contains("error"), "{text}");
    for forbidden in ["panicked", "Err(", "Error {", "RUST_BACKTRACE", "does not meet policy", "Some("] {
        assert!(!text.contains(forbidden), "{text}");
    }
}

#[test]
fn files_that_cannot_be_read_are_2_and_bad_content_is_1() {
    let setting = Setting::new();
    let write = |name: &str, bytes: &[u8]| fs::write(setting.at(name), bytes).unwrap();
    write("empty.json", b"");
    write("noise.json", &(0..=255).cycle().take(5000).collect::<Vec<u8>>());
    write("text.json", b"hello");
    write("duplicate.json", br#"{"payload":"","payload":"","payloadType":"x","signatures":[]}"#);
    write("certificate.json", br#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"AAAA"}},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AAAA"}]}}"#);
    fs::create_dir(setting.at("folder.json")).unwrap();
    // a gibibyte that takes no room
    fs::File::create(setting.at("huge.json")).unwrap().set_len(1 << 30).unwrap();
    for (bundle, exit, word) in [
        ("missing.json", 2, "cannot read the bundle"),
        ("folder.json", 2, "is a folder"),
        ("huge.json", 2, "too large"),
        ("certificate.json", 1, "its statement is malformed"),
        ("empty.json", 1, "the file is empty"),
        ("noise.json", 1, "evidence cannot be read"),
        ("text.json", 1, "at byte 0"),
        ("duplicate.json", 1, "duplicate key"),
    ] {
        let output = setting.verify(bundle, &[]);
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), exit, "{bundle}: {text}");
        assert!(text.contains(word), "{bundle}: {text}");
        if exit == 2 {
            is_clear(&text);
        }
    }
}

#[test]
fn an_unreadable_file_says_so() {
    let setting = Setting::new();
    fs::set_permissions(setting.at("good.json"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(setting.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let is_root = fs::read(setting.at("good.json")).is_ok();
    let output = if is_root {
        // root reads everything: ask as somebody else
        let binary = setting.dir.path().join("portcullis");
        fs::copy(env!("CARGO_BIN_EXE_portcullis"), &binary).unwrap();
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(binary)
            .args([
                "open",
                &setting.at("good.json"),
                &setting.at("shop"),
                "--key",
                &setting.at("deploy/keys/ci-tests.pub"),
            ])
            .output()
            .unwrap()
    } else {
        portcullis(&[
            "open",
            &setting.at("good.json"),
            &setting.at("shop"),
            "--key",
            &setting.at("deploy/keys/ci-tests.pub"),
        ])
    };
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("cannot read the bundle") && stderr(&output).contains("ermission"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn keys_of_the_wrong_kind_and_locked_keys_say_what_they_are() {
    let setting = Setting::new();
    let pass = setting.at("pass");
    fs::write(&pass, "correct horse\n").unwrap();
    expect(0, &["keygen", &setting.at("locked"), "--passphrase-file", &pass]);
    expect(0, &["keygen", &setting.at("quantum"), "--algorithm", "ml-dsa-65", "--no-passphrase"]);
    let attest = |key: &str| {
        portcullis(&[
            "attest",
            "test",
            &setting.at("shop"),
            "--name",
            "u",
            "--result",
            "passed",
            "--key",
            &setting.at(key),
            "--out",
            &setting.at("out.json"),
        ])
    };
    for (key, word) in [
        ("locked.key", "no passphrase was given"),
        ("locked.pub", "PUBLIC KEY, wanted PRIVATE KEY"),
        ("shop", "not a PEM block"),
        ("nowhere.key", "cannot read the private key"),
    ] {
        let output = attest(key);
        assert_eq!(code(&output), 2, "{key}");
        assert!(stderr(&output).contains(word), "{key}: {}", stderr(&output));
        assert!(!Path::new(&setting.at("out.json")).exists(), "nothing is written");
        is_clear(&stderr(&output));
    }
    let open = |key: &str| {
        portcullis(&["open", &setting.at("good.json"), &setting.at("shop"), "--key", &setting.at(key)])
    };
    assert_eq!(code(&open("locked.key")), 2);
    assert!(stderr(&open("locked.key")).contains("wanted PUBLIC KEY"));
    let other = open("quantum.pub");
    assert_eq!(code(&other), 1, "a good key of another kind: the signature is not its");
    assert!(stderr(&other).contains("not authentic"));
    assert!(attest("quantum.key").status.success());
    assert!(
        portcullis(&[
            "open",
            &setting.at("out.json"),
            &setting.at("shop"),
            "--key",
            &setting.at("quantum.pub")
        ])
        .status
        .success()
    );
}

#[test]
fn keygen_never_overwrites_and_never_leaves_half_a_pair() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("k");
    expect(0, &["keygen", path(&name), "--no-passphrase"]);
    let before = fs::read(name.with_extension("key")).unwrap();
    assert_eq!(fs::metadata(name.with_extension("key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(expect(2, &["keygen", path(&name), "--no-passphrase"]).contains("there already"));
    assert_eq!(fs::read(name.with_extension("key")).unwrap(), before);
    fs::remove_file(name.with_extension("pub")).unwrap();
    expect(2, &["keygen", path(&name), "--no-passphrase"]);
    assert!(!name.with_extension("pub").exists(), "no public key without its private one");
    assert!(expect(2, &["keygen", path(&dir.path().join("x"))]).contains("--no-passphrase"));
    let deep = expect(2, &["keygen", "/proc/nowhere/k", "--no-passphrase"]);
    assert!(deep.contains("cannot write"), "{deep}");
}

#[test]
fn a_full_and_a_read_only_disk_leave_nothing_half_written() {
    let setting = Setting::new();
    let disk = setting.dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none", path(&disk)])
            .status()
            .is_ok_and(|s| s.success())
    };
    if !mount("size=4k,mode=777") {
        eprintln!("\n*** SKIPPED: this user cannot mount a small disk; a full disk was NOT tried ***\n");
        return;
    }
    fs::write(disk.join("filler"), vec![0; 4096]).unwrap();
    let key = setting.at("deploy/keys/ci-tests.key");
    let out = disk.join("out.json");
    let attest = || {
        expect(
            2,
            &[
                "attest",
                "test",
                &setting.at("shop"),
                "--name",
                "u",
                "--result",
                "passed",
                "--key",
                &key,
                "--out",
                path(&out),
            ],
        )
    };
    let full = attest();
    let files = |dir: &Path| fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    let after_full = files(&disk);
    Command::new("mount").args(["-o", "remount,ro", path(&disk)]).status().unwrap();
    let read_only = attest();
    let (shop, store) = (setting.at("shop"), disk.join("store"));
    let digest = Digest::sha256(&fs::read(&shop).unwrap()).hex();
    let (purl, from) = ("pkg:generic/shop@1", ["--sha256", &digest, "--store", path(&store)]);
    let taken = expect(2, &[&["import", "fetch", purl, "--from", &shop], &from[..]].concat());
    let layout = disk.join("draft");
    let google = setting.at("google.yaml");
    fs::write(&google, "defaultAdmissionRule: {evaluationMode: ALWAYS_DENY, enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG}\n")
        .unwrap();
    let drafted = expect(2, &["binauthz", "translate", &google, "--out", path(&layout)]);
    Command::new("umount").arg(&disk).status().unwrap();
    assert!(full.contains("No space left") && full.contains("make room"), "{full}");
    assert_eq!(after_full, ["filler"], "nothing half-written");
    for text in [read_only, taken, drafted] {
        assert!(text.contains("Read-only"), "{text}");
        is_clear(&text);
    }
}

#[test]
fn a_clock_before_1970_is_no_clock() {
    let setting = Setting::new();
    let early = setting.verify("good.json", &["--at", "1969-12-31T23:59:59Z"]);
    assert_eq!(code(&early), 2);
    assert!(
        stderr(&early).contains("before 1970") && stderr(&early).contains("set the clock"),
        "{}",
        stderr(&early)
    );
    let nonsense = setting.verify("good.json", &["--at", "yesterday"]);
    assert_eq!(code(&nonsense), 2);
    assert!(stderr(&nonsense).contains("as in 2026-11-22T09:00:00Z"));
}

#[test]
fn json_is_one_object_with_the_promised_fields_also_for_errors() {
    let setting = Setting::new();
    let output = setting.verify("good.json", &["--format", "json", "--at", "2026-11-22T09:00:00Z"]);
    assert_eq!(code(&output), 1);
    let json = attest::json::parse(&output.stdout).unwrap();
    let object = json.as_object().unwrap();
    for (key, value) in
        [("decision", "reject"), ("verdict", "unmet"), ("basis", "policy"), ("at", "2026-11-22T09:00:00Z")]
    {
        assert_eq!(object.string(key).unwrap(), value);
    }
    for key in ["policy", "trust_root", "artifact", "findings"] {
        assert!(object.get(key).is_some(), "{key}");
    }
    let finding = object.array("findings").unwrap()[0].as_object().unwrap();
    for key in ["rule", "message", "wanted", "found", "place", "fixes"] {
        assert!(finding.get(key).is_some(), "{key}");
    }
    let place = finding.object("place").unwrap();
    assert!(place.string("file").unwrap().starts_with("book/") && place.int("line").unwrap() > 0);
    let failed = setting.verify("missing.json", &["--format", "json"]);
    assert_eq!(code(&failed), 2);
    assert!(attest::json::parse(&failed.stdout).unwrap().as_object().unwrap().string("error").is_ok());
}

#[test]
fn every_command_helps_completes_and_has_a_page() {
    for command in [
        "demo",
        "drill",
        "init",
        "keygen",
        "build",
        "builder",
        "attest",
        "open",
        "verify",
        "policy",
        "explain",
        "threats",
        "log",
        "replay",
        "layout",
        "binauthz",
        "summary",
        "import",
        "git-hook",
        "trust-root",
        "deploy",
        "sign",
        "serve",
    ] {
        let help = expect(0, &[command, "--help"]);
        assert!(help.contains("Usage: portcullis"), "{command}");
    }
    for command in [
        "layout verify",
        "layout translate",
        "binauthz translate",
        "binauthz open",
        "summary show",
        "summary issue",
        "import fetch",
        "import diff",
        "import review",
        "attest import",
        "attest scan",
        "attest review",
        "git-hook pre-receive",
        "trust-root sigstore add",
        "trust-root sigstore update",
        "attach",
        "verify",
        "deploy",
        "sign",
        "drill",
        "threats",
        "serve",
        "log signatures",
    ] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = expect(0, &words);
        assert!(help.contains("Example") && help.contains("  portcullis "), "{command} shows no example");
        assert!(help.contains("--format"), "{command}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(expect(0, &["completions", shell]).len() > 1000);
    }
    let dir = tempfile::tempdir().unwrap();
    expect(0, &["man", path(dir.path())]);
    for page in [
        "verify",
        "layout-verify",
        "binauthz-open",
        "summary-show",
        "import-fetch",
        "attest-import",
        "deploy",
        "sign",
        "drill",
    ] {
        assert!(dir.path().join(format!("portcullis-{page}.1")).exists(), "{page}");
    }
    assert_eq!(code(&portcullis(&["verfy"])), 2);
    assert!(stderr(&portcullis(&["verfy"])).contains("verify"), "a misspelt command is suggested");
    assert!(expect(2, &["explain", "source-reviewd"]).contains("portcullis explain source-reviewed"));
    let plain = expect(0, &["explain"]);
    assert!(!plain.contains('\u{1b}'), "no colour but on a terminal");
}

#[test]
fn what_init_writes_works_together() {
    let setting = Setting::new();
    let (book, root, rails) = (
        setting.at("deploy/book"),
        setting.at("deploy/trust-root.yaml"),
        setting.at("deploy/guardrails.yaml"),
    );
    expect(0, &["policy", "check", &book, "--trust-root", &root, "--guardrails", &rails]);
    assert!(expect(0, &["policy", "test", &setting.at("deploy")]).contains("3 passed, 0 failed"));
    expect(0, &["policy", "fmt", &book, "--check"]);
    assert!(expect(2, &["init", &setting.at("deploy")]).contains("not empty"));
    // a guardrail that is broken: the book does not load
    let policy = setting.at("deploy/book/prod/shop.yaml");
    let text = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, text.replace("mode: enforce", "mode: dry-run").replace("  tests: [unit]\n", ""))
        .unwrap();
    let broken = expect(2, &["policy", "check", &book, "--guardrails", &rails]);
    assert!(broken.contains("is in dry run") && broken.contains("does not require tests"), "{broken}");
    // a name that the trust root does not know
    fs::write(&policy, text.replace("official-ci", "offical-ci")).unwrap();
    assert!(expect(2, &["policy", "check", &book, "--trust-root", &root]).contains("write `official-ci`"));
    assert!(expect(1, &["policy", "test", &setting.at("deploy")]).contains("FAIL"));
}

/// Each was reported by somebody who used the tool for the first time.
#[test]
fn what_a_stranger_stumbled_over() {
    let setting = Setting::new();
    // a check that checked nothing is no success
    let log = setting.at("log");
    assert!(expect(2, &["replay", &log]).contains("cannot read"));
    // two wishes that contradict each other
    let pass = setting.at("pass");
    fs::write(&pass, "x\n").unwrap();
    expect(2, &["keygen", &setting.at("k"), "--no-passphrase", "--passphrase-file", &pass]);
    assert!(!Path::new(&setting.at("k.key")).exists());
    // a result that was lost is no success; a reader that went away lost nothing
    let run = |command: &str| {
        let script = format!("{} {command}", env!("CARGO_BIN_EXE_portcullis"));
        Command::new("bash").args(["-c", &script]).output().unwrap()
    };
    let lost = run("policy schema > /dev/full");
    assert_eq!(code(&lost), 2);
    assert!(stderr(&lost).contains("could not be written"), "{}", stderr(&lost));
    let gone = run("completions bash | head -1");
    assert!(code(&gone) == 0 && stderr(&gone).is_empty(), "{}", stderr(&gone));
    // nobody is told to empty their trust root
    let whole = expect(2, &["policy", "check", &setting.at("deploy")]);
    assert!(
        whole.contains("this is a trust root, and no policy") && whole.contains("this is guardrails"),
        "{whole}"
    );
    assert!(!whole.contains("unknown key"), "{whole}");
    // facts that contradict themselves, and facts that would overwrite others
    let key = setting.at("deploy/keys/ci-tests.key");
    let shop = setting.at("shop");
    let test = ["attest", "test", &shop, "--name", "unit", "--key", &key];
    expect(2, &[&test[..], &["--result", "passed", "--failed", "checkout"]].concat());
    expect(0, &[&test[..], &["--result", "passed"]].concat());
    assert!(expect(2, &[&test[..], &["--result", "failed"]].concat()).contains("there already"));
    // a log that the trust root does not know can never meet `logged`
    let policy = setting.at("deploy/book/prod/shop.yaml");
    let text = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, text.replace("  hermetic: true\n", "  logged: { log: builds }\n")).unwrap();
    let (book, root) = (setting.at("deploy/book"), setting.at("deploy/trust-root.yaml"));
    assert!(expect(2, &["policy", "check", &book, "--trust-root", &root]).contains("no `builds`"));
}

#[test]
fn commands_that_read_builds_say_what_is_wrong_with_what_they_read() {
    let setting = Setting::new();
    let (good, shop, root) =
        (setting.at("good.json"), setting.at("shop"), setting.at("deploy/trust-root.yaml"));
    let (missing, folder, noise) =
        (setting.at("missing"), setting.at("deploy"), setting.at("noise.sigstore.json"));
    fs::write(&noise, (0..=255).cycle().take(5000).collect::<Vec<u8>>()).unwrap();
    let trust = ["--trust-root", root.as_str()];
    let open = |more: &[&str]| portcullis(&[&["open"], &trust[..], more].concat());
    let affected = |more: &[&str]| portcullis(&[&["builder", "affected"], &trust[..], more].concat());
    let key = setting.at("deploy/keys/official-ci.key");
    let attest = |file: &str, key: &str| {
        let source = ["--repository", "https://a.example/b", "--ref", "refs/heads/main", "--commit"];
        portcullis(&[&["attest", "build", file, "--key", key], &source[..], &[&"ab".repeat(20)]].concat())
    };
    for (output, exit, word) in [
        (open(&["--diff", &good, &missing]), 2, "proves no build"),
        (open(&["--diff", &missing, &good]), 2, "cannot read the bundle"),
        (open(&["--diff", &folder, &good]), 2, "is a folder"),
        (open(&["--diff", &noise, &good]), 2, "cannot be read"),
        (open(&["--diff", "--graph", &good, &good]), 2, "cannot be used with"),
        (open(&["--graph"]), 2, "nothing says which artifact"),
        (open(&["--graph", &noise, &good]), 1, "not proven"),
        (open(&["--graph", &missing, &good]), 2, "cannot read the bundle"),
        (open(&["--graph", &folder]), 2, "is a folder"),
        (open(&[&good]), 2, "portcullis open BUNDLE INPUT"),
        (affected(&[]), 2, "required"),
        (affected(&[&missing]), 2, "cannot read the bundles in"),
        (affected(&[&noise]), 2, "not judged: 1"),
        (affected(&[&good]), 0, "not about builds: 1"),
        (affected(&[&good, "--log", &folder]), 2, "cannot read the log's key"),
        (attest(&missing, &key), 2, "cannot read the artifact"),
        (attest(&folder, &key), 2, "is no file"),
        (attest(&shop, &missing), 2, "cannot read the private key"),
        (attest(&shop, &shop), 2, "not a PEM block"),
    ] {
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), exit, "{word}\n{text}");
        assert!(text.contains(word), "wanted `{word}` in\n{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    assert!(!Path::new(&setting.at("shop.sigstore.json")).exists(), "nothing is half-written");
}
