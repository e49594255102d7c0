//! `portcullis git-hook`: what must be true of a push before anything of it lands.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use attest::{Json, Object};

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::git::Git;
use crate::input;
use crate::output::Output;

mod branch;
mod config;
mod push;
mod refusal;
mod repository;
mod reviews;
mod secrets;
mod signed;

use config::Config;
use push::Update;
use refusal::Refusal;
use repository::Repository;

/// As much as git tells of a push of the most refs that are taken.
const MAX_INPUT: u64 = 1 << 20;
/// More refusals are counted, and not told.
const MOST_TOLD: usize = 20;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Refuse a push to a protected branch that nobody else reviewed; reads what git tells its pre-receive hook
    ///
    /// Protected branches only move forward, and only to commits that other people than their authors approved. Reviews
    /// are pushed as blobs to refs/portcullis/reviews/COMMIT/NAME, before the commit or with it. A tag never moves. With
    /// `secrets`, a scanner looks at every new commit first.
    #[command(after_help = "Example, as hooks/pre-receive of a bare repository:
  #!/bin/sh
  exec portcullis git-hook pre-receive --config /etc/portcullis/hook.yaml

and for the people who push:
  ID=$(git rev-parse HEAD)
  portcullis attest review gitCommit:$ID --base $(git rev-parse origin/main) \\
      --repository https://github.com/acme/shop --author alice@acme.example --key bob.key \\
      --out review.json
  git push origin $(git hash-object -w review.json):refs/portcullis/reviews/$ID/bob")]
    PreReceive(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is protected, and by which trust root
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    let Command::PreReceive(args) = command;
    let refusals = pre_receive(&args.config)?;
    if refusals.is_empty() {
        output.result("", || {
            Object::new().with("admitted", true).with("refusals", Json::Array(Vec::new())).into()
        });
        return Ok(Exit::Clean);
    }
    let more = refusals.len().saturating_sub(MOST_TOLD);
    if output.is_json() {
        let told: Vec<Json> = refusals.iter().take(MOST_TOLD).map(Refusal::to_json).collect();
        let more = i64::try_from(more).unwrap_or(i64::MAX);
        output.result("", || {
            Object::new().with("admitted", false).with("refusals", told).with("more", more).into()
        });
        return Ok(Exit::Found);
    }
    for refusal in refusals.iter().take(MOST_TOLD) {
        output.progress(refusal.to_text().trim_end());
    }
    if more > 0 {
        output.progress(&format!("and {more} more"));
    }
    output.progress("nothing of the push was taken");
    Ok(Exit::Found)
}

/// The whole of it: everything that is wrong with a push. An error is that nobody can tell, and refuses too.
fn pre_receive(config: &Path) -> Result<Vec<Refusal>, Failure> {
    let begun = Instant::now();
    let config = Config::load(config)?;
    let root = input::trust_root(&config.trust_root)?;
    let at = clock::now(None)?;
    let updates = match push::parse(&stdin()?) {
        Ok(updates) => updates,
        Err(refusal) => return Ok(vec![*refusal]),
    };
    let repository = Repository::open(Git::of_hook(begun + config.within), &config)?;
    let reviews = reviews::Reviews { repository: &repository, root: &root, at, updates: &updates };
    let mut refusals = Vec::new();
    for update in &updates {
        refusals.extend(refused(update, &config, &reviews)?);
    }
    if let Some(scanner) = config.secrets.as_ref().filter(|_| refusals.is_empty()) {
        refusals.extend(secrets::found(scanner, &repository, &updates)?);
    }
    Ok(refusals)
}

/// What is wrong with one ref.
fn refused(
    update: &Update,
    config: &Config,
    reviews: &reviews::Reviews<'_>,
) -> Result<Vec<Refusal>, Failure> {
    let repository = reviews.repository;
    if let Some(refusal) = repository.is_indirect(update)? {
        return Ok(vec![refusal]);
    }
    match update.kind() {
        push::Kind::Branch(name) => branch::refused(update, name, config, reviews),
        push::Kind::Tag => repository.tag(update),
        push::Kind::Note => repository.at_commit(update),
        push::Kind::Review(commit) => reviews.refused(update, commit),
        push::Kind::Other => Ok(vec![
            Refusal::new("ref-known", update, "a push to this place is not taken")
                .wanted("a branch, a tag, a note, or refs/portcullis/reviews/COMMIT/NAME")
                .found(&update.name)
                .fix("push to a branch"),
        ]),
    }
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(MAX_INPUT + 1).read_to_end(&mut bytes);
    read.map_err(|e| Failure::io("read", Path::new("standard input"), &e))?;
    Ok(bytes)
}
