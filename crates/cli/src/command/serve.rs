//! `portcullis serve`: the choke point of Kubernetes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use server::webhook::{self, Config, EXAMPLE};

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::keys;
use crate::output::Output;

/// Decide about every deployment to a cluster: the webhook that its API server asks
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
    /// Only read the configuration, and say what is wrong with it; 1 where a file that it names is missing
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
    if args.check {
        return Ok(check(&config, output));
    }
    clock::now(None)?;
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
    let log = keys::log(&log.path, &log.origin, &log.key)?;
    webhook::serve(config, log, Arc::new(now)).map_err(|e| {
        Failure::new("the choke point does not run")
            .line("found", &e.to_string())
            .line("fix", "correct what is named here; --check looks at the configuration alone")
    })?;
    Ok(Exit::Clean)
}

fn check(config: &Config, output: &Output) -> Exit {
    output.progress("the configuration is well formed");
    let missing: Vec<(&str, &Path)> = config.named().into_iter().filter(|(_, file)| !file.exists()).collect();
    for (what, file) in &missing {
        output.progress(&format!("missing: {what}: there is no {}", file.display()));
    }
    if missing.is_empty() { Exit::Clean } else { Exit::Found }
}
