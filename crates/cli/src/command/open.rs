//! `portcullis open BUNDLE INPUT`: steps one and two alone, and two ways to read what was opened.

mod diff;
mod graph;

pub(crate) use diff::changed;

use std::path::{Path, PathBuf};

use attest::digest::DigestSet;
use attest::{Artifact, Envelope, Json, Object, OpenError};

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;
use crate::trust::Trust;

/// Is this bundle authentic, and is it about this artifact?
///
/// With --diff, how two builds differ: exit code 0 where only the version of the source does, 1 where anything else does.
/// With --graph, the builds that an artifact came from: exit code 1 where one of them is not proven.
#[derive(Debug, clap::Args)]
#[command(override_usage = "portcullis open [OPTIONS] BUNDLE INPUT
       portcullis open [OPTIONS] --diff BUNDLE BUNDLE
       portcullis open [OPTIONS] --graph BUNDLE… [INPUT]")]
#[command(after_help = "Examples:
  portcullis open shop.sigstore.json ./shop --key ci.pub
  portcullis open shop.sigstore.json sha256:9f3c… --trust-root trust-root.yaml
  portcullis open --diff shipped.sigstore.json fixed.sigstore.json --trust-root trust-root.yaml
  portcullis open --graph --store store ./shop --trust-root trust-root.yaml")]
pub(crate) struct Args {
    /// The bundle, envelope or JWT, and the artifact: a file, or sha256:HEX
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// Compare the builds of two bundles
    #[arg(long, conflicts_with = "graph")]
    diff: bool,
    /// Show the builds that an artifact came from
    #[arg(long)]
    graph: bool,
    /// Also look for provenance in the store of a builder
    #[arg(long, value_name = "DIR", requires = "graph")]
    store: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let files: Vec<&str> = args.files.iter().map(String::as_str).collect();
    match (args.diff, args.graph, files.as_slice()) {
        (true, _, [before, after]) => diff::run(Path::new(before), Path::new(after), &args.trust, output),
        (true, _, _) => Err(count(&files, "the two bundles to compare", "--diff BUNDLE BUNDLE")),
        (_, true, files) => graph::run(files, args.store.as_deref(), &args.trust, output),
        (_, _, [bundle, input]) => open(Path::new(bundle), input, &args.trust, output),
        _ => Err(count(&files, "a bundle and the artifact that it is about", "BUNDLE INPUT")),
    }
}

fn count(files: &[&str], wanted: &str, usage: &str) -> Failure {
    Failure::new("the files that are named are too few or too many")
        .line("wanted", wanted)
        .line("found", &format!("{} files", files.len()))
        .line("fix", &format!("write: portcullis open {usage}"))
}

fn open(bundle: &Path, input: &str, trust: &Trust, output: &Output) -> Result<Exit, Failure> {
    let submitted = input::bundle(bundle)?;
    let trusted = trust.read()?;
    let refused = |what: &str, why: &str| Failure::new(what).line("found", why).found();
    let envelope = Envelope::parse(&submitted.bytes)
        .map_err(|e| refused(&format!("{} cannot be read", submitted.name), &e.to_string()))?;
    let attestation = trusted.root.open(&envelope, trusted.at).map_err(|e| match e {
        OpenError::UnknownSigner if trusted.is_key => refused(
            &format!("{} is not authentic", submitted.name),
            "no signature on it verifies under the key that was given",
        )
        .line("fix", "give the key of the one who signed it, or the bundle that this key signed"),
        e => refused(&format!("{} is not authentic", submitted.name), &e.to_string()),
    })?;
    let digests: DigestSet = input::digests(input, &envelope.mentioned_algorithms())?;
    let artifact = Artifact::new(input, digests);
    let evidence = attestation.about(&artifact).map_err(|e| {
        let found = e.found.map_or("nothing with a digest that decides".to_owned(), |d| d.to_string());
        let wanted = e.wanted.map(|d| d.to_string()).unwrap_or_default();
        let subjects = if e.subjects > 1 { format!(" and {} more", e.subjects - 1) } else { String::new() };
        Failure::new("the bundle is authentic, and applies to another artifact")
            .line("wanted", &wanted)
            .line("found", &format!("{found}{subjects}"))
            .line("fix", "submit the bundle of this artifact, or the artifact of this bundle")
            .found()
    })?;
    let statement = attestation.statement();
    let human = format!(
        "authentic, and about {input}\n  says      {} ({})\n  signed by {}\n",
        evidence.predicate().kind(),
        policy::one_line(&statement.predicate_type),
        evidence.signer_names(),
    );
    output.result(&human, || {
        let signers: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
        let subjects = statement.subjects.iter().map(|s| {
            Json::from(Object::new().with("name", s.name.as_str()).with("digest", s.digests.to_json()))
        });
        let object = Object::new()
            .with("authentic", true)
            .with("about", input)
            .with("signed_by", signers)
            .with("predicate_type", statement.predicate_type.as_str())
            .with("subjects", Json::Array(subjects.collect()))
            .with("envelope", attestation.envelope().to_string());
        Json::from(object)
    });
    Ok(Exit::Clean)
}
