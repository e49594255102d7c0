//! Proof that who holds the log's key wrote an entry: a login of the database alone puts nothing on record.
//!
//! It is one Ed25519 signature an entry, with the key that signs the spool and the checkpoints. All replicas have that key,
//! but only behind [`attest::Signer`], which shows no secret that a cheaper MAC could be derived from, and which may be a
//! token. A signature costs a small part of what the insert costs that it goes with (docs/log-postgresql.md, "What it
//! costs"), and the sequencer checks it with the public key.

use std::fmt;
use std::sync::Arc;

use attest::merkle::Hash;
use attest::secret::SignError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::LogSigner;

use crate::leaf;

/// The first line of what is signed. Checkpoints and the spool's batches have others there.
const WORD: &str = "portcullis-pending/v1";

/// Makes proofs for one log, and checks them.
#[derive(Clone)]
pub(crate) struct Prover {
    origin: String,
    key: Arc<LogSigner>,
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prover(of {})", self.origin)
    }
}

impl Prover {
    pub(crate) fn new(origin: &str, key: &Arc<LogSigner>) -> Self {
        Self { origin: origin.to_owned(), key: Arc::clone(key) }
    }

    /// The proof of one entry.
    ///
    /// # Errors
    /// [`SignError`] where the key cannot be used.
    pub(crate) fn prove(&self, writer: &str, sequence: u64, leaf: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key.sign(self.message(writer, sequence, &leaf::hash(leaf)).as_bytes())
    }

    /// Whether these are the bytes that this writer wrote at this place of this log.
    pub(crate) fn holds(&self, writer: &str, sequence: u64, leaf: &[u8], proof: &[u8]) -> bool {
        self.holds_for(writer, sequence, &leaf::hash(leaf), proof)
    }

    /// The same, by the leaf's hash.
    pub(crate) fn holds_for(&self, writer: &str, sequence: u64, hash: &Hash, proof: &[u8]) -> bool {
        self.key.public().verify(self.message(writer, sequence, hash).as_bytes(), proof).is_ok()
    }

    /// The origin is ours, and what follows the writer has neither a line's end nor another length: no two entries have
    /// one message, whatever a writer is called.
    fn message(&self, writer: &str, sequence: u64, hash: &Hash) -> String {
        format!("{WORD}\n{}\n{writer}\n{sequence}\n{}\n", self.origin, STANDARD.encode(hash))
    }
}

#[cfg(test)]
mod tests {
    use attest::SecretKey;

    use super::*;

    fn prover(origin: &str, seed: u8) -> Prover {
        let key: Arc<LogSigner> = Arc::new(SecretKey::from_ed25519_seed(&[seed; 32]).unwrap());
        Prover::new(origin, &key)
    }

    #[test]
    fn a_proof_is_of_one_key_log_writer_place_and_leaf() {
        let ours = prover("log.example", 5);
        let proof = ours.prove("a", 7, b"leaf").unwrap();
        assert!(ours.holds("a", 7, b"leaf", &proof));
        assert!(!ours.holds("b", 7, b"leaf", &proof), "another writer");
        assert!(!ours.holds("a", 8, b"leaf", &proof), "another place");
        assert!(!ours.holds("a", 7, b"other", &proof), "another leaf");
        assert!(!ours.holds("a", 7, b"leaf", b""), "none");
        assert!(!prover("other.example", 5).holds("a", 7, b"leaf", &proof), "another log");
        assert!(!prover("log.example", 6).holds("a", 7, b"leaf", &proof), "another key");
        let note = SecretKey::from_ed25519_seed(&[5; 32]).unwrap();
        let other = attest::Signer::sign(&note, b"log.example\n7\nAAAA\n").unwrap();
        assert!(!ours.holds("a", 7, b"leaf", &other), "what the key signed elsewhere");
    }
}
