//! How blobs lie in a pack, and in the index beside a pack that is full.
//!
//! A pack is `magic`, then of each blob `length (u32) | SHA-256 | bytes`, big endian; it is only ever continued. Its
//! index is `magic | 256 × (u32: how many blobs have a first byte of this or less) | SHA-256, offset (u64),
//! length (u32) of each blob in the order of the digests`.
//!
//! Neither is believed. Blobs are what requesters chose, and a damaged length leads into the middle of one: whoever
//! takes bytes from a pack compares them with the digest that was asked for.

use std::collections::BTreeMap;
use std::io;

use attest::merkle::Hash;

use crate::reader::as_u64;
use crate::storage::Storage;

/// What a pack begins with.
pub(crate) const MAGIC: &[u8] = b"PCPACK01";
const INDEX_MAGIC: &[u8] = b"PCPIDX01";
const HEADER: usize = 4 + 32;
const FAN_OUT: usize = 256 * 4;
const LINE: usize = 32 + 8 + 4;
/// How much of a pack is read at once to look for headers.
const CHUNK: usize = 256 * 1024;

/// Where a blob's bytes are in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: usize,
    pub(crate) length: usize,
}

/// The file of a pack.
pub(crate) fn path(number: usize) -> String {
    format!("blobs/packs/{number:08}")
}

/// The file of its index. A pack that has one is not continued any more.
pub(crate) fn index_path(number: usize) -> String {
    format!("blobs/packs/{number:08}.index")
}

/// Adds a blob, and says where in `out` its bytes are.
pub(crate) fn put(out: &mut Vec<u8>, name: &Hash, bytes: &[u8]) -> io::Result<Place> {
    let length = u32::try_from(bytes.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a blob of 4 GiB or more"))?;
    out.extend(length.to_be_bytes());
    out.extend(name);
    let offset = out.len();
    out.extend(bytes);
    Ok(Place { offset, length: bytes.len() })
}

/// The bytes at a place; nothing where the file has no such place.
pub(crate) fn bytes<S: Storage>(storage: &S, number: usize, place: Place) -> io::Result<Option<Vec<u8>>> {
    let bytes = storage.read_at(&path(number), place.offset, place.length)?;
    Ok(bytes.filter(|bytes| bytes.len() == place.length))
}

/// Goes from header to header, from this position or the beginning, up to one that is torn or not there yet. Gives
/// where that is.
pub(crate) fn walk<S: Storage>(
    storage: &S,
    number: usize,
    from: usize,
    visit: &mut dyn FnMut(Hash, Place) -> io::Result<()>,
) -> io::Result<usize> {
    let path = path(number);
    let length = storage.length(&path)?.unwrap_or(0);
    let mut at = from.max(MAGIC.len());
    let (mut chunk, mut chunk_at) = (Vec::new(), at);
    while at.saturating_add(HEADER) <= length {
        if chunk.get(at - chunk_at..).is_none_or(|rest: &[u8]| rest.len() < HEADER) {
            chunk = storage.read_at(&path, at, CHUNK)?.unwrap_or_default();
            chunk_at = at;
        }
        let Some((name, bytes)) = chunk.get(at - chunk_at..).and_then(header) else { break };
        let place = Place { offset: at + HEADER, length: bytes };
        let end = place.offset.saturating_add(bytes);
        if end > length {
            break;
        }
        visit(name, place)?;
        at = end;
    }
    Ok(at)
}

/// The digest and the length in a header; nothing where only zeros are, because the disk lost what was there.
fn header(bytes: &[u8]) -> Option<(Hash, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let name = rest.first_chunk::<32>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (length > 0 || name.iter().any(|byte| *byte != 0)).then_some((*name, length))
}

/// The bytes of an index.
pub(crate) fn index(entries: &BTreeMap<Hash, Place>) -> Vec<u8> {
    let mut out = Vec::with_capacity(INDEX_MAGIC.len() + FAN_OUT + entries.len() * LINE);
    out.extend(INDEX_MAGIC);
    let mut counts = [0_u32; 256];
    for name in entries.keys() {
        if let Some(count) = name.first().and_then(|first| counts.get_mut(usize::from(*first))) {
            *count += 1;
        }
    }
    let mut so_far = 0_u32;
    for count in counts {
        so_far += count;
        out.extend(so_far.to_be_bytes());
    }
    for (name, place) in entries {
        out.extend(name);
        out.extend(as_u64(place.offset).to_be_bytes());
        out.extend(u32::try_from(place.length).unwrap_or(u32::MAX).to_be_bytes());
    }
    out
}

/// What an index says about a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookedUp {
    NoIndex,
    NotThere,
    At(Place),
}

/// Looks a digest up on disk: two reads, and nothing is kept.
pub(crate) fn look_up<S: Storage>(storage: &S, number: usize, name: &Hash) -> io::Result<LookedUp> {
    let path = index_path(number);
    let head = storage.read_at(&path, 0, INDEX_MAGIC.len() + FAN_OUT)?;
    let Some(head) = head.filter(|head| head.len() == INDEX_MAGIC.len() + FAN_OUT) else {
        return Ok(LookedUp::NoIndex);
    };
    let Some(fan_out) = head.strip_prefix(INDEX_MAGIC) else { return Ok(LookedUp::NoIndex) };
    let first = usize::from(name.first().copied().unwrap_or_default());
    let count = |at: usize| {
        let bytes = fan_out.get(at * 4..).and_then(<[u8]>::first_chunk::<4>);
        usize::try_from(bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))).unwrap_or(0)
    };
    let (from, to) = (first.checked_sub(1).map_or(0, count), count(first));
    let start = (head.len()).saturating_add(from.saturating_mul(LINE));
    let lines = storage.read_at(&path, start, to.saturating_sub(from).saturating_mul(LINE))?;
    let lines = lines.unwrap_or_default();
    let found = lines.chunks_exact(LINE).find_map(|line| line.strip_prefix(name.as_slice()));
    Ok(found.and_then(place).map_or(LookedUp::NotThere, LookedUp::At))
}

fn place(bytes: &[u8]) -> Option<Place> {
    let (offset, rest) = bytes.split_first_chunk::<8>()?;
    let length = rest.first_chunk::<4>()?;
    let offset = usize::try_from(u64::from_be_bytes(*offset)).ok()?;
    Some(Place { offset, length: usize::try_from(u32::from_be_bytes(*length)).ok()? })
}
