//! What asks: the decision API, records from elsewhere, containerd on a node; and what says who may: a node's
//! configuration, an organisation's own threats. No panic, and an artifact stays what it was when a case is opened again.
#![no_main]
use std::path::Path;

use attest::Artifact;

#[path = "../../crates/cli/src/command/threats/list.rs"]
#[allow(dead_code, reason = "the other list asks it for ids alone")]
mod list;
#[path = "../../crates/cli/src/command/threats/own.rs"]
#[allow(dead_code, reason = "what is read is not judged here")]
mod own;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for artifact in [server::fuzzing::question(data), server::fuzzing::spooled(data)].into_iter().flatten() {
        assert!(!artifact.uri().contains("@sha256:") && !artifact.uri().contains(char::is_control));
        assert_eq!(Artifact::new(artifact.uri(), artifact.digests().clone()).uri(), artifact.uri());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (line, input) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(ask) = node::ask::Ask::read(line.split(' ').map(str::to_owned), input.as_bytes()) {
        let again = ["-name", &ask.name, "-digest", &ask.digest.to_string()].map(str::to_owned);
        assert_eq!(node::ask::Ask::read(again.into_iter(), std::io::empty()).as_ref(), Ok(&ask));
    }
    if let Ok(config) = node::config::Config::parse(Path::new("/etc/portcullis/node.yaml"), text) {
        let _ = config.environment("registry.example/shop");
    }
    let _ = own::parse(Path::new("own.yaml"), text);
});
