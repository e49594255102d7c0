//! The bytes that are judged are the bytes that are used: read once, and then in a file without a name.
//!
//! Up to [`IN_MEMORY`] they lie in a memory file whose seals the kernel keeps: nobody can write to it, root neither. It is
//! sealed first and hashed then, so that nothing can come between. What is larger lies in a file that has no name any more
//! and no owner's right to write: users other than this one and root cannot reach it.

use std::fs::{File, Permissions};
use std::io::{self, Read, Seek as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use attest::digest::Hasher;
use attest::{Algorithm, DigestSet};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::{Errno, FdFlags};

use crate::failure::Failure;

/// What is larger is kept on disk.
const IN_MEMORY: u64 = 256 << 20;
/// What is larger is no artifact.
const MAX: u64 = 64 << 30;
/// Where a disk is, and not memory.
const ON_DISK: &str = "/var/tmp";

/// Bytes that nobody changes any more.
#[derive(Debug)]
pub(super) struct Sealed {
    file: File,
    digests: DigestSet,
}

impl Sealed {
    /// Reads a file once, whatever its name stands for a moment later.
    pub(super) fn read(path: &Path, also: &[Algorithm]) -> Result<Self, Failure> {
        let failed = |e| Failure::io("read the artifact", path, &e);
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(Failure::new(&format!("the artifact {} is a folder", path.display()))
                .line("wanted", "one file, which has one digest")
                .line("fix", "deploy the tar that the build made of it, with --members or --install"));
        }
        Self::of(file, also).map_err(|e| {
            Failure::new(&format!("the artifact {} cannot be kept", path.display()))
                .line("found", &e.to_string())
                .line(
                    "fix",
                    &format!("make room in memory, or in {ON_DISK} for more than {} MiB", IN_MEMORY >> 20),
                )
        })
    }

    /// Keeps all that comes.
    pub(super) fn of(mut from: impl Read, also: &[Algorithm]) -> io::Result<Self> {
        let mut memory = memory("artifact")?;
        let length = io::copy(&mut (&mut from).take(IN_MEMORY), &mut memory)?;
        let mut next = [0];
        let file = match read_one(&mut from, &mut next)? {
            _ if length < IN_MEMORY => seal(&memory)?,
            0 => seal(&memory)?,
            _ => on_disk(memory, &next, from)?,
        };
        Self::hash(file, also)
    }

    /// Hashes what is sealed already.
    fn hash(file: File, also: &[Algorithm]) -> io::Result<Self> {
        let mut hasher = Hasher::new(also);
        let mut reading = reopen(&file)?;
        let mut buffer = vec![0; 1 << 17];
        loop {
            match reading.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Self { file, digests: hasher.finish() })
    }

    /// A secret that only whoever has the descriptor can read, and only this user.
    pub(super) fn secret(bytes: &[u8]) -> io::Result<Self> {
        let mut file = memory("credential")?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(Self { file: seal(&file)?, digests: DigestSet::from(attest::Digest::sha256(&[])) })
    }

    pub(super) fn digests(&self) -> &DigestSet {
        &self.digests
    }

    /// The bytes from their beginning.
    pub(super) fn open(&self) -> io::Result<File> {
        reopen(&self.file)
    }

    /// Lets commands that are started from here on have it, and gives the path by which they do.
    pub(super) fn inherit(&self) -> io::Result<String> {
        rustix::io::fcntl_setfd(self.file.as_fd(), FdFlags::empty())?;
        Ok(path(&self.file).display().to_string())
    }
}

fn read_one(from: &mut impl Read, byte: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(byte) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A file in memory that can be run, where this kernel asks to say so.
fn memory(name: &str) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        // kernels before 6.3 do not know the word
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(name, flags)?.into()),
        other => Ok(other?.into()),
    }
}

/// Nobody writes to it from here on, nor takes that back.
fn seal(memory: &File) -> io::Result<File> {
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(memory, seals)?;
    reopen(memory)
}

/// What does not fit in memory. The one who writes is gone before anybody reads.
fn on_disk(mut memory: File, next: &[u8], from: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile_in(ON_DISK)?;
    memory.rewind()?;
    io::copy(&mut memory, &mut file)?;
    drop(memory);
    file.write_all(next)?;
    let rest = io::copy(&mut from.take(MAX), &mut file)?;
    if rest.saturating_add(IN_MEMORY) >= MAX {
        return Err(io::Error::other(format!("it is larger than {} GiB", MAX >> 30)));
    }
    file.set_permissions(Permissions::from_mode(0o555))?;
    reopen(&file)
}

/// The same bytes, only to read, from the beginning.
fn reopen(file: &File) -> io::Result<File> {
    File::open(path(file))
}

fn path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
