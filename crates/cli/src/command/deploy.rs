//! `portcullis deploy`: a choke point for hosts and databases. What the command sees are the bytes that were judged, in
//! memory that nobody can change, and never a path that somebody could.

mod child;
mod credential;
mod members;
mod releases;
mod sealed;
mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use attest::{Json, Object};
use policy::DeploymentRequest;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::gate::{self, Gate, GateRuling};
use crate::output::Output;
use child::Child;
use credential::Credential;
use releases::Releases;
use sealed::Sealed;

/// Verify a file, and run a command on exactly the verified bytes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
FILE is read once. The command begins only after the decision is on record, and gets the bytes
that were judged: each {} becomes /proc/self/fd/N, an open file that nobody can change. A command
that closes descriptors, as sudo, ssh and docker do, gets them with --stdin. Credentials are read
after the admission, and never stand on a command line.

Exit codes: until the command runs, the decision's: 1 rejected, 2 cannot decide or could not do
the job. Then the command's own; 128 and the signal's number where a signal ended it.

Examples:
  portcullis deploy --environment prod/orders 0042.sql --as sql://orders/migrations \\
      --bundle 0042.sigstore.json --server https://portcullis.example:8443 \\
      --client-certificate db-1.crt --client-key db-1.key --ca ca.crt \\
      --credential-file PGPASSFILE=file:/etc/portcullis/pgpass \\
      -- psql -h db.example -d orders -v ON_ERROR_STOP=1 --single-transaction -f {}
  portcullis deploy --environment prod/orders migrations.tar --members .sql --bundle m.json \\
      --book book --trust-root trust-root.yaml --log log --log-key log.key --origin db-1 \\
      -- psql -d orders -v ON_ERROR_STOP=1 --single-transaction --file={}")]
pub(crate) struct Args {
    /// The file that is deployed
    #[arg(required_unless_present_any = ["bring_spool", "watch"])]
    file: Option<PathBuf>,
    /// Where it is deployed to, as in prod/orders
    #[arg(long, value_name = "ENVIRONMENT", required_unless_present_any = ["bring_spool", "watch"])]
    environment: Option<String>,
    /// The URI under which the artifact is requested; where this machine decides, else what the environment's policy names
    #[arg(long = "as", value_name = "URI")]
    uri: Option<String>,
    /// Evidence: an envelope, lines or a list of them, or an OCI layout; may be given more than once
    #[arg(long = "bundle", value_name = "FILE")]
    bundles: Vec<PathBuf>,
    /// Give the command the verified bytes on its standard input
    #[arg(long)]
    stdin: bool,
    /// FILE is a tar, packed with gzip or not: the command gets its files whose names end so, in the order of their names.
    /// An argument with {} is repeated for each; with --stdin they come one after the other
    #[arg(long, value_name = "ENDING")]
    members: Option<String>,
    /// FILE is a tar, packed with gzip or not: unpack it to DIR/releases/DIGEST, and let the link DIR/current lead there, in
    /// one step; then the command is run, if one is given, with the release's path for {}
    #[arg(long, value_name = "DIR", conflicts_with_all = ["stdin", "members"])]
    install: Option<PathBuf>,
    /// Once admitted, put this into the command's environment: NAME=file:PATH, or NAME=command:PROGRAM ARGUMENTS
    #[arg(long = "credential", value_name = "NAME=FROM", value_parser = Credential::parse)]
    credentials: Vec<Credential>,
    /// The same in a file that only the command has; NAME holds its path, as in PGPASSFILE
    #[arg(long = "credential-file", value_name = "NAME=FROM", value_parser = Credential::parse)]
    credential_files: Vec<Credential>,
    /// Follow a pointer to releases for ever, as this file says: see docs/deploy.md
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["file", "environment", "command", "dry_run", "bring_spool"])]
    watch: Option<PathBuf>,
    /// Only bring what waits in the spool to the choke point
    #[arg(long, requires = "spool", conflicts_with_all = ["file", "environment", "command", "dry_run"])]
    bring_spool: bool,
    /// Only decide: nothing is on record, and nothing is run
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    gate: gate::Args,
    #[arg(long, env = "PATH", hide = true, hide_env_values = true)]
    search: Option<OsString>,
    /// What is run once the file is admitted
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    if args.bring_spool {
        return bring(args, output);
    }
    if let Some(file) = &args.watch {
        return watch::run(file, &args.gate, output);
    }
    check(args)?;
    let gate = args.gate.open()?;
    let (sealed, ruling) = decide(args, gate)?;
    if !ruling.is_admitted() || args.dry_run {
        output.result(&told(&ruling, args.dry_run), || to_json(&ruling, args.dry_run, None));
        return Ok(ruling.exit());
    }
    output.progress(ruling.text.trim_end());
    let status = act(args, sealed, output)?;
    if output.is_json() {
        output.result("", || to_json(&ruling, false, Some(status)));
    }
    Ok(Exit::Of(status))
}

