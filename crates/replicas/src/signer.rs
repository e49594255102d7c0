//! A signer that remembers what it signed, and signs only what continues that.
//!
//! Its memory lies elsewhere than the tree and the database, so that both can be rolled back together and still nothing
//! is signed twice. What is remembered is durable before the signature exists.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use attest::merkle::is_consistent;
use attest::note::Checkpoint;
use attest::secret::SignError;
use attest::{PublicKey, Signer};
use tlog::{Files, LogSigner, Reader, Storage as _};

const SIGNED: &str = "signed";

/// The log's key, for checkpoints alone.
#[derive(Clone)]
pub(crate) struct Monotonic {
    key: Arc<LogSigner>,
    origin: String,
    tiles: Files,
    state: Files,
    refused: Arc<Mutex<Option<Refused>>>,
}

impl fmt::Debug for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Monotonic(for {})", self.origin)
    }
}

/// Why something is not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Not a checkpoint of this log.
    Other,
    /// What was signed last cannot be read or kept.
    State(String),
    /// Something else, or more, was signed already.
    Signed { size: u64, wanted: u64 },
    /// The tiles do not prove that the new tree continues the old one.
    Unproven { size: u64, wanted: u64 },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => f.write_str("the log's key signs checkpoints of this log alone"),
            Self::State(e) => write!(f, "what was signed last cannot be read or kept: {e}"),
            Self::Signed { size, wanted } => write!(
                f,
                "the key signed a tree of {size} entries already, and shall sign another of {wanted}: the tree's folder \
                 and the database are older than the signer's state; bring the newer folder back, nothing is signed until then"
            ),
            Self::Unproven { size, wanted } => write!(
                f,
                "the tree of {wanted} entries does not continue the one of {size} that the key signed last: it is another tree, \
                 and it is not signed"
            ),
        }
    }
}

impl Monotonic {
    pub(crate) fn new(key: Arc<LogSigner>, origin: &str, tiles: Files, state: Files) -> Self {
        Self { key, origin: origin.to_owned(), tiles, state, refused: Arc::default() }
    }

    /// Why it did not sign, the last time that it did not.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was signed last.
    pub(crate) fn signed(&self) -> Result<Option<Checkpoint>, Refused> {
        let bytes = self.state.read(SIGNED).map_err(|e| Refused::State(e.to_string()))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let checkpoint = std::str::from_utf8(&bytes).ok().and_then(Checkpoint::parse);
        let own = checkpoint.filter(|checkpoint| checkpoint.origin == self.origin);
        let wrong = || Refused::State(format!("the file `{SIGNED}` is damaged, or another log's"));
        own.map(Some).ok_or_else(wrong)
    }

    /// Whether this tree, whose tiles are in the folder, continues what was signed last.
    pub(crate) fn check(&self, new: &Checkpoint) -> Result<(), Refused> {
        let Some(old) = self.signed()? else { return Ok(()) };
        let (size, wanted) = (old.size, new.size);
        if size > wanted || (size == wanted && old.root != new.root) {
            return Err(Refused::Signed { size, wanted });
        }
        // between a tree and itself, or the empty one, there is nothing to prove but the roots
        let proof = if size == 0 || size == wanted {
            Ok(Vec::new())
        } else {
            Reader::new(&self.tiles, wanted).consistency(size)
        };
        let is_proven = proof.is_ok_and(|proof| is_consistent(size, &old.root, wanted, &new.root, &proof));
        if is_proven { Ok(()) } else { Err(Refused::Unproven { size, wanted }) }
    }

    fn remember(&self, message: &[u8]) -> Result<(), Refused> {
        let new = std::str::from_utf8(message).ok().and_then(Checkpoint::parse);
        let new = new.filter(|new| new.origin == self.origin).ok_or(Refused::Other)?;
        self.check(&new)?;
        let kept = self.state.write(SIGNED, new.to_text().as_bytes());
        kept.map_err(|e: io::Error| Refused::State(e.to_string()))
    }
}

impl Signer for Monotonic {
    fn public(&self) -> &PublicKey {
        self.key.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.remember(message).map_err(|refused| {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
            SignError
        })?;
        self.key.sign(message)
    }
}

#[cfg(test)]
mod tests {
    use attest::SecretKey;
    use tlog::{Batch, Log};

    use super::*;

    fn signer(tiles: &std::path::Path, state: &std::path::Path) -> Monotonic {
        let key = SecretKey::from_ed25519_seed(&[9; 32]).unwrap();
        Monotonic::new(Arc::new(key), "log.example", Files::new(tiles), Files::new(state))
    }

    fn leaves(from: u8, to: u8) -> [Batch; 1] {
        [Batch { leaves: (from..to).map(|n| vec![n]).collect(), blobs: Vec::new() }]
    }

    #[test]
    fn what_does_not_continue_what_was_signed_is_refused() {
        let (tiles, state, other) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ours = signer(tiles.path(), state.path());
        let mut log = Log::create(Files::new(tiles.path()), "log.example", Box::new(ours.clone())).unwrap();
        log.apply(&leaves(0, 5)).unwrap();
        log.apply(&leaves(5, 9)).unwrap();
        assert_eq!(ours.signed().unwrap().unwrap().size, 9);

        // another folder, as if this one and the database had been restored together
        let theirs = signer(other.path(), state.path());
        let wrong = Log::create(Files::new(other.path()), "log.example", Box::new(theirs.clone()));
        assert!(wrong.is_err());
        assert_eq!(theirs.refused(), Some(Refused::Signed { size: 9, wanted: 0 }));
        let forgetful = signer(other.path(), other.path());
        let mut fork = Log::create(Files::new(other.path()), "log.example", Box::new(forgetful)).unwrap();
        fork.apply(&leaves(100, 109)).unwrap();
        let mut fork = Log::open(Files::new(other.path()), "log.example", Box::new(theirs.clone())).unwrap();
        assert!(fork.apply(&leaves(5, 6)).is_err());
        assert_eq!(theirs.refused(), Some(Refused::Unproven { size: 9, wanted: 10 }));
        assert_eq!(ours.signed().unwrap().unwrap().size, 9, "a refusal is not remembered as signed");

        assert!(ours.sign(b"portcullis-journal/v1\nlog.example\n0\n1\nAAAA\n").is_err());
        assert_eq!(ours.refused(), Some(Refused::Other));
        std::fs::write(state.path().join("signed"), "noise").unwrap();
        assert!(matches!(
            ours.check(&Checkpoint { origin: String::new(), size: 20, root: [0; 32] }),
            Err(Refused::State(_))
        ));
    }
}
