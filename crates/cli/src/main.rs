//! The `portcullis` binary: everything that prints. It decides nothing itself.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this crate is for")]

mod args;
mod bounded;
mod clock;
mod command;
mod failure;
mod gate;
mod git;
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
            let failure = failure::Failure::new(&usage(&text)).code("usage").line("fix", "see --help");
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

/// What is wrong with the command line, in one line: up to where clap begins to show the usage.
fn usage(text: &str) -> String {
    let what = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let what: Vec<&str> = what.filter(|line| !line.is_empty()).collect();
    what.join(" ").trim_start_matches("error: ").to_owned()
}

/// The command line could not be read, and still says in which form an answer is wanted.
fn wants_json(words: impl Iterator<Item = String>) -> bool {
    let words: Vec<String> = words.collect();
    words.iter().any(|word| word == "--format=json")
        || words.windows(2).any(|pair| matches!(pair, [a, b] if a == "--format" && b == "json"))
}
