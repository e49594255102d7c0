//! `portcullis build SOURCE`: a verifiable build of a git commit.

use std::path::{Path, PathBuf};

use attest::claims::TestOutcome;
use attest::{Json, Object};
use builder::{BuildError, BuildRequest, Built, SandboxError, Step};

use crate::clock;
use crate::command::operator::{Operator, Prepared};
use crate::failure::{Exit, Failure};
use crate::keys;
use crate::output::Output;

pub(crate) mod interrupt;
mod like;
pub(crate) mod publish;
mod remote;
pub(crate) mod signing;
mod uncommitted;
mod work_folder;

pub(crate) use publish::Published;
use signing::Desk;
pub(crate) use work_folder::WorkFolder;

/// Build one target of a git commit verifiably
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The build definition, portcullis.build.yaml, is read from the commit that is built. Without
--signer, the provenance is signed as the visibly named builder local-demo, with a key of this
user, by a process of its own; with --signer, by the production signer that listens there (see
`portcullis builder signer`).

Beside each artifact appear ARTIFACT.sigstore.json (its provenance) and, for each declared test,
ARTIFACT.TEST.test.sigstore.json. A command that fails leaves TARGET.failed.sigstore.json, which
can be taken for nothing else. Exit code 1: built, and a test failed.

Examples:
  portcullis build https://github.com/acme/shop --ref main --target shop --out dist
  portcullis build . --ref v1.4.3 --target shop --out dist --like shop-1.4.2.sigstore.json \\
      --trust-root trust-root.yaml")]
pub(crate) struct Args {
    /// The repository: a URL, or a folder
    source: String,
    /// The branch, tag or full ref
    #[arg(long = "ref", value_name = "REF")]
    reference: String,
    /// The target of the build definition
    #[arg(long)]
    target: String,
    /// Where the artifact and ARTIFACT.sigstore.json go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Refuse unless every other input is the one of this shipped build (the chapter's cherry-pick)
    #[arg(long, value_name = "BUNDLE", requires = "trust_root")]
    like: Option<PathBuf>,
    /// The name of this run, that nobody can guess or use twice; made up without
    #[arg(long, value_name = "ID")]
    invocation: Option<String>,
    /// Also write ARTIFACT.provenance.jwt, the same record as a token
    #[arg(long)]
    jwt: bool,
    /// Write what the command prints to this file while it runs
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// End, and the build with it, once standard input is closed: for a service that starts builds
    #[arg(long, hide = true)]
    until_input_closes: bool,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    desk: signing::Signing,
    #[command(flatten)]
    remote: remote::Remote,
}

impl Args {
    /// For the demo: a local build that keeps everything below one folder.
    pub(crate) fn local(source: &str, target: &str, out: &Path, state: &Path, store: &Path) -> Self {
        Self {
            source: source.to_owned(),
            reference: "main".to_owned(),
            target: target.to_owned(),
            out: out.to_owned(),
            like: None,
            invocation: None,
            jwt: false,
            log: None,
            until_input_closes: false,
            operator: Operator::of_store(store),
            desk: signing::Signing::of_state(state),
            remote: remote::Remote::default(),
        }
    }
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    if args.remote.is_wanted() {
        let wish = remote::Wish {
            repository: &args.source,
            reference: &args.reference,
            target: &args.target,
            out: &args.out,
        };
        return remote::run(&args.remote, wish, output);
    }
    let is_served = args.until_input_closes;
    if is_served {
        end_with_input();
    }
    // a service takes the result as JSON, and shows progress to people
    let made = make(args, |line| if is_served { eprintln!("{line}") } else { output.progress(line) })?;
    let human: String = made.iter().map(Published::to_text).collect();
    output.result(&human, || {
        let outputs = made.iter().map(Published::to_json).collect();
        Json::from(Object::new().with("outputs", Json::Array(outputs)))
    });
    let is_clean = made.iter().all(|p| p.tests.iter().all(|t| t.outcome == TestOutcome::Pass));
    Ok(if is_clean { Exit::Clean } else { Exit::Found })
}

