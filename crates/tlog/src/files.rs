//! [`Storage`] in a directory.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::reader::as_u64;
use crate::storage::Storage;

/// A directory of files.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// A store below `root`; nothing is made until something is written.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes the lock of the one writer. It is given back when the file is dropped, or the process dies.
    ///
    /// # Errors
    /// `WouldBlock` where another process holds it, and any other I/O error.
    pub fn lock(&self) -> io::Result<File> {
        fs::create_dir_all(&self.root)?;
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(self.root.join("lock"))?;
        file.try_lock().map_err(|e| match e {
            fs::TryLockError::WouldBlock => io::Error::from(io::ErrorKind::WouldBlock),
            fs::TryLockError::Error(e) => e,
        })?;
        Ok(file)
    }
}

impl Storage for Files {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.root.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn length(&self, path: &str) -> io::Result<Option<usize>> {
        match fs::metadata(self.root.join(path)) {
            Ok(there) => Ok(Some(usize::try_from(there.len()).unwrap_or(usize::MAX))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn read_at(&self, path: &str, position: usize, length: usize) -> io::Result<Option<Vec<u8>>> {
        let mut file = match File::open(self.root.join(path)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        // a position from a damaged file may be one that no file has
        if as_u64(position) >= file.metadata()?.len() {
            return Ok(Some(bytes));
        }
        file.seek(io::SeekFrom::Start(as_u64(position)))?;
        // the length may come from a damaged file: only what is there takes up memory
        file.take(as_u64(length)).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        write_durably(&self.root.join(path), bytes)
    }

    /// First all contents, then all names, then each folder once: few files, because blobs go into packs.
    fn write_many(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        let mut there = Vec::with_capacity(files.len());
        let written = files.iter().try_for_each(|(path, bytes)| {
            let path = self.root.join(path);
            make_directories(parent(&path))?;
            there.push((write_temporary(&path, bytes)?, path));
            Ok(())
        });
        let renamed = written.and_then(|()| there.iter().try_for_each(|(from, to)| fs::rename(from, to)));
        if let Err(e) = renamed {
            for (temporary, _) in &there {
                fs::remove_file(temporary).ok();
            }
            return Err(e);
        }
        let folders: BTreeSet<&Path> = there.iter().map(|(_, path)| parent(path)).collect();
        folders.into_iter().try_for_each(|folder| File::open(folder)?.sync_all())
    }

    fn preallocate(&self, path: &str, length: usize) -> io::Result<()> {
        let path = self.root.join(path);
        let wanted = u64::try_from(length).unwrap_or(u64::MAX);
        match fs::metadata(&path) {
            Ok(there) if there.len() >= wanted => Ok(()),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            // written, not only reserved: a sync of blocks that were never written has to write metadata too
            _ => write_durably(&path, &vec![0; length]),
        }
    }

    fn write_at(&self, path: &str, position: usize, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.root.join(path))?;
        file.write_all_at(bytes, u64::try_from(position).unwrap_or(u64::MAX))?;
        file.sync_data()
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        match fs::remove_file(self.root.join(path)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// Replaces a file as a whole and durably: temporary file, fsync, rename, fsync of the directory. A failure leaves
/// the old file as it was and no temporary file behind.
///
/// # Errors
/// The first I/O error. It is not retried: after a failed fsync the page cache may claim what the disk lost.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_directories(parent(path))?;
    let temporary = write_temporary(path, bytes)?;
    if let Err(e) = fs::rename(&temporary, path) {
        fs::remove_file(&temporary).ok();
        return Err(e);
    }
    File::open(parent(path))?.sync_all()
}

/// Writes a file under another name beside its own, durable but for the name.
fn write_temporary(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    /// Two threads may write the same blob at once.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = parent(path).join(format!(".{name}.{}.{number}.tmp", std::process::id()));
    let written = (|| {
        // never through a link that somebody put there; what a process of this number left behind is nobody's
        let open = || OpenOptions::new().write(true).create_new(true).open(&temporary);
        let mut file = match open() {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&temporary)?;
                open()?
            }
            other => other?,
        };
        file.write_all(bytes)?;
        file.sync_all()
    })();
    if let Err(e) = written {
        // the first error is the one to report; that the rest is left behind adds nothing to it
        fs::remove_file(&temporary).ok();
        return Err(e);
    }
    Ok(temporary)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a directory and its parents, each name durable in its parent.
fn make_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent(path);
    make_directories(parent)?;
    match fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    File::open(parent)?.sync_all()
}
