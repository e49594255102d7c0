//! `docs/other-policies.md`, run as it stands; and what `layout` and `binauthz` do with bad input.

mod tools;

use std::fs;
use std::path::Path;

use tools::{code, data, expect, path, portcullis_in, stderr, stdout};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/other-policies.md");

/// A folder with the layouts, the links, and the policy of the page.
fn folder() -> Option<tempfile::TempDir> {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(data("in-toto")?).unwrap().map(Result::unwrap) {
        fs::write(dir.path().join(entry.file_name()), fs::read(entry.path()).unwrap()).unwrap();
    }
    let page = fs::read_to_string(PAGE).unwrap();
    let policy = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    fs::write(dir.path().join("policy.yaml"), policy).unwrap();
    Some(dir)
}

fn run(dir: &Path, command: &str) -> (i32, String) {
    let words: Vec<&str> = command.strip_prefix("portcullis ").unwrap().split(' ').collect();
    let output = portcullis_in(dir, &words);
    (code(&output), stdout(&output) + &stderr(&output))
}

#[test]
fn the_page_says_what_happens() {
    let Some(dir) = folder() else { return };
    let page = fs::read_to_string(PAGE).unwrap();
    let mut commands = 0;
    for block in page.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        let mut said = String::new();
        for line in block.lines() {
            let Some(command) = line.strip_prefix("$ ") else {
                assert!(said.contains(line), "{line}\n{said}");
                continue;
            };
            let (command, exit) = command.split_once("  # exits with ").unwrap_or((command, "0"));
            let (found, text) = run(dir.path(), command);
            assert_eq!(found.to_string(), exit, "{command}\n{text}");
            said = text;
            commands += 1;
        }
    }
    assert_eq!(commands, 6);
    let loads = run(dir.path(), "portcullis policy check layout-draft/book");
    assert!(loads.0 == 0 && loads.1.starts_with("1 policy, no mistakes"), "{loads:?}");
}

/// What unpacking would do with a link is for nobody to guess.
#[test]
fn an_archive_that_is_not_of_files_alone_is_not_read_for_an_inspection() {
    let Some(dir) = folder() else { return };
    let mut builder = tar::Builder::new(fs::File::create(dir.path().join("foo.tar.gz")).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "foo.py", "/etc/passwd").unwrap();
    builder.finish().unwrap();
    let verify = "portcullis layout verify demo.layout --key alice.pub --links . --artifact foo.tar.gz --at";
    let (exit, text) = run(dir.path(), &format!("{verify} 2026-11-22T09:00:00Z"));
    assert_eq!(exit, 2, "{text}");
    assert!(text.contains("foo.py is a link"), "{text}");
    assert!(text.contains("wanted") && text.contains("of files and folders alone"), "{text}");
}

#[test]
fn json_says_the_same_and_exit_codes_are_those_of_everything() {
    let Some(dir) = folder() else { return };
    let verify = "portcullis layout verify demo.dsse.layout --key alice.pub --links . --format json --at";
    for (at, exit, verdict) in [
        ("2026-11-22T09:00:00Z", 2, "\"verdict\": null"),
        ("2031-01-01T00:00:00Z", 1, "\"verdict\": \"unmet\""),
    ] {
        let (found, text) = run(dir.path(), &format!("{verify} {at}"));
        assert_eq!(found, exit, "{text}");
        assert!(text.contains(verdict), "{text}");
        attest::json::parse(text.as_bytes()).unwrap();
    }
    let (exit, text) = run(dir.path(), "portcullis binauthz translate policy.yaml --format json");
    assert_eq!(exit, 0);
    let json = attest::json::parse(text.as_bytes()).unwrap();
    assert_eq!(json.as_object().unwrap().array("policies").unwrap().len(), 1);
}

#[test]
fn findings_have_the_shape_of_all_findings() {
    let Some(dir) = folder() else { return };
    let command = "portcullis layout verify demo.layout --key carol.pub --links . --at 2026-11-22T09:00:00Z";
    let (exit, text) = run(dir.path(), command);
    assert_eq!(exit, 1);
    assert!(text.starts_with("error[layout-signed]: the layout is not signed by everybody"), "{text}");
    for label in ["\n  place     ", "\n  wanted    a signature by ", "\n  found     ", "\n  fix       "] {
        assert!(text.contains(label), "{label}: {text}");
    }
    assert!(!text.contains("step "), "an unsigned layout says nothing: {text}");
}

#[test]
fn bad_input_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| path(&dir.path().join(name)).to_owned();
    fs::write(at("noise"), (0..=255).collect::<Vec<u8>>()).unwrap();
    fs::write(at("empty"), b"").unwrap();
    fs::write(at("class"), br#"{"signatures":[],"signed":{"_type":"layout","expires":"2030-01-01T00:00:00Z","keys":{},"steps":[{"_type":"step","name":"a","pubkeys":[],"threshold":1,"expected_products":[["DISALLOW","[!a]"]]}],"inspect":[]}}"#).unwrap();
    fs::write(at("occurrence"), br#"{"attestation":{"signatures":[]}}"#).unwrap();
    fs::write(at("typo.yaml"), "defaultAdmisionRule: {}\n").unwrap();
    expect(0, &["keygen", "--no-passphrase", &at("k")]);
    let (key, folder) = (at("k.pub"), path(dir.path()).to_owned());
    let verify = |layout: &str, key: &str, links: &str| {
        vec![
            "layout".to_owned(),
            "verify".into(),
            at(layout),
            "--key".into(),
            key.into(),
            "--links".into(),
            links.into(),
        ]
    };
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let (noise, missing) = (at("noise"), at("missing"));
    for (args, exit, said) in [
        (verify("missing", &key, &folder), 2, "cannot read the layout"),
        (verify("noise", &key, &folder), 2, "cannot be read"),
        (verify("empty", &key, &folder), 2, "cannot be read"),
        (verify("class", &key, &folder), 1, "layout-signed"),
        (verify("class", &noise, &folder), 2, "the public key"),
        (verify("class", &key, &missing), 2, "cannot read the links in"),
        (
            words(&["layout", "translate", &at("class")]),
            2,
            "a character class, which verifiers read in different ways",
        ),
        (words(&["layout", "translate", &folder]), 2, "is a folder"),
        (words(&["binauthz", "translate", &noise]), 2, "is no text"),
        (words(&["binauthz", "translate", &at("typo.yaml")]), 2, "write `defaultAdmissionRule`"),
        (words(&["binauthz", "open", &noise, "--key", &key]), 1, "cannot be read"),
        (
            words(&["binauthz", "open", &at("occurrence"), "--key", &key]),
            1,
            "wanted 1 to 64 signatures or tokens",
        ),
        (words(&["binauthz", "open", &at("occurrence")]), 2, "nothing says whom to trust"),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let text = expect(exit, &args);
        assert!(text.contains(said) && text.contains("error"), "{args:?}: {text}");
        assert!(!text.contains("panicked") && !text.contains("Some("), "{text}");
    }
}

#[test]
fn a_draft_overwrites_nothing() {
    let Some(dir) = folder() else { return };
    let command = "portcullis binauthz translate policy.yaml --out draft";
    assert_eq!(run(dir.path(), command).0, 0);
    let (exit, text) = run(dir.path(), command);
    assert_eq!(exit, 2);
    assert!(text.contains("is there already"), "{text}");
}
