//! The folder of one build, gone with it however it ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::interrupt;
use crate::failure::Failure;

const PREFIX: &str = "portcullis-build-";
const LOCK: &str = ".lock";
/// A folder this young may be one that is just being made, and not locked yet.
const YOUNG: Duration = Duration::from_secs(5);

/// A folder that the sandbox's user can enter but not list.
pub(crate) struct WorkFolder {
    dir: tempfile::TempDir,
    _lock: File,
}

impl WorkFolder {
    /// A new one; those that builds left behind which were killed are removed.
    pub(crate) fn make() -> Result<Self, Failure> {
        let place = std::env::temp_dir();
        remove_abandoned(&place, YOUNG);
        let failed = |e: io::Error| Failure::io("make a work folder in", &place, &e);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&place).map_err(failed)?;
        let lock = File::create(dir.path().join(LOCK)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).map_err(failed)?;
        interrupt::removes(dir.path());
        Ok(Self { dir, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        interrupt::hold();
        remove(self.dir.path());
    }
}

/// A lock that can be taken belongs to a process that is no more, or to one that is just about to take it.
fn remove_abandoned(place: &Path, young: Duration) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        // anybody may make a folder of this name here: only our own is looked into
        let is_ours = |m: &fs::Metadata| m.is_dir() && m.uid() == rustix::process::geteuid().as_raw();
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Some(folder) = entry.metadata().ok().filter(|m| named && is_ours(m)) else { continue };
        let lock = open_lock(&entry.path().join(LOCK));
        let made = match &lock {
            Ok(lock) => lock.metadata().and_then(|m| m.modified()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => folder.modified(),
            Err(_) => continue,
        };
        let is_old = made.ok().and_then(|made| made.elapsed().ok()).is_some_and(|age| age > young);
        if is_old && lock.map_or(true, |lock| lock.try_lock().is_ok()) {
            remove(&entry.path());
        }
    }
}

/// A plain file of this user; anything else, a pipe above all, must not make us wait.
fn open_lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let found = file.metadata()?;
    if found.is_file() && found.uid() == rustix::process::geteuid().as_raw() {
        return Ok(file);
    }
    Err(io::Error::from(io::ErrorKind::InvalidInput))
}

/// Removes a folder with folders in it that a build closed to its own user.
pub(super) fn remove(folder: &Path) {
    if fs::remove_dir_all(folder).is_err() {
        open_up(folder, 0);
        fs::remove_dir_all(folder).ok();
    }
}

fn open_up(folder: &Path, depth: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).ok();
    if depth > 200 {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path(), depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_builds_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let folder = place.path().join(name);
            fs::create_dir_all(folder.join("src/closed/deep")).unwrap();
            folder
        };
        let (killed, runs, piped, other) = (
            make("portcullis-build-killed"),
            make("portcullis-build-runs"),
            make("portcullis-build-piped"),
            make("somebody-elses"),
        );
        fs::write(killed.join(LOCK), "").unwrap();
        fs::set_permissions(killed.join("src/closed"), fs::Permissions::from_mode(0o500)).unwrap();
        let lock = File::create(runs.join(LOCK)).unwrap();
        lock.lock().unwrap();
        let mode = Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, piped.join(LOCK), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        remove_abandoned(place.path(), Duration::from_secs(3600));
        assert!(killed.exists(), "it may be one that is just being made");
        remove_abandoned(place.path(), Duration::ZERO);
        assert!(!killed.exists());
        assert!(runs.exists() && piped.exists() && other.exists());
    }
}
