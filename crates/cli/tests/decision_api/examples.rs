//! The examples of clients, run against a real choke point; and those of others' CI, read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attest::yaml::Node;

use crate::place::{Place, shop};
use crate::tools::serving::Serving;
use crate::tools::{code, path, portcullis, stderr, stdout};

fn example(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples")).join(name)
}

/// Called the same way, with the same settings.
const CLIENTS: [(&str, &str); 2] = [("sh", "decision-api/decide.sh"), ("python3", "decision-api/decide.py")];

/// A question with the shell's example, and with Python's: what comes of it is the same.
fn decide(place: &Place, running: &Serving, file: &str, bundles: &[&str], grant: &str) -> [Output; 2] {
    let (file, ca) = (place.at(file), place.at("ca.pem"));
    let (cert, key) = (place.at("ci.pem"), place.at("ci.key"));
    let bundles: Vec<PathBuf> = bundles.iter().map(|bundle| place.at(bundle)).collect();
    CLIENTS.map(|(runs, client)| {
        let mut command = Command::new(runs);
        command.arg(example(client)).args(["prod/shop", "pkg:deb/acme/shop"]).arg(&file).args(&bundles);
        command.env("PORTCULLIS_URL", &running.url).env("PORTCULLIS_CA", &ca).env("PORTCULLIS_GRANT", grant);
        command.env("PORTCULLIS_CERT", &cert).env("PORTCULLIS_KEY", &key).output().unwrap()
    })
}

#[test]
fn the_clients_end_as_was_decided_and_show_why() {
    let place = Place::new("");
    let running = place.start();
    place.test_passed(&shop());
    fs::write(place.at("shop"), "shop").unwrap();
    fs::write(place.at("other"), "other").unwrap();
    for output in decide(&place, &running, "shop", &["test.json"], "") {
        assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
        let text = stdout(&output);
        assert!(text.starts_with("admit: pkg:deb/acme/shop@") && text.contains("\nrecord: "), "{text}");
    }
    for output in decide(&place, &running, "other", &["test.json"], "") {
        assert_eq!(code(&output), 1, "{}{}", stdout(&output), stderr(&output));
        assert!(stdout(&output).contains("error[evidence-applies]"), "{}", stdout(&output));
    }
    // a bundle that would make a dry run of the question
    let smuggled =
        format!("{}}}],\"dry-run\":true,\"evidence-digests\":[{{\"a\":1", place.bundle("test.json"));
    fs::write(place.at("smuggled.json"), smuggled).unwrap();
    for output in decide(&place, &running, "shop", &["smuggled.json"], "") {
        assert_eq!(code(&output), 2, "{}{}", stdout(&output), stderr(&output));
    }
    let [shell, python] = decide(&place, &running, "absent", &[], "");
    assert_eq!((code(&shell), code(&python)), (2, 2));
    assert_eq!(place.records(running).len(), 4);
    let running = place.start();
    let url = running.url.clone();
    drop(running);
    for (runs, client) in CLIENTS {
        let ask = |arguments: &[&str], url: &str| {
            let mut command = Command::new(runs);
            command.arg(example(client)).args(arguments).env("PORTCULLIS_URL", url).output().unwrap()
        };
        let shop = place.at("shop");
        let shop = path(&shop);
        for (arguments, url, word) in [
            (&["prod/shop", "a", shop][..], url.as_str(), "cannot decide"),
            (&["prod/shop", "a", shop], "", "cannot decide: set"),
            (&["prod/shop", "a"], &url, "ENVIRONMENT NAME FILE [BUNDLE...]"),
        ] {
            let output = ask(arguments, url);
            let said = stderr(&output);
            assert!(code(&output) == 2 && said.contains(word), "{client}: {word}: {said}");
        }
    }
}

/// The words of a command in a file, with lines that go on.
fn flags(text: &str, command: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let mut found = Vec::new();
    for rest in text.split(command).skip(1) {
        let words = rest.split_whitespace().take_while(|word| !word.starts_with("- ") && *word != "-");
        found.extend(words.take(20).filter(|word| word.starts_with("--")).map(str::to_owned));
    }
    found
}

#[test]
fn the_snippets_for_others_ci_read_and_use_flags_that_exist_and_ask_before_they_deploy() {
    let help = stdout(&portcullis(&["attach", "--help"]));
    for (name, is_yaml) in [("github-actions.yml", true), ("gitlab-ci.yml", true), ("Jenkinsfile", false)] {
        let text = fs::read_to_string(example("ci").join(name)).unwrap();
        if is_yaml {
            Node::parse(name, &text).unwrap_or_else(|e| panic!("{e}"));
        }
        let found = flags(&text, "portcullis attach ");
        assert!(found.iter().any(|flag| flag == "--server"), "{name}: {found:?}");
        for flag in found {
            assert!(help.contains(&format!("{flag} <")), "{name}: {flag}");
        }
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{name}: {part}"));
        assert!(
            at("portcullis attach") < at("decide.sh") && at("decide.sh") < at("./deploy shop.deb"),
            "{name}"
        );
        let asks = text.lines().filter(|line| line.contains("decide.sh"));
        assert!(asks.clone().all(|line| !line.contains("||")) && asks.count() == 1, "{name}");
    }
}
