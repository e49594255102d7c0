//! Looks at every byte of the packs: also at what nobody asked for yet, and at indexes, without which all is still found,
//! only slowly.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::blobs::Blobs;
use crate::pack::{self, MAGIC};
use crate::packer::name_of;
use crate::storage::Storage;

/// What is wrong in a pack.
#[derive(Debug)]
pub enum PackFlaw {
    /// It cannot be read.
    Io(String, io::Error),
    /// It does not begin like a pack.
    Magic(String),
    /// The blob whose bytes begin here is not the one that its header names.
    Blob {
        /// The file.
        pack: String,
        /// From its beginning, in bytes.
        offset: usize,
    },
    /// The index is not the one of its pack. What is in the pack is found without it, slowly.
    Index(String),
}

impl fmt::Display for PackFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(file, e) => write!(f, "{file} cannot be read: {e}"),
            Self::Magic(file) => write!(f, "{file} does not begin like a pack: it was changed"),
            Self::Blob { pack, offset } => {
                write!(
                    f,
                    "{pack} was changed: the blob at byte {offset} is not the one that its header names"
                )
            }
            Self::Index(file) => write!(f, "{file} was changed: it is not the index of its pack"),
        }
    }
}
impl std::error::Error for PackFlaw {}

impl<S: Storage> Blobs<S> {
    /// Reads every pack and every index, one blob at a time.
    ///
    /// # Errors
    /// The first [`PackFlaw`].
    pub fn check(&self) -> Result<(), PackFlaw> {
        let mut number = 0;
        while check_pack(self.storage(), number)? {
            number += 1;
        }
        Ok(())
    }
}

/// Whether there is such a pack, and all is well with it.
fn check_pack<S: Storage>(storage: &S, number: usize) -> Result<bool, PackFlaw> {
    let path = pack::path(number);
    let failed = |e| PackFlaw::Io(pack::path(number), e);
    let Some(length) = storage.length(&path).map_err(failed)? else { return Ok(false) };
    let magic = storage.read_at(&path, 0, MAGIC.len()).map_err(failed)?.unwrap_or_default();
    if length > 0 && magic != MAGIC {
        return Err(PackFlaw::Magic(path));
    }
    let (mut entries, mut wrong) = (BTreeMap::new(), None);
    pack::walk(storage, number, 0, &mut |name, place| {
        let bytes = pack::bytes(storage, number, place)?;
        if bytes.is_none_or(|bytes| name_of(&bytes) != name) && wrong.is_none() {
            wrong = Some(place.offset);
        }
        entries.entry(name).or_insert(place);
        Ok(())
    })
    .map_err(failed)?;
    let index = storage.read(&pack::index_path(number)).map_err(failed)?;
    match (wrong, index) {
        (Some(offset), _) => Err(PackFlaw::Blob { pack: path, offset }),
        (None, Some(index)) if index != pack::index(&entries) => {
            Err(PackFlaw::Index(pack::index_path(number)))
        }
        (None, _) => Ok(true),
    }
}