/// The service that started us holds the other end: it is closed by its death too, however it dies.
#[allow(clippy::disallowed_methods, reason = "main is waiting for a build, which ends with this process")]
fn end_with_input() {
    std::thread::spawn(|| {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
        // the sandbox's first process dies with this one, and everything of the build with that; git and whatever else
        // the orchestrator started is in the group that the service made for it
        rustix::process::kill_current_process_group(rustix::process::Signal::KILL).ok();
    });
}

/// Builds and signs; gives what was published.
pub(crate) fn make(args: &Args, mut say: impl FnMut(&str)) -> Result<Vec<Published>, Failure> {
    let request = BuildRequest {
        repository: repository(&args.source)?,
        reference: args.reference.clone(),
        target: args.target.clone(),
        invocation: args.invocation.clone().map_or_else(keys::invocation, Ok)?,
    };
    keys::folder(&args.out)?;
    clock::now(None)?;
    let now = || clock::now(None).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let work = WorkFolder::make()?;
    uncommitted::tell(Path::new(&args.source), &args.reference, &mut say);
    let operator = args.operator.prepare(&args.desk.secrets())?;
    let orchestrator = operator.orchestrator();
    let progress = |step| say(words(step));
    let log = args.log.clone().unwrap_or_else(|| work.path().join("build.log"));
    let built = orchestrator.build(&request, (work.path(), &log), now, progress);
    let built = match built {
        Ok(built) => built,
        Err(e) => {
            interrupt::hold_failed();
            return Err(failed(args, &request, work.path(), e));
        }
    };
    if let Some(bundle) = &args.like {
        like::check(bundle, &built, &operator)?;
    }
    say("  signing the provenance");
    interrupt::signing();
    let made = sign_and_publish(args, work.path(), &built, &operator)?;
    if let Some(first) = made.first() {
        built.remember(operator.store(), first.digest.clone()).map_err(failure)?;
    }
    Ok(made)
}

fn sign_and_publish(
    args: &Args,
    work: &Path,
    built: &Built,
    operator: &Prepared,
) -> Result<Vec<Published>, Failure> {
    let tokens = if args.jwt { built.outputs.len() } else { 0 };
    let desk = Desk::open(&args.desk, work, built.outputs.len() + built.tests.len() + tokens)?;
    let mut made = Vec::new();
    for (file, record) in &built.outputs {
        let bundle = desk.sign(record)?;
        let tests = built.tests.iter().filter(|t| t.artifact == record.name);
        let tests = tests.map(|t| Ok((t, desk.sign_test(t)?))).collect::<Result<Vec<_>, Failure>>()?;
        let token = args.jwt.then(|| desk.sign_token(record)).transpose()?;
        made.push((file, publish::Signed { record, bundle, token, tests }));
    }
    desk.close();
    // nothing is visible before everything is signed, and what the provenance promises is written down
    for (_, signed) in &made {
        operator.promise(signed.record, signed.text().as_bytes())?;
    }
    made.into_iter().map(|(file, signed)| publish::publish(&args.out, file, &signed)).collect()
}

fn words(step: Step) -> &'static str {
    match step {
        Step::Source => "  fetching the commit",
        Step::Cached => "  the same inputs were built before: taking the outputs from the cache",
        Step::Inputs => "  fetching the declared inputs by digest",
        Step::Canary => "  trying the sandbox with a canary",
        Step::Run => "  building in the sandbox, without network",
        Step::Outputs => "  hashing what came out",
        Step::Tests => "  testing it, in the same sandbox",
    }
}

fn repository(source: &str) -> Result<String, Failure> {
    let path = Path::new(source);
    if !source.contains("://") && path.exists() {
        let real = path.canonicalize().map_err(|e| Failure::io("read the repository", path, &e))?;
        return Ok(format!("file://{}", real.display()));
    }
    Ok(source.to_owned())
}

