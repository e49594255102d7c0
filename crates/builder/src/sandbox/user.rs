//! The users that builds run as outside of their sandbox: one each at a time, so that builds side by side could not
//! touch each other even if every namespace failed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use super::SandboxError;

/// From the range that distributions leave to nobody.
const USERS: Range<u32> = 65_100..65_164;
const LOCKS: &str = "/run/portcullis-users";
/// How long a build waits for another to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user that no other build has, until it is dropped.
#[derive(Debug)]
pub(crate) struct BuildUser {
    id: u32,
    _lock: File,
}

impl BuildUser {
    /// A free user of the pool. Only root can run a build as another user; anybody else's builds run as themselves.
    pub(crate) fn take() -> Result<Option<Self>, SandboxError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        Self::wait(Path::new(LOCKS), USERS, PATIENCE).map(Some)
    }

    /// A user that two builds share keeps neither from the other: where none is free, there is no build.
    fn wait(locks: &Path, users: Range<u32>, patience: Duration) -> Result<Self, SandboxError> {
        let failed = |e: io::Error| {
            SandboxError::Setup(format!("no user of its own for the build ({})", locks.display()), e)
        };
        fs::create_dir_all(locks).map_err(failed)?;
        let began = Instant::now();
        loop {
            if let Some(user) = Self::free(locks, users.clone()).map_err(failed)? {
                return Ok(user);
            }
            if began.elapsed() >= patience {
                let why = format!("all {} are taken by builds; run fewer at a time", users.len());
                return Err(failed(io::Error::other(why)));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn free(locks: &Path, users: Range<u32>) -> io::Result<Option<Self>> {
        for id in users {
            let file = File::create(locks.join(id.to_string()))?;
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { id, _lock: file })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(e),
            }
        }
        Ok(None)
    }

    /// The number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_builds_share_a_user_and_one_that_waits_gets_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let take = |patience: u64| BuildUser::wait(dir.path(), 7..9, Duration::from_millis(patience));
        let (one, two) = (take(0).unwrap(), take(0).unwrap());
        assert_eq!((one.id(), two.id()), (7, 8));
        let refused = take(300).unwrap_err().to_string();
        assert!(refused.contains("all 2 are taken"), "{refused}");
        let waits = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| take(10_000).map(|u| u.id()));
            std::thread::sleep(Duration::from_millis(300));
            drop(two);
            waiting.join().unwrap().unwrap()
        });
        assert_eq!(waits, 8);
        // a pool that cannot be used is no reason to share
        let file = dir.path().join("7");
        assert!(BuildUser::wait(&file, 7..9, Duration::ZERO).is_err());
    }
}
