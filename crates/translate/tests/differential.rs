//! Thousands of random layouts and links, made and judged by the reference implementation of in-toto, and judged here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::PublicKey;
use attest::time::parse_time;
use translate::layout::{Given, Links, Report, verify};

/// The reference, where `cargo xtask setup` put it; nothing, said loudly, where it is absent outside CI.
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn python() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    let python = Path::new(&home).join(".cache/portcullis/tools/in-toto/bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "in-toto must be there in CI: {}", python.display());
    eprintln!(
        "\n*** SKIPPED: no in-toto at {}; run cargo xtask setup. This test checked NOTHING ***\n",
        python.display()
    );
    None
}

fn links(dir: &Path, prefix: &str, into: &mut Links) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            links(&entry.path(), &format!("{name}/"), into);
        } else {
            into.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
}

fn judge(world: &Path) -> Report {
    let key = PublicKey::from_pem(&std::fs::read_to_string(world.join("owner.pub")).unwrap()).unwrap();
    let mut files = Links::new();
    links(&world.join("links"), "", &mut files);
    let at = parse_time("2026-11-22T09:00:00Z").unwrap();
    let given = Given { keys: &[key], links: &files, artifact: None, unpacked: None, at };
    verify(&std::fs::read(world.join("layout")).unwrap(), given)
        .unwrap_or_else(|e| panic!("{}: {e}", world.display()))
}

/// The rule that the reference's exception is about.
fn rules(verdict: &str) -> &'static [&'static str] {
    match verdict {
        "SignatureVerificationError" => &["layout-signed"],
        "LayoutExpiredError" => &["layout-current"],
        // files that are absent, and files that do not count
        "LinkNotFoundError" => &["links-signed"],
        "ThresholdVerificationError" => &["links-signed", "links-agree"],
        "RuleVerificationError" => &["artifact-rules"],
        other => panic!("the reference stopped for another reason: {other}"),
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn the_reference_implementation_agrees() {
    let Some(python) = python() else { return };
    let count = std::env::var("PORTCULLIS_LAYOUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(400_usize);
    let seed = std::env::var("PORTCULLIS_SEED").unwrap_or_else(|_| "7".to_owned());
    let dir = std::env::temp_dir().join(format!("portcullis-layouts-{}", std::process::id()));
    std::fs::remove_dir_all(&dir).ok();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/in-toto/worlds.py");
    let made = Command::new(python)
        .args([script, dir.to_str().unwrap(), &count.to_string(), &seed])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut seen = BTreeMap::<String, usize>::new();
    let mut wrong = Vec::new();
    for number in 0..count {
        let world = dir.join(number.to_string());
        let verdict = std::fs::read_to_string(world.join("verdict")).unwrap();
        let report = judge(&world);
        let found: Vec<&str> = report.findings.iter().map(|f| f.rule).collect();
        let agrees = match verdict.as_str() {
            // one of several links is picked there, and none here
            "met" => found.is_empty() || found.contains(&"links-agree"),
            refused => found.iter().any(|rule| rules(refused).contains(rule) || *rule == "links-agree"),
        };
        let here = if found.is_empty() { "met" } else { "unmet" };
        *seen.entry(format!("{verdict}, here {here}")).or_default() += 1;
        if !agrees {
            wrong.push(format!("{}: there {verdict}, here {:?}", world.display(), report.findings));
        }
    }
    assert!(wrong.is_empty(), "{}\n{seen:?}", wrong.join("\n"));
    eprintln!("{seen:?}");
    assert!(seen.get("met, here met").is_some_and(|n| *n > count / 20), "{seen:?}");
    assert!(seen.len() >= 5, "{seen:?}");
    std::fs::remove_dir_all(&dir).unwrap();
}
