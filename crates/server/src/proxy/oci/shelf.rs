//! What was pushed and waits for the manifest that it belongs to: blobs, manifests, and uploads under way. It is there for
//! who brought it and in the repository that it was brought for; bounded in number and age here, in bytes by the spool.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use attest::Digest;
use attest::time::Span;
use tokio::sync::OwnedMutexGuard;

use crate::proxy::hold::Held;
use crate::proxy::share::{Bounds, Full, Share, Shares};

pub(super) const OCTETS: &str = "application/octet-stream";

/// Whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) requester: Option<String>,
    pub(super) repository: String,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Blob,
    Manifest,
}

/// A place on the shelf, until it is dropped.
pub(super) type Place = Share;

/// Bytes that wait.
#[derive(Debug)]
pub(super) struct Kept {
    held: Held,
    /// What they are.
    pub(super) media_type: String,
    _place: Place,
}

impl Kept {
    pub(super) fn of(held: Held, media_type: &str, place: Place) -> Arc<Self> {
        Arc::new(Self { held, media_type: media_type.to_owned(), _place: place })
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }
}

/// The parts of an upload so far. Whoever writes holds the lock.
pub(super) type Parts = Arc<tokio::sync::Mutex<Vec<Arc<Kept>>>>;

#[derive(Debug)]
struct Upload {
    owner: Owner,
    parts: Parts,
    since: Instant,
    _place: Place,
}

#[derive(Debug, Default)]
struct Content {
    kept: BTreeMap<(Owner, Kind, Digest), (Arc<Kept>, Instant)>,
    uploads: BTreeMap<String, Upload>,
}

/// All that waits.
#[derive(Debug)]
pub(super) struct Shelf {
    places: Arc<Shares>,
    /// How many places there are.
    pub(super) most: u64,
    keep: Duration,
    content: Mutex<Content>,
    turns: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Shelf {
    pub(super) fn of(places: usize, keep: Span) -> Self {
        Self {
            places: Arc::default(),
            most: u64::try_from(places).unwrap_or(u64::MAX),
            keep: Duration::from_secs(u64::try_from(keep.as_seconds()).unwrap_or(0)),
            content: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// A place, where there is one for this requester.
    pub(super) fn place(&self, requester: Option<&str>, bounds: Bounds) -> Result<Place, Full> {
        self.places.one(requester, bounds)
    }

    pub(super) fn get(&self, owner: &Owner, kind: Kind, digest: &Digest) -> Option<Arc<Kept>> {
        let content = self.content();
        content.kept.get(&(owner.clone(), kind, digest.clone())).map(|(kept, _)| Arc::clone(kept))
    }

    pub(super) fn put(&self, owner: Owner, kind: Kind, digest: Digest, kept: Arc<Kept>) {
        self.content().kept.insert((owner, kind, digest), (kept, Instant::now()));
    }

    /// Takes away what is not needed any more.
    pub(super) fn take(&self, owner: &Owner, kind: Kind, digest: &Digest) {
        self.content().kept.remove(&(owner.clone(), kind, digest.clone()));
    }

    pub(super) fn begin(&self, id: &str, owner: Owner, place: Place) {
        let upload = Upload { owner, parts: Parts::default(), since: Instant::now(), _place: place };
        self.content().uploads.insert(id.to_owned(), upload);
    }

    /// The parts of an upload, which is not too old again.
    pub(super) fn parts(&self, id: &str, owner: &Owner) -> Option<Parts> {
        let mut content = self.content();
        let upload = content.uploads.get_mut(id).filter(|upload| upload.owner == *owner)?;
        upload.since = Instant::now();
        Some(Arc::clone(&upload.parts))
    }

    pub(super) fn end(&self, id: &str) {
        self.content().uploads.remove(id);
    }

    /// One push after the other goes up to a repository: registries mind the same blob twice at once.
    pub(super) async fn turn(&self, repository: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            let turn = turns.get(repository).and_then(Weak::upgrade).unwrap_or_default();
            turns.insert(repository.to_owned(), Arc::downgrade(&turn));
            turn
        };
        turn.lock_owned().await
    }

    /// Lets go of what is too old.
    pub(super) fn sweep(&self) {
        let mut content = self.content();
        content.kept.retain(|_, (_, since)| since.elapsed() < self.keep);
        content.uploads.retain(|_, upload| upload.since.elapsed() < self.keep);
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
