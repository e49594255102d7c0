//! `portcullis serve`: the choke point of Kubernetes, of what proxies stand before, and of whoever asks.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use attest::{Json, Object};
use jiff::Timestamp;
use server::webhook::{self, Checked, Config, DecisionLog, EXAMPLE, ServeError};

use crate::clock;
use crate::command::log::shared::open;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::keys;
use crate::output::Output;

/// Decide about every deployment: a cluster's webhook, proxies before what takes uploads, the decision API
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
It ends on SIGTERM: first it is not ready any more, then, after `webhook: drain`, no request is taken, and those under
way are answered. SIGHUP looks at changed policies and certificates at once. Each decision is one line of JSON on
standard error.

Example:
  portcullis serve --example > serve.yaml
  portcullis serve --config serve.yaml")]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", required_unless_present = "example")]
    config: Option<PathBuf>,
    /// Only read the configuration and every file that it names, and say what is wrong: 1 where a file is missing, 2 where
    /// `serve` would refuse one
    #[arg(long)]
    check: bool,
    /// Print an example of a configuration
    #[arg(long, conflicts_with_all = ["config", "check"])]
    example: bool,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let Some(file) = &args.config else {
        output.script(EXAMPLE);
        return Ok(Exit::Clean);
    };
    let text = input::text("configuration", file)?;
    let config =
        Config::parse(file, &text).map_err(|errors| Failure::load("serve-configuration-invalid", errors))?;
    let checked = webhook::check(&config, clock::now(None)?);
    if args.check {
        return check(&checked, output);
    }
    let refusals = checked.refusals();
    if !refusals.is_empty() {
        return Err(Failure::load_all("serve-refused", refusals));
    }
    let now = || clock::now(None).unwrap_or(Timestamp::UNIX_EPOCH);
    let log = &config.log;
    // a log that nobody has signed for yet is begun with the key that is there, and never with a new one
    input::text("log's key", &log.key)?;
    // two that write one log would each promise what the other overwrites; given back when this process ends
    let lock = tlog::Files::new(&log.path).lock();
    let _lock = lock.map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => {
            Failure::new(&format!("another process writes to the log in {}", log.path.display()))
                .line("fix", "stop it, or give each its own log: `log: { path: … }`")
        }
        _ => Failure::io("take the lock of the log in", &log.path, &e),
    })?;
    let log = match &log.postgresql {
        None => DecisionLog::Files(Box::new(keys::log(&log.path, &log.origin, &log.key)?)),
        Some(shared) => DecisionLog::PostgreSql(Box::new(open(log, shared)?)),
    };
    webhook::serve(config, log, Arc::new(now)).map_err(|e| {
        Failure::new("the choke point does not run").line("found", &e.to_string()).line("fix", fix(&e))
    })?;
    Ok(Exit::Clean)
}

/// What to do about it. What is wrong with the files was said before.
fn fix(error: &ServeError) -> &'static str {
    let ServeError::Io(_, e) = error else { return "correct what is named here" };
    match e.kind() {
        ErrorKind::AddrInUse => {
            "end what listens there, or choose another address: `listen` of `webhook`, `metrics` or a proxy"
        }
        ErrorKind::AddrNotAvailable => {
            "choose an address of this machine, or 0.0.0.0: `listen` of `webhook`, `metrics` or a proxy"
        }
        ErrorKind::PermissionDenied => {
            "choose a port above 1023, or let this user take it: `listen` of `webhook`, `metrics` or a proxy"
        }
        _ => "see the system's message above",
    }
}

/// What is missing may still come before it starts; what is wrong would be refused then.
fn check(checked: &Checked, output: &Output) -> Result<Exit, Failure> {
    if !checked.problems.is_empty() {
        return Err(Failure::load_all("serve-refused", checked.refusals()));
    }
    let mut human = "the configuration is well formed\n".to_owned();
    for (what, file) in &checked.missing {
        human.push_str(&format!("missing: {what}: there is no {}\n", file.display()));
    }
    human.extend(checked.notes.iter().map(|note| format!("note: {note}\n")));
    output.result(&human, || to_json(checked));
    Ok(if checked.missing.is_empty() { Exit::Clean } else { Exit::Found })
}

fn to_json(checked: &Checked) -> Json {
    let missing = checked.missing.iter().map(|(what, file)| {
        Json::from(Object::new().with("what", *what).with("file", file.display().to_string()))
    });
    Object::new()
        .with("well_formed", true)
        .with("missing", Json::Array(missing.collect()))
        .with("notes", checked.notes.clone())
        .into()
}
