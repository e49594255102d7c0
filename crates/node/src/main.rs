//! `portcullis-image-verifier`: a program for the folder of containerd's image verifiers. It takes the image (0) or refuses it
//! (1); the first line that it prints is the reason.
#![allow(clippy::print_stdout, reason = "the edge: containerd reads what is printed")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use node::ask::Ask;
use node::check::{Answer, Files, check};
use node::config::Config;

const HELP: &str = "\
portcullis-image-verifier -name REFERENCE -digest DIGEST [-stdin-media-type TYPE]
portcullis-image-verifier check

A verifier for containerd's plugin io.containerd.image-verifier.v1.bindir. It reads
/etc/portcullis/node.yaml, or the file that PORTCULLIS_NODE names in containerd's own
environment. `check` says whether that file, the policies and the trust root load.

Exit codes: 0 the image may be taken, 1 it may not. See docs/nodes.md.";
const CONFIG: &str = "/etc/portcullis/node.yaml";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let answer = match arguments.first().map(String::as_str) {
        None | Some("-h" | "--help" | "help") => {
            Answer { is_taken: !arguments.is_empty(), text: HELP.to_owned() }
        }
        Some("check") => checked(),
        Some(_) => asked(arguments),
    };
    println!("{}", answer.text);
    if answer.is_taken { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn asked(arguments: Vec<String>) -> Answer {
    let refused = |why: String| Answer { is_taken: false, text: format!("cannot decide: {why}") };
    let ask = match Ask::read(arguments.into_iter(), std::io::stdin()) {
        Ok(ask) => ask,
        Err(e) => return refused(e.to_string()),
    };
    match load() {
        Ok((config, files)) => check(&config, &files, &ask, &name(), now()),
        Err(why) => refused(why),
    }
}

fn checked() -> Answer {
    match load() {
        Ok((config, _)) => {
            let count = config.environments.len();
            Answer { is_taken: true, text: format!("the configuration is well formed: {count} environments") }
        }
        Err(text) => Answer { is_taken: false, text },
    }
}

fn load() -> Result<(Config, Files), String> {
    let file = config_file();
    let text =
        std::fs::read_to_string(&file).map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
    let config = Config::parse(&file, &text)
        .map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let files = Files::load(&config)?;
    Ok((config, files))
}

#[expect(
    clippy::disallowed_methods,
    reason = "containerd passes no argument of ours, and its environment is the node's own"
)]
fn config_file() -> PathBuf {
    std::env::var_os("PORTCULLIS_NODE").map_or_else(|| CONFIG.into(), PathBuf::from)
}

/// The node's own name.
fn name() -> String {
    let name = std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname"));
    name.map(|name| name.trim().to_owned()).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "the edge at which time enters")]
fn now() -> Timestamp {
    Timestamp::now()
}
