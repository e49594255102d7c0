//! The canary: a build of our own that tries to get out, run in the same sandbox right before builds are.
//!
//! A sandbox that is configured is not one that holds: a kernel without a feature, a container around us, a newer
//! bubblewrap. So every layer is tried, and a layer that does not hold means that nothing is signed. What it found goes
//! into the provenance.

use std::fmt;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use attest::provenance::Isolation;
use attest::{Digest, Json, Object};

use super::group::Group;
use super::{BuildUser, Sandbox, SandboxError, Tier, Variation};
use crate::definition::Limits;
use crate::root::Root;
use crate::store::Store;

mod probe;

pub use probe::probe;

/// The layers that must hold before anything is signed.
pub(crate) const REQUIRED: [&str; 7] =
    ["descriptors", "files", "inputs", "network", "privileges", "processes", "system-calls"];
/// Limits on all processes together: a build can stop the machine without, but cannot lie.
pub(crate) const LIMITS: &str = "limits";

/// Why a sandbox is not good enough.
#[derive(Debug)]
pub enum CanaryError {
    /// A layer did not hold.
    Open {
        /// The layer.
        layer: String,
        /// What the canary could do.
        what: String,
    },
    /// The canary could not be run.
    NotRun(SandboxError),
    /// A file of the canary could not be made.
    Io(PathBuf, io::Error),
}

impl fmt::Display for CanaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { layer, what } => {
                write!(f, "the sandbox does not hold on this machine: {layer}: {what}")
            }
            Self::NotRun(e) => write!(f, "the canary build could not run: {e}"),
            Self::Io(path, e) => write!(f, "the canary build could not run: {}: {e}", path.display()),
        }
    }
}
impl std::error::Error for CanaryError {}

/// What the canary is told to look for.
#[derive(Clone, Debug, Default)]
pub struct Bait {
    /// This program, whose canary command is run inside.
    pub program: PathBuf,
    /// Files and sockets of the host that no build may see: keys, the signer's socket, other builds.
    pub hidden: Vec<PathBuf>,
}

/// Runs the canary, and says what held.
///
/// # Errors
/// [`CanaryError`] where a layer is open or could not be tried.
pub(crate) fn run(
    (tier, runsc): (Tier, Option<&Path>),
    bait: &Bait,
    store: &Store,
    work: &Path,
    user: Option<&BuildUser>,
) -> Result<Isolation, CanaryError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |e| CanaryError::Io(path, e)
    };
    let work = work.join("canary");
    let (source, inputs) = (work.join("src"), work.join("inputs"));
    for folder in [&source, &inputs] {
        fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    fs::write(inputs.join("canary"), "an input\n").map_err(failed(&inputs))?;
    if let Some(user) = user {
        std::os::unix::fs::chown(&source, Some(user.id()), Some(user.id())).map_err(failed(&source))?;
    }
    let root = root(&bait.program, store).map_err(failed(&bait.program))?;
    // listeners that a build without its own network would reach, and a file that one without its own files would see
    let web = TcpListener::bind("127.0.0.1:0").map_err(failed(&work))?;
    let port = web.local_addr().map_err(failed(&work))?.port();
    let name = format!("portcullis-canary-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).map_err(failed(&work))?;
    let _abstract_socket = UnixListener::bind_addr(&abstract_name).map_err(failed(&work))?;
    let hidden: Vec<Json> =
        bait.hidden.iter().chain([&work]).map(|p| Json::from(p.display().to_string())).collect();
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let told = Object::new()
        .with("port", i64::from(port))
        .with("socket", name.as_str())
        .with("hidden", Json::Array(hidden))
        .with("tier", tier.name())
        .with("kernel", kernel.as_str());
    let command = ["/canary", "builder", "canary", &told.to_string()].map(str::to_owned);
    let log = work.join("canary.log");
    let sandbox = Sandbox {
        tier,
        runsc,
        root: root.path(),
        source: &source,
        inputs: Some(&inputs),
        artifacts: None,
        command: &command,
        environment: &[],
        limits: &Limits { processes: 64, ..Limits::DEFAULT },
        user,
        variation: &Variation::default(),
        log: &log,
    };
    sandbox.run().map_err(CanaryError::NotRun)?;
    judge(tier, &fs::read_to_string(&log).map_err(failed(&log))?)
}

/// Only a layer that the canary names as held did hold: what it says nothing of is open.
fn judge(tier: Tier, said: &str) -> Result<Isolation, CanaryError> {
    let mut isolation =
        Isolation { tier: tier.name().to_owned(), profile: Some(tier.profile()), ..Isolation::default() };
    for layer in REQUIRED {
        let line = said.lines().find_map(|l| l.strip_prefix(layer)?.strip_prefix('\t'));
        match line {
            Some("held") => isolation.held.push(layer.to_owned()),
            Some(what) => {
                return Err(CanaryError::Open { layer: layer.to_owned(), what: what.to_owned() });
            }
            None => {
                let what = "the canary said nothing about it".to_owned();
                return Err(CanaryError::Open { layer: layer.to_owned(), what });
            }
        }
    }
    let has_limits = Group::create(&Limits::DEFAULT).is_some();
    let layers = if has_limits { &mut isolation.held } else { &mut isolation.missing };
    layers.push(LIMITS.to_owned());
    Ok(isolation)
}

/// A root with this program and the libraries that it loads, and nothing else.
fn root(program: &Path, store: &Store) -> io::Result<Root> {
    let metadata = fs::metadata(program)?;
    let name =
        format!("{} {} {}", program.display(), metadata.size(), metadata.mtime_nsec() + metadata.mtime());
    let name = format!("canary-{}", Digest::sha256(name.as_bytes()).hex());
    Root::open(store, &name, std::convert::identity, |folder| {
        for name in ["proc", "dev", "tmp", "build"] {
            fs::create_dir_all(folder.join(name))?;
        }
        fs::copy(program, folder.join("canary"))?;
        for library in crate::capture::loaded_libraries(program) {
            let place = folder.join(library.strip_prefix("/").unwrap_or(&library));
            fs::create_dir_all(place.parent().unwrap_or(folder))?;
            fs::copy(&library, place)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_is_not_said_to_hold_is_open() {
        let all: String = REQUIRED.iter().map(|layer| format!("{layer}\theld\n")).collect();
        assert_eq!(judge(Tier::Bubblewrap, &all).unwrap().held.len(), 7 + usize::from(has_group()));
        for layer in REQUIRED {
            for other in ["", &format!("{layer}\tit read the key\n"), &format!("{layer}\n")] {
                let said = all.replace(&format!("{layer}\theld\n"), other);
                let error = judge(Tier::Bubblewrap, &said).unwrap_err().to_string();
                assert!(error.contains(layer), "{error}");
            }
        }
        assert!(judge(Tier::Bubblewrap, "").is_err());
    }

    fn has_group() -> bool {
        Group::create(&Limits::DEFAULT).is_some()
    }
}
