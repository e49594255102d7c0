//! How a choke point is set up.

use std::time::Duration;

use tlog::{Level, Room};

use crate::cache::CacheLimits;

/// How many requests wait for their commit at most, unless another number is given.
const DEFAULT_WAITING: usize = 1024;

/// How much a choke point holds at once, who it is, and when it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that wait for their commit.
    pub waiting: usize,
    /// Evidence that was verified.
    pub cache: CacheLimits,
    /// The spool before a log in files.
    pub room: Room,
    /// The writer's name, of at most 100 characters: one process at a time writes under it.
    pub writer: String,
    /// What must be true of an admission's record before the answer leaves.
    pub level: Level,
    /// How long that may take.
    pub level_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiting: DEFAULT_WAITING,
            cache: CacheLimits::default(),
            room: Room::default(),
            writer: "local".to_owned(),
            level: Level::Local,
            level_within: Duration::from_secs(5),
        }
    }
}
