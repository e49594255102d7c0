//! The demo, cosign in both directions, and a log that somebody edits: real git, real sandbox, real cosign.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tools::{cache, code, expect, part, path, portcullis, portcullis_in, stderr, stdout};

const UPSTREAM: &str = "store/sha256/0160c535bff2b0dc6a830b9944e981e3427380f63e748da96ced7071faebabf6";

/// The demo, run once and kept for all tests.
fn demo() -> Option<&'static Path> {
    static DEMO: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let dir = DEMO.get_or_init(|| {
        let upstream = part("upstream source", cache(UPSTREAM))?;
        let dir = tempfile::tempdir().unwrap();
        let output =
            portcullis(&["demo", "--keep", path(&dir.path().join("try")), "--upstream", path(&upstream)]);
        assert_eq!(code(&output), 0, "{}\n{}", stdout(&output), stderr(&output));
        check_story(&stdout(&output));
        Some(dir)
    });
    dir.as_ref().map(tempfile::TempDir::path)
}

/// Each refusal is for its reason, and the admissions are the two that should be.
fn check_story(text: &str) {
    let parts: Vec<&str> = text.split("\n\n").collect();
    assert!(parts.len() > 10, "{text}");
    assert_eq!(text.matches("ADMITTED").count(), 2, "{text}");
    assert_eq!(text.matches("REFUSED").count(), 6, "{text}");
    for reason in [
        "error[source-reviewed]: nobody has approved",
        "error[source-reviewed]: the people who approved the source also wrote it",
        "error[evidence-applies]: the provenance applies to another artifact",
        "error[built-by]: the provenance is signed by somebody who is no builder",
        "error[source-repository]: built from another repository",
        "error[policy-missing]",
        "8 decisions replayed, byte for byte the same",
    ] {
        assert!(text.contains(reason), "{reason} in\n{text}");
    }
    assert_eq!(
        text.matches("  fix       ").count(),
        text.matches("error[").count(),
        "every refusal says how to mend it"
    );
}

struct Kept(PathBuf);

impl Kept {
    fn new() -> Option<Self> {
        Some(Self(demo()?.join("try")))
    }
    fn at(&self, name: &str) -> String {
        path(&self.0.join(name)).to_owned()
    }
    fn verify(&self, artifact: &str, bundles: &[&str], extra: &[&str]) -> std::process::Output {
        let (book, root) = (self.at("book"), self.at("trust-root.yaml"));
        let bundles: Vec<String> = bundles.iter().map(|b| self.at(b)).collect();
        let mut args =
            vec!["verify", artifact, "--environment", "demo/tree", "--book", &book, "--trust-root", &root];
        bundles.iter().for_each(|b| args.extend(["--bundle", b]));
        args.extend(extra);
        portcullis(&args)
    }
}

const ALL: [&str; 3] = ["artifacts/tree.sigstore.json", "artifacts/review.json", "artifacts/smoke.json"];

#[test]
fn what_the_demo_kept_verifies_and_a_changed_byte_does_not() {
    let Some(kept) = Kept::new() else { return };
    let tree = kept.at("artifacts/tree");
    let good = kept.verify(&tree, &ALL, &[]);
    assert_eq!(code(&good), 0, "{}", stdout(&good));
    let bytes = fs::read(&tree).unwrap();
    let flipped = kept.at("artifacts/one-byte");
    let mut changed = bytes.clone();
    changed[1000] ^= 1;
    fs::write(&flipped, changed).unwrap();
    let bad = kept.verify(&flipped, &ALL, &[]);
    assert_eq!(code(&bad), 1);
    assert!(
        stdout(&bad).contains("error[evidence-applies]: the provenance applies to another artifact"),
        "{}",
        stdout(&bad)
    );
    // two years on, the build is too old and nothing else is wrong
    let late = kept.verify(&tree, &ALL, &["--at", "2028-11-22T09:00:00Z"]);
    assert_eq!(stdout(&late).matches("error[").count(), 1, "{}", stdout(&late));
    assert!(stdout(&late).contains("error[built-within]"));
    // two provenance records: none is picked
    let two = kept.verify(&tree, &[ALL[0], ALL[1], ALL[2], "artifacts/workstation.json"], &[]);
    assert_eq!(code(&two), 1);
    assert!(stdout(&two).contains("error[evidence-unambiguous]"));
}

