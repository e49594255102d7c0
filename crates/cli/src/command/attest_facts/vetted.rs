//! `portcullis attest import`: crates of a lock file that others reviewed, as cargo-vet's files say.

use std::path::{Path, PathBuf};

use advisory::vet::{Answer, Audits, Locked, SAFE_TO_DEPLOY, VetError, locked};
use attest::claims::{IMPORT, Import, Reviewed};
use attest::{DigestSet, Json, Object, Statement};

use super::sign;
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input::{self, Unlock};
use crate::output::Output;

/// Files of cargo-vet with the imports of large projects are some megabytes.
const MAX_FILE: u64 = 64 << 20;
/// As many subjects as a statement has.
const MAX_PACKAGES: usize = 1024;

/// Crates of others were reviewed, as cargo-vet's files say
///
/// Full audits count, and chains of deltas from one; a violation vetoes. Exemptions, wildcard audits and trusted
/// publishers never count. Exit code 1 where a crate of the lock file is not covered.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  portcullis attest import --from-cargo-vet supply-chain --lock Cargo.lock --key vetting.key \\
      --out crates.import.json")]
pub(crate) struct Args {
    /// The folder with audits.toml, config.toml and imports.lock
    #[arg(long, value_name = "DIR")]
    from_cargo_vet: PathBuf,
    /// The lock file: its checksums say which bytes the audits are about
    #[arg(long, value_name = "FILE")]
    lock: PathBuf,
    /// The criterion that must be met
    #[arg(long, value_name = "CRITERION", default_value = SAFE_TO_DEPLOY)]
    criteria: String,
    /// The key that signs: a file, or a pkcs11: URI
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// Where the bundle goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// When the files were read; now without
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    unlock: Unlock,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let audits = read(&args.from_cargo_vet)?;
    if !audits.knows(&args.criteria) {
        return Err(Failure::new("the criterion is not known")
            .line("wanted", "safe-to-deploy, safe-to-run, or one of audits.toml")
            .line("found", &args.criteria));
    }
    let lock = input::long_text("lock file", &args.lock, MAX_FILE)?;
    let packages = locked(&lock).map_err(|e| failed(&args.lock, &e))?;
    let (mut covered, mut left) = (Vec::new(), Vec::new());
    for package in &packages {
        match look_up(&audits, package, &args.criteria) {
            Ok(reviewed) => covered.push(reviewed),
            Err(why) => left.push((format!("{} {}", package.name, package.version), why)),
        }
    }
    check_count(covered.len(), packages.len())?;
    let count = covered.len();
    let import = Import { packages: covered, reviewed: clock::now(args.at.as_deref())? };
    sign(&statement(&import), &args.key, &args.unlock, &args.out)?;
    let lines: String = left
        .iter()
        .map(|(name, why)| format!("not covered: {}\n", policy::one_line(&format!("{name}: {why}"))))
        .collect();
    let text = format!("{}\n{count} of {} crates are covered\n{lines}", args.out.display(), packages.len());
    output.result(&text, || to_json(&args.out, count, &left));
    Ok(if left.is_empty() { Exit::Clean } else { Exit::Found })
}

/// The statement that is about each of its packages.
pub(crate) fn statement(import: &Import) -> String {
    let subjects: Vec<(&str, &DigestSet)> =
        import.packages.iter().map(|package| (package.purl.as_str(), &package.digests)).collect();
    Statement::write_all(&subjects, IMPORT, import.to_json())
}

fn check_count(covered: usize, all: usize) -> Result<(), Failure> {
    match covered {
        0 => Err(Failure::new("no crate of the lock file is covered, so there is nothing to attest")
            .line("found", &format!("{all} crates of others"))
            .line("fix", "review one with cargo vet, and check --criteria")),
        n if n > MAX_PACKAGES => Err(Failure::new("more crates than a statement has room for")
            .line("wanted", &format!("at most {MAX_PACKAGES}"))
            .line("found", &n.to_string())
            .line("fix", "split the workspace, and attest each lock file")),
        _ => Ok(()),
    }
}

fn read(dir: &Path) -> Result<Audits, Failure> {
    let imports = dir.join("imports.lock");
    // only projects with imports have one
    let text = |path: &Path| input::long_text("file of cargo-vet", path, MAX_FILE);
    let imports = match imports.symlink_metadata() {
        // one that cannot be read is none that is not there: it may hold a violation
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        _ => Some(text(&imports)?),
    };
    let (audits, config) = (text(&dir.join("audits.toml"))?, text(&dir.join("config.toml"))?);
    Audits::read(&audits, &config, imports.as_deref()).map_err(|e| failed(&dir.join(&e.file), &e))
}

fn failed(file: &Path, error: &VetError) -> Failure {
    Failure::new(&format!("{} cannot be read", file.display()))
        .line("found", &policy::one_line(&error.why))
        .line("fix", "have cargo or cargo vet write it anew")
}

fn look_up(audits: &Audits, package: &Locked, criterion: &str) -> Result<Reviewed, String> {
    let Locked { name, version, digest } = package;
    let digest = digest.clone().ok_or("it is not of crates.io, of which the audits speak")?;
    match audits.answer(name, version, criterion) {
        Answer::Violated(why) => Err(why),
        Answer::Unreviewed => Err("nobody reviewed it".to_owned()),
        Answer::Reviewed(who) => Ok(Reviewed {
            purl: format!("pkg:cargo/{name}@{version}"),
            from: Some(format!("https://static.crates.io/crates/{name}/{name}-{version}.crate")),
            digests: digest.into(),
            previous: None,
            reviewers: who,
            criteria: audits.implied(criterion).into_iter().collect(),
        }),
    }
}

fn to_json(out: &Path, covered: usize, left: &[(String, String)]) -> Json {
    let left = left
        .iter()
        .map(|(name, why)| Json::from(Object::new().with("crate", name.as_str()).with("why", why.as_str())));
    Object::new()
        .with("bundle", out.display().to_string())
        .with("covered", i64::try_from(covered).unwrap_or(i64::MAX))
        .with("not_covered", Json::Array(left.collect()))
        .into()
}
