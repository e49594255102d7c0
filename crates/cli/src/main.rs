//! The `portcullis` binary: everything that prints. It decides nothing itself.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this crate is for")]

mod args;
mod clock;
mod command;
mod failure;
mod input;
mod keys;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let output = output::Output::new(cli.format, cli.color);
    match command::run(cli.command, &output) {
        Ok(exit) => exit.into(),
        Err(failure) => output.failure(&failure).into(),
    }
}
