//! The API against its own description: schemathesis asks what `/v1/openapi.json` allows and what it does not, and
//! compares statuses, types and bodies with what is written there.

use std::path::Path;
use std::process::Command;

use crate::place::Place;
use crate::tools::{cache, code, expect, part, path, stderr, stdout};

/// The document is the one under test, read from it: what is not described, or not resolved, fails too.
#[test]
fn the_api_answers_as_its_description_says() {
    let Some(program) = part("schemathesis", cache("packages/python/bin/schemathesis")) else { return };
    let place = Place::new(
        "signing:\n  - { name: files, form: minisign, key: files.key, environments: [release/files], names: [ci.example] }\n",
    );
    expect(0, &["keygen", "--no-passphrase", "--algorithm", "ed25519", path(&place.at("files"))]);
    let running = place.start();
    let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/decision_api"));
    let (ca, cert, key) = (place.at("ca.pem"), place.at("ci.pem"), place.at("ci.key"));
    let mut asked = Command::new(program);
    asked.current_dir(place.dir.path()).env("PYTHONPATH", here).env("SCHEMATHESIS_HOOKS", "integers");
    asked.env("PYTHONDONTWRITEBYTECODE", "1");
    asked.arg("--config-file").arg(here.join("schemathesis.toml"));
    asked.args(["run", &format!("{}/v1/openapi.json", running.url), "--tls-verify", path(&ca)]);
    asked.args(["--request-cert", path(&cert), "--request-cert-key", path(&key)]);
    // the cluster's addresses are not there without a cluster
    asked.args(["--exclude-path-regex", "^/v1/kubernetes/", "--phases", "coverage,fuzzing"]);
    asked.args(["--seed", "7", "--generation-database", "none", "--max-examples", "15", "--workers", "1"]);
    asked.args(["--generation-with-security-parameters", "false", "--continue-on-failure", "--no-color"]);
    let output = asked.output().unwrap();
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert_eq!(code(&output), 0, "{said}");
    let asked = said.lines().find_map(|line| line.trim().split_once(" generated, ")?.0.parse::<u32>().ok());
    assert!(asked.is_some_and(|asked| asked > 300), "too little was asked:\n{said}");
    let decided = running.count("\"event\":\"decision\"");
    assert!(decided >= 5, "{decided} decisions:\n{said}");
    assert!(running.count("panicked") == 0 && running.count("decision-failed") == 0, "{said}");
    assert!(!place.records(running).is_empty());
}
