//! `builder affected`: what a recall or revocation invalidates, and what was built from it.

mod builds;
mod tools;

use std::fs;

use attest::dsse::Dsse;
use attest::note::NoteKey;
use attest::{SecretKey, Signer as _};
use builds::{Builds, build, digest, input};
use tlog::{Files, Log};
use tools::{code, portcullis, stderr, stdout};

fn affected(builds: &Builds, exit: i32, args: &[&str]) -> String {
    let root = builds.at("trust-root.yaml");
    let output = portcullis(&[&["builder", "affected", "--trust-root", &root], args].concat());
    let text = stdout(&output) + &stderr(&output);
    assert_eq!(code(&output), exit, "{args:?}\n{text}");
    text
}

fn recall(builds: &Builds, what: &str) {
    builds.trust(&format!("    recalled: [{{ {what}, reason: the compiler lied }}]\n"), "");
}

/// A compiler, a library built with it, a shop built with the library, and something else.
fn chain(builds: &Builds) {
    builds.official("compiler", &build(1, &[input("gcc")]));
    builds.official("lib", &build(2, &[input("compiler")]));
    builds.official("shop", &build(3, &[input("lib")]));
    builds.official("aside", &build(4, &[input("zlib")]));
}

/// The artifacts that are listed, with the line that says why.
fn listed(text: &str) -> Vec<(String, String)> {
    let blocks = text.split("\n\n").filter(|block| block.contains("\n  bundle"));
    let why = |block: &str| {
        let line =
            block.lines().find(|l| ["  recalled", "  key", "  built from"].iter().any(|w| l.starts_with(w)));
        line.unwrap().trim().to_owned()
    };
    blocks
        .map(|block| (block.trim().split('@').next().unwrap().to_owned(), why(block.trim_start())))
        .collect()
}

#[test]
fn nothing_is_affected_without_a_recall() {
    let builds = Builds::new();
    chain(&builds);
    let text = affected(&builds, 0, &[&builds.at("")]);
    assert!(text.contains("no build is affected, of 4 that were judged"), "{text}");
    recall(&builds, "version: \"<1.0.0\"");
    affected(&builds, 0, &[&builds.at("")]);
}

#[test]
fn a_recalled_tool_takes_everything_with_it_that_was_built_from_it() {
    let builds = Builds::new();
    chain(&builds);
    recall(&builds, &format!("tool: \"{}\"", digest("gcc")));
    let text = affected(&builds, 1, &[&builds.at("")]);
    let short = |name: &str| format!("{name}@{}", digest(name).short());
    let from = |name: &str| format!("built from {}, which is affected", short(name));
    assert_eq!(
        listed(&text),
        [
            ("compiler".to_owned(), "recalled   the compiler lied".to_owned()),
            ("lib".to_owned(), from("compiler")),
            ("shop".to_owned(), from("lib")),
        ]
    );
    assert!(text.contains("affected: 3 of the 4 builds"), "{text}");
    assert!(text.contains("official-ci, version 1.4.2") && text.contains("2026-11-20T09:00:00Z"), "{text}");
    let json = affected(&builds, 1, &["--format", "json", &builds.at("")]);
    assert!(json.contains(&digest("shop").hex()) && !json.contains(&digest("aside").hex()), "{json}");
}

#[test]
fn versions_and_times_are_recalled_as_the_policy_engine_does() {
    let builds = Builds::new();
    chain(&builds);
    for (what, exit) in [
        ("version: \"<2.0.0\"", 1),
        ("version: \">=1.5.0\"", 0),
        ("from: 2026-11-20T09:00:00Z, until: 2026-11-20T09:00:00Z", 1),
        ("from: 2026-11-20T09:00:01Z", 0),
        ("version: \"<2.0.0\", until: 2026-01-01T00:00:00Z", 0),
    ] {
        recall(&builds, what);
        affected(&builds, exit, &[&builds.at("")]);
    }
}

