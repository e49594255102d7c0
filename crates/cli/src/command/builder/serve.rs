//! `portcullis builder serve`: the build service.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use server::{Config, EXAMPLE, Keys};

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

/// Serve builds to people and machines that the configuration names: a queue, an API, live logs
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
It ends on SIGTERM: nothing new is taken, running builds have until `builds: drain`, and are put
back into the queue then. Killed at any moment, it runs what was running again when it is started
again, or reports it. Each thing that happens is one line of JSON on standard error. See
docs/build-service.md.

Example:
  portcullis builder serve --example > service.yaml
  portcullis builder serve --config service.yaml")]
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
    /// The program that builds, for tests of the service alone
    #[arg(long, value_name = "FILE", hide = true)]
    build_program: Option<PathBuf>,
}

/// Where nothing else is configured, the service tries the sandbox as every build does.
fn own_canary(program: &Path, config: &Config) -> Vec<String> {
    let words = [
        &*program.to_string_lossy(),
        "builder",
        "sandbox",
        "--store",
        &*config.store.to_string_lossy(),
        "--sandbox",
        config.builds.sandbox.as_deref().unwrap_or("bubblewrap"),
        "--hidden",
        &*config.signer.to_string_lossy(),
    ];
    words.map(str::to_owned).into()
}

/// What is named and is not there. The signer's socket is there once the signer runs; folders are made.
fn missing(config: &Config) -> Vec<(&'static str, &Path)> {
    let mut named =
        vec![("the certificate", config.tls.certificate.as_path()), ("its key", config.tls.key.as_path())];
    named.extend(config.certificates.iter().map(|c| ("the clients' authorities", c.ca.as_path())));
    named.extend(config.builds.trust_root.iter().map(|file| ("the trust root", file.as_path())));
    let canary = config.builds.canary.first().map(Path::new).filter(|program| program.is_absolute());
    named.extend(canary.map(|program| ("the canary", program)));
    for issuer in &config.issuers {
        match &issuer.keys {
            Keys::File(file) => named.push(("an issuer's keys", file)),
            Keys::Url { ca, .. } => {
                named.extend(ca.iter().map(|ca| ("the authorities of an issuer", ca.as_path())))
            }
        }
    }
    named.retain(|(_, file)| !file.exists());
    named
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let Some(file) = &args.config else {
        output.script(EXAMPLE);
        return Ok(Exit::Clean);
    };
    let text = input::text("configuration", file)?;
    let mut config = Config::parse(&file.display().to_string(), &text)
        .map_err(|errors| Failure::load("service-configuration-invalid", errors))?;
    if args.check {
        output.progress("the configuration is well formed");
        let missing = missing(&config);
        for (what, file) in &missing {
            output.progress(&format!("missing: {what}: there is no {}", file.display()));
        }
        return Ok(if missing.is_empty() { Exit::Clean } else { Exit::Found });
    }
    let program = match &args.build_program {
        Some(program) => program.clone(),
        None => std::env::current_exe()
            .map_err(|e| Failure::new("cannot find this program").line("found", &e.to_string()))?,
    };
    if config.builds.canary.is_empty() && args.build_program.is_none() {
        config.builds.canary = own_canary(&program, &config);
    }
    clock::now(None)?;
    let now = || clock::now(None).unwrap_or(Timestamp::UNIX_EPOCH);
    server::serve(config, program, Arc::new(now)).map_err(|e| {
        Failure::new("the build service does not run")
            .line("found", &e.to_string())
            .line("fix", "correct what is named here; see docs/build-service.md")
    })?;
    Ok(Exit::Clean)
}
