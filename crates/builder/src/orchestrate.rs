//! The story of a build.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown};
use std::path::{Path, PathBuf};

use attest::provenance::{Dependency, Provenance};
use attest::{Digest, LoadError};
use jiff::Timestamp;

use crate::definition::{BuildDefinition, DEFINITION_FILE, Input, Target};
use crate::git::{self, Checkout, GitError};
use crate::record::{BuildRecord, provenance};
use crate::sandbox::{NOBODY, Sandbox, SandboxError};
use crate::store::{Store, StoreError};

/// A definition is a page.
const MAX_DEFINITION: u64 = 1 << 20;

/// What a requester may say: where, which, what. Everything else is in the source.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The repository.
    pub repository: String,
    /// The ref.
    pub reference: String,
    /// The target.
    pub target: String,
}

/// What is going on, for progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The commit is fetched.
    Source,
    /// The inputs are fetched.
    Inputs,
    /// The command runs.
    Run,
    /// The outputs are hashed.
    Outputs,
}

/// What came out: files and what the orchestrator saw, not yet signed.
#[derive(Debug)]
pub struct Built {
    /// A file and its record, for each output.
    pub outputs: Vec<(PathBuf, BuildRecord)>,
    /// The command's output.
    pub log: PathBuf,
}

/// Why there is no artifact.
#[derive(Debug)]
pub enum BuildError {
    /// The source cannot be had.
    Git(GitError),
    /// The commit has no build definition.
    NoDefinition(Digest),
    /// The build definition is wrong.
    Definition(Vec<LoadError>),
    /// There is no such target.
    Target {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: Vec<String>,
    },
    /// An input cannot be had.
    Input(StoreError),
    /// The command did not succeed.
    Sandbox(SandboxError),
    /// The command succeeded and an output is not there, or is no plain file.
    Output(String),
    /// The work directory failed.
    Io(PathBuf, io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(e) => e.fmt(f),
            Self::NoDefinition(commit) => write!(f, "{} has no {DEFINITION_FILE}", commit.short()),
            Self::Definition(errors) => match errors.first() {
                Some(e) => write!(f, "the build definition is wrong: {e}"),
                None => f.write_str("the build definition is wrong"),
            },
            Self::Target { wanted, known } => {
                write!(f, "there is no target `{wanted}`; {DEFINITION_FILE} has {}", known.join(", "))
            }
            Self::Input(e) => e.fmt(f),
            Self::Sandbox(e) => e.fmt(f),
            Self::Output(path) => {
                write!(f, "the build made no plain file {path}, which its definition promises")
            }
            Self::Io(path, e) => write!(f, "{}: {e}", path.display()),
        }
    }
}
impl std::error::Error for BuildError {}

/// Builds one target of one commit, in `work`, an empty directory of its own.
///
/// # Errors
/// [`BuildError`]; nothing is signed then.
pub fn build(
    request: &BuildRequest,
    store: &Store,
    work: &Path,
    now: impl Fn() -> Timestamp,
    mut progress: impl FnMut(Step),
) -> Result<Built, BuildError> {
    let started = now();
    progress(Step::Source);
    let checkout = git::fetch(&request.repository, &request.reference, work).map_err(BuildError::Git)?;
    let definition = read_definition(&checkout)?;
    let target = find_target(&definition, &request.target)?;
    progress(Step::Inputs);
    let root = unpack_toolchain(&definition.toolchain, store, work)?;
    let inputs = fetch_inputs(&definition, store)?;
    progress(Step::Run);
    let environment = environment(target, checkout.epoch);
    let log = work.join("build.log");
    hand_over(&checkout.tree)?;
    let sandbox = Sandbox {
        root: &root,
        source: &checkout.tree,
        inputs: &inputs,
        command: &target.command,
        environment: &environment,
        time: target.time,
        log: &log,
    };
    sandbox.run().map_err(BuildError::Sandbox)?;
    progress(Step::Outputs);
    let mut provenance = provenance(checkout.source, &request.target, &target.command, (started, now()));
    provenance.environment = environment.into_iter().chain(platform()).collect();
    provenance.dependencies = dependencies(&definition);
    let outputs = collect(target, &checkout.tree, work, &provenance)?;
    Ok(Built { outputs, log })
}

/// The definition of the commit that was fetched: never one that the requester brings.
fn read_definition(checkout: &Checkout) -> Result<BuildDefinition, BuildError> {
    let path = checkout.tree.join(DEFINITION_FILE);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|m| m.is_file());
    let commit = checkout.source.digests.first();
    if !is_file {
        return Err(commit.map_or(BuildError::Output(DEFINITION_FILE.to_owned()), BuildError::NoDefinition));
    }
    let mut text = String::new();
    let file = fs::File::open(&path).map_err(|e| BuildError::Io(path.clone(), e))?;
    file.take(MAX_DEFINITION).read_to_string(&mut text).map_err(|e| BuildError::Io(path, e))?;
    BuildDefinition::parse(DEFINITION_FILE, &text).map_err(BuildError::Definition)
}

