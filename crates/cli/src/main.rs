//! The `portcullis` binary: everything that prints. It decides nothing itself.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this crate is for")]

mod args;
mod clock;
mod command;
mod failure;
mod input;
mod keys;
mod output;
mod tree;
mod trust;
mod work_tree;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() && wants_json(std::env::args()) => {
            let text = e.render().to_string();
            let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let failure = failure::Failure::new(message).code("usage").line("fix", "see --help");
            println!("{}", failure.to_json().pretty());
            return failure.exit().into();
        }
        Err(e) => e.exit(),
    };
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

/// The command line could not be read, and still says in which form an answer is wanted.
fn wants_json(words: impl Iterator<Item = String>) -> bool {
    let words: Vec<String> = words.collect();
    words.iter().any(|word| word == "--format=json")
        || words.windows(2).any(|pair| matches!(pair, [a, b] if a == "--format" && b == "json"))
}
