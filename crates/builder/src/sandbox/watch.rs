//! What a build writes, watched while it writes: no file system quota is there for everybody.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

use super::group::Group;
use crate::definition::Limits;

/// Looking costs at most one part in so many of the time, unless the disk fills meanwhile.
const SHARE: u32 = 50;
const SHORTEST: Duration = Duration::from_millis(100);
/// So many folders in one another need no path that is too long to be opened.
const DEEPEST: usize = 128;
/// With less than this, a machine stops working. A file without a name can be hidden in a message between two
/// processes, where nobody can count it: this is what holds then.
const RESERVE: u64 = 1 << 30;

/// Looks at a folder now and then.
pub(super) struct Watch<'a> {
    folder: &'a Path,
    limits: &'a Limits,
    group: Option<&'a Group>,
    /// When the next look is due, and when it may be at the earliest.
    due: Instant,
    earliest: Instant,
    /// What was free on the disk at the last look, and how much of it the build might still take: bytes, then files.
    free: (u64, u64),
    left: (u64, u64),
}

/// What a folder holds.
#[derive(Default)]
struct Used {
    bytes: u64,
    files: u64,
    is_too_deep: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(folder: &'a Path, limits: &'a Limits, group: Option<&'a Group>) -> Self {
        let now = Instant::now();
        let (due, earliest) = (now + SHORTEST, now + SHORTEST);
        let left = (limits.disk, limits.files);
        Self { folder, limits, group, due, earliest, free: free(folder), left }
    }

    /// Looks if it is time to, or if the disk fills so fast that it cannot wait; says what was exceeded.
    pub(super) fn look(&mut self) -> Option<String> {
        let now = Instant::now();
        if now < self.earliest {
            return None;
        }
        let free = free(self.folder);
        if free.0 < RESERVE {
            return Some("the disk that builds are on is nearly full".to_owned());
        }
        let taken = (self.free.0.saturating_sub(free.0), self.free.1.saturating_sub(free.1));
        let is_filling = taken.0 > self.left.0 || taken.1 > self.left.1;
        if now < self.due && !is_filling { None } else { self.exceeded() }
    }

    /// Looks now.
    pub(super) fn exceeded(&mut self) -> Option<String> {
        let start = Instant::now();
        let Limits { disk, files, .. } = *self.limits;
        let free = free(self.folder);
        let mut used = Used::default();
        if let Some(folder) = open(CWD, self.folder) {
            used.add(&folder, 0, (disk, files));
        }
        used.bytes = used.bytes.saturating_add(self.nameless());
        self.earliest = Instant::now() + SHORTEST;
        self.due = self.earliest.max(start + start.elapsed() * SHARE);
        self.free = free;
        self.left = (disk.saturating_sub(used.bytes), files.saturating_sub(used.files));
        if used.bytes > disk {
            Some(format!("it wrote more than {} MiB", disk >> 20))
        } else if used.files > files {
            Some(format!("it made more than {files} files"))
        } else if used.is_too_deep {
            Some(format!("it made more than {DEEPEST} folders in one another"))
        } else {
            None
        }
    }

    /// What files take that have no name any more, and are still open or mapped.
    fn nameless(&self) -> u64 {
        let Ok(device) = fs::metadata(self.folder).map(|m| m.dev()) else { return 0 };
        let mut files = BTreeSet::new();
        for process in self.group.map(Group::processes).unwrap_or_default() {
            for holder in ["fd", "map_files"] {
                let held = fs::read_dir(format!("/proc/{process}/{holder}")).into_iter().flatten().flatten();
                let held = held.filter_map(|entry| fs::metadata(entry.path()).ok());
                let held = held.filter(|m| m.is_file() && m.nlink() == 0 && m.dev() == device);
                files.extend(held.map(|m| (m.ino(), m.blocks())));
            }
        }
        files.into_iter().fold(0, |bytes, (_, blocks)| bytes.saturating_add(blocks * 512))
    }
}

/// Bytes and files that the disk has room for.
fn free(folder: &Path) -> (u64, u64) {
    rustix::fs::statvfs(folder)
        .map_or((u64::MAX, u64::MAX), |s| (s.f_bavail.saturating_mul(s.f_frsize), s.f_favail))
}

fn open(at: impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty()).ok()
}

impl Used {
    /// Counts blocks and not lengths, so that a sparse file counts for what it takes; ends early once it is too much.
    /// Goes by descriptors: a path can be too long to be opened, or be another's before it is.
    fn add(&mut self, folder: &OwnedFd, depth: usize, most: (u64, u64)) {
        let Ok(entries) = Dir::read_from(folder) else { return };
        for entry in entries.flatten().filter(|e| !matches!(e.file_name().to_bytes(), b"." | b"..")) {
            self.files += 1;
            if self.bytes > most.0 || self.files > most.1 || self.is_too_deep {
                return;
            }
            // a file that was removed meanwhile takes nothing
            let Ok(stat) = rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            self.bytes = self.bytes.saturating_add(u64::try_from(stat.st_blocks).unwrap_or(0) * 512);
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                continue;
            }
            if depth >= DEEPEST {
                self.is_too_deep = true;
            } else if let Some(below) = open(folder, entry.file_name()) {
                self.add(&below, depth + 1, most);
            }
        }
    }
}
