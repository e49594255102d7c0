//! `portcullis builder lock [DIR]`: names become digests.

use std::path::{Path, PathBuf};

use attest::{Json, Object};
use builder::{BuildDefinition, DEFINITION_FILE, Input, LOCK_FILE, LockError, Locked, Resolver, Store, Web};

use crate::command::operator::pair;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::{input, keys};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis builder lock
  portcullis builder lock --check    # in CI: is the lock file what it would be today?")]
pub(crate) struct Args {
    /// The folder of the definition
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write nothing; end with 1 where the lock file would change
    #[arg(long)]
    check: bool,
    /// Where the files go
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_STORE")]
    store: Option<PathBuf>,
    /// Another host from which inputs may be fetched; may be given more than once
    #[arg(long = "allow-host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Fetch URIs that begin with FROM from TO instead; may be given more than once
    #[arg(long = "mirror", value_name = "FROM=TO", value_parser = pair)]
    mirrors: Vec<(String, String)>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let (file, lock_file) = (args.dir.join(DEFINITION_FILE), args.dir.join(LOCK_FILE));
    let text = input::text("build definition", &file)
        .map_err(|e| if file.exists() { e } else { e.line("or", "write one: portcullis builder init") })?;
    let definition = BuildDefinition::parse(&file.display().to_string(), &text)
        .map_err(|e| Failure::load("build-definition-invalid", e))?;
    let old_text = if lock_file.exists() { input::text("lock file", &lock_file)? } else { String::new() };
    // one that cannot be read is written anew
    let old = Locked::parse(LOCK_FILE, &old_text).unwrap_or_default();
    let store = match &args.store {
        Some(dir) => dir.clone(),
        None => keys::home(".cache/portcullis/store")?,
    };
    let resolver = Resolver {
        source: &args.dir,
        store: &Store::new(&store),
        fetcher: &Web::new(&args.hosts, &args.mirrors),
        previous: &old,
        progress: &|line: &str| output.progress(line),
    };
    let new = resolver.resolve(&definition).map_err(|e| failure(e, &args.dir))?;
    let new_text = new.to_text();
    let is_same = new_text == old_text;
    if !is_same && !args.check {
        keys::write(&lock_file, &new_text)?;
    }
    report(args, &lock_file, (&old, &new), is_same, output);
    Ok(if is_same || !args.check { Exit::Clean } else { Exit::Found })
}

fn report(args: &Args, file: &Path, (old, new): (&Locked, &Locked), is_same: bool, output: &Output) {
    let mut changes = changes(old, new);
    if old.made_for != new.made_for && old.made_for.is_some() {
        changes
            .insert(0, "it was made for another definition, or another lock file that it names".to_owned());
    }
    let shown = file.display();
    let counts = format!("{} packages in the toolchain, {} inputs", new.toolchain.len(), new.inputs.len());
    let mut human = match (is_same, args.check) {
        (true, _) => format!("{shown} is up to date: {counts}\n"),
        (false, true) => format!("{shown} would change: {counts}\n"),
        (false, false) => format!("wrote {shown}: {counts}\n"),
    };
    let few = 20;
    if !is_same && !old.toolchain.is_empty() {
        changes.iter().take(few).for_each(|line| human.push_str(&format!("  {line}\n")));
        if changes.len() > few {
            human.push_str(&format!("  and {} more\n", changes.len() - few));
        }
    }
    if !is_same {
        human.push_str(match args.check {
            true => "fix: run `portcullis builder lock`, and have the change reviewed\n",
            false => "next: read what changed, commit it, and have it reviewed\n",
        });
    }
    output.result(&human, || {
        Object::new()
            .with("file", shown.to_string())
            .with("changed", !is_same)
            .with("toolchain", i64::try_from(new.toolchain.len()).unwrap_or(i64::MAX))
            .with("inputs", i64::try_from(new.inputs.len()).unwrap_or(i64::MAX))
            .with("changes", Json::Array(changes.iter().map(|c| Json::from(c.as_str())).collect()))
            .into()
    });
}

/// What came and what went, by URI: a version stands in it.
fn changes(old: &Locked, new: &Locked) -> Vec<String> {
    let all = |locked: &Locked| -> std::collections::BTreeSet<(String, String)> {
        let key = |input: &Input| (input.uri.clone(), input.digest.hex());
        locked.toolchain.iter().chain(&locked.inputs).map(key).collect()
    };
    let (old, new) = (all(old), all(new));
    let gone = old.difference(&new).map(|(uri, _)| format!("- {uri}"));
    gone.chain(new.difference(&old).map(|(uri, _)| format!("+ {uri}"))).collect()
}

fn failure(error: LockError, dir: &Path) -> Failure {
    let shown = dir.display();
    match error {
        LockError::Files(errors) => Failure::load("lock-file-invalid", errors),
        other => Failure::new(&format!("{shown} cannot be locked")).line("found", &other.to_string()),
    }
}
