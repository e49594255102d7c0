//! `portcullis import`: releases of others, taken in one at a time, and reviewed by their difference.

mod archive;
mod compare;
mod diff;
mod fetch;
mod review;
mod shelf;

use std::path::PathBuf;

use builder::Store;

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
    /// The store that is there: who only looks makes none.
    fn open(&self) -> Result<shelf::Shelf, Failure> {
        let dir = self.dir()?;
        if !dir.is_dir() {
            return Err(Failure::new(&format!("there is no store in {}", dir.display()))
                .line("fix", "check --store, or take a release in first: portcullis import fetch"));
        }
        Ok(shelf::Shelf::new(Store::new(&dir)))
    }

    fn make(&self) -> Result<shelf::Shelf, Failure> {
        Ok(shelf::Shelf::new(Store::private(&self.dir()?)))
    }

    fn dir(&self) -> Result<PathBuf, Failure> {
        self.store.clone().map_or_else(|| keys::home(".cache/portcullis/store"), Ok)
    }
}
