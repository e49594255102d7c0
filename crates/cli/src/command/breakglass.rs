//! `portcullis breakglass …`: a person's signed word for an emergency, and what was let through under such words.

mod list;
mod open;

use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Sign a grant: deployments that name it are let through for a while, and every one is on record
    Open(Box<open::Args>),
    /// List grants in an evidence store, or what a decision log says was let through by one
    List(list::Args),
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Open(args) => open::run(args, output),
        Command::List(args) => list::run(args, output),
    }
}
