//! `portcullis kubernetes digest`.

use std::path::PathBuf;

use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Objects as `kubectl … -o json` prints them; `-` for standard input
    #[arg(value_name = "FILE", required_unless_present = "diff")]
    file: Option<PathBuf>,
    /// Compare two files instead: exit 1 where a digest differs
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with = "file")]
    diff: Option<Vec<PathBuf>>,
}

pub(crate) fn run(args: &Args, _output: &Output) -> Result<Exit, Failure> {
    let _ = args;
    Err(Failure::new("not yet"))
}