fn find_target<'a>(definition: &'a BuildDefinition, name: &str) -> Result<&'a Target, BuildError> {
    definition.target(name).ok_or_else(|| BuildError::Target {
        wanted: name.to_owned(),
        known: definition.targets.iter().map(|(n, _)| n.clone()).collect(),
    })
}

fn unpack_toolchain(input: &Input, store: &Store, work: &Path) -> Result<PathBuf, BuildError> {
    let archive = store.fetch(input).map_err(BuildError::Input)?;
    let root = work.join("root");
    let failed = |e| BuildError::Io(archive.clone(), e);
    let file = fs::File::open(&archive).map_err(failed)?;
    fs::create_dir_all(&root).map_err(failed)?;
    let mut archive_reader = tar::Archive::new(io::BufReader::new(file));
    archive_reader.set_preserve_mtime(false);
    archive_reader.unpack(&root).map_err(failed)?;
    for mount in ["proc", "dev", "tmp", "build"] {
        fs::create_dir_all(root.join(mount)).map_err(failed)?;
    }
    Ok(root)
}

fn fetch_inputs(definition: &BuildDefinition, store: &Store) -> Result<Vec<(String, PathBuf)>, BuildError> {
    let one = |input: &Input| Ok((input.name.clone(), store.fetch(input).map_err(BuildError::Input)?));
    definition.inputs.iter().map(one).collect()
}

/// The whole environment: fixed, then what the definition adds.
fn environment(target: &Target, epoch: i64) -> Vec<(String, String)> {
    let fixed = [
        ("PATH", "/usr/bin:/bin".to_owned()),
        ("HOME", "/nonexistent".to_owned()),
        ("LC_ALL", "C".to_owned()),
        ("TZ", "UTC".to_owned()),
        ("SOURCE_DATE_EPOCH", epoch.to_string()),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
    fixed.chain(target.environment.iter().cloned()).collect()
}

/// What else somebody needs to build it again.
fn platform() -> [(String, String); 1] {
    [("portcullis:platform".to_owned(), format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS))]
}

fn dependencies(definition: &BuildDefinition) -> Vec<Dependency> {
    let one = |input: &Input, is_tool| Dependency {
        uri: input.uri.clone(),
        digests: input.digest.clone().into(),
        is_tool,
    };
    let inputs = definition.inputs.iter().map(|i| one(i, false));
    std::iter::once(one(&definition.toolchain, true)).chain(inputs).collect()
}

/// Started by root, the build runs as nobody, who must be able to write the source.
fn hand_over(tree: &Path) -> Result<(), BuildError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let failed = |e| BuildError::Io(tree.to_owned(), e);
    chown(tree, Some(NOBODY), Some(NOBODY)).map_err(failed)?;
    for entry in fs::read_dir(tree).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            hand_over(&entry.path())?;
        } else {
            lchown(entry.path(), Some(NOBODY), Some(NOBODY)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Takes the outputs: plain files only, reached through plain directories and opened without following a link. Each is
/// copied to a place of the orchestrator's own while it is hashed, and the copy is what is published: nothing that
/// outlived the build could swap it.
fn collect(
    target: &Target,
    tree: &Path,
    work: &Path,
    provenance: &Provenance,
) -> Result<Vec<(PathBuf, BuildRecord)>, BuildError> {
    let own = work.join("outputs");
    fs::create_dir(&own).map_err(|e| BuildError::Io(own.clone(), e))?;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700))
        .map_err(|e| BuildError::Io(own.clone(), e))?;
    let mut outputs = Vec::new();
    for output in &target.outputs {
        let mut path = tree.to_owned();
        let parts: Vec<&str> = output.split('/').collect();
        for (index, part) in parts.iter().enumerate() {
            path.push(part);
            let is_last = index + 1 == parts.len();
            let kind = fs::symlink_metadata(&path).map(|m| m.file_type());
            if !kind.is_ok_and(|k| if is_last { k.is_file() } else { k.is_dir() }) {
                return Err(BuildError::Output(output.clone()));
            }
        }
        let name = parts.last().copied().unwrap_or_default().to_owned();
        let copy = own.join(&name);
        let digest = copy_and_hash(&path, &copy).map_err(|e| BuildError::Io(path.clone(), e))?;
        outputs.push((copy, BuildRecord { name, digest, provenance: provenance.clone() }));
    }
    Ok(outputs)
}

fn copy_and_hash(from: &Path, to: &Path) -> io::Result<Digest> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let fd = rustix::fs::open(from, flags | rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())?;
    let mut source = fs::File::from(fd);
    if !source.metadata()?.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut target = fs::OpenOptions::new().write(true).create_new(true).open(to)?;
    let mut hasher = attest::digest::Hasher::new(&[]);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = source.read(&mut buffer)?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        hasher.update(piece);
        target.write_all(piece)?;
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    hasher.finish().first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}
