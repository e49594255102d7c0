//! Takes the outputs, after every process of the build is dead.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use attest::Digest;
use attest::digest::Hasher;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::orchestrate::BuildError;

/// One output, in a place of the orchestrator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Its file name.
    pub(crate) name: String,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Where the copy is.
    pub(crate) file: PathBuf,
}

/// Copies every output below `tree` into `own` while it is hashed: what is published is what was hashed. Plain files
/// only, reached through plain folders, together no longer than `limit`: what is sparse in the build is not in a copy.
pub(crate) fn collect(
    outputs: &[String],
    tree: &Path,
    own: &Path,
    limit: u64,
) -> Result<Vec<Output>, BuildError> {
    fs::create_dir(own).map_err(|e| BuildError::Io(own.to_owned(), e))?;
    fs::set_permissions(own, fs::Permissions::from_mode(0o700))
        .map_err(|e| BuildError::Io(own.to_owned(), e))?;
    let (mut taken, mut together) = (Vec::new(), 0_u64);
    for output in outputs {
        let refuse = |why: String| BuildError::Output(output.clone(), why);
        let mut source = open(tree, output).map_err(refuse)?;
        let length = source.metadata().map_err(|e| refuse(e.to_string()))?.len();
        together = together.saturating_add(length);
        if together > limit {
            return Err(refuse(format!(
                "the outputs up to it are together {} MiB long, more than the {} MiB allowed",
                together >> 20,
                limit >> 20
            )));
        }
        let name = output.rsplit('/').next().unwrap_or(output).to_owned();
        let file = own.join(&name);
        let digest = copy_and_hash(&mut source, &file).map_err(|e| BuildError::Io(file.clone(), e))?;
        taken.push(Output { name, digest, file });
    }
    Ok(taken)
}

/// Opens one file below a folder, through no link at all.
pub(crate) fn open(tree: &Path, path: &str) -> Result<File, String> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let text = |e: Errno| io::Error::from(e).to_string();
    let tree = rustix::fs::openat(CWD, tree, folder, Mode::empty()).map_err(text)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = rustix::fs::openat2(&tree, path, flags, Mode::empty(), resolve).map_err(|e| match e {
        Errno::NOENT | Errno::NOTDIR => "it is not there".to_owned(),
        Errno::LOOP => "it is a symbolic link, or lies behind one".to_owned(),
        Errno::NXIO => "it is a socket or a device".to_owned(),
        other => text(other),
    })?;
    let file = File::from(file);
    let kind = file.metadata().map_err(|e| e.to_string())?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    Err(if kind.is_dir() {
        "it is a folder; pack it into an archive"
    } else if kind.is_fifo() {
        "it is a named pipe"
    } else {
        "it is a device"
    }
    .to_owned())
}

fn copy_and_hash(source: &mut File, to: &Path) -> io::Result<Digest> {
    let mut target = OpenOptions::new().write(true).create_new(true).open(to)?;
    let mut hasher = Hasher::new(&[]);
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
    make_executable(to)?;
    hasher.finish().first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// The mode of every output: what it had in the sandbox is nobody's business, and tests start it.
pub(crate) fn make_executable(output: &Path) -> io::Result<()> {
    fs::set_permissions(output, fs::Permissions::from_mode(0o755))
}
