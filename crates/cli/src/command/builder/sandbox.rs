//! `portcullis builder sandbox`: does the sandbox hold on this machine?

use std::path::PathBuf;

use crate::command::build::WorkFolder;
use crate::command::operator::{Operator, SandboxChoice};
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A canary build tries every layer from inside: it looks for a network, for files and processes of
others, for inherited descriptors and privileges, and for system calls that are not on the list,
and it tries to write where it must not. Builds do the same before they run, and nothing is signed
where a layer is missing. Exit code 0: every layer holds; 1: one does not.

Example:
  portcullis builder sandbox --sandbox gvisor --hidden /run/portcullis-signer/signer.sock")]
pub(crate) struct Args {
    /// The store
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_STORE")]
    store: Option<PathBuf>,
    #[command(flatten)]
    sandbox: SandboxChoice,
    /// A file that no build may see; may be given more than once
    #[arg(long = "hidden", value_name = "FILE")]
    hidden: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let operator = Operator::of_sandbox(args.store.as_deref(), &args.sandbox).prepare(&args.hidden)?;
    let work = WorkFolder::make()?;
    let isolation = operator.orchestrator().canary(work.path()).map_err(|e| match e {
        builder::CanaryError::Open { layer, what } => {
            Failure::new("the sandbox does not hold on this machine")
                .line("layer", &layer)
                .line("found", &what)
                .found()
        }
        e => Failure::new("the sandbox cannot be tried on this machine").line("found", &e.to_string()),
    })?;
    let line = |word: &'static str| move |layer: &String| format!("{word}  {layer}\n");
    let human: String = isolation
        .held
        .iter()
        .map(line("holds  "))
        .chain(isolation.missing.iter().map(line("missing")))
        .collect();
    output.result(&format!("{}\n{human}", isolation.tier), || isolation.to_json());
    Ok(if isolation.missing.is_empty() { Exit::Clean } else { Exit::Found })
}
