//! Content-addressed files: what a digest names, and nothing else. Only the orchestrator writes here.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use attest::Digest;
use attest::digest::Hasher;

use crate::definition::Input;
use crate::fetch::{FetchError, Fetcher};

mod origin;

/// An input that is larger is no input but a disk.
const MAX_INPUT: u64 = 8 << 30;
/// What came from outside: fetched by its digest, or put by the operator.
pub(crate) const INPUTS: &str = "sha256";
/// What finished builds made, and their bundles.
pub(crate) const OUTPUTS: &str = "outputs";
const SHARED_ROOTS: &str = "/var/cache/portcullis/roots";

/// A directory of files by SHA-256, and what the orchestrator made of them.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// Why an input cannot be had.
#[derive(Debug)]
pub enum StoreError {
    /// A file could not be read or written.
    Io(PathBuf, io::Error),
    /// What was fetched is not what was declared.
    Digest {
        /// The input.
        uri: String,
        /// What was declared.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// Nobody has put it there, and it cannot be fetched.
    Missing(String, Digest, Option<FetchError>),
    /// The store has it from somewhere else, and where it is declared to come from does not give it now.
    Origin(String, Digest, FetchError),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, e) => write!(f, "{}: {e}", path.display()),
            Self::Digest { uri, wanted, found } => {
                write!(f, "the input {uri} is not the one declared: wanted {wanted}, found {found}")
            }
            Self::Missing(uri, digest, why) => {
                write!(f, "the input {uri} ({digest}) is not in the store")?;
                if let Some(why) = why {
                    write!(f, ", and {why}")?;
                }
                f.write_str(
                    "; put it there with `portcullis builder put FILE`, or name its store with --store DIR",
                )
            }
            Self::Origin(uri, digest, why) => write!(
                f,
                "the store has {digest}, but not from {uri}, and {why}; let it be fetched from there once, or vouch for the file with `portcullis builder put FILE`"
            ),
        }
    }
}
impl std::error::Error for StoreError {}

impl Store {
    /// A store below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// A store below `root`, which only its owner may look into where it is made here. Where it cannot be made, the
    /// first write says so.
    #[must_use]
    pub fn private(root: &Path) -> Self {
        make_private(root).ok();
        Self::new(root)
    }

    /// Where the orchestrator keeps something else of its own: `provenance`, `cache`, `roots`, `source`, `leases`.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where unpacked roots are. Builds that root starts run as another user, who could not get through to a store in
    /// root's home; roots hold nothing but public packages, under names that stand for their content.
    pub(crate) fn roots(&self) -> PathBuf {
        let shared = Path::new(SHARED_ROOTS);
        let is_shared = rustix::process::geteuid().is_root() && fs::create_dir_all(shared).is_ok();
        if is_shared { shared.to_owned() } else { self.folder("roots") }
    }

