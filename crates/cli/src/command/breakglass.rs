//! `portcullis breakglass …`: a person's signed word for an emergency, and what was let through under such words.

mod list;
mod open;
mod review;

use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  portcullis breakglass open --environment prod/shop --reason 'checkout is down' --ticket INC-42 \\
      --expires 1h --key bob.key --trust-root trust-root.yaml --book book --store evidence
  portcullis breakglass list --store evidence --trust-root trust-root.yaml
  portcullis breakglass list --log log --trust-root trust-root.yaml
  portcullis breakglass review bg-17 --verdict justified --comment 'INC-42' --key carol.key \\
      --trust-root trust-root.yaml --log log --log-signing-key log.key")]
pub(crate) enum Command {
    /// Sign a grant: deployments that name it are let through for a while, and every one is on record
    Open(Box<open::Args>),
    /// List grants in an evidence store, or what a decision log says was let through by one, and who has looked at it
    List(list::Args),
    /// Say, as a second person, what you think of what a grant let in: signed, and on record
    Review(Box<review::Args>),
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Open(args) => open::run(args, output),
        Command::List(args) => list::run(args, output),
        Command::Review(args) => review::run(args, output),
    }
}
