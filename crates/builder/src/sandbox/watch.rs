//! What a build writes, watched while it writes: no file system quota is there for everybody.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::definition::Limits;

/// Looking costs at most one part in so many of the time.
const SHARE: u32 = 50;
const SHORTEST: Duration = Duration::from_millis(100);

/// Looks at a folder now and then.
pub(super) struct Watch<'a> {
    folder: &'a Path,
    limits: &'a Limits,
    next: Instant,
}

/// What a folder holds.
#[derive(Default)]
struct Used {
    bytes: u64,
    files: u64,
}

impl<'a> Watch<'a> {
    pub(super) fn new(folder: &'a Path, limits: &'a Limits) -> Self {
        Self { folder, limits, next: Instant::now() + SHORTEST }
    }

    /// Looks if it is time to; says what was exceeded.
    pub(super) fn look(&mut self) -> Option<String> {
        if Instant::now() < self.next { None } else { self.exceeded() }
    }

    /// Looks now.
    pub(super) fn exceeded(&mut self) -> Option<String> {
        let start = Instant::now();
        let mut used = Used::default();
        let most = (self.limits.disk, self.limits.files);
        used.add(self.folder, most);
        self.next = Instant::now() + SHORTEST.max(start.elapsed() * SHARE);
        if used.bytes > most.0 {
            Some(format!("it wrote more than {} MiB", most.0 >> 20))
        } else if used.files > most.1 {
            Some(format!("it made more than {} files", most.1))
        } else {
            None
        }
    }
}

impl Used {
    /// Counts blocks and not lengths, so that a sparse file counts for what it takes; ends early once it is too much.
    fn add(&mut self, folder: &Path, most: (u64, u64)) {
        let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                self.files += 1;
                if self.bytes > most.0 || self.files > most.1 {
                    return;
                }
                // a file that was removed meanwhile takes nothing
                let Ok(metadata) = entry.metadata() else { continue };
                self.bytes = self.bytes.saturating_add(metadata.blocks() * 512);
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
    }
}
