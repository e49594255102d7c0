//! The folders where bodies wait, and how much of them is taken.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Access, access};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::proxy::config::Proxy;

/// Threads that hash and write at once, for the proxies of one folder: decisions need threads too.
const WRITERS: usize = 8;

/// How many bytes the proxies of one folder hold, and may hold.
#[derive(Debug)]
pub(crate) struct Room {
    held: AtomicU64,
    most: AtomicU64,
    writers: Arc<Semaphore>,
}

/// The rooms, by their folders: proxies that share a folder share what may lie in it.
#[derive(Debug, Default)]
pub(crate) struct Rooms(BTreeMap<PathBuf, Arc<Room>>);

/// Bytes that count as held until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Arc<Room>,
    bytes: u64,
}

impl Rooms {
    /// The room of a folder, which is made. Where several proxies name it, the least of what they allow counts.
    pub(crate) fn open(&mut self, folder: &Path, most: u64) -> io::Result<Arc<Room>> {
        fs::create_dir_all(folder)?;
        // the test of the file system too: what has no files without names would leave some behind
        drop(tempfile::tempfile_in(folder)?);
        let room = self.0.entry(folder.canonicalize()?).or_insert_with(|| Room::of(most));
        room.most.fetch_min(most, Ordering::AcqRel);
        Ok(Arc::clone(room))
    }
}

impl Room {
    pub(crate) fn of(most: u64) -> Arc<Self> {
        let writers = Arc::new(Semaphore::new(WRITERS));
        Arc::new(Self { held: AtomicU64::new(0), most: AtomicU64::new(most), writers })
    }

    /// Bytes that are held now.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// A place for one that hashes and writes.
    pub(crate) async fn writer(&self) -> io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.writers).acquire_owned().await.map_err(io::Error::other)
    }
}

impl Taken {
    pub(crate) fn none(room: &Arc<Room>) -> Self {
        Self { room: Arc::clone(room), bytes: 0 }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes more; whether there was room for it.
    pub(crate) fn more(&mut self, bytes: u64) -> bool {
        let before = self.room.held.fetch_add(bytes, Ordering::AcqRel);
        self.bytes = self.bytes.saturating_add(bytes);
        before.saturating_add(bytes) <= self.room.most.load(Ordering::Acquire)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Whether bodies can wait in the folders of these proxies: a part of whether the choke point is ready.
pub(crate) fn spools(proxies: &[Proxy]) -> Option<(&'static str, Result<(), String>)> {
    let is_writable = |proxy: &Proxy| {
        let tried = access(&proxy.spool, Access::WRITE_OK | Access::EXEC_OK);
        let why =
            |e| format!("no body can wait in {} of the proxy {}: {e}", proxy.spool.display(), proxy.name);
        tried.map_err(why)
    };
    proxies.first()?;
    Some(("proxies", proxies.iter().try_for_each(is_writable)))
}
