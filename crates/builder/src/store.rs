//! Content-addressed files: what a digest names, and nothing else. Only the orchestrator writes here.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use attest::Digest;
use attest::digest::Hasher;

use crate::definition::Input;
use crate::fetch::{FetchError, Fetcher};

/// An input that is larger is no input but a disk.
const MAX_INPUT: u64 = 8 << 30;
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

    /// Where the file of a digest is, if it is there.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("sha256").join(digest.hex())
    }

    /// Keeps the bundle that proves an artifact, under the artifact's digest.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn keep_bundle(&self, artifact: &Digest, bundle: &[u8]) -> Result<Digest, StoreError> {
        let path = crate::chain::bundle_path(self, artifact);
        let failed = |e| StoreError::Io(path.clone(), e);
        fs::create_dir_all(path.parent().unwrap_or(&self.root)).map_err(failed)?;
        tlog::write_durably(&path, bundle).map_err(failed)?;
        self.put_bytes(bundle)
    }

    /// Copies a file in, and gives its digest.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put(&self, file: &Path) -> Result<Digest, StoreError> {
        let failed = |e| StoreError::Io(file.to_owned(), e);
        self.receive(|temporary| {
            let mut source = File::open(file).map_err(failed)?;
            io::copy(&mut source, temporary).map_err(failed).map(drop)
        })
    }

    /// Writes bytes in, and gives their digest.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.receive(|temporary| temporary.write_all(bytes).map_err(|e| StoreError::Io(self.root.clone(), e)))
    }

    /// The bytes are hashed as they stand in the store, not as they were offered: no reader sees anything else.
    fn receive(&self, write: impl FnOnce(&mut File) -> Result<(), StoreError>) -> Result<Digest, StoreError> {
        let folder = self.root.join("sha256");
        let failed = |e| StoreError::Io(folder.clone(), e);
        fs::create_dir_all(&folder).map_err(failed)?;
        let temporary = Temporary::create(&folder).map_err(failed)?;
        let mut file = temporary.file.try_clone().map_err(failed)?;
        write(&mut file)?;
        let digest = hash_file(&temporary.path)?;
        temporary.settle(&self.path(&digest)).map_err(failed)?;
        Ok(digest)
    }

    /// The file of an input: from the store, else fetched from its URI into the store. The bytes are hashed each time;
    /// what has another digest never reaches a build. A `file:` URI is not followed: a build definition could name the
    /// orchestrator's own files.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn fetch(&self, input: &Input, fetcher: &dyn Fetcher) -> Result<PathBuf, StoreError> {
        let path = self.path(&input.digest);
        if !path.is_file() {
            let download = |file: &mut File| {
                fetcher
                    .fetch(&input.uri, MAX_INPUT, file)
                    .map_err(|e| StoreError::Missing(input.uri.clone(), input.digest.clone(), Some(e)))
            };
            let found = self.receive(download)?;
            if found != input.digest {
                // what nobody declared is not kept
                fs::remove_file(self.path(&found)).ok();
                return Err(mismatch(input, found));
            }
            return Ok(path);
        }
        let found = hash_file(&path)?;
        if found != input.digest {
            return Err(mismatch(input, found));
        }
        touch(&path).map_err(|e| StoreError::Io(path.clone(), e))?;
        Ok(path)
    }
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
