//! Rows 50, 58, 59, 62 and 64: what is built in, by Cargo.lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Each package's versions, and the names of what they use.
fn locked() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
    let mut all: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for package in text.split("[[package]]").skip(1) {
        let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
        let field = |name: &str| quoted(package.lines().find(|line| line.starts_with(name)).unwrap());
        let (versions, uses) = all.entry(field("name = ")).or_default();
        versions.insert(field("version = "));
        let listed = package.lines().filter(|line| line.starts_with(" \""));
        uses.extend(listed.map(|line| quoted(line).split(' ').next().unwrap().to_owned()));
    }
    all
}

fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

#[test]
fn rows_58_59_62_and_64_no_version_that_had_the_failure_is_built_in() {
    let all = locked();
    for (name, least) in [
        ("astral-tokio-tar", "0.5.6"),
        ("jsonwebtoken", "10.3.0"),
        ("rustls-webpki", "0.103.13"),
        ("ed25519-dalek", "2.0.0"),
    ] {
        for version in all.get(name).map(|(versions, _)| versions).into_iter().flatten() {
            assert!(numbers(version) >= numbers(least), "{name} {version}: from {least} on it is mended");
        }
    }
    for name in ["jsonwebtoken", "rustls-webpki"] {
        assert!(all.contains_key(name), "{name} is not built in any more: this test looks at nothing");
    }
    assert!(!all.contains_key("tokio-tar"), "it is not kept up, and has row 58");
}

#[test]
fn row_50_what_judges_cannot_ask_a_network() {
    let all = locked();
    let mut used = BTreeSet::new();
    let mut open = vec!["policy", "attest"];
    while let Some(name) = open.pop() {
        if used.insert(name) {
            open.extend(all[name].1.iter().map(String::as_str));
        }
    }
    assert!(used.len() > 50, "{used:?}");
    let network =
        ["ureq", "reqwest", "hyper", "tokio", "mio", "socket2", "rustls", "native-tls", "curl", "async-io"];
    let found: Vec<&str> = network.into_iter().filter(|name| used.contains(name)).collect();
    assert!(found.is_empty(), "what judges can ask a network through {found:?}");
}
