//! The README's commands, run.

mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;

use tools::{cache, code, part, portcullis_in, stderr, stdout};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn data() -> PathBuf {
    std::env::var_os("PORTCULLIS_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from)
}

/// The lines after `$ ` in the console blocks of a document.
fn commands(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let mut found = Vec::new();
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        found.extend(
            block
                .lines()
                .filter_map(|l| l.strip_prefix("$ "))
                .map(|l| l.split('#').next().unwrap().trim().to_owned()),
        );
    }
    found
}

#[test]
fn two_commands_do_all_the_set_up_and_ci_runs_one_of_them() {
    let found = commands("README.md");
    assert_eq!(found[0], "cargo xtask demo");
    assert_eq!(found[1], "cargo xtask ci");
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(ci.trim_end().ends_with("exec cargo xtask ci"), "CI runs the README's test command");
    // this test is part of the second; the first is run here, as it stands
    if part("upstream source", cache("store")).is_none() {
        return;
    }
    let output = Command::new("cargo").args(["xtask", "demo"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}\n{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("8 decisions replayed, byte for byte the same"));
}

#[test]
fn the_other_commands_of_the_readme_work_as_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let mut ran = 0;
    for command in commands("README.md").iter().filter(|c| c.starts_with("portcullis ")) {
        let args: Vec<&str> = command.split_whitespace().skip(1).collect();
        let output = portcullis_in(dir.path(), &args);
        assert_eq!(code(&output), 0, "{command}\n{}", stderr(&output));
        ran += 1;
    }
    assert!(ran >= 4, "{ran}");
}

/// The example of what others built, with the package and the attestation that it is about.
#[test]
fn the_readmes_policy_admits_the_package_it_names_and_no_other() {
    let Some(data) = part("shared data", data().join("real-attestations")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut blocks = text.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap());
    std::fs::write(dir.path().join("trust-root.yaml"), blocks.next().unwrap()).unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    std::fs::write(dir.path().join("policies/sigstore-js.yaml"), blocks.next().unwrap()).unwrap();
    let bring = |from: &str, to: &str| std::fs::copy(data.join(from), dir.path().join(to)).unwrap();
    bring("sigstore-js-2.1.0.tgz", "sigstore-2.1.0.tgz");
    bring("sigstore-js-2.1.0-bundle.json", "attestation.json");
    let command = text.split("```sh\nportcullis ").nth(1).unwrap().lines().next().unwrap();
    let words: Vec<&str> = command.split_whitespace().collect();
    let output = portcullis_in(dir.path(), &words);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    bring("rfc8785-0.1.2-py3-none-any.whl", "sigstore-2.1.0.tgz");
    let output = portcullis_in(dir.path(), &words);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stdout(&output).contains("error[evidence-applies]"), "{}", stdout(&output));
}
