//! Writing one event to a log at its own machine, while no choke point does.

use std::fs::File;
use std::path::Path;

use attest::TrustRoot;
use chokepoint::NewEvent;
use tlog::{Files, Log};

use super::Key;
use crate::failure::Failure;
use crate::{input, keys};

/// A log that nobody else writes to as long as this lives.
pub(crate) struct Writer {
    log: Log<Files>,
    _lock: File,
}

impl Writer {
    /// Takes the log's lock, and opens it under its own key and name.
    pub(crate) fn open(dir: &Path, key: &Path) -> Result<Self, Failure> {
        // neither a log nor a key is begun here
        input::text("log's key", key)?;
        let origin = Key::beside().read(dir)?.name;
        let lock = Files::new(dir).lock().map_err(|e| match e.kind() {
            std::io::ErrorKind::WouldBlock => {
                Failure::new(&format!("a choke point writes to the log in {}", dir.display()))
                    .line("fix", "send it there: --server URL")
            }
            _ => Failure::io("take the lock of the log in", dir, &e),
        })?;
        Ok(Self { log: keys::log(dir, &origin, key)?, _lock: lock })
    }

    /// Puts an event on record, and in the tree.
    pub(crate) fn append(self, root: Option<&TrustRoot>, event: NewEvent) -> Result<(), Failure> {
        chokepoint::append(self.log, root, event)
            .map(drop)
            .map_err(|e| Failure::new("it is not on record").line("found", &e.to_string()))
    }
}
