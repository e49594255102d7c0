//! Which build was signed, and as what: one build is never signed twice with different content.
//!
//! Each step is durable before the next one begins, so whenever the signer is killed, the ledger says how far it can
//! have come:
//!
//! 1. *reserved*: this record, and no other, may be signed for this output of this build. Before it, the key was not
//!    used. From here on every other record is refused, whether the key was used or not.
//! 2. *signed*: the signature, before anybody sees it. A signer that died in between signs again, the same statement;
//!    the first signature died with it. From here on the key is not used again: the same signature is logged.
//! 3. the log has the signature. A signer that died after that finds it there, from the position noted in step 2 on.
//! 4. *done*: the bundle, before it is handed out. From here on the same record gives the same bytes.

use std::fmt;
use std::io;

use attest::{Digest, Json, Object};
use tlog::Storage;

use super::signature::Signature;

/// What was signed, in a store that survives a power cut.
#[derive(Debug)]
pub(crate) struct Ledger<S>(S);

/// What one signature is for: an output of a build, or that the build failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Which run.
    pub(crate) invocation: String,
    /// The output's name; nothing for a failure.
    pub(crate) output: Option<String>,
}

/// How far a signature came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The digest of the record.
    pub(crate) record: Digest,
    pub(crate) step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Reserved,
    Signed { signature: Signature, position: u64 },
    Done { bundle: Json },
}

/// Why the ledger gives no answer.
#[derive(Debug)]
pub(crate) enum LedgerError {
    /// The store failed; whether a write arrived is not known.
    Io(io::Error),
    /// An entry is not what was written.
    Damaged(String),
    /// The build ended the other way: it failed and is to be signed as good, or the other way round.
    EndedOtherwise(Slot),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "the ledger of signatures failed: {e}"),
            Self::Damaged(path) => {
                write!(f, "{path} in the ledger of signatures is not what was written there")
            }
            Self::EndedOtherwise(slot) if slot.output.is_none() => {
                write!(
                    f,
                    "the build {} has signed provenance and cannot be recorded as failed",
                    slot.invocation
                )
            }
            Self::EndedOtherwise(slot) => {
                write!(f, "the build {} is recorded as failed and gets no provenance", slot.invocation)
            }
        }
    }
}

impl Slot {
    fn key(&self) -> String {
        self.output.as_deref().map_or(FAILURE.to_owned(), |name| format!("output {name}"))
    }

    /// One file a build; an invocation is somebody's text and is hashed, never a path.
    fn path(&self) -> String {
        format!("{}.json", Digest::sha256(self.invocation.as_bytes()).hex())
    }
}

const FAILURE: &str = "failure";

impl<S: Storage> Ledger<S> {
    pub(crate) fn new(storage: S) -> Self {
        Self(storage)
    }

    /// What is known of a slot.
    ///
    /// # Errors
    /// [`LedgerError`], also where the build ended the other way.
    pub(crate) fn find(&self, slot: &Slot) -> Result<Option<Entry>, LedgerError> {
        let entries = self.read(slot)?;
        let key = slot.key();
        if entries.iter().any(|(other, _)| (other == FAILURE) != (key == FAILURE)) {
            return Err(LedgerError::EndedOtherwise(slot.clone()));
        }
        let damaged = || LedgerError::Damaged(slot.path());
        entries.get(&key).map(|entry| Entry::read(entry).ok_or_else(damaged)).transpose()
    }

    /// Writes an entry durably.
    ///
    /// # Errors
    /// [`LedgerError::Io`]; the signer must stop then.
    pub(crate) fn put(&self, slot: &Slot, entry: &Entry) -> Result<(), LedgerError> {
        let mut entries = self.read(slot)?;
        entries.set(&slot.key(), entry.to_json());
        let file = Object::new().with("invocation", slot.invocation.as_str()).with("signed", entries);
        self.0.write(&slot.path(), format!("{file}\n").as_bytes()).map_err(LedgerError::Io)
    }

    fn read(&self, slot: &Slot) -> Result<Object, LedgerError> {
        let Some(bytes) = self.0.read(&slot.path()).map_err(LedgerError::Io)? else {
            return Ok(Object::new());
        };
        let entries = || {
            let file = attest::json::parse(bytes.trim_ascii_end()).ok()?;
            let file = file.as_object().ok()?;
            let is_ours = file.string("invocation").ok()? == slot.invocation;
            file.object("signed").ok().filter(|_| is_ours).cloned()
        };
        entries().ok_or_else(|| LedgerError::Damaged(slot.path()))
    }
}

impl Entry {
    fn to_json(&self) -> Object {
        let entry = Object::new().with("record", self.record.to_string());
        match &self.step {
            Step::Reserved => entry,
            Step::Signed { signature, position } => {
                entry.with("signature", signature.to_json()).with("position", position.to_string())
            }
            Step::Done { bundle } => {
                let digest = Digest::sha256(bundle.to_string().as_bytes()).to_string();
                entry.with("digest", digest).with("bundle", bundle.clone())
            }
        }
    }

    fn read(json: &Json) -> Option<Self> {
        let object = json.as_object().ok()?;
        let record = Digest::parse(object.string("record").ok()?).ok()?;
        let step = match (object.get("bundle"), object.get("signature")) {
            (Some(bundle), None) => {
                let digest = Digest::sha256(bundle.to_string().as_bytes()).to_string();
                let is_whole = object.string("digest").ok()? == digest;
                is_whole.then(|| Step::Done { bundle: bundle.clone() })?
            }
            (None, Some(signature)) => Step::Signed {
                signature: Signature::read(signature)?,
                position: object.string("position").ok()?.parse().ok()?,
            },
            (None, None) => Step::Reserved,
            (Some(_), Some(_)) => return None,
        };
        Some(Self { record, step })
    }
}
