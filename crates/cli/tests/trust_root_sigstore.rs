//! Sigstore instances in a trust root: from files and from TUF mirrors, into every layout, and only as reviewed text.

mod tools;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attest::TrustRoot;
use tools::{code, portcullis_in, stderr, stdout};

const SIGNER: &str = "
  ci:
    keys:
      - key: |
          -----BEGIN PUBLIC KEY-----
          MCowBQYDK2VwAyEACYIfxq74ygKqTI15Oc7SkJcYpL7F04t9aZZIQmOE+4Q=
          -----END PUBLIC KEY-----
";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuf/tests/python-tuf")
}

fn trusted_root() -> String {
    let file = fs::read_dir(repository().join("targets")).unwrap().next().unwrap().unwrap().path();
    fs::read_to_string(file).unwrap()
}

/// A folder with a trust root, which has `sigstore` in front of or behind its signer, and two trusted roots.
fn folder(before: &str, after: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = format!("# ours\nversion: 7 # raised\n{before}signers:{SIGNER}{after}");
    fs::write(dir.path().join("root.yaml"), root).unwrap();
    fs::write(dir.path().join("one.json"), trusted_root()).unwrap();
    let ended = trusted_root().replace(
        "\"start\": \"2026-01-01T00:00:00Z\"",
        "\"start\": \"2026-01-01T00:00:00Z\", \"end\": \"2027-01-01T00:00:00Z\"",
    );
    fs::write(dir.path().join("two.json"), ended.replace("https://rekor.", "https://rekor2.")).unwrap();
    dir
}

fn run(dir: &Path, args: &[&str]) -> Output {
    portcullis_in(dir, &[&["trust-root", "sigstore"], args].concat())
}

fn root(dir: &Path) -> TrustRoot {
    TrustRoot::parse("root.yaml", &fs::read_to_string(dir.join("root.yaml")).unwrap())
        .unwrap_or_else(|e| panic!("{e:?}"))
}

/// The written file is what git makes of the shown difference, and everything that is not the instance stays.
fn change(dir: &Path, args: &[&str]) -> String {
    let before = fs::read(dir.join("root.yaml")).unwrap();
    let shown = run(dir, args);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    assert_eq!(fs::read(dir.join("root.yaml")).unwrap(), before, "nothing is written unasked");
    fs::write(dir.join("diff"), stdout(&shown)).unwrap();
    let apply = ["apply", "-p0", "--unidiff-zero", "diff"];
    let applied = Command::new("git")
        .args(apply)
        .current_dir(dir)
        .env("GIT_CEILING_DIRECTORIES", "/")
        .output()
        .unwrap();
    assert!(applied.status.success(), "{}\n{}", stderr(&applied), stdout(&shown));
    let patched = fs::read(dir.join("root.yaml")).unwrap();
    fs::write(dir.join("root.yaml"), before).unwrap();
    let written = run(dir, &[args, &["--write"]].concat());
    assert_eq!(code(&written), 0, "{}", stderr(&written));
    assert_eq!(String::from_utf8(patched).unwrap(), fs::read_to_string(dir.join("root.yaml")).unwrap());
    assert!(fs::read_to_string(dir.join("root.yaml")).unwrap().starts_with("# ours\n"));
    stderr(&shown)
}

#[test]
fn an_instance_comes_and_is_renewed_in_every_layout() {
    for (before, after) in [
        ("", ""),
        ("sigstore:\n  public-good:\n    trusted-root: embedded # as it came\n\n", ""),
        ("sigstore: { public-good: { trusted-root: embedded } }\n", "# the end\n"),
        ("", "sigstore:\n  public-good: { trusted-root: embedded }\n# the end\n"),
    ] {
        let dir = folder(before, after);
        let words = change(dir.path(), &["add", "root.yaml", "acme", "--from", "one.json"]);
        assert!(words.contains("added:   log https://rekor.acme.example ("), "{words}");
        let words = change(dir.path(), &["update", "root.yaml", "acme", "--from", "two.json"]);
        assert!(
            words.contains(
                "until 2027-01-01T00:00:00Z; before, from 2026-01-01T00:00:00Z until further notice"
            ),
            "{words}"
        );
        let now = root(dir.path());
        assert_eq!(now.version(), 9);
        let acme = now.instances().find(|i| i.name() == "acme").unwrap();
        assert!(acme.text().contains("https://rekor2.acme.example") && acme.text().contains("2027-01-01"));
        assert_eq!(now.instances().count(), if before.is_empty() && after.is_empty() { 1 } else { 2 });
        assert!(now.principal("ci").is_some());
        if now.instances().count() == 2 {
            let words = change(dir.path(), &["update", "root.yaml", "public-good", "--from", "one.json"]);
            assert!(words.contains("removed: certificate authority https://fulcio.sigstore.dev"), "{words}");
            assert!(words.contains("added:   log https://rekor.acme.example"), "{words}");
        }
        // a second time there is nothing to say
        let again = run(dir.path(), &["update", "root.yaml", "acme", "--from", "two.json", "--write"]);
        assert!(code(&again) == 0 && stdout(&again).is_empty(), "{}", stdout(&again));
        assert!(stderr(&again).contains("what the trust root says already"), "{}", stderr(&again));
    }
}

