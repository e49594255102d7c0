//! Names and contents of tiles (C2SP tlog-tiles): 256 hashes, or 256 entries.

use attest::merkle::{Hash, empty_root, node_hash};

/// Hashes in a full tile.
pub(crate) const WIDTH: u64 = 256;
/// The longest entry that a bundle can hold: its length is 16 bits.
pub const MAX_ENTRY: usize = 65_535;

/// `x001/x234/067`: groups of three digits, all but the last with an `x`.
fn number_path(number: u64) -> String {
    let mut path = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// The file of a hash tile; a partial one has its width in the name.
pub(crate) fn hash_path(level: u32, number: u64, width: u64) -> String {
    partial(format!("tile/{level}/{}", number_path(number)), width)
}

/// The file of an entry bundle.
pub(crate) fn entries_path(number: u64, width: u64) -> String {
    partial(format!("tile/entries/{}", number_path(number)), width)
}

fn partial(path: String, width: u64) -> String {
    if width == WIDTH { path } else { format!("{path}.p/{width}") }
}

/// How many hashes of `level` a tree of `size` leaves has.
pub(crate) fn count_at(size: u64, level: u32) -> u64 {
    size.checked_shr(8 * level).unwrap_or(0)
}

/// How wide tile `number` of a level with `count` hashes is.
pub(crate) fn width_of(count: u64, number: u64) -> u64 {
    count.saturating_sub(number * WIDTH).min(WIDTH)
}

pub(crate) fn write_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

pub(crate) fn read_hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let exact = bytes.len().is_multiple_of(32);
    exact.then(|| bytes.chunks_exact(32).filter_map(|c| c.try_into().ok()).collect())
}

pub(crate) fn write_entries(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        out.extend(u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(entry);
    }
    out
}

pub(crate) fn read_entries(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at_checked(2)?;
        let length = u16::from_be_bytes(length.try_into().ok()?);
        let (entry, rest) = rest.split_at_checked(length.into())?;
        entries.push(entry.to_vec());
        bytes = rest;
    }
    Some(entries)
}

/// The root over subtrees in order, of which all but the last have the same number of leaves: split at the largest
/// power of two below their number, as RFC 6962 does for leaves.
#[must_use]
pub fn root_of(subtrees: &[Hash]) -> Hash {
    match subtrees {
        [] => empty_root(),
        [one] => *one,
        many => {
            let half = many.len().next_power_of_two() / 2;
            let (left, right) = many.split_at(half);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tile_names_are_those_of_the_specification() {
        assert_eq!(hash_path(0, 1_234_067, WIDTH), "tile/0/x001/x234/067");
        assert_eq!(hash_path(1, 0, 5), "tile/1/000.p/5");
        assert_eq!(entries_path(999, WIDTH), "tile/entries/999");
        assert_eq!(entries_path(1000, 1), "tile/entries/x001/000.p/1");
    }
}
