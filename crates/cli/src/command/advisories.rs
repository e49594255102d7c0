//! `portcullis advisories`: what is known of bad versions, offline, and what of it is in our artifacts.

mod dump;
mod fleet;
mod made_of;
mod tell;

use std::path::{Path, PathBuf};

use advisory::vex::Statements;
use advisory::{Database, Exposure, Wanted, judge};
use attest::claims::Severity;
use inventory::advisories::{self, Tally};

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::trust::{Trust, Trusted};
use made_of::Artifact;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Match(Match),
    Fleet(fleet::Args),
}

/// List every component with an advisory: how bad, which version is there, which one is fixed
///
/// Exit code 1 where something is at least as bad as --worst; 0 where nothing is; 2 where nothing is, and a part of the
/// database could not be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis advisories match --database osv/npm.zip --artifact shop.sigstore.json --key ci.pub
  portcullis advisories match --database osv --sbom shop.cdx.json --vex shop.vex.sigstore.json \\
      --vex-key security.pub")]
pub(crate) struct Match {
    /// An OSV dump: a folder of JSON files, an ecosystem's all.zip, or one record; may be given more than once
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    database: Vec<PathBuf>,
    /// Bundles with provenance, or with a list of parts; opened under --key or --trust-root
    #[arg(long = "artifact", value_name = "BUNDLE", required_unless_present = "sboms", num_args = 1..)]
    artifacts: Vec<PathBuf>,
    /// Lists of parts, CycloneDX or SPDX, that nobody signed: taken at their word
    #[arg(long = "sbom", value_name = "FILE", num_args = 1..)]
    sboms: Vec<PathBuf>,
    /// Signed OpenVEX statements: what they say does not matter is not counted
    #[arg(long = "vex", value_name = "BUNDLE", requires = "vex_key", num_args = 1..)]
    vex: Vec<PathBuf>,
    /// The public key of who may say that an advisory does not matter
    #[arg(long, value_name = "FILE")]
    vex_key: Option<PathBuf>,
    /// How bad is too bad: low, medium, high or critical. What nobody has rated counts as critical
    #[arg(long, value_name = "SEVERITY", default_value = "low", value_parser = read_severity)]
    worst: Severity,
    #[command(flatten)]
    trust: Trust,
}

/// What is found, for both forms of the answer.
struct Findings {
    artifacts: Vec<Artifact>,
    exposures: Vec<(usize, Exposure)>,
    dump: Tally,
    unread: Vec<String>,
    worst: Severity,
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Match(args) => match_all(args, output),
        Command::Fleet(args) => fleet::run(args, output),
    }
}

fn match_all(args: &Match, output: &Output) -> Result<Exit, Failure> {
    let artifacts = read_artifacts(args)?;
    let wanted = Wanted::of(artifacts.iter().flat_map(|artifact| &artifact.components));
    let (database, dump) = advisories::load(&args.database, &wanted)?;
    let vex = read_vex(&args.vex, args.vex_key.as_deref())?;
    let exposures = all_exposures(&artifacts, &database, &vex);
    let unread = database.unread().to_vec();
    let findings = Findings { artifacts, exposures, dump, unread, worst: args.worst };
    output.result(&tell::text(&findings), || tell::to_json(&findings));
    Ok(match (findings.bad().next().is_some(), findings.unread.is_empty()) {
        (true, _) => Exit::Found,
        (false, true) => Exit::Clean,
        (false, false) => Exit::Failed,
    })
}

impl Findings {
    fn bad(&self) -> impl Iterator<Item = &(usize, Exposure)> {
        self.exposures.iter().filter(|(_, exposure)| exposure.is_at_least(self.worst))
    }
}

fn read_artifacts(args: &Match) -> Result<Vec<Artifact>, Failure> {
    let mut artifacts = Vec::new();
    if !args.artifacts.is_empty() {
        let trusted = args.trust.read()?;
        for path in &args.artifacts {
            artifacts.push(made_of::of_bundle(path, &trusted)?);
        }
    }
    for path in &args.sboms {
        artifacts.push(made_of::of_plain(path)?);
    }
    Ok(artifacts)
}

pub(crate) fn read_vex(files: &[PathBuf], key: Option<&Path>) -> Result<Statements, Failure> {
    let mut statements = Statements::default();
    let Some(key) = key else { return Ok(statements) };
    let trusted: Trusted = Trust::of_key(key, clock::now(None)?)?;
    for path in files {
        statements.extend(made_of::vex(path, &trusted)?);
    }
    Ok(statements)
}

fn all_exposures(artifacts: &[Artifact], database: &Database, vex: &Statements) -> Vec<(usize, Exposure)> {
    let mut exposures = Vec::new();
    for (index, artifact) in artifacts.iter().enumerate() {
        let about = vex.about(&artifact.digests, &artifact.names);
        exposures.extend(judge(&artifact.components, database, &about).into_iter().map(|e| (index, e)));
    }
    exposures
}

fn read_severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text)
        .filter(|severity| *severity != Severity::Negligible)
        .ok_or_else(|| "wanted low, medium, high or critical".to_owned())
}