#[test]
fn a_small_change_is_a_small_difference() {
    let dir = folder("", "");
    change(dir.path(), &["add", "root.yaml", "acme", "--from", "one.json"]);
    let shown = stdout(&run(dir.path(), &["update", "root.yaml", "acme", "--from", "two.json"]));
    let changed =
        shown.lines().filter(|l| l.starts_with(['+', '-']) && !l.starts_with("+++") && !l.starts_with("---"));
    let changed = changed.count();
    assert!((2..20).contains(&changed), "{shown}");
}

#[test]
fn what_is_no_trusted_root_or_no_name_is_refused() {
    let dir = folder("", "");
    fs::write(dir.path().join("no.json"), "{}").unwrap();
    fs::write(dir.path().join("twice.json"), "{\"tlogs\": [], \"tlogs\": []}").unwrap();
    for (args, wanted) in [
        (["add", "root.yaml", "acme", "--from", "no.json"], "no Sigstore trusted root"),
        (["add", "root.yaml", "acme", "--from", "twice.json"], "duplicate key"),
        (["add", "root.yaml", "acme", "--from", "root.yaml"], "JSON wants"),
        (["add", "root.yaml", "a: b", "--from", "one.json"], "cannot be called so"),
        (["update", "root.yaml", "acme", "--from", "one.json"], "has no instance `acme`"),
    ] {
        let output = run(dir.path(), &args);
        assert!(code(&output) == 2 && stderr(&output).contains(wanted), "{args:?} {}", stderr(&output));
    }
    fs::write(dir.path().join("noise"), (0..=255).cycle().take(5000).collect::<Vec<u8>>()).unwrap();
    for (args, wanted) in [
        (&["--from", "missing"][..], "cannot read the trusted root"),
        (&["--from", "."], "is a folder"),
        (&["--from", "noise"], "is no text"),
        (&["--tuf", "http://127.0.0.1:1"], "--root"),
        (&["--tuf", "ftp://a.example", "--root", "one.json"], "no URL of a folder behind http or https"),
        (&["--tuf", "http://127.0.0.1:1", "--root", "missing"], "cannot read the pinned root"),
        (&["--tuf", "http://127.0.0.1:1", "--root", "one.json"], "the pinned root cannot be used"),
        (&["--tuf", "http://127.0.0.1:1", "--root", "pin.json"], "the mirror cannot be read"),
        (
            &["--tuf", "http://127.0.0.1:1", "--root", "pin.json", "--state", "one.json"],
            "cannot use one.json",
        ),
    ] {
        fs::copy(repository().join("1.root.json"), dir.path().join("pin.json")).unwrap();
        let output = run(dir.path(), &[&["add", "root.yaml", "acme"], args].concat());
        assert!(code(&output) == 2 && stderr(&output).contains(wanted), "{args:?} {}", stderr(&output));
    }
    change(dir.path(), &["add", "root.yaml", "acme", "--from", "one.json"]);
    let output = run(dir.path(), &["add", "root.yaml", "acme", "--from", "one.json"]);
    assert!(code(&output) == 2 && stderr(&output).contains("already"), "{}", stderr(&output));
}

/// Serves a folder until the test ends.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while !lines.next().unwrap().unwrap().is_empty() {}
            let path = first.split(' ').nth(1).unwrap().trim_start_matches('/');
            let (status, body) = fs::read(folder.join(path)).map_or((404, Vec::new()), |b| (200, b));
            let length = body.len();
            write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
                .unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    url
}

#[test]
fn a_mirror_is_asked_from_a_pinned_root_and_one_that_is_down_changes_nothing() {
    let dir = folder("", "");
    let mirror = tempfile::tempdir().unwrap();
    fs::create_dir(mirror.path().join("targets")).unwrap();
    for below in ["", "targets"] {
        for file in
            fs::read_dir(repository().join(below)).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file())
        {
            fs::copy(&file, mirror.path().join(below).join(file.file_name().unwrap())).unwrap();
        }
    }
    fs::copy(repository().join("1.root.json"), dir.path().join("pin.json")).unwrap();
    let url = serve(mirror.path().to_owned());
    let ask = |word, more: &[&str]| {
        run(
            dir.path(),
            &[&[word, "root.yaml", "acme", "--tuf", &url, "--root", "pin.json", "--state", "state"], more]
                .concat(),
        )
    };
    let output = ask("add", &["--write"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("root version 2, signed metadata until 2126-01-01T00:00:00Z"),
        "{}",
        stderr(&output)
    );
    assert!(root(dir.path()).instances().any(|i| i.text().contains("rekor.acme.example")));
    let output = ask("update", &["--write"]);
    assert!(stderr(&output).contains("what the trust root says already"), "{}", stderr(&output));
    let before = fs::read(dir.path().join("root.yaml")).unwrap();
    fs::remove_file(mirror.path().join("timestamp.json")).unwrap();
    let output = ask("update", &["--write"]);
    assert_eq!((code(&output), fs::read(dir.path().join("root.yaml")).unwrap()), (2, before));
    let words = stderr(&output);
    assert!(
        words.contains("timestamp.json not found") && words.contains("proven to be the newest 0 hours ago"),
        "{words}"
    );
}
