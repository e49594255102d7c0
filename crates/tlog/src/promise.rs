//! What a log gives at once for an entry that is durable and not in the tree yet.

use std::sync::Arc;

use attest::merkle::{Hash, leaf_hash, node_hash, root_from_inclusion};
use attest::note::{self, Note, NoteKey};
use attest::secret::{SignError, Signer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::reader::as_u64;

const TEXT: &str = "portcullis-promise/v1";
/// The first line of what is signed. A checkpoint has the log's name there, and a number behind it: neither can be
/// shown as the other.
const NOTE: &str = "portcullis-journal/v1";

/// The log's word that an entry will be in the tree at this place. It is signed by the log's key, so a log without
/// the entry there is proven to have lost it. [`crate::Receipt`] is the proof that it was kept.
///
/// One signature stands for a batch: over the root of its leaves, with the path from this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    index: u64,
    leaf: Hash,
    path: Vec<Hash>,
    note: Arc<str>,
}

impl Promise {
    /// The entry's place, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The hash of the leaf.
    #[must_use]
    pub fn leaf(&self) -> &Hash {
        &self.leaf
    }

    /// Whether the log with this key made the promise.
    #[must_use]
    pub fn is_signed_by(&self, key: &NoteKey) -> bool {
        let Some(note) = Note::parse(&self.note).filter(|note| note.is_signed_by(key)) else { return false };
        let mut lines = note.text().lines();
        let (kind, origin) = (lines.next(), lines.next());
        let mut number = || lines.next().and_then(|n| n.parse::<u64>().ok());
        let (Some(first), Some(count)) = (number(), number()) else { return false };
        let root: Option<Hash> =
            lines.next().and_then(|line| STANDARD.decode(line).ok()).and_then(|root| root.try_into().ok());
        let offset = self.index.checked_sub(first);
        let found = offset.and_then(|offset| root_from_inclusion(offset, count, self.leaf, &self.path));
        kind == Some(NOTE) && origin == Some(key.name.as_str()) && root.is_some() && found == root
    }

    /// The text form: index, leaf, path in the batch, signed root of the batch.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("{TEXT}\nindex {}\nleaf {}\n", self.index, STANDARD.encode(self.leaf));
        for hash in &self.path {
            out.push_str(&STANDARD.encode(hash));
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.note);
        out
    }

    /// Reads the text form. Nothing in it is proven until [`Promise::is_signed_by`] says so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (head, note) = text.split_once("\n\n")?;
        let mut lines = head.strip_prefix(TEXT)?.strip_prefix('\n')?.lines();
        let hash = |text: &str| STANDARD.decode(text).ok().and_then(|h| Hash::try_from(h).ok());
        Some(Self {
            index: lines.next()?.strip_prefix("index ")?.parse().ok()?,
            leaf: hash(lines.next()?.strip_prefix("leaf ")?)?,
            path: lines.map(hash).collect::<Option<_>>()?,
            note: Arc::from(note),
        })
    }
}

/// Signs a batch of leaves that begins at `first`.
pub(crate) fn sign(
    origin: &str,
    first: u64,
    leaves: &[Vec<u8>],
    signer: &dyn Signer,
) -> Result<(String, Vec<Promise>), SignError> {
    let leaves: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let mut paths = vec![Vec::new(); leaves.len()];
    let root = paths_into(&leaves, &mut paths);
    let signed = note::sign(&text(origin, first, leaves.len(), root), origin, signer)?;
    let shared: Arc<str> = Arc::from(signed.as_str());
    let promise = |(index, (leaf, path))| Promise { index, leaf, path, note: Arc::clone(&shared) };
    Ok((signed, (first..).zip(leaves.into_iter().zip(paths)).map(promise).collect()))
}

/// Whether this note is the log's signature over these leaves.
pub(crate) fn is_signed(note: &str, first: u64, leaves: &[Vec<u8>], key: &NoteKey) -> bool {
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let expected = text(&key.name, first, hashes.len(), crate::tile::root_of(&hashes));
    Note::parse(note).is_some_and(|note| note.text() == expected && note.is_signed_by(key))
}

fn text(origin: &str, first: u64, count: usize, root: Hash) -> String {
    format!("{NOTE}\n{origin}\n{first}\n{}\n{}\n", as_u64(count), STANDARD.encode(root))
}

/// The root over leaves, and to each its path: every inner node is hashed once for all of them.
fn paths_into(leaves: &[Hash], paths: &mut [Vec<Hash>]) -> Hash {
    match leaves {
        [] => attest::merkle::empty_root(),
        [one] => *one,
        many => {
            let half = many.len().next_power_of_two() / 2;
            let ((left, right), (to_left, to_right)) = (many.split_at(half), paths.split_at_mut(half));
            let (left, right) = (paths_into(left, to_left), paths_into(right, to_right));
            to_left.iter_mut().for_each(|path| path.push(right));
            to_right.iter_mut().for_each(|path| path.push(left));
            node_hash(&left, &right)
        }
    }
}

#[cfg(test)]
mod tests {
    use attest::{SecretKey, Signer as _};

    use super::*;

    #[test]
    fn a_promise_holds_for_its_leaf_its_place_its_log_and_its_key() {
        let signer = SecretKey::from_ed25519_seed(&[3; 32]).unwrap();
        let key = NoteKey { name: "log.example".to_owned(), key: signer.public().clone() };
        for count in 1..=20_u8 {
            let leaves: Vec<Vec<u8>> = (0..count).map(|n| vec![n]).collect();
            let (note, promises) = sign("log.example", 7, &leaves, &signer).unwrap();
            assert!(is_signed(&note, 7, &leaves, &key));
            assert!(!is_signed(&note, 8, &leaves, &key), "another place");
            assert!(!is_signed(&note, 7, &leaves[1..], &key), "other leaves");
            for (index, promise) in (7..).zip(&promises) {
                assert_eq!(promise.index(), index);
                assert!(promise.is_signed_by(&key), "{index} of {count}");
                assert_eq!(Promise::parse(&promise.to_text()).as_ref(), Some(promise));
                let moved = Promise { index: index + 1, ..promise.clone() };
                assert!(!moved.is_signed_by(&key), "moved");
                let other = Promise { leaf: leaf_hash(b"other"), ..promise.clone() };
                assert!(!other.is_signed_by(&key), "another leaf");
                let elsewhere = NoteKey { name: "other.example".to_owned(), ..key.clone() };
                assert!(!promise.is_signed_by(&elsewhere), "another log");
            }
        }
    }
}
