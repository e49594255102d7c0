//! `portcullis open BUNDLE INPUT`: steps one and two alone, and two ways to read what was opened.

mod diff;
mod graph;
mod loose;
mod one;

pub(crate) use diff::changed;

use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::trust::Trust;

/// Is this bundle authentic, and is it about this artifact?
///
/// Takes the flags of cosign verify-blob and verify-blob-attestation, with one difference: a pattern must match the whole
/// identity.
///
/// With --diff, how two builds differ: exit code 0 where only the version of the source does, 1 where anything else does.
/// With --graph, the builds that an artifact came from: exit code 1 where one of them is not proven.
#[derive(Debug, clap::Args)]
#[command(override_usage = "portcullis open [OPTIONS] BUNDLE INPUT
       portcullis open [OPTIONS] --bundle BUNDLE INPUT
       portcullis open [OPTIONS] --signature FILE INPUT
       portcullis open [OPTIONS] --diff BUNDLE BUNDLE
       portcullis open [OPTIONS] --graph BUNDLE… [INPUT]")]
#[command(after_help = "Examples:
  portcullis open shop.sigstore.json ./shop --key ci.pub
  portcullis open shop.sigstore.json sha256:9f3c… --trust-root trust-root.yaml
  portcullis open shop.sigstore.json ./shop \\
      --certificate-identity https://github.com/acme/shop/.github/workflows/ci.yml@refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com
  portcullis open --diff shipped.sigstore.json fixed.sigstore.json --trust-root trust-root.yaml
  portcullis open --graph --store store ./shop --trust-root trust-root.yaml")]
pub(crate) struct Args {
    /// The bundle, envelope, attestation or JWT, and the artifact: a file, or sha256:HEX
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// The bundle, where only the artifact is named: any form that cosign 2 or 3 writes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["diff", "graph"])]
    bundle: Option<PathBuf>,
    /// What the statement must be: a predicate's type, or cosign's short name of it, as in slsaprovenance1
    #[arg(long = "type", value_name = "TYPE", conflicts_with_all = ["diff", "graph"])]
    kind: Option<String>,
    /// Accepted, because every form of bundle is read
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    new_bundle_format: Option<bool>,
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
    #[command(flatten)]
    loose: loose::Pieces,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let files: Vec<&str> = args.files.iter().map(String::as_str).collect();
    let is_beside = args.bundle.is_some() || args.loose.signature.is_some();
    match (args.diff, args.graph, files.as_slice()) {
        (true, _, [before, after]) => diff::run(Path::new(before), Path::new(after), &args.trust, output),
        (true, _, _) => Err(count(&files, "the two bundles to compare", "--diff BUNDLE BUNDLE")),
        (_, true, files) => graph::run(files, args.store.as_deref(), &args.trust, output),
        (_, _, [input]) if is_beside => one::run(args, args.bundle.as_deref(), input, output),
        (_, _, [bundle, input]) if !is_beside => one::run(args, Some(Path::new(bundle)), input, output),
        _ if is_beside => Err(count(&files, "the artifact alone", "--bundle BUNDLE INPUT")),
        _ => Err(count(&files, "a bundle and the artifact that it is about", "BUNDLE INPUT")),
    }
}

fn count(files: &[&str], wanted: &str, usage: &str) -> Failure {
    Failure::new("the files that are named are too few or too many")
        .line("wanted", wanted)
        .line("found", &format!("{} files", files.len()))
        .line("fix", &format!("write: portcullis open {usage}"))
}
