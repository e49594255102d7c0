//! Remembers what annotations unpack to, and what envelopes say they are about, by the digest of the very bytes: the same
//! template comes back with every pod that is made of it. Nothing in here is believed, and no failure is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attest::{Digest, DigestSet};

/// What an entry takes beside its bytes.
const ENTRY: usize = 256;

/// A bounded memory. When it is full it forgets everything: what is in use comes back at once.
#[derive(Default)]
pub struct Memory {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: usize,
    unpacked: BTreeMap<Digest, Arc<Vec<Vec<u8>>>>,
    subjects: BTreeMap<Digest, Arc<Vec<DigestSet>>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory(at most {} bytes)", self.most)
    }
}

impl Memory {
    /// A memory of at most so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// One that remembers nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a text unpacks to; `unpack` where that is not remembered.
    pub(super) fn unpacked<E>(
        &self,
        text: &str,
        unpack: impl FnOnce() -> Result<Vec<Vec<u8>>, E>,
    ) -> Result<Arc<Vec<Vec<u8>>>, E> {
        if self.most == 0 {
            return unpack().map(Arc::new);
        }
        let key = Digest::sha256(text.as_bytes());
        if let Some(known) = self.state().unpacked.get(&key) {
            return Ok(Arc::clone(known));
        }
        let envelopes = Arc::new(unpack()?);
        let cost = ENTRY + envelopes.iter().map(|bytes| bytes.len() + ENTRY).sum::<usize>();
        self.room(cost, |state| drop(state.unpacked.insert(key, Arc::clone(&envelopes))));
        Ok(envelopes)
    }

    /// What an envelope says it is about; `read` where that is not remembered.
    pub(super) fn subjects(
        &self,
        bytes: &[u8],
        read: impl FnOnce() -> Vec<DigestSet>,
    ) -> Arc<Vec<DigestSet>> {
        if self.most == 0 {
            return Arc::new(read());
        }
        let key = Digest::sha256(bytes);
        if let Some(known) = self.state().subjects.get(&key) {
            return Arc::clone(known);
        }
        let subjects = Arc::new(read());
        let cost = ENTRY * (1 + subjects.len());
        self.room(cost, |state| drop(state.subjects.insert(key, Arc::clone(&subjects))));
        subjects
    }

    /// Makes room, and keeps something; nothing where it alone would fill the memory.
    fn room(&self, cost: usize, keep: impl FnOnce(&mut State)) {
        if cost > self.most / 4 {
            return;
        }
        let mut state = self.state();
        if state.bytes + cost > self.most {
            *state = State::default();
        }
        state.bytes += cost;
        keep(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_read_once_and_a_failure_never_kept() {
        let memory = Memory::new(1 << 20);
        let unpack = || Ok::<_, ()>(vec![b"one".to_vec()]);
        assert_eq!(memory.unpacked("a", || Err(())), Err(()));
        assert_eq!(*memory.unpacked("a", unpack).unwrap(), vec![b"one".to_vec()]);
        assert!(memory.unpacked("a", || Err(())).is_ok(), "remembered");
        assert_eq!(memory.unpacked("b", || Err(())), Err(()), "other bytes are something else");
        let none = Memory::none();
        none.unpacked("a", unpack).unwrap();
        assert_eq!(none.unpacked("a", || Err(())), Err(()));
    }

    #[test]
    fn it_is_bounded() {
        let memory = Memory::new(100_000);
        for number in 0..1000_u32 {
            memory.unpacked(&number.to_string(), || Ok::<_, ()>(vec![vec![0; 5000]])).unwrap();
            assert!(memory.state().bytes <= 100_000);
        }
        memory.unpacked("large", || Ok::<_, ()>(vec![vec![0; 50_000]])).unwrap();
        assert_eq!(memory.unpacked("large", || Err(())), Err(()));
    }
}
