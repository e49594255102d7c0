//! The `portcullis` binary: everything that prints. It decides nothing itself.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this crate is for")]

mod args;
mod clock;
mod command;
mod failure;
mod input;
mod keys;
mod output;
mod trust;
mod work_tree;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let no_color = cli.no_color.is_some_and(|value| !value.is_empty());
    let output = output::Output::new(cli.format, cli.color, no_color);
    let exit = match command::run(cli.command, &output) {
        Ok(exit) => exit,
        Err(failure) => output.failure(&failure),
    };
    if output.is_lost() {
        eprintln!("error: the result could not be written to standard output");
        return failure::Exit::Failed.into();
    }
    exit.into()
}