/// A command that failed leaves a signed record: what happened is known later, and is no provenance.
fn failed(args: &Args, request: &BuildRequest, work: &Path, error: BuildError) -> Failure {
    let (why, build) = match &error {
        BuildError::Sandbox(why, build) => (why.reason(), build),
        BuildError::Unusable(why, build) => (why.to_string(), build),
        BuildError::Git(_) if is_commit(&request.reference) => {
            return Failure::new(&format!("there is no branch or tag `{}`", request.reference))
                .code("no-such-ref")
                .line("wanted", "a branch or tag, which is what provenance says of a build")
                .line("found", "what looks like the id of a commit")
                .line("fix", "tag the commit, or name the branch that ends with it");
        }
        _ => return failure(error),
    };
    let record = builder::FailureRecord {
        repository: build.source.repository.clone(),
        reference: build.source.reference.clone().unwrap_or_default(),
        target: request.target.clone(),
        commit: build.source.commit().unwrap_or_else(|| attest::Digest::sha256(b"")),
        reason: builder::one_line(&why),
        log: build.log.clone(),
        started: build.times.0,
        finished: build.times.1,
        invocation: request.invocation.clone(),
    };
    let signed = Desk::open(&args.desk, work, 1).and_then(|desk| {
        let bundle = desk.sign_failure(&record)?;
        desk.close();
        publish::publish_failure(&args.out, &request.target, &bundle)
    });
    let failure = failure(error);
    match signed {
        Ok(path) => failure.line("record", &path.display().to_string()),
        Err(_) => failure.line("record", "none: it could not be signed"),
    }
}

pub(crate) fn failure(error: BuildError) -> Failure {
    match error {
        BuildError::Definition(errors) => Failure::load("build-definition-invalid", errors),
        BuildError::NoDefinition(commit) => Failure::new(&format!(
            "the commit {} has no portcullis.build.yaml that is a plain file",
            commit.short()
        ))
        .code("no-build-definition")
        .line("fix", "write one: portcullis builder init; commit it, and have it reviewed"),
        BuildError::Sandbox(e, _) => {
            let (code, fix) = match &e {
                SandboxError::TimedOut { .. } => {
                    ("timed-out", "raise `time` in portcullis.build.yaml, or make it faster")
                }
                SandboxError::TooMuch(_) => (
                    "limit-exceeded",
                    "raise the limit in portcullis.build.yaml (memory, processes, disk, files), or use less",
                ),
                SandboxError::NotInstalled(_) => {
                    ("sandbox-not-installed", "install it, or choose another with --sandbox")
                }
                SandboxError::Failed { .. } => ("command-failed", NOT_DECLARED),
                _ => ("sandbox-failed", NOT_DECLARED),
            };
            Failure::new(&e.to_string()).code(code).line("fix", fix)
        }
        BuildError::Canary(e) => Failure::new("nothing is built, for nothing could be signed")
            .code("canary-failed")
            .line("found", &e.to_string())
            .line(
                "fix",
                "install bubblewrap (runsc for gvisor), and build where namespaces and seccomp are allowed, as root or with user namespaces",
            ),
        BuildError::Target { wanted, known } => Failure::new(&format!("there is no target `{wanted}`"))
            .code("no-such-target")
            .line("found", &format!("portcullis.build.yaml of the commit has {}", known.join(", ")))
            .line("fix", "give one of these with --target"),
        BuildError::NotLocked(what) => {
            Failure::new(&format!("the digests of {what} are not in portcullis.build.lock"))
                .code("not-locked")
                .line("fix", "run `portcullis builder lock`, and commit what it writes")
        }
        e => Failure::new(&e.to_string()).code("build-impossible"),
    }
}

const NOT_DECLARED: &str = "what the build needs must be declared: it sees no network and no host files";

/// Whether a word looks like the id of a commit.
fn is_commit(word: &str) -> bool {
    (7..=64).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit())
}
