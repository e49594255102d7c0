//! The root over everything read so far, kept as the roots of its complete subtrees: some hashes, however long the log.

use attest::merkle::{Hash, empty_root, node_hash};

/// The complete subtrees of a tree, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subtrees {
    size: u64,
    roots: Vec<Hash>,
}

impl Subtrees {
    /// As they were written down; nothing where so many leaves have other subtrees.
    pub(crate) fn read(size: u64, bytes: &[u8]) -> Option<Self> {
        let roots: Vec<Hash> = bytes.chunks(32).map(Hash::try_from).collect::<Result<_, _>>().ok()?;
        (roots.len() == usize::try_from(size.count_ones()).ok()?).then_some(Self { size, roots })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.roots.concat()
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The next leaf: each bit that carries joins two subtrees of one size.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut root = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.roots.pop().unwrap_or_else(empty_root);
            root = node_hash(&left, &root);
        }
        self.roots.push(root);
        self.size += 1;
    }

    pub(crate) fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return empty_root() };
        roots.fold(*last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_trees_at_every_size_and_survives_being_written() {
        let mut subtrees = Subtrees::default();
        let mut leaves = Vec::new();
        for n in 0..300_u32 {
            assert_eq!(subtrees.root(), tlog::root_of(&leaves), "{n}");
            let again = Subtrees::read(subtrees.size(), &subtrees.to_bytes());
            assert_eq!(again, Some(subtrees.clone()));
            let leaf = attest::merkle::leaf_hash(&n.to_be_bytes());
            leaves.push(leaf);
            subtrees.push(leaf);
        }
        assert_eq!(Subtrees::read(3, &[0; 32]), None, "three leaves have two subtrees");
        assert_eq!(Subtrees::read(1, &[0; 31]), None);
    }
}
