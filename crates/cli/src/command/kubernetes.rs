//! `portcullis kubernetes …`: what a cluster needs around the choke point, and whether it still has it.

mod digest;
mod drift;
mod given;
mod wanted;
mod write;

use std::path::Path;

use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  portcullis kubernetes manifests --config serve.yaml --ca ca.crt \\
      --image registry.example/portcullis@sha256:… --keeper group:platform --out cluster
  portcullis kubernetes drift --config serve.yaml --ca ca.crt --image … --live live.json
  kubectl apply --dry-run=server -o json -f shop.yaml | portcullis kubernetes digest -")]
pub(crate) enum Command {
    /// Write the manifests: the choke point, its webhooks, and the admission policies that guard both
    #[command(after_help = "\
Example:
  portcullis kubernetes manifests --config serve.yaml --ca ca.crt \\
      --image registry.example/portcullis@sha256:… \\
      --keeper system:serviceaccount:flux-system:flux --out cluster")]
    Manifests(write::Args),
    /// Is the cluster as the manifests say? Exit 1 where it is not, 2 where that cannot be told
    #[command(after_help = "\
Example, with the same arguments that the manifests were written with:
  kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations,\\
validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,clusterrolebindings \\
      -o json > live.json
  portcullis kubernetes drift --config serve.yaml --ca ca.crt --image … --live live.json")]
    Drift(drift::Args),
    /// The digest of objects' configuration, without what the server and controllers write
    #[command(after_help = "\
Example:
  kubectl apply --dry-run=server -o json -f shop.yaml | portcullis kubernetes digest -")]
    Digest(digest::Args),
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Manifests(args) => write::run(args, output),
        Command::Drift(args) => drift::run(args, output),
        Command::Digest(args) => digest::run(args, output),
    }
}

/// One JSON document of a file, or of standard input.
fn json(what: &str, path: &Path) -> Result<attest::Json, Failure> {
    const LIMIT: usize = 64 << 20;
    let limit = u64::try_from(LIMIT).unwrap_or(u64::MAX);
    let is_stdin = path.as_os_str() == "-";
    let bytes = match is_stdin {
        true => crate::input::read(what, Path::new("/dev/stdin"), limit)?,
        false => crate::input::read(what, path, limit)?,
    };
    let limits =
        attest::json::Limits { bytes: LIMIT, values: 5_000_000, exact_numbers: true, ..Default::default() };
    attest::json::parse_with(&bytes, limits).map_err(|e| {
        Failure::new(&format!("{} is no JSON", path.display()))
            .code("json-invalid")
            .line("found", &e.to_string())
            .line("fix", "give what kubectl prints with `-o json`")
    })
}
