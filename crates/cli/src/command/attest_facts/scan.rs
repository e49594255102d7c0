//! `portcullis attest scan`: a scanner looked for known vulnerabilities.

use std::path::{Path, PathBuf};

use advisory::scanners::{Found, MAX_BYTES, Report, Scanner, Weighed};
use attest::claims::{Scan, Severity, VULNS, Vulnerability};
use attest::time::parse_time;
use attest::{Algorithm, Json, Object};
use jiff::Timestamp;

use super::{Common, write};
use crate::clock;
use crate::command::advisories::read_vex;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

/// A scanner looked for known vulnerabilities
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What a scanner was told to ignore counts as found. Only a signed VEX statement takes something
out: that the artifact is not affected, with one of OpenVEX's reasons.

Examples:
  portcullis attest scan ./shop --from-grype grype.json --key scanner.key
  portcullis attest scan ./shop --from-osv-scanner osv.json --finished 2026-11-22T09:00:00Z \\
      --database-updated 2026-11-22T06:00:00Z --key scanner.key
  portcullis attest scan ./shop --scanner https://osv.dev --database 2026-11-22T06:00:00Z \\
      --vulnerability CVE-2026-1234=medium --key scanner.key")]
pub(crate) struct Args {
    /// Which scanner
    #[arg(long, value_name = "URI", required_unless_present = "output")]
    scanner: Option<String>,
    /// When its database was updated
    #[arg(long, value_name = "TIME", visible_alias = "database-updated")]
    database: Option<String>,
    /// What it found: ID=SEVERITY; may be given more than once
    #[arg(long = "vulnerability", value_name = "ID=SEVERITY")]
    vulnerabilities: Vec<String>,
    #[command(flatten)]
    from: Outputs,
    /// When the scan ended, where its output does not say
    #[arg(long, value_name = "TIME", requires = "output", conflicts_with = "at")]
    finished: Option<String>,
    /// Signed OpenVEX statements: what they say does not affect the artifact is left out
    #[arg(long = "vex", value_name = "BUNDLE", requires = "vex_key", requires = "output", num_args = 1..)]
    vex: Vec<PathBuf>,
    /// The public key of who may say that a vulnerability does not matter
    #[arg(long, value_name = "FILE")]
    vex_key: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// The output of a scanner, whose it is.
#[derive(Debug, clap::Args)]
#[group(id = "output", multiple = false, conflicts_with_all = ["scanner", "vulnerabilities"])]
pub(crate) struct Outputs {
    /// What OSV-Scanner printed, as JSON: it says neither when it ran nor how old its database is
    #[arg(long, value_name = "FILE")]
    from_osv_scanner: Option<PathBuf>,
    /// What Grype printed, as JSON
    #[arg(long, value_name = "FILE")]
    from_grype: Option<PathBuf>,
    /// What Trivy printed, as JSON: it does not say how old its database is
    #[arg(long, value_name = "FILE")]
    from_trivy: Option<PathBuf>,
    /// What another scanner for vulnerabilities printed, as SARIF 2.1.0
    #[arg(long, value_name = "FILE")]
    from_sarif: Option<PathBuf>,
}

impl Outputs {
    fn named(&self) -> Option<(Scanner, &Path)> {
        let all = [
            (Scanner::OsvScanner, &self.from_osv_scanner),
            (Scanner::Grype, &self.from_grype),
            (Scanner::Trivy, &self.from_trivy),
            (Scanner::Sarif, &self.from_sarif),
        ];
        all.into_iter().find_map(|(scanner, path)| Some((scanner, path.as_deref()?)))
    }
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let weighed = match args.from.named() {
        Some((scanner, path)) => of_output(args, scanner, path)?,
        None => Weighed { scan: as_told(args)?, excused: Vec::new() },
    };
    let out = write("scan", VULNS, weighed.scan.to_json(), &args.common.subject, &args.common.signing)?;
    let excused = |(found, reason): &(Found, &str)| {
        format!("not affected: {} {}, {reason}\n", found.component.label(), found.id)
    };
    let lines: String =
        weighed.excused.iter().map(|e| policy::one_line(excused(e).trim_end()) + "\n").collect();
    output.result(&format!("{}\n{lines}", out.display()), || to_json(&out, &weighed));
    Ok(Exit::Clean)
}

fn to_json(out: &Path, weighed: &Weighed) -> Json {
    let excused = weighed.excused.iter().map(|(found, reason)| {
        let object = Object::new().with("id", found.id.as_str()).with("component", found.component.label());
        Json::from(object.with("justification", *reason))
    });
    let found = i64::try_from(weighed.scan.vulnerabilities.len()).unwrap_or(i64::MAX);
    Object::new()
        .with("bundle", out.display().to_string())
        .with("vulnerabilities", found)
        .with("not_affected", Json::Array(excused.collect()))
        .into()
}

fn as_told(args: &Args) -> Result<Scan, Failure> {
    Ok(Scan {
        scanner: args.scanner.clone().unwrap_or_default(),
        version: None,
        finished: clock::now(args.common.signing.at())?,
        database_updated: args.database.as_deref().map(read_time).transpose()?,
        vulnerabilities: args
            .vulnerabilities
            .iter()
            .map(|v| read_vulnerability(v))
            .collect::<Result<_, _>>()?,
    })
}

fn of_output(args: &Args, scanner: Scanner, path: &Path) -> Result<Weighed, Failure> {
    let bytes = input::read("scanner's output", path, u64::try_from(MAX_BYTES).unwrap_or(u64::MAX))?;
    let report = scanner.read(&bytes).map_err(|e| {
        Failure::new(&format!("{} is no output of {}", path.display(), scanner.name()))
            .line("found", &policy::one_line(&e.to_string()))
            .line("fix", "give what the scanner printed as JSON, whole; --help names the options")
    })?;
    let digests = input::digests(&args.common.subject, &[])?;
    check_scanned(&report, digests.get(Algorithm::Sha256).as_ref(), path)?;
    if args.common.signing.at().is_some() {
        return Err(Failure::new("a scan was finished when it was, not at a time of choice")
            .line("fix", "give --finished TIME instead of --at, where the output does not say"));
    }
    let said = |what: &str, own, given: &Option<String>, flag: &str| {
        one_time(what, own, given.as_deref(), flag, path)
    };
    let finished = said("when the scan ended", report.finished, &args.finished, "--finished")?;
    let database =
        said("how old the scanner's database was", report.database, &args.database, "--database-updated")?;
    let vex = read_vex(&args.vex, args.vex_key.as_deref())?;
    Ok(report.weigh(finished, Some(database), &vex.about(&digests, &[])))
}

/// What the output says, or what was given where it says nothing; never anything else.
fn one_time(
    what: &str,
    own: Option<Timestamp>,
    given: Option<&str>,
    flag: &str,
    path: &Path,
) -> Result<Timestamp, Failure> {
    match (own, given) {
        (Some(own), None) => Ok(own),
        (None, Some(given)) => read_time(given),
        (None, None) => Err(Failure::new(&format!("{} does not say {what}", path.display()))
            .line("fix", &format!("give {flag} TIME, in UTC"))),
        (Some(own), Some(given)) => Err(Failure::new(&format!("{} says itself {what}", path.display()))
            .line("wanted", &own.to_string())
            .line("found", &format!("{flag} {given}"))
            .line("fix", &format!("leave {flag} out"))),
    }
}

/// A scan of another artifact says nothing of this one.
fn check_scanned(report: &Report, subject: Option<&attest::Digest>, path: &Path) -> Result<(), Failure> {
    if report.scanned.is_empty() || subject.is_some_and(|own| report.scanned.contains(own)) {
        return Ok(());
    }
    let scanned: Vec<String> = report.scanned.iter().map(ToString::to_string).collect();
    Err(Failure::new(&format!("{} is about something else", path.display()))
        .line("wanted", &subject.map_or("a sha256 digest".to_owned(), ToString::to_string))
        .line("found", &scanned.join(", "))
        .line("fix", "scan this artifact, or name the one that was scanned"))
}

fn read_time(text: &str) -> Result<Timestamp, Failure> {
    parse_time(text).ok_or_else(|| {
        Failure::new("the time cannot be read")
            .line("wanted", "a time in UTC, as in 2026-11-22T09:00:00Z")
            .line("found", text)
    })
}

fn read_vulnerability(text: &str) -> Result<Vulnerability, Failure> {
    let parsed = text.split_once('=').and_then(|(id, word)| Some((id, Severity::parse(word)?)));
    match parsed {
        Some((id, severity)) if !id.is_empty() => Ok(Vulnerability { id: id.to_owned(), severity }),
        _ => Err(Failure::new("the vulnerability cannot be read")
            .line("wanted", "ID=SEVERITY, with none, low, medium, high or critical")
            .line("found", text)),
    }
}
