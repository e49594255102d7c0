//! `portcullis build SOURCE`: a verifiable build of a git commit.

mod remote;
mod served;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attest::{Json, Object};
use builder::{
    BuildError, BuildRecord, BuildRequest, Built, LOCAL_DEMO, Step, Store, build, request_signature,
};

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::keys;
use crate::output::Output;

/// Build one target of a git commit verifiably
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The build definition, portcullis.build.yaml, is read from the commit that is built. Without --signer, the provenance is
signed as the visibly named builder local-demo, with a key of this user, by a process of its own; with --signer, by the
production signer that listens there (see `portcullis builder signer`).

Example:
  portcullis build https://github.com/acme/shop --ref main --target shop --out dist")]
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
    /// The socket of the signer
    #[arg(long, value_name = "SOCKET")]
    signer: Option<PathBuf>,
    /// Sign with this key file as local-demo
    #[arg(long, value_name = "FILE", conflicts_with = "signer")]
    key: Option<PathBuf>,
    /// Where the local builder keeps its key and its log of signatures
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_STATE")]
    state: Option<PathBuf>,
    /// The store of inputs
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_STORE")]
    store: Option<PathBuf>,
    #[command(flatten)]
    remote: remote::Remote,
    #[command(flatten)]
    served: served::Served,
}

