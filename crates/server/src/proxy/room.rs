//! The folders where bodies wait, and how much of them is taken.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Access, access};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::proxy::config::Proxy;
use crate::proxy::share::{Bounds, Full, Share, Shares};

/// Threads that hash and write at once, for the proxies of one folder: decisions need threads too.
const WRITERS: usize = 8;
/// Threads that unpack and read what is held at once, for all proxies: what a client sent may keep one busy for seconds.
const READERS: usize = 4;

/// How many bytes the proxies of one folder hold, and may hold.
#[derive(Debug)]
pub(crate) struct Room {
    held: Arc<Shares>,
    most: AtomicU64,
    /// What of it one requester may have.
    one: AtomicU64,
    writers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

/// The rooms, by their folders: proxies that share a folder share what may lie in it.
#[derive(Debug)]
pub(crate) struct Rooms {
    rooms: BTreeMap<PathBuf, Arc<Room>>,
    readers: Arc<Semaphore>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { rooms: BTreeMap::new(), readers: Arc::new(Semaphore::new(READERS)) }
    }
}

/// Bytes that count as held, in the share of who brought them, until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Arc<Room>,
    share: Share,
}

impl Rooms {
    /// The room of a proxy's folder, which is made. Where several proxies name it, the least of what they allow counts.
    pub(crate) fn open(&mut self, proxy: &Proxy) -> io::Result<Arc<Room>> {
        let folder = &proxy.spool;
        fs::create_dir_all(folder)?;
        // the test of the file system too: what has no files without names would leave some behind
        drop(tempfile::tempfile_in(folder)?);
        let folder = folder.canonicalize()?;
        let bounds = shared(self.rooms.get(&folder).map(|room| room.bounds()), proxy);
        let room = self.rooms.entry(folder).or_insert_with(|| Room::with(bounds, Arc::clone(&self.readers)));
        room.most.store(bounds.all, Ordering::Release);
        room.one.store(bounds.one, Ordering::Release);
        Ok(Arc::clone(room))
    }
}

/// What may be held in a folder, with one more proxy that names it: the least of what they allow. Who is alone in a proxy is
/// not where another proxy has the same folder.
fn shared(until_now: Option<Bounds>, proxy: &Proxy) -> Bounds {
    let is_alone = proxy.is_alone && until_now.is_none();
    let before = until_now.unwrap_or(Bounds { all: u64::MAX, one: u64::MAX });
    let all = before.all.min(proxy.limits.held);
    Bounds { all, one: before.one.min(proxy.limits.of(all, is_alone).one) }
}

/// Why bodies that a proxy takes would never come in, because of other proxies with the same folder; nothing where all can.
pub(crate) fn too_large(proxies: &[Proxy]) -> Option<String> {
    let folder = |proxy: &Proxy| proxy.spool.canonicalize().unwrap_or_else(|_| proxy.spool.clone());
    let mut rooms: BTreeMap<PathBuf, Bounds> = BTreeMap::new();
    for proxy in proxies {
        let bounds = shared(rooms.get(&folder(proxy)).copied(), proxy);
        rooms.insert(folder(proxy), bounds);
    }
    let room = |proxy: &Proxy| rooms.get(&folder(proxy)).map_or(0, |bounds| bounds.one);
    let found = proxies.iter().find(|proxy| proxy.needs() > room(proxy))?;
    Some(format!(
        "a body for the proxy {} may have {} bytes, and where it waits, in {}, other proxies leave {} bytes to one requester: \
         lower `limits: body`, raise `held` or `share` of all of them, or give it a `spool` of its own",
        found.name,
        found.limits.body,
        found.spool.display(),
        room(found),
    ))
}

