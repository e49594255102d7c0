//! `portcullis alarms …`: what is open, closing it, and trying where it is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use attest::{Json, Object};
use chokepoint::Entry;
use chokepoint::alarm::{Alarms, Open};
use jiff::Timestamp;
use server::webhook::Config;

use crate::clock;
use crate::command::destination::Server;
use crate::command::log::{Key, Writer, records};
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  portcullis alarms list --log log
  portcullis alarms close writer-silent-1f0c… --reason 'replica-1 was taken down' --log log \\
      --log-signing-key log.key
  portcullis alarms test --config serve.yaml")]
pub(crate) enum Command {
    /// List the alarms that are open; 1 where one is that nobody has acknowledged
    List(List),
    /// Close an alarm, because somebody has seen it; that is on record, and every sink is told
    Close(Close),
    /// Send a test through every sink, and say which failed
    Test {
        /// The choke point's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The decision log
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// The log's verifier key; without, the one that lies beside the log
    #[arg(long = "log-key", value_name = "FILE")]
    log_key: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("place").args(["log", "server"]).required(true))]
pub(crate) struct Close {
    /// The alarm's id, as the list shows it
    id: String,
    /// Why it needs nobody any more
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The decision log, where no choke point writes to it
    #[arg(long, value_name = "DIR", requires = "log_signing_key")]
    log: Option<PathBuf>,
    /// The log's own signing key
    #[arg(long, value_name = "FILE", requires = "log", conflicts_with = "server")]
    log_signing_key: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::List(args) => list(args, output),
        Command::Close(args) => close(args, output),
        Command::Test { config } => test(config, output),
    }
}

fn learn(dir: &Path, key: &Key) -> Result<Alarms, Failure> {
    let (leaves, _) = records(dir, &key.read(dir)?, None)?;
    let mut alarms = Alarms::default();
    for (_, leaf) in &leaves {
        if let Ok(entry) = Entry::parse(leaf) {
            alarms.learn(&entry);
        }
    }
    Ok(alarms)
}

fn list(args: &List, output: &Output) -> Result<Exit, Failure> {
    let alarms = learn(&args.log, &Key::of(args.log_key.as_deref()))?;
    let mut open: Vec<&Open> = alarms.open().collect();
    open.sort_by_key(|one| {
        (one.is_acknowledged, std::cmp::Reverse(one.alarm.severity), one.alarm.first_seen)
    });
    let line = |one: &&Open| {
        let seen = if one.is_acknowledged { "acknowledged " } else { "" };
        format!("{seen}{}", one.alarm.to_text())
    };
    let text: String = open.iter().map(line).collect();
    let text = if text.is_empty() { "no alarm is open\n".to_owned() } else { text };
    let json = |one: &&Open| Json::from(one.alarm.to_json().with("acknowledged", one.is_acknowledged));
    output.result(&text, || Json::Array(open.iter().map(json).collect()));
    Ok(if open.iter().all(|one| one.is_acknowledged) { Exit::Clean } else { Exit::Found })
}

fn close(args: &Close, output: &Output) -> Result<Exit, Failure> {
    let (Some(dir), Some(own)) = (&args.log, &args.log_signing_key) else {
        let body = Object::new().with("id", args.id.as_str()).with("reason", args.reason.as_str());
        args.server.put("/v1/alarms/closed", &body.into())?;
        return Ok(closed(&args.id, output));
    };
    let writer = Writer::open(dir, own)?;
    let mut alarms = learn(dir, &Key::beside())?;
    // nobody proves who they are here: who can write the log can write this
    let by = format!("user {} on the log's machine", rustix::process::getuid().as_raw());
    let event = alarms.acknowledge(&args.id, &by, &args.reason, clock::now(None)?).map_err(|e| {
        Failure::new("the alarm cannot be closed").code("not-closed").line("found", &e.to_string())
    })?;
    writer.append(None, event)?;
    Ok(closed(&args.id, output))
}

fn closed(id: &str, output: &Output) -> Exit {
    output.result(&format!("closed {id}\n"), || Object::new().with("closed", id).into());
    Exit::Clean
}

fn test(file: &Path, output: &Output) -> Result<Exit, Failure> {
    let text = input::text("configuration", file)?;
    let config =
        Config::parse(file, &text).map_err(|errors| Failure::load("serve-configuration-invalid", errors))?;
    if config.alarms.sinks.is_empty() {
        return Err(Failure::new("alarms are told nowhere")
            .line("wanted", "`alarms: { sinks: [...] }` in the configuration")
            .line("fix", "portcullis serve --example shows each kind of sink"));
    }
    let now: server::Clock = Arc::new(|| clock::now(None).unwrap_or(Timestamp::UNIX_EPOCH));
    let results = server::alarm::test(&config.alarms.sinks, &config.log.origin, &now);
    let line = |(name, result): &(String, Result<(), String>)| match result {
        Ok(()) => format!("told    {name}\n"),
        Err(why) => format!("failed  {name}: {why}\n"),
    };
    let text: String = results.iter().map(line).collect();
    let json = |(name, result): &(String, Result<(), String>)| {
        let mut object = Object::new().with("sink", name.as_str()).with("told", result.is_ok());
        object.set_some("found", result.as_ref().err().map(String::as_str));
        Json::from(object)
    };
    output.result(&text, || Json::Array(results.iter().map(json).collect()));
    Ok(if results.iter().all(|(_, result)| result.is_ok()) { Exit::Clean } else { Exit::Found })
}
