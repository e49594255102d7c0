//! The writing end of the packs: all new blobs of an apply are one write and one sync.
//!
//! What is in a pack is never written over. A pack that ends in a torn write is closed as it is, and the journal
//! applies that write again, into the next one.

use std::collections::BTreeMap;
use std::io;

use attest::Digest;
use attest::merkle::Hash;

use crate::pack::{self, MAGIC, Place};
use crate::storage::Storage;

/// How long a pack becomes, unless one apply alone is longer.
pub(crate) const PACK: usize = 64 * 1024 * 1024;
/// How many blobs a pack holds: their digests are kept in memory while they are written, some megabytes.
const PACK_BLOBS: usize = 64 * 1024;

/// The pack that is continued.
#[derive(Debug)]
pub(crate) struct Packer {
    number: usize,
    /// Its length; 0 before it is made.
    position: usize,
    /// What is in it, every one compared with its digest.
    entries: BTreeMap<Hash, Place>,
    /// What is in the one before.
    before: BTreeMap<Hash, Place>,
}

/// A pack as it was found.
#[derive(Default)]
struct Found {
    /// Blobs whose bytes are the ones.
    whole: BTreeMap<Hash, Place>,
    /// Others: torn, or damaged.
    damaged: BTreeMap<Hash, Place>,
    /// How far the headers lead, and how long the file is.
    end: usize,
    length: usize,
}

impl Packer {
    /// Finds the pack that goes on, and closes what has to be closed.
    pub(crate) fn open<S: Storage>(storage: &S) -> io::Result<Self> {
        let mut number = 0;
        while storage.length(&pack::path(number))?.is_some() {
            // only the last pack has no index, unless somebody removed one
            let is_last = storage.length(&pack::path(number + 1))?.is_none();
            if storage.length(&pack::index_path(number))?.is_none() {
                let found = Found::read(storage, number)?;
                if is_last && found.damaged.is_empty() && found.end == found.length {
                    let position = found.length;
                    return Ok(Self { number, position, entries: found.whole, before: BTreeMap::new() });
                }
                let before = found.close(storage, number)?;
                if is_last {
                    return Ok(Self { number: number + 1, position: 0, entries: BTreeMap::new(), before });
                }
            }
            number += 1;
        }
        Ok(Self { number, position: 0, entries: BTreeMap::new(), before: BTreeMap::new() })
    }

    /// Stores blobs durably. Those that are in this pack or in the one before are not written again.
    pub(crate) fn append<'b, S: Storage>(
        &mut self,
        storage: &S,
        limit: usize,
        blobs: impl Iterator<Item = &'b [u8]>,
    ) -> io::Result<()> {
        let (mut bytes, mut new) = (Vec::new(), BTreeMap::new());
        for blob in blobs {
            let name = name_of(blob);
            let is_known = self.entries.contains_key(&name) || self.before.contains_key(&name);
            if !is_known && !new.contains_key(&name) {
                new.insert(name, pack::put(&mut bytes, &name, blob)?);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let is_full = self.position + bytes.len() > limit || self.entries.len() + new.len() > PACK_BLOBS;
        if is_full && !self.entries.is_empty() {
            storage.write(&pack::index_path(self.number), &pack::index(&self.entries))?;
            self.before = std::mem::take(&mut self.entries);
            (self.number, self.position) = (self.number + 1, 0);
        }
        if self.position == 0 {
            storage.write(&pack::path(self.number), MAGIC)?;
            self.position = MAGIC.len();
        }
        storage.write_at(&pack::path(self.number), self.position, &bytes)?;
        let start = self.position;
        self.entries.extend(
            new.into_iter().map(|(name, place)| (name, Place { offset: start + place.offset, ..place })),
        );
        self.position += bytes.len();
        Ok(())
    }
}

impl Found {
    fn read<S: Storage>(storage: &S, number: usize) -> io::Result<Self> {
        let mut found = Self::default();
        let bytes = storage.read(&pack::path(number))?.unwrap_or_default();
        found.length = bytes.len();
        let (whole, damaged) = (&mut found.whole, &mut found.damaged);
        found.end = pack::walk(storage, number, 0, &mut |name, place| {
            let end = place.offset.saturating_add(place.length);
            let is_whole = bytes.get(place.offset..end).is_some_and(|bytes| name_of(bytes) == name);
            let list = if is_whole { &mut *whole } else { &mut *damaged };
            list.entry(name).or_insert(place);
            Ok(())
        })?;
        Ok(found)
    }

    /// Writes the index, and gives what can be relied on. Damaged blobs are in the index, so that a reader says
    /// that they were changed; a whole one goes before one that only has its name.
    fn close<S: Storage>(mut self, storage: &S, number: usize) -> io::Result<BTreeMap<Hash, Place>> {
        self.damaged.extend(&self.whole);
        storage.write(&pack::index_path(number), &pack::index(&self.damaged))?;
        Ok(self.whole)
    }
}

/// The SHA-256 of a blob.
pub(crate) fn name_of(bytes: &[u8]) -> Hash {
    let mut name = [0; 32];
    name.iter_mut().zip(Digest::sha256(bytes).bytes()).for_each(|(to, from)| *to = *from);
    name
}