impl Room {
    /// One that shares its threads with no other.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(bounds: Bounds) -> Arc<Self> {
        Self::with(bounds, Arc::new(Semaphore::new(READERS)))
    }

    fn with(bounds: Bounds, readers: Arc<Semaphore>) -> Arc<Self> {
        let (most, one) = (AtomicU64::new(bounds.all), AtomicU64::new(bounds.one));
        let (held, writers) = (Arc::default(), Arc::new(Semaphore::new(WRITERS)));
        Arc::new(Self { held, most, one, writers, readers })
    }

    fn bounds(&self) -> Bounds {
        Bounds { all: self.most.load(Ordering::Acquire), one: self.one.load(Ordering::Acquire) }
    }

    /// Bytes that are held now.
    pub(crate) fn held(&self) -> u64 {
        self.held.taken()
    }

    /// Nothing yet, for this requester.
    pub(crate) fn taken(self: &Arc<Self>, requester: Option<&str>) -> Taken {
        Taken { room: Arc::clone(self), share: self.held.of(requester) }
    }

    /// Has a thread read what is held. It keeps its place until it is done, also where nobody waits for it any more.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let place = Arc::clone(&self.readers).acquire_owned().await.map_err(io::Error::other)?;
        let work = tokio::task::spawn_blocking(move || {
            let read = work();
            drop(place);
            read
        });
        work.await.unwrap_or_else(|e| Err(io::Error::other(e)))
    }

    /// A place for one that hashes and writes.
    pub(crate) async fn writer(&self) -> io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.writers).acquire_owned().await.map_err(io::Error::other)
    }
}

impl Taken {
    /// Where it is taken.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.share.count()
    }

    /// Takes more, where there is room for it.
    pub(crate) fn more(&mut self, bytes: u64) -> Result<(), Full> {
        self.share.more(bytes, self.room.bounds())
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// A client that goes away leaves its work behind: that must not free the place for the next client's.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_threads_read_than_there_are_places_also_where_clients_go_away() {
        let bounds = Bounds { all: 1, one: 1 };
        let rooms = Rooms::default();
        let [one, other] = [(); 2].map(|()| Room::with(bounds, Arc::clone(&rooms.readers)));
        let mut gates = Vec::new();
        for number in 0..READERS {
            let (began, begun) = tokio::sync::oneshot::channel();
            let (gate, opened) = mpsc::channel::<()>();
            let room = Arc::clone(if number % 2 == 0 { &one } else { &other });
            let client = tokio::spawn(async move {
                let work = move || {
                    began.send(()).ok();
                    opened.recv().ok();
                    Ok(())
                };
                room.read(work).await
            });
            begun.await.unwrap();
            client.abort();
            gates.push(gate);
        }
        let next = other.read(|| Ok(()));
        tokio::pin!(next);
        assert!(tokio::time::timeout(Duration::from_millis(200), next.as_mut()).await.is_err());
        gates.pop();
        tokio::time::timeout(Duration::from_secs(60), next).await.unwrap().unwrap();
    }

    fn proxy(kind: &str, clients: &str, limits: &str) -> Proxy {
        let text = format!(
            "{{ name: p, kind: {kind}, listen: 127.0.0.1:0, tls: {{ certificate: c, key: k }}, spool: /nowhere/spool, routes: [],
               {clients}, {limits}, upstream: {{ url: \"https://store.example\" }} }}"
        );
        let (node, mut problems) =
            (attest::yaml::Node::parse("serve.yaml", &text).unwrap(), attest::yaml::Problems::new());
        let read = Proxy::read(&node, &mut problems);
        problems.finish(read).unwrap()
    }

    #[test]
    fn a_body_has_room_beside_the_limits_of_other_proxies_with_the_folder() {
        let of = |limits: &str| proxy("put", "anonymous: true", limits);
        let large = of("limits: { body: 4GiB, held: 6GiB }");
        assert_eq!(too_large(std::slice::from_ref(&large)), None, "alone it fits");
        let small = of("limits: { body: 1GiB, held: 3GiB }");
        for pair in [[large.clone(), small.clone()], [small, large.clone()]] {
            let found = too_large(&pair).unwrap();
            assert!(found.contains("4294967296 bytes") && found.contains("1610612736 bytes"), "{found}");
        }
        assert!(too_large(&[large.clone(), large]).is_some(), "who was alone has half where there are two");
        let oci = proxy("oci", "anonymous: true", "limits: { body: 2GiB, held: 4GiB }");
        assert!(too_large(&[oci, of("limits: { body: 1GiB, held: 6GiB }")]).is_some(), "it is there twice");
    }
}
