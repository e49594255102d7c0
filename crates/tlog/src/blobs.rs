//! Large values beside a log, named by their SHA-256: a leaf commits to them by digest.
//!
//! One is a file of its own, or lies in a pack. Those of a journal are in packs; what is put alone is a file.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use attest::Digest;
use attest::merkle::Hash;

use crate::pack::{self, LookedUp, Place};
use crate::packer::name_of;
use crate::storage::Storage;

/// A content-addressed store.
#[derive(Clone, Debug)]
pub struct Blobs<S> {
    storage: S,
    seen: Arc<Mutex<Seen>>,
}

/// What is known of the packs. Indexes stay on disk; only the pack that is still written has none, and what is in
/// it is remembered here.
#[derive(Debug, Default)]
struct Seen {
    /// How many packs there are.
    count: usize,
    /// The pack that had the last blob: the next one is likely to be there too.
    hint: usize,
    /// The pack without an index, and how far it was read.
    open: usize,
    position: usize,
    entries: BTreeMap<Hash, Place>,
}

/// What the packs have under a digest.
enum InPacks {
    Nothing,
    Changed,
    Bytes(Vec<u8>),
}

/// Why a blob cannot be had.
#[derive(Debug)]
pub enum BlobError {
    /// The store failed.
    Io(Digest, io::Error),
    /// It is not there.
    Missing(Digest),
    /// The bytes are not the ones that the digest names.
    Changed(Digest),
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(digest, e) => write!(f, "cannot read or write {digest}: {e}"),
            Self::Missing(digest) => write!(f, "{digest} is missing"),
            Self::Changed(digest) => write!(f, "{digest} was changed: its bytes have another digest"),
        }
    }
}
impl std::error::Error for BlobError {}

impl<S: Storage> Blobs<S> {
    /// Blobs in a store.
    #[must_use]
    pub fn new(storage: S) -> Self {
        Self { storage, seen: Arc::default() }
    }

    pub(crate) fn storage(&self) -> &S {
        &self.storage
    }

    /// Stores bytes durably, once, and gives their digest.
    ///
    /// # Errors
    /// [`BlobError::Io`] where the store fails.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::sha256(bytes);
        let path = path(&digest);
        let known = self.storage.read(&path).map_err(|e| BlobError::Io(digest.clone(), e))?;
        if known.is_none_or(|known| known != bytes) {
            self.storage.write(&path, bytes).map_err(|e| BlobError::Io(digest.clone(), e))?;
        }
        Ok(digest)
    }

    /// The bytes of a digest, checked.
    ///
    /// # Errors
    /// [`BlobError`] where they are not there, or not the ones.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        let error = |e| BlobError::Io(digest.clone(), e);
        let loose = self.storage.read(&path(digest)).map_err(error)?;
        let is_changed = match loose {
            Some(bytes) if Digest::sha256(&bytes) == *digest => return Ok(bytes),
            loose => loose.is_some(),
        };
        let packed = Hash::try_from(digest.bytes()).map_or(Ok(InPacks::Nothing), |name| self.packed(&name));
        match packed.map_err(error)? {
            InPacks::Bytes(bytes) => Ok(bytes),
            InPacks::Nothing if !is_changed => Err(BlobError::Missing(digest.clone())),
            InPacks::Nothing | InPacks::Changed => Err(BlobError::Changed(digest.clone())),
        }
    }

    /// A blob from the packs. By their indexes first; where those do not lead to it, by going through the packs
    /// themselves, because an index may be damaged.
    fn packed(&self, name: &Hash) -> io::Result<InPacks> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.refresh(&self.storage)?;
        let mut is_changed = false;
        for number in std::iter::once(seen.hint).chain((0..seen.count).rev()) {
            let Some(place) = seen.place(&self.storage, number, name)? else { continue };
            match self.checked(number, name, place)? {
                Some(bytes) => {
                    seen.hint = number;
                    return Ok(InPacks::Bytes(bytes));
                }
                None => is_changed = true,
            }
        }
        for number in 0..seen.count {
            let mut found = None;
            pack::walk(&self.storage, number, 0, &mut |other, place| {
                if other == *name && found.is_none() {
                    found = self.checked(number, name, place)?;
                    is_changed = true;
                }
                Ok(())
            })?;
            if let Some(bytes) = found {
                return Ok(InPacks::Bytes(bytes));
            }
        }
        Ok(if is_changed { InPacks::Changed } else { InPacks::Nothing })
    }

    fn checked(&self, number: usize, name: &Hash, place: Place) -> io::Result<Option<Vec<u8>>> {
        Ok(pack::bytes(&self.storage, number, place)?.filter(|bytes| name_of(bytes) == *name))
    }
}

impl Seen {
    /// Looks for packs that came since, and for what came in the one that is still written.
    fn refresh<S: Storage>(&mut self, storage: &S) -> io::Result<()> {
        while storage.length(&pack::path(self.count))?.is_some() {
            self.count += 1;
        }
        let Some(last) = self.count.checked_sub(1) else { return Ok(()) };
        if storage.length(&pack::index_path(last))?.is_some() {
            self.entries.clear();
            return Ok(());
        }
        if self.open != last {
            *self = Self { open: last, position: 0, entries: BTreeMap::new(), ..*self };
        }
        let entries = &mut self.entries;
        self.position = pack::walk(storage, last, self.position, &mut |name, place| {
            entries.entry(name).or_insert(place);
            Ok(())
        })?;
        Ok(())
    }

    fn place<S: Storage>(&self, storage: &S, number: usize, name: &Hash) -> io::Result<Option<Place>> {
        if let Some(place) = self.entries.get(name).filter(|_| number == self.open) {
            return Ok(Some(*place));
        }
        Ok(match pack::look_up(storage, number, name)? {
            LookedUp::At(place) => Some(place),
            LookedUp::NotThere | LookedUp::NoIndex => None,
        })
    }
}

fn path(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/sha256/{}/{hex}", hex.get(..2).unwrap_or_default())
}
