//! Completions and man pages, made from the command line's own description.

use std::path::Path;

use attest::{Json, Object};
use clap::CommandFactory as _;

use crate::args::Cli;
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(crate) fn completions(shell: clap_complete::Shell, output: &Output) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
    // the script itself is the result in every format
    output.script(&String::from_utf8_lossy(&script));
    Exit::Clean
}

pub(crate) fn man_pages(dir: &Path, output: &Output) -> Result<Exit, Failure> {
    let failed = |e| Failure::io("write the man pages to", dir, &e);
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
    let pages = std::fs::read_dir(dir).map_err(failed)?.count();
    output.result(
        &format!(
            "{pages} man pages in {}; read one with: man -l {}/portcullis.1\n",
            dir.display(),
            dir.display()
        ),
        || Json::from(Object::new().with("dir", dir.display().to_string())),
    );
    Ok(Exit::Clean)
}
