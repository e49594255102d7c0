//! Changes of a trust root: the words, the exit codes, and differences that another program applies.
//!
//! `GOLDEN=overwrite cargo test -p portcullis --test trust_root` rewrites the expected words; read the diff.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tools::{code, path, portcullis_in, stderr, stdout};

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trust-root")
}

/// A copy of the trust root and its keys in a folder of its own.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(files()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    dir
}

const REVOKE: [&str; 5] = ["revoke", "root.yaml", "--from", "2026-11-20T14:00:00Z", "--reason"];

/// Commands, each on the trust root as it was, and how they end.
fn commands() -> Vec<(i32, Vec<&'static str>)> {
    let revoke = |more: &[&'static str]| [&REVOKE[..], &["the laptop was stolen, INC-42"], more].concat();
    let rotate = |name, more: &[&'static str]| [&["rotate", "root.yaml", name], more].concat();
    let recall = |builder, more: &[&'static str]| {
        [&["recall", "root.yaml", builder, "--reason", "it leaked between builds"], more].concat()
    };
    let dates = ["--new-key", "ci-2027.pub", "--from", "2026-12-01", "--until-old", "2027-01-01"];
    vec![
        (0, vec!["check", "root.yaml", "--at", "2026-11-22T09:00:00Z"]),
        (1, vec!["check", "root.yaml", "--at", "2026-01-22T09:00:00Z"]),
        (2, vec!["check", "ci.pub"]),
        (0, rotate("official-ci", &dates)),
        (0, rotate("staging-ci", &["--new-key", "ci-2027.pub", "--until-old", "2027-01-01"])),
        (0, rotate("bob", &["--new-key", "stranger.pub"])),
        (2, rotate("offical-ci", &dates)),
        (2, rotate("carol", &dates)),
        (2, rotate("official-ci", &["--new-key", "bob.pub"])),
        (2, rotate("official-ci", &["--new-key", "root.yaml"])),
        (
            2,
            rotate(
                "official-ci",
                &["--new-key", "ci-2027.pub", "--from", "2027-01-02", "--until-old", "2027-01-01"],
            ),
        ),
        (2, rotate("official-ci", &["--new-key", "ci-2027.pub", "--from", "soon"])),
        (0, revoke(&["--key", "ci.pub", "--key", "staging-ci", "--log", "builds", "--size", "812"])),
        (2, revoke(&["--key", "stranger.pub"])),
        (2, revoke(&["--key", "offical-ci"])),
        (2, revoke(&["--key", "builds"])),
        (2, revoke(&["--key", "ci.pub", "--log", "bilds", "--size", "812"])),
        (2, [&REVOKE[..], &["", "--key", "ci.pub"]].concat()),
        (0, recall("official-ci", &["--version", ">=2.6.0, <2.6.7"])),
        (0, recall("staging-ci", &["--from", "2026-11-01", "--until", "2026-11-03T12:00:00Z"])),
        (2, recall("bob", &["--version", "=1.0.0"])),
        (2, recall("official-ci", &[])),
        (2, recall("official-ci", &["--version", "new"])),
        (2, recall("official-ci", &["--tool", "gcc"])),
        (2, recall("official-ci", &["--from", "2026-11-03", "--until", "2026-11-01"])),
    ]
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn each_change_and_each_refusal_has_its_words() {
    let mut found = String::new();
    for (exit, args) in commands() {
        let dir = copy();
        let before = fs::read(dir.path().join("root.yaml")).unwrap();
        let output = portcullis_in(dir.path(), &[&["trust-root"], &args[..]].concat());
        assert_eq!(code(&output), exit, "{args:?}\n{}{}", stdout(&output), stderr(&output));
        assert_eq!(fs::read(dir.path().join("root.yaml")).unwrap(), before, "nothing is written unasked");
        found.push_str(&format!("=== {} ({exit})\n{}{}\n", args.join(" "), stdout(&output), stderr(&output)));
    }
    let golden = files().join("expected.txt");
    if std::env::var_os("GOLDEN").is_some_and(|v| v == "overwrite") {
        fs::write(&golden, &found).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert!(expected == found, "GOLDEN=overwrite rewrites it. Now:\n{found}");
}

/// What is shown is what is written: git applies the one and gets the other.
#[test]
fn the_difference_that_is_shown_is_the_one_that_is_written() {
    for (_, args) in commands().into_iter().filter(|(exit, args)| *exit == 0 && args[0] != "check") {
        let (shown, written) = (copy(), copy());
        let output = portcullis_in(shown.path(), &[&["trust-root"], &args[..]].concat());
        fs::write(shown.path().join("diff"), stdout(&output)).unwrap();
        let applied = Command::new("git")
            .args(["apply", "-p0", "--unidiff-zero", "diff"])
            .current_dir(shown.path())
            .env("GIT_CEILING_DIRECTORIES", "/")
            .output()
            .unwrap();
        assert!(applied.status.success(), "{args:?}\n{}\n{}", stderr(&applied), stdout(&output));
        let output = portcullis_in(written.path(), &[&["trust-root"], &args[..], &["--write"]].concat());
        assert_eq!(code(&output), 0);
        let read = |dir: &Path, name: &str| fs::read_to_string(dir.join(name)).unwrap();
        assert_eq!(read(shown.path(), "root.yaml"), read(written.path(), "root.yaml"), "{args:?}");
        // and to another file, which is not overwritten
        let out = [&["trust-root"], &args[..], &["--out", "new.yaml"]].concat();
        let other = copy();
        assert_eq!(code(&portcullis_in(other.path(), &out)), 0);
        assert_eq!(read(other.path(), "new.yaml"), read(written.path(), "root.yaml"));
        let again = portcullis_in(other.path(), &out);
        assert!(
            code(&again) == 2 && stderr(&again).contains("new.yaml is there already"),
            "{}",
            stderr(&again)
        );
    }
}

#[test]
fn a_written_trust_root_keeps_its_link_and_its_mode_and_goes_on() {
    let dir = copy();
    let mode = |name: &str| {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(dir.path().join(name)).unwrap().permissions())
            & 0o777
    };
    let run = |args: &[&str]| {
        let output = portcullis_in(dir.path(), &[&["trust-root"], args].concat());
        assert_eq!(code(&output), 0, "{args:?} {}", stderr(&output));
        stdout(&output)
    };
    fs::set_permissions(dir.path().join("root.yaml"), std::os::unix::fs::PermissionsExt::from_mode(0o640))
        .unwrap();
    std::os::unix::fs::symlink("root.yaml", dir.path().join("link.yaml")).unwrap();
    run(&["rotate", "link.yaml", "official-ci", "--new-key", "ci-2027.pub", "--write"]);
    run(&["recall", "link.yaml", "official-ci", "--version", "=2.6.6", "--reason", "one", "--write"]);
    run(&["recall", "link.yaml", "official-ci", "--version", "=2.6.7", "--reason", "two", "--write"]);
    run(&["revoke", "link.yaml", "--key", "ci.pub", "--from", "2026-11-20", "--reason", "three", "--write"]);
    assert!(fs::symlink_metadata(dir.path().join("link.yaml")).unwrap().is_symlink());
    assert_eq!(mode("root.yaml"), 0o640);
    let text = run(&["check", path(&dir.path().join("root.yaml"))]);
    assert!(text.contains("version 45"), "{text}");
}
