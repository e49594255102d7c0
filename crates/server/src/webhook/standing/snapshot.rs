//! The snapshot on disk. Anybody who may write there could say that something stands that nobody decided, so it counts
//! only under a digest that the log has.

use std::path::{Path, PathBuf};

use attest::note::Checkpoint;
use attest::{Digest, Object};
use chokepoint::{Entry, EventKind, NewEvent};
use jiff::Timestamp;
use kubernetes::Decided;
use tlog::{Reader, Storage, write_durably};

use super::OWNERS;
use crate::folders::read_plain;

const FILE: &str = "decided.json";
/// How many entries one bundle of the log holds.
const WIDTH: u64 = 256;
const BYTES: usize = 1 << 30;

/// The file.
#[derive(Debug)]
pub(super) struct Snapshot(PathBuf);

impl Snapshot {
    pub(super) fn of(state: &Path) -> Self {
        Self(state.join(FILE))
    }

    /// What it says, where there is one; an older one counts too, since the log is read from where it ends. Entries before
    /// `from` are not looked at.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) fn read<S: Storage>(
        &self,
        storage: &S,
        checkpoint: &Checkpoint,
        from: u64,
    ) -> Result<Option<Decided>, String> {
        let file = self.0.display();
        let failed = |e: &dyn std::fmt::Display| {
            format!("{file} does not count, and what stands was read from the log anew: {e}")
        };
        let bytes = match read_plain(&self.0, BYTES as u64) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(&e)),
        };
        let limits = attest::json::Limits { bytes: BYTES, values: 50_000_000, ..Default::default() };
        let value = attest::json::parse_with(&bytes, limits).map_err(|e| failed(&e))?;
        let decided = Decided::read(&value, OWNERS).map_err(|e| failed(&e))?;
        let (digest, from) = (Digest::sha256(&bytes), from.max(decided.learnt()));
        if is_on_record(storage, checkpoint, from, &digest).map_err(|e| failed(&e))? {
            return Ok(Some(decided));
        }
        Err(failed(&format!(
            "wanted a snapshot that a `{}` event of the log names, found {digest}; find out who changed the file",
            EventKind::StandingKept
        )))
    }

    /// Puts the digest on record, and then writes: a process that is killed in between leaves the old file, which the log
    /// knows too.
    ///
    /// # Errors
    /// Why it is not written.
    pub(super) fn write(
        &self,
        text: &str,
        now: Timestamp,
        record: impl FnOnce(NewEvent) -> Result<(), String>,
    ) -> Result<(), String> {
        let body = Object::new().with("snapshot", Digest::sha256(text.as_bytes()).to_string());
        record(NewEvent { at: now, kind: EventKind::StandingKept, body, parts: Vec::new() })?;
        write_durably(&self.0, text.as_bytes()).map_err(|e| format!("{}: {e}", self.0.display()))
    }
}

/// Whether an entry from there on names this snapshot: it was recorded after all that the snapshot knows.
fn is_on_record<S: Storage>(
    storage: &S,
    checkpoint: &Checkpoint,
    from: u64,
    digest: &Digest,
) -> Result<bool, String> {
    let reader = Reader::new(storage, checkpoint.size);
    for bundle in (from / WIDTH..checkpoint.size.div_ceil(WIDTH)).rev() {
        // each leaf leads to the signed root: a bundle that was edited as well vouches for nothing
        let leaves = reader.proven_entries(bundle, &checkpoint.root).map_err(|e| e.to_string())?;
        if leaves.iter().any(|leaf| names(leaf, digest)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn names(leaf: &[u8], digest: &Digest) -> bool {
    // few are of this kind: the others need not be parsed
    let word = EventKind::StandingKept.name().as_bytes();
    if !leaf.windows(word.len()).any(|part| part == word) {
        return false;
    }
    let Ok(Entry::Event(event)) = Entry::parse(leaf) else { return false };
    let named = event.body.optional_string("snapshot").ok().flatten();
    event.kind == EventKind::StandingKept && named == Some(digest.to_string().as_str())
}