#[test]
fn the_builder_counts_in_demo_environments_only() {
    let Some(kept) = Kept::new() else { return };
    let book = tempfile::tempdir().unwrap();
    let policy = fs::read_to_string(kept.at("book/tree.yaml")).unwrap().replace("demo/tree", "prod/tree");
    fs::create_dir(book.path().join("book")).unwrap();
    fs::write(book.path().join("book/tree.yaml"), policy).unwrap();
    let (tree, root, bundle) = (kept.at("artifacts/tree"), kept.at("trust-root.yaml"), kept.at(ALL[0]));
    let book = book.path().join("book");
    let text = expect(
        1,
        &[
            "verify",
            &tree,
            "--environment",
            "prod/tree",
            "--book",
            path(&book),
            "--trust-root",
            &root,
            "--bundle",
            &bundle,
        ],
    );
    assert!(text.contains("local-demo does not count in prod/tree"), "{text}");
}

#[test]
fn a_production_signer_refuses_to_share_a_user() {
    let Some(kept) = Kept::new() else { return };
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| path(&work.path().join(name)).to_owned();
    let key = kept.at("builder/local-demo.key");
    let args = [
        "builder",
        "signer",
        "--builder-id",
        "https://ci.example/official",
        "--socket",
        &at("s"),
        "--key",
        &key,
    ];
    let text = expect(2, &[&args[..], &["--log", &at("log"), "--log-key", &at("log.key")]].concat());
    let why = if is_root() { "it runs as root" } else { "--allow-uid does not name another user" };
    assert!(
        text.contains("refuses to sign") && text.contains(why) && text.contains("a user of its own"),
        "{text}"
    );
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0, "no socket, no log");
}

