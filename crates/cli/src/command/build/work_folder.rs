//! The folder of one build, gone with it however it ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::failure::Failure;

const PREFIX: &str = "portcullis-build-";
const LOCK: &str = ".lock";
/// A folder this young may be one that is just being made.
const YOUNG: Duration = Duration::from_secs(60);

/// A folder that the sandbox's user can enter but not list.
pub(crate) struct WorkFolder {
    dir: tempfile::TempDir,
    _lock: File,
}

impl WorkFolder {
    /// A new one; those that builds left behind which were killed are removed.
    pub(crate) fn make() -> Result<Self, Failure> {
        let place = std::env::temp_dir();
        remove_abandoned(&place);
        let failed = |e: io::Error| Failure::io("make a work folder in", &place, &e);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&place).map_err(failed)?;
        let lock = File::create(dir.path().join(LOCK)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).map_err(failed)?;
        Ok(Self { dir, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A lock that can be taken belongs to a process that is no more, or to one that is just about to take it.
fn remove_abandoned(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        let age = lock.metadata().and_then(|m| m.modified()).ok().and_then(|made| made.elapsed().ok());
        if age.is_some_and(|age| age > YOUNG) && lock.try_lock().is_ok() {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}