    /// Where the file of an input's digest is, if it is there.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(INPUTS).join(digest.hex())
    }

    /// Where the output of a finished build is, if it is there. Whoever may build decides what stands here: it is
    /// nobody's input, unless its provenance proves what it is.
    pub(crate) fn output(&self, digest: &Digest) -> PathBuf {
        self.root.join(OUTPUTS).join(digest.hex())
    }

    /// Keeps a bundle that proves an artifact, under the artifact's digest. Builds of the same bytes have a bundle
    /// each, and none takes another's place.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn keep_bundle(&self, artifact: &Digest, bundle: &[u8]) -> Result<Digest, StoreError> {
        make_private(&self.root).map_err(|e| StoreError::Io(self.root.clone(), e))?;
        let first = crate::chain::bundle_path(self, artifact);
        let own = crate::chain::bundle_folder(self, artifact)
            .join(format!("{}.sigstore.json", Digest::sha256(bundle).hex()));
        // the first keeps its place, and stands there alone
        let is_first = fs::read(&first).map_or(true, |known| known == bundle);
        let path = if is_first { first } else { own };
        if !path.is_file() {
            tlog::write_durably(&path, bundle).map_err(|e| StoreError::Io(path.clone(), e))?;
        }
        self.receive(OUTPUTS, |file| write_all(file, bundle), |_| Ok(()))
    }

    /// Copies a file in by the operator's own hand, and gives its digest.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put(&self, file: &Path) -> Result<Digest, StoreError> {
        self.receive(INPUTS, |temporary| copy(file, temporary), |digest| self.remember(digest, origin::PUT))
    }

    /// Copies the output of a finished build in, and gives its digest.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn put_output(&self, file: &Path) -> Result<Digest, StoreError> {
        self.receive(OUTPUTS, |temporary| copy(file, temporary), |_| Ok(()))
    }

    /// Writes in what a URI gave, and gives its digest.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put_bytes(&self, uri: &str, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.receive(INPUTS, |file| write_all(file, bytes), |digest| self.remember(digest, uri))
    }

    /// The bytes are hashed as they stand in the store, not as they were offered: no reader sees anything else. What
    /// `accept` does not want never gets a name.
    fn receive(
        &self,
        folder: &str,
        write: impl FnOnce(&mut File) -> Result<(), StoreError>,
        accept: impl FnOnce(&Digest) -> Result<(), StoreError>,
    ) -> Result<Digest, StoreError> {
        let folder = self.root.join(folder);
        let failed = |e| StoreError::Io(folder.clone(), e);
        make_private(&self.root).and_then(|()| fs::create_dir_all(&folder)).map_err(failed)?;
        let temporary = Temporary::create(&folder).map_err(failed)?;
        let mut file = temporary.file.try_clone().map_err(failed)?;
        write(&mut file)?;
        let digest = hash_file(&temporary.path)?;
        accept(&digest)?;
        temporary.settle(&folder.join(digest.hex())).map_err(failed)?;
        Ok(digest)
    }

    /// The file of an input: from the store, else fetched from its URI into the store. The bytes are hashed each time;
    /// what has another digest never reaches a build. A `file:` URI is not followed: a build definition could name the
    /// orchestrator's own files. What the store has from elsewhere is fetched all the same, so that no provenance names
    /// a URI that never gave the file.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn fetch(&self, input: &Input, fetcher: &dyn Fetcher) -> Result<PathBuf, StoreError> {
        // the caller has its provenance proven
        let output = input.built_by.as_ref().map(|_| self.output(&input.digest));
        if let Some(output) = output.filter(|o| o.is_file()) {
            return checked(input, output);
        }
        let path = self.path(&input.digest);
        let is_there = path.is_file();
        if is_there && self.is_from(&input.digest, &input.uri) {
            return checked(input, path);
        }
        let download = |file: &mut File| {
            fetcher.fetch(&input.uri, MAX_INPUT, file).map_err(|e| {
                let (uri, digest) = (input.uri.clone(), input.digest.clone());
                if is_there {
                    StoreError::Origin(uri, digest, e)
                } else {
                    StoreError::Missing(uri, digest, Some(e))
                }
            })
        };
        // what nobody declared is not kept, and what has its name already is somebody else's
        self.receive(INPUTS, download, |found| {
            if *found == input.digest {
                self.remember(found, &input.uri)
            } else {
                Err(mismatch(input, found.clone()))
            }
        })?;
        Ok(path)
    }
}

fn checked(input: &Input, path: PathBuf) -> Result<PathBuf, StoreError> {
    let found = hash_file(&path)?;
    if found != input.digest {
        return Err(mismatch(input, found));
    }
    touch(&path).map_err(|e| StoreError::Io(path.clone(), e))?;
    Ok(path)
}

fn copy(file: &Path, into: &mut File) -> Result<(), StoreError> {
    let mut source = File::open(file).map_err(|e| StoreError::Io(file.to_owned(), e))?;
    io::copy(&mut source, into).map_err(|e| StoreError::Io(file.to_owned(), e)).map(drop)
}

fn write_all(file: &mut File, bytes: &[u8]) -> Result<(), StoreError> {
    file.write_all(bytes).map_err(|e| StoreError::Io(PathBuf::from("the store"), e))
}

/// A store holds what nobody else has a right to read: sources, inputs, what the operator was shown.
fn make_private(root: &Path) -> io::Result<()> {
    if root.is_dir() { Ok(()) } else { DirBuilder::new().recursive(true).mode(0o700).create(root) }
}

/// Marks as used now: a sweeper leaves alone what was used lately.
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    Ok(rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())?)
}

fn mismatch(input: &Input, found: Digest) -> StoreError {
    StoreError::Digest { uri: input.uri.clone(), wanted: input.digest.clone(), found }
}

/// A file on its way into the store; gone where it does not arrive.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(folder: &Path) -> io::Result<Self> {
        // several builds fetch at once, in threads and in processes
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = folder.join(format!(".{}.{number}.tmp", std::process::id()));
        let file = File::create(&path)?;
        Ok(Self { path, file })
    }

    fn settle(&self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        match target.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// SHA-256 of a file, in pieces.
pub(crate) fn hash_file(path: &Path) -> Result<Digest, StoreError> {
    let failed = |e| StoreError::Io(path.to_owned(), e);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Hasher::new(&[]);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    let digests = hasher.finish();
    digests.first().ok_or_else(|| failed(io::Error::from(io::ErrorKind::InvalidData)))
}