#[test]
fn what_a_revoked_key_signed_is_affected_and_what_an_old_key_signed_is_not_judged() {
    let builds = Builds::new();
    chain(&builds);
    builds.trust("", "        revoked: { from: 2026-06-01T00:00:00Z, reason: laptop stolen }\n");
    let text = affected(&builds, 1, &[&builds.at("")]);
    assert_eq!(listed(&text).len(), 4, "{text}");
    assert!(text.contains("key        signed by official-ci") && text.contains("laptop stolen"), "{text}");
    // a key that ended says nothing of its builds: not clean, and not affected
    builds.trust("", "        until: 2026-06-01T00:00:00Z\n");
    let text = affected(&builds, 2, &[&builds.at("")]);
    assert!(text.starts_with("nothing could be judged\n") && text.contains("not judged: 4"), "{text}");
    // and a recall covers them still
    builds.trust(
        "    recalled: [{ version: \"<2.0.0\", reason: the compiler lied }]\n",
        "        until: 2026-06-01T00:00:00Z\n",
    );
    assert_eq!(listed(&affected(&builds, 1, &[&builds.at("")])).len(), 4);
}

#[test]
fn nothing_is_skipped_in_silence() {
    let builds = Builds::new();
    chain(&builds);
    fs::write(builds.at("cut.sigstore.json"), b"{\"mediaType\":").unwrap();
    builds.forged("forged", &build(9, &[]));
    fs::create_dir(builds.at("deep")).unwrap();
    fs::rename(builds.at("lib.sigstore.json"), builds.at("deep/lib.sigstore.json")).unwrap();
    std::os::unix::fs::symlink(builds.dir.path(), builds.path("deep/circle")).unwrap();
    let text = affected(&builds, 2, &[&builds.at("")]);
    assert!(text.contains("no build is affected, of 4 that were judged"), "{text}");
    assert!(text.contains("not judged: 3"), "{text}");
    for (name, why) in [
        ("cut.sigstore.json", "cannot be read"),
        ("forged.sigstore.json", "may not speak for the builder"),
        ("deep/circle", "not followed"),
    ] {
        let line = text.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.contains(why), "{line}");
    }
    // what is known to be affected weighs more than what is not known
    recall(&builds, "version: \"<2.0.0\"");
    affected(&builds, 1, &[&builds.at("")]);
    let text = affected(&builds, 2, &[&builds.at("missing")]);
    assert!(text.contains("cannot read the bundles in"), "{text}");
    affected(&builds, 2, &[]);
}

#[test]
fn a_store_is_read_from_its_folder_of_provenance() {
    let builds = Builds::new();
    builds.stored("lib", &build(1, &[input("gcc")]));
    builds.stored("shop", &build(2, &[input("lib")]));
    recall(&builds, &format!("tool: \"{}\"", digest("gcc")));
    let text = affected(&builds, 1, &["--store", &builds.at("store")]);
    assert_eq!(listed(&text).len(), 2, "{text}");
    assert!(affected(&builds, 2, &["--store", &builds.at("no-store")]).contains("error"));
}

#[test]
fn a_signature_in_the_log_without_a_bundle_is_named() {
    let builds = Builds::new();
    let key = || Box::new(SecretKey::from_ed25519_seed(&[7; 32]).unwrap());
    let mut log = Log::create(Files::new(&builds.path("log")), "example.org/builds", key()).unwrap();
    let vkey = NoteKey { name: "example.org/builds".to_owned(), key: key().public().clone() }.to_vkey();
    fs::write(builds.at("log/log.vkey"), vkey).unwrap();
    let mut sign = |name: &str| {
        let path = builds.official(name, &build(1, &[]));
        let bundle = attest::json::parse(&fs::read(path).unwrap()).unwrap();
        let dsse = Dsse::read(bundle.as_object().unwrap().object("dsseEnvelope").unwrap()).unwrap();
        let envelope = digest(&dsse.to_json().to_string());
        log.append(&attest::open::leaf_body(&dsse, &envelope, key().public())).unwrap();
    };
    sign("shown");
    sign("hidden");
    drop(log);
    let args = [&builds.at(""), "--log", &builds.at("log")];
    affected(&builds, 0, &args);
    fs::remove_file(builds.at("hidden.sigstore.json")).unwrap();
    let text = affected(&builds, 2, &args);
    assert!(text.contains("not judged: 1") && text.contains("signature 1: signed and logged"), "{text}");
    // a log that was edited says nothing
    fs::write(builds.at("log/checkpoint"), "nonsense").unwrap();
    assert!(affected(&builds, 2, &args).contains("is not what was written"));
}