fn bring(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let count = args.gate.bring()?;
    let human = match count {
        0 => format!("nothing waits{}\n", args.gate.spool_place()),
        1 => "1 record is with the choke point now\n".to_owned(),
        more => format!("{more} records are with the choke point now\n"),
    };
    output.result(&human, || Object::new().with("brought", i64::try_from(count).unwrap_or(i64::MAX)).into());
    Ok(Exit::Clean)
}

/// The bytes, and the decision about them.
fn decide(args: &Args, gate: Gate) -> Result<(Sealed, GateRuling), Failure> {
    let envelopes = gate.evidence(&args.bundles)?;
    let (file, environment) =
        (args.file.clone().unwrap_or_default(), args.environment.as_deref().unwrap_or_default());
    let sealed = Sealed::read(&file, &Gate::mentioned(&envelopes))?;
    let name = file.display().to_string();
    let artifact = gate.artifact(&name, sealed.digests().clone(), args.uri.as_deref(), environment)?;
    let mut request = DeploymentRequest::new(artifact, environment, "deploy");
    request.envelopes = envelopes;
    let ruling = gate.decide(request, args.dry_run)?;
    Ok((sealed, ruling))
}

/// What only an admission lets happen.
fn act(args: &Args, sealed: Sealed, output: &Output) -> Result<u8, Failure> {
    if let Some(dir) = &args.install {
        return install(args, dir, &sealed, output);
    }
    let (files, all) = match &args.members {
        Some(ending) => members::read(&sealed, ending, args.stdin)?,
        None => (vec![sealed], None),
    };
    // no program that prints a credential inherits anything
    let values = fetch(&args.credentials)?;
    let secrets = fetch(&args.credential_files)?;
    let paths = files.iter().map(Sealed::inherit).collect::<std::io::Result<Vec<String>>>();
    let paths = paths.map_err(|e| {
        Failure::new("the verified bytes cannot be handed over").line("found", &e.to_string())
    })?;
    let mut child = start(&args.command, &paths, (values, secrets))?;
    if args.stdin {
        child.stdin(all.as_ref().or(files.first()))?;
    }
    child.run(output)
}

/// Puts a release in place; a command, where there is one, comes after.
fn install(args: &Args, dir: &Path, sealed: &Sealed, output: &Output) -> Result<u8, Failure> {
    // a release that cannot be started afterwards is not switched to
    let values = fetch(&args.credentials)?;
    let secrets = fetch(&args.credential_files)?;
    let release = Releases::new(dir).switch(sealed)?;
    output.progress(&format!("{} leads to {}", dir.join("current").display(), release.display()));
    if args.command.is_empty() {
        return Ok(0);
    }
    start(&args.command, &[release.display().to_string()], (values, secrets))?.run(output)
}

/// A command with its credentials, which has not begun.
fn start(
    words: &[String],
    paths: &[String],
    (values, secrets): (Fetched<'_>, Fetched<'_>),
) -> Result<Child, Failure> {
    let mut child = Child::new(words, paths)?;
    values.into_iter().for_each(|(name, value)| child.environment(name, &value));
    for (name, value) in secrets {
        child.secret(name, &value)?;
    }
    Ok(child)
}

/// Names and values.
type Fetched<'a> = Vec<(&'a str, Zeroizing<Vec<u8>>)>;

fn fetch(credentials: &[Credential]) -> Result<Fetched<'_>, Failure> {
    credentials.iter().map(|credential| Ok((credential.name(), credential.value()?))).collect()
}

/// What can be wrong with the command line itself, and the command on it, before anything is read.
fn check(args: &Args) -> Result<(), Failure> {
    if args.install.is_none() {
        check_use(args)?;
    }
    match args.command.first().filter(|_| !args.dry_run) {
        Some(program) => child::check(program, args.search.as_deref()),
        None => Ok(()),
    }
}

fn check_use(args: &Args) -> Result<(), Failure> {
    let usage = |message: &str| Failure::new(message).code("usage");
    if args.command.is_empty() && !args.dry_run {
        return Err(usage("nothing says what to run")
            .line("fix", "give a command behind `--`, as in: -- psql -v ON_ERROR_STOP=1 -f {}")
            .line("or", "only decide: --dry-run"));
    }
    let is_handed_over = args.stdin || args.command.iter().any(|word| word.contains("{}"));
    if !is_handed_over && !args.command.is_empty() {
        return Err(usage("nothing gives the command the verified bytes")
            .line("fix", "write {} where it wants a file's name, or give --stdin"));
    }
    Ok(())
}

fn told(ruling: &GateRuling, is_dry_run: bool) -> String {
    if is_dry_run {
        format!("{}dry run: nothing is on record, and nothing was run\n", ruling.text)
    } else {
        ruling.text.clone()
    }
}

fn to_json(ruling: &GateRuling, is_dry_run: bool, status: Option<u8>) -> Json {
    let mut object: Object = ruling.json.clone();
    object.set("dry_run", is_dry_run);
    object.set_some("status", status.map(i64::from));
    object.into()
}