/// A signer of its own user, started with more arguments.
fn start_signer(work: &Path, more: &[&str]) -> std::process::Child {
    let home = work.join("signer");
    let at = |name: &str| path(&home.join(name)).to_owned();
    let mut signer = Command::new("setpriv")
        .args(["--reuid=12345", "--regid=12345", "--clear-groups", "--"])
        .arg(work.join("portcullis"))
        .args(["builder", "signer", "--builder-id", "https://ci.example/official", "--requests", "1"])
        .args([
            "--socket",
            &at("s"),
            "--key",
            &at("ci.key"),
            "--log",
            &at("log"),
            "--log-key",
            &at("log.key"),
        ])
        .args(more)
        .spawn()
        .unwrap();
    for _ in 0..1000 {
        if home.join("s").exists() {
            return signer;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    signer.kill().unwrap();
    signer.wait().unwrap();
    panic!("the signer did not start");
}

#[test]
fn a_production_signer_under_its_own_user_signs() {
    let Some(kept) = Kept::new() else { return };
    if fs::write("/proc/self/oom_score_adj", "0").is_err() || !is_root() {
        eprintln!(
            "\n*** SKIPPED: only root can start a signer as another user; a production signer was NOT tried ***\n"
        );
        return;
    }
    let work = tempfile::tempdir().unwrap();
    fs::set_permissions(work.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let home = work.path().join("signer");
    fs::create_dir(&home).unwrap();
    let at = |name: &str| path(&home.join(name)).to_owned();
    let binary = work.path().join("portcullis");
    fs::copy(env!("CARGO_BIN_EXE_portcullis"), &binary).unwrap();
    expect(0, &["keygen", &at("ci"), "--no-passphrase"]);
    for name in ["ci.key", "ci.pub", ""] {
        std::os::unix::fs::chown(home.join(name), Some(12345), Some(12345)).unwrap();
    }
    let (source, store, out) = (kept.at("source"), kept.at("store"), work.path().join("out"));
    let build = |exit| {
        let socket = at("s");
        let args =
            ["build", &source, "--ref", "main", "--target", "tree", "--out", path(&out), "--signer", &socket];
        expect(exit, &[&args[..], &["--store", &store]].concat())
    };
    // somebody who is not the one it signs for
    let mut signer = start_signer(work.path(), &["--allow-uid", "4711"]);
    let text = build(2);
    signer.wait().unwrap();
    assert!(text.contains("user 0 asks") && fs::read_dir(&out).unwrap().count() == 0, "{text}");
    let mut signer = start_signer(work.path(), &["--allow-uid", "0"]);
    build(0);
    signer.wait().unwrap();
    let bundle = out.join("tree.sigstore.json");
    let text = expect(
        0,
        &["--format", "json", "open", path(&bundle), path(&out.join("tree")), "--key", &at("ci.pub")],
    );
    assert!(text.contains("slsa.dev/provenance/v1"), "{text}");
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n")
}

#[test]
fn two_builds_of_one_commit_give_the_same_bytes_and_the_sandbox_has_no_network() {
    let Some(kept) = Kept::new() else { return };
    let work = tempfile::tempdir().unwrap();
    let out = |name: &str| path(&work.path().join(name)).to_owned();
    let (source, store, state) = (kept.at("source"), kept.at("store"), out("state"));
    for name in ["a", "b"] {
        expect(
            0,
            &[
                "build",
                &source,
                "--ref",
                "main",
                "--target",
                "tree",
                "--out",
                &out(name),
                "--store",
                &store,
                "--state",
                &state,
            ],
        );
    }
    assert_eq!(fs::read(work.path().join("a/tree")).unwrap(), fs::read(work.path().join("b/tree")).unwrap());
    // a hostile build: looks for the network, keys, the host's files, and root
    let hostile = work.path().join("hostile");
    fs::create_dir(&hostile).unwrap();
    let definition = fs::read_to_string(kept.at("source/portcullis.build.yaml")).unwrap();
    let toolchain = definition.lines().find(|l| l.trim().starts_with("sha256:")).unwrap().trim();
    let script = "cat /proc/net/dev > out.txt; ls / /build /tmp /proc >> out.txt; id >> out.txt; env >> out.txt; \
                  ls /root /home /etc/passwd /run /var >> out.txt 2>&1; { echo x > /usr/bin/evil; } 2>> out.txt; \
                  { echo y > /build/z; } 2>> out.txt; true";
    fs::write(
        hostile.join("portcullis.build.yaml"),
        format!("toolchain: {{ uri: toolchain:this-machine-c, {toolchain} }}\ntargets:\n  t:\n    command: [sh, -c, \"{script}\"]\n    outputs: [out.txt]\n"),
    )
    .unwrap();
    git(&hostile, &["init", "--quiet", "--initial-branch=main"]);
    git(&hostile, &["add", "."]);
    git(&hostile, &["commit", "--quiet", "-m", "hunt"]);
    expect(
        0,
        &[
            "build",
            path(&hostile),
            "--ref",
            "main",
            "--target",
            "t",
            "--out",
            &out("h"),
            "--store",
            &store,
            "--state",
            &state,
        ],
    );
    let seen = fs::read_to_string(work.path().join("h/out.txt")).unwrap();
    let interfaces: Vec<&str> =
        seen.lines().filter_map(|l| l.trim().split_once(':')).map(|(n, _)| n).take(3).collect();
    assert!(interfaces.contains(&"lo") && !seen.contains("eth0"), "{seen}");
    for absent in ["HOME=/root", "PORTCULLIS", "CARGO", "uid=0"] {
        assert!(!seen.contains(absent), "{absent} in {seen}");
    }
    assert!(seen.contains("uid=1000") || !seen.contains("uid="), "{seen}");
    assert!(seen.matches("Read-only file system").count() >= 2, "inputs cannot be written: {seen}");
    let processes = seen.lines().filter(|l| !l.is_empty() && l.bytes().all(|b| b.is_ascii_digit())).count();
    assert!(processes <= 5, "no process of anybody else: {seen}");
}

fn git(dir: &Path, args: &[&str]) {
    let status = Command::new("git")
        .args(["-c", "user.name=M", "-c", "user.email=mallory@evil.example", "-C", path(dir)])
        .args(args)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn build_errors_say_what_to_do_and_publish_nothing() {
    let Some(kept) = Kept::new() else { return };
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| path(&work.path().join(name)).to_owned();
    let (source, store, state) = (kept.at("source"), kept.at("store"), at("state"));
    let build = |source: &str, reference: &str, target: &str| {
        let text = expect(
            2,
            &[
                "build",
                source,
                "--ref",
                reference,
                "--target",
                target,
                "--out",
                &at("out"),
                "--store",
                &store,
                "--state",
                &state,
            ],
        );
        let mut left =
            fs::read_dir(at("out")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        assert!(
            left.all(|name| name.ends_with(".failed.sigstore.json")),
            "nothing is published but that it failed: {text}"
        );
        text
    };
    assert!(build(&source, "nowhere", "tree").contains("no branch or tag `nowhere`; branches: main"));
    let said = build(&source, "main", "teer");
    assert!(said.contains("error: there is no target `teer`\n"), "{said}");
    assert!(said.contains("portcullis.build.yaml of the commit has tree, smoke"), "{said}");
    assert!(build(&at("not-there"), "main", "tree").contains("git could not"));
    assert!(build(&source, "--upload-pack=evil", "tree").contains("error"));
    let bad = work.path().join("bad");
    fs::create_dir(&bad).unwrap();
    git(&bad, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(bad.join("x"), "x").unwrap();
    git(&bad, &["add", "."]);
    git(&bad, &["commit", "--quiet", "-m", "x"]);
    assert!(build(path(&bad), "main", "tree").contains("has no portcullis.build.yaml"));
    let definition = fs::read_to_string(kept.at("source/portcullis.build.yaml")).unwrap();
    fs::write(
        bad.join("portcullis.build.yaml"),
        definition.replace("make, CC=gcc]", "sh, -c, \"echo it broke; exit 3\"]"),
    )
    .unwrap();
    git(&bad, &["add", "."]);
    git(&bad, &["commit", "--quiet", "-m", "y"]);
    let failed = build(path(&bad), "main", "tree");
    assert!(failed.contains("status 3") && failed.contains("it broke"), "{failed}");
    let substituted = definition.replacen(
        "sha256: ",
        "sha256: ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff #",
        1,
    );
    fs::write(bad.join("portcullis.build.yaml"), substituted).unwrap();
    git(&bad, &["commit", "--quiet", "-a", "-m", "z"]);
    let undeclared = build(path(&bad), "main", "tree");
    assert!(
        undeclared.contains("is not in the store"),
        "a toolchain that nobody declared cannot be used: {undeclared}"
    );
}

#[test]
fn cosign_verifies_what_we_sign_and_we_verify_what_cosign_signs() {
    let (Some(kept), Some(cosign)) = (Kept::new(), part("cosign", cache("tools/cosign"))) else { return };
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| path(&work.path().join(name)).to_owned();
    let cosign = |args: &[&str]| {
        let output = Command::new(&cosign)
            .args(args)
            .env("HOME", work.path())
            .env("COSIGN_PASSWORD", "")
            .output()
            .unwrap();
        (output.status.success(), stderr(&output))
    };
    let offline = ["--insecure-ignore-tlog", "--type", "https://slsa.dev/provenance/v1"];
    for algorithm in ["p256", "ed25519"] {
        expect(0, &["keygen", &at(algorithm), "--algorithm", algorithm, "--no-passphrase"]);
        let (key, public, out) = (
            at(&format!("{algorithm}.key")),
            at(&format!("{algorithm}.pub")),
            at(&format!("out-{algorithm}")),
        );
        let (source, store, state) = (kept.at("source"), kept.at("store"), at("state"));
        expect(
            0,
            &[
                "build", &source, "--ref", "main", "--target", "tree", "--out", &out, "--key", &key,
                "--store", &store, "--state", &state,
            ],
        );
        let (bundle, tree) = (format!("{out}/tree.sigstore.json"), format!("{out}/tree"));
        let verify = |artifact: &str| {
            cosign(
                &[
                    &["verify-blob-attestation", "--key", &public, "--bundle", &bundle],
                    &offline[..],
                    &[artifact],
                ]
                .concat(),
            )
        };
        let (ok, said) = verify(&tree);
        assert!(ok, "cosign, {algorithm}: {said}");
        assert!(!verify(&kept.at("artifacts/flipped")).0, "cosign refuses another artifact");
    }
    // the other way round
    let key = at("c");
    expect(0, &["keygen", &key, "--no-passphrase"]);
    let (ok, said) = cosign(&["import-key-pair", "--key", &at("c.key"), "-o", &at("imported")]);
    assert!(ok, "{said}");
    fs::write(at("predicate.json"), r#"{"buildDefinition":{"buildType":"x","externalParameters":{}},"runDetails":{"builder":{"id":"b"}}}"#).unwrap();
    fs::write(at("config.json"), r#"{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}"#)
        .unwrap();
    fs::write(at("shop"), "the artifact").unwrap();
    let (ok, said) = cosign(&[
        "attest-blob",
        "--key",
        &at("imported.key"),
        "--signing-config",
        &at("config.json"),
        "--predicate",
        &at("predicate.json"),
        "--type",
        "slsaprovenance1",
        "--bundle",
        &at("attested.json"),
        "-y",
        &at("shop"),
    ]);
    assert!(ok, "{said}");
    expect(0, &["open", &at("attested.json"), &at("shop"), "--key", &at("c.pub")]);
    expect(1, &["open", &at("attested.json"), &at("predicate.json"), "--key", &at("c.pub")]);
    expect(1, &["open", &at("attested.json"), &at("shop"), "--key", &at("p256.pub")]);
    // the chapter's simplest policy, over cosign's attestation
    let pem: String =
        fs::read_to_string(at("c.pub")).unwrap().lines().map(|l| format!("          {l}\n")).collect();
    fs::write(at("root.yaml"), format!("version: 1\nsigners:\n  vendor:\n    keys:\n      - key: |\n{pem}"))
        .unwrap();
    fs::create_dir(at("book")).unwrap();
    fs::write(
        at("book/shop.yaml"),
        "environment: prod/shop\nartifact: shop\nrequire: { signed-by: [vendor] }\n",
    )
    .unwrap();
    let verify = |exit, bundle: &str| {
        expect(
            exit,
            &[
                "verify",
                &at("shop"),
                "--environment",
                "prod/shop",
                "--bundle",
                bundle,
                "--book",
                &at("book"),
                "--trust-root",
                &at("root.yaml"),
            ],
        )
    };
    verify(0, &at("attested.json"));
    let (ok, said) = cosign(&[
        "sign-blob",
        "--key",
        &at("imported.key"),
        "--signing-config",
        &at("config.json"),
        "--bundle",
        &at("signed.json"),
        "-y",
        &at("shop"),
    ]);
    assert!(ok, "{said}");
    verify(0, &at("signed.json"));
    verify(1, &kept.at("artifacts/review.json"));
}

#[test]
fn one_changed_byte_of_the_log_is_found_and_every_decision_replays() {
    let Some(kept) = Kept::new() else { return };
    let copy = tempfile::tempdir().unwrap();
    let log = copy.path().join("log");
    assert!(Command::new("cp").args(["-a", &kept.at("log"), path(&log)]).status().unwrap().success());
    assert!(expect(0, &["log", "verify", path(&log)]).contains("10 records (8 decisions, 2 events)"));
    assert!(expect(0, &["replay", path(&log)]).contains("8 decisions are the same, byte for byte; 0 differ"));
    assert!(expect(0, &["log", "prove", path(&log), "3"]).starts_with("c2sp.org/tlog-proof@v1"));
    assert!(expect(2, &["log", "prove", path(&log), "10"]).contains("the log has 10"));
    let shown = expect(0, &["log", "show", path(&log), "3"]);
    assert!(shown.contains("source-reviewed") && shown.contains("\"envelopes\""));
    let mut stack = vec![log.clone()];
    let mut changed = 0;
    while let Some(file) = stack.pop() {
        if file.is_dir() {
            stack.extend(fs::read_dir(&file).unwrap().map(|e| e.unwrap().path()));
            continue;
        }
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        // what is in the journal of a log that was closed is in its tree, and is not read any more
        if name == "lock" || file.parent().is_some_and(|parent| parent.ends_with("journal")) {
            continue;
        }
        let bytes = fs::read(&file).unwrap();
        // packs hold many blobs, behind eight bytes that only say what they are
        let begin = if file.parent().is_some_and(|parent| parent.ends_with("packs")) { 8 } else { 0 };
        for part in 0..8 {
            let mut edited = bytes.clone();
            let at = begin + (edited.len() - begin) * part / 8;
            edited[at] ^= 1;
            fs::write(&file, edited).unwrap();
            let output = portcullis_in(copy.path(), &["log", "verify", path(&log)]);
            // the key beside the log is a setting of ours: a malformed one is 2, everything else is found: 1
            assert!(
                matches!(code(&output), 1 | 2) && (code(&output) == 1 || name == "log.vkey"),
                "{name}, byte {at}: {}",
                stderr(&output)
            );
        }
        fs::write(&file, bytes).unwrap();
        changed += 1;
    }
    assert!(changed >= 4);
    expect(0, &["log", "verify", path(&log)]);
}

/// Each was shown to work once, by somebody who was asked to attack the builder.
#[test]
fn a_hostile_repository_cannot_make_provenance_or_the_build_lie() {
    let Some(kept) = Kept::new() else { return };
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| path(&work.path().join(name)).to_owned();
    let (store, state) = (kept.at("store"), at("state"));
    let hostile = work.path().join("hostile");
    fs::create_dir(&hostile).unwrap();
    let definition = fs::read_to_string(kept.at("source/portcullis.build.yaml")).unwrap();
    let toolchain = definition.lines().find(|l| l.trim().starts_with("sha256:")).unwrap().trim().to_owned();
    let define = |inputs: &str, command: &str| {
        let text = format!(
            "toolchain: {{ uri: toolchain:this-machine-c, {toolchain} }}\n{inputs}targets:\n  t:\n    command: [sh, -c, \"{command}\"]\n    outputs: [out]\n"
        );
        fs::write(hostile.join("portcullis.build.yaml"), text).unwrap();
        git(&hostile, &["add", "portcullis.build.yaml"]);
        git(&hostile, &["commit", "--quiet", "--allow-empty", "-m", "x"]);
    };
    let build = |exit: i32, reference: &str| {
        expect(
            exit,
            &[
                "build",
                path(&hostile),
                "--ref",
                reference,
                "--target",
                "t",
                "--out",
                &at("out"),
                "--store",
                &store,
                "--state",
                &state,
            ],
        )
    };
    git(&hostile, &["init", "--quiet", "--initial-branch=main"]);
    // a definition that names the builder's own key: not read, not copied, its digest not told
    fs::write(at("secret"), "the key").unwrap();
    let digest = attest::Digest::sha256(b"the key").hex();
    define(
        &format!("inputs: [{{ uri: \"file://{}\", sha256: \"{digest}\", name: k }}]\n", at("secret")),
        "cp /build/inputs/k out",
    );
    assert!(build(2, "main").contains("is not in the store"));
    // a branch that is named like a tag
    define("", "echo x > out");
    git(&hostile, &["branch", "refs/tags/v9.9.9"]);
    assert!(build(2, "refs/tags/v9.9.9").contains("no branch or tag `refs/tags/v9.9.9`"));
    // attributes that would show the compiler another text than the commit holds
    fs::write(hostile.join("text"), [0xef, 0xbe, 0x82, 0xef, 0xbd, 0xa5, b'\n']).unwrap();
    git(&hostile, &["add", "text"]);
    git(&hostile, &["commit", "--quiet", "-m", "text"]);
    fs::write(hostile.join(".gitattributes"), "text text working-tree-encoding=SHIFT_JIS\n").unwrap();
    git(&hostile, &["add", ".gitattributes"]);
    define("", "cp text out");
    build(0, "main");
    let committed = Command::new("git")
        .args(["-C", path(&hostile), "cat-file", "blob", "HEAD:text"])
        .output()
        .unwrap()
        .stdout;
    assert_eq!(
        fs::read(work.path().join("out/out")).unwrap(),
        committed,
        "the bytes of the commit, and no others"
    );
    // an output that is a link to something of the host's
    define("", "ln -s /etc/passwd out");
    assert!(build(2, "main").contains("it is a symbolic link"));
    // an author whose address forges an entry of the history
    let forged = "m@x\u{1e}FORGED\u{1f}NOPARENT\u{1f}bob@x";
    let status = Command::new("git")
        .args([
            "-C",
            path(&hostile),
            "-c",
            "user.name=M",
            "-c",
            &format!("user.email={forged}"),
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            "f",
        ])
        .status()
        .unwrap();
    if status.success() {
        assert!(build(2, "main").contains("control characters"));
    }
    assert!(
        expect(
            2,
            &[
                "build",
                "https://user:token@example.com/x",
                "--ref",
                "main",
                "--target",
                "t",
                "--out",
                &at("o2"),
                "--store",
                &store,
                "--state",
                &state
            ]
        )
        .contains("with a user in it")
    );
}
