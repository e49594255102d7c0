//! `portcullis import`: releases of others, taken in one at a time, and reviewed by their difference.

mod archive;
mod compare;
mod diff;
mod fetch;
mod review;
mod shelf;

use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};
use crate::keys;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Fetch(fetch::Args),
    Diff(diff::Args),
    Review(review::Args),
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Fetch(args) => fetch::run(args, output),
        Command::Diff(args) => diff::run(args, output),
        Command::Review(args) => review::run(args, output),
    }
}

/// Where releases are kept: the store from which builds take their inputs.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The store; ~/.cache/portcullis/store without
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_STORE")]
    store: Option<PathBuf>,
}

impl Place {
    fn open(&self) -> Result<shelf::Shelf, Failure> {
        let dir = match &self.store {
            Some(dir) => dir.clone(),
            None => keys::home(".cache/portcullis/store")?,
        };
        Ok(shelf::Shelf::new(Path::new(&dir)))
    }
}
