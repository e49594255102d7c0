//! The users that builds run as outside of their sandbox: one each at a time, so that builds side by side could not
//! touch each other even if every namespace failed.

use std::fs::{self, File, TryLockError};
use std::path::Path;

/// From the range that distributions leave to nobody.
const FIRST: u32 = 65_100;
const COUNT: u32 = 64;
/// Nobody: where the pool cannot be used.
const NOBODY: u32 = 65_534;
const LOCKS: &str = "/run/portcullis-users";

/// A user that no other build has, until it is dropped.
#[derive(Debug)]
pub(crate) struct BuildUser {
    id: u32,
    _lock: Option<File>,
}

impl BuildUser {
    /// A free user of the pool. Only root can run a build as another user; anybody else's builds run as themselves.
    pub(crate) fn take() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        fs::create_dir_all(LOCKS).ok();
        for id in FIRST..FIRST + COUNT {
            let Ok(file) = File::create(Path::new(LOCKS).join(id.to_string())) else { break };
            match file.try_lock() {
                Ok(()) => return Some(Self { id, _lock: Some(file) }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(_)) => break,
            }
        }
        Some(Self { id: NOBODY, _lock: None })
    }

    /// The number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }
}