impl Args {
    /// For the demo: a local build that keeps everything below one folder.
    pub(crate) fn local(source: &str, target: &str, out: &Path, state: &Path, store: &Path) -> Self {
        Self {
            source: source.to_owned(),
            reference: "main".to_owned(),
            target: target.to_owned(),
            out: out.to_owned(),
            signer: None,
            key: None,
            state: Some(state.to_owned()),
            store: Some(store.to_owned()),
            remote: remote::Remote::default(),
            served: served::Served::default(),
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
    args.served.watch();
    let is_served = args.served.is_served();
    let made = make(args, |line| if is_served { eprintln!("{line}") } else { output.progress(line) })?;
    let human: String = made
        .iter()
        .map(|(artifact, bundle)| format!("{}\n{}\n", artifact.display(), bundle.display()))
        .collect();
    output.result(&human, || {
        let one = |(artifact, bundle): &(PathBuf, PathBuf)| {
            let object = Object::new().with("artifact", artifact.display().to_string());
            Json::from(object.with("bundle", bundle.display().to_string()))
        };
        Json::from(Object::new().with("outputs", Json::Array(made.iter().map(one).collect())))
    });
    Ok(Exit::Clean)
}

/// Builds and signs; gives each artifact and its bundle.
pub(crate) fn make(args: &Args, mut say: impl FnMut(&str)) -> Result<Vec<(PathBuf, PathBuf)>, Failure> {
    let repository = repository(&args.source)?;
    let store = match &args.store {
        Some(dir) => dir.clone(),
        None => keys::home(".cache/portcullis/store")?,
    };
    keys::folder(&args.out)?;
    let work = work_folder()?;
    let request = BuildRequest { repository, reference: args.reference.clone(), target: args.target.clone() };
    clock::now(None)?;
    let now = || clock::now(None).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let progress = |step| {
        say(match step {
            Step::Source => "  fetching the commit",
            Step::Inputs => "  fetching the declared inputs by digest",
            Step::Run => "  building in the sandbox, without network",
            Step::Outputs => "  hashing what came out",
        });
    };
    let built = build(&request, &Store::new(&store), work.path(), now, progress).map_err(failure)?;
    say("  signing the provenance");
    let bundles = sign(args, work.path(), &built)?;
    let mut made = Vec::new();
    for ((file, record), bundle) in built.outputs.iter().zip(bundles) {
        made.push(publish(&args.out, file, record, &bundle)?);
    }
    Ok(made)
}

fn repository(source: &str) -> Result<String, Failure> {
    let path = Path::new(source);
    if !source.contains("://") && path.exists() {
        let real = path.canonicalize().map_err(|e| Failure::io("read the repository", path, &e))?;
        return Ok(format!("file://{}", real.display()));
    }
    Ok(source.to_owned())
}

/// A folder for one build that the sandbox's user can enter but not list.
fn work_folder() -> Result<tempfile::TempDir, Failure> {
    let failed = |e| Failure::io("make a work folder in", &std::env::temp_dir(), &e);
    let dir = tempfile::Builder::new().prefix("portcullis-build-").tempdir().map_err(failed)?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).map_err(failed)?;
    Ok(dir)
}

fn failure(error: BuildError) -> Failure {
    match error {
        BuildError::Definition(errors) => Failure::load("build-definition-invalid", errors),
        BuildError::NoDefinition(commit) => {
            Failure::new(&format!("the commit {} has no portcullis.build.yaml", commit.short())).line(
                "fix",
                "write one at the top of the repository, commit it, and have it reviewed; see docs/guide.md",
            )
        }
        BuildError::Sandbox(e) => Failure::new(&e.to_string())
            .line("fix", "what the build needs must be declared: it sees no network and no host files"),
        e => Failure::new("the build cannot be done").line("found", &e.to_string()),
    }
}

/// Bundles for every output, from the signer that was named, or from one that is started for this build.
fn sign(args: &Args, work: &Path, built: &Built) -> Result<Vec<Json>, Failure> {
    let mut child = None;
    let socket = match &args.signer {
        Some(socket) => socket.clone(),
        None => {
            let socket = work.join("signer.sock");
            child = Some(start_signer(args, &socket, built.outputs.len())?);
            socket
        }
    };
    let one = |(_, record): &(PathBuf, BuildRecord)| {
        request_signature(&socket, record).map_err(|e| {
            Failure::new("the provenance could not be signed; nothing was published")
                .line("found", &e.to_string())
                .line("fix", "see `portcullis builder signer --help` for what a signer needs")
        })
    };
    let bundles: Result<Vec<Json>, Failure> = built.outputs.iter().map(one).collect();
    if let Some(mut child) = child {
        if bundles.is_err() {
            child.kill().ok();
        }
        child.wait().ok();
    }
    bundles
}

fn start_signer(args: &Args, socket: &Path, requests: usize) -> Result<Child, Failure> {
    let state = match &args.state {
        Some(dir) => dir.clone(),
        None => keys::home(".local/state/portcullis")?,
    };
    let key = match &args.key {
        Some(key) => key.clone(),
        None => {
            let path = state.join("local-demo.key");
            keys::folder(&state)?;
            keys::key(&path, attest::Scheme::P256)?;
            path
        }
    };
    let program = std::env::current_exe()
        .map_err(|e| Failure::new("cannot start the signer").line("found", &e.to_string()))?;
    let mut child = Command::new(program)
        .args(["builder", "signer", "--builder-id", LOCAL_DEMO, "--requests", &requests.to_string()])
        .arg("--socket")
        .arg(socket)
        .arg("--key")
        .arg(key)
        .arg("--log")
        .arg(state.join("builds"))
        .arg("--log-key")
        .arg(state.join("builds-log.key"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|e| Failure::new("cannot start the signer").line("found", &e.to_string()))?;
    let start = Instant::now();
    while !socket.exists() {
        if child.try_wait().ok().flatten().is_some() || start.elapsed() > Duration::from_secs(10) {
            child.kill().ok();
            return Err(Failure::new("the signer did not start").line("fix", "its own message stands above"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(child)
}

/// The bundle first, then the artifact: no artifact is ever visible without its provenance.
fn publish(
    out: &Path,
    file: &Path,
    record: &BuildRecord,
    bundle: &Json,
) -> Result<(PathBuf, PathBuf), Failure> {
    let artifact = out.join(&record.name);
    let bundle_path = out.join(format!("{}.sigstore.json", record.name));
    let temporary = out.join(format!(".{}.{}.tmp", record.name, std::process::id()));
    let failed = |e| Failure::io("write", &artifact, &e);
    let copied = fs::copy(file, &temporary).and_then(|_| fs::File::open(&temporary)?.sync_all());
    let written = copied.map_err(failed).and_then(|()| keys::write(&bundle_path, &format!("{bundle}\n")));
    let moved = written.and_then(|()| fs::rename(&temporary, &artifact).map_err(failed));
    if let Err(e) = moved {
        fs::remove_file(&temporary).ok();
        return Err(e);
    }
    Ok((artifact, bundle_path))
}
