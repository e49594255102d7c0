//! The proof, carried inline, that a signature is in a log.
//!
//! The leaf has the form of Rekor's `dsse` entry, so that tools which read bundles read ours. What it binds: the
//! payload's hash, the signature, and the key (CVE-2022-36056, CVE-2026-22703: each of them swapped alone).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::bundle::{Content, LogEntry};
use crate::digest::{Digest, to_hex};
use crate::dsse::Dsse;
use crate::envelope::{Envelope, Form};
use crate::json::{self, Json, Object, ShapeError};
use crate::key::PublicKey;
use crate::merkle::{leaf_hash, root_from_inclusion};
use crate::note::{Checkpoint, Note};
use crate::trust::TrustRoot;

/// That a signature is in a log, and who saw the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFact {
    /// The log's name in the trust root.
    pub log: String,
    /// The leaf's place.
    pub index: u64,
    /// The id of the key whose signature the leaf is about. It proves nothing about another signature.
    pub key: String,
    /// The witnesses that cosigned the checkpoint, by their names in the trust root.
    pub witnesses: Vec<String>,
    /// The earliest time at which a witness saw it.
    pub time: Option<Timestamp>,
}

/// Why a proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogProofError {
    /// The checkpoint is malformed.
    Checkpoint,
    /// The checkpoint names a known log and is not signed by it.
    CheckpointSignature(String),
    /// The proof is for another tree than the checkpoint's.
    Inclusion,
    /// The leaf is no entry we can read.
    Leaf,
    /// The leaf is about another payload, signature or key.
    OtherSignature,
    /// A Sigstore instance that knows the log says no.
    Sigstore(crate::sigstore::SigstoreError),
}

impl fmt::Display for LogProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("the checkpoint is malformed"),
            Self::CheckpointSignature(log) => write!(f, "the checkpoint is not signed by the log {log}"),
            Self::Inclusion => f.write_str("the inclusion proof does not lead to the checkpoint's root"),
            Self::Leaf => f.write_str("the log entry cannot be read"),
            Self::OtherSignature => f.write_str("the log entry is about another signature"),
            Self::Sigstore(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for LogProofError {}

/// The leaf that logs the first signature of an envelope.
#[must_use]
pub fn leaf_body(dsse: &Dsse, envelope: &Digest, key: &PublicKey) -> Vec<u8> {
    let hash = |digest: &Digest| Object::new().with("algorithm", "sha256").with("value", digest.hex());
    let signature = dsse.signatures.first().map(|s| STANDARD.encode(&s.bytes)).unwrap_or_default();
    let signature =
        Object::new().with("signature", signature).with("verifier", STANDARD.encode(key.to_pem()));
    let spec = Object::new()
        .with("envelopeHash", hash(envelope))
        .with("payloadHash", hash(&Digest::sha256(&dsse.payload)))
        .with("signatures", Json::Array(vec![signature.into()]));
    Object::new().with("apiVersion", "0.0.1").with("kind", "dsse").with("spec", spec).to_string().into_bytes()
}

impl TrustRoot {
    /// The facts that the entries prove. An entry of a log that the trust root does not know proves nothing and
    /// harms nothing; one of a known log must hold. The same log twice, for one
    /// key, is one fact, the first.
    pub(super) fn check_logs(
        &self,
        envelope: &Envelope,
        entries: &[LogEntry],
    ) -> Result<Vec<LogFact>, LogProofError> {
        let mut facts: Vec<LogFact> = Vec::new();
        for entry in entries {
            let note = Note::parse(&entry.checkpoint).ok_or(LogProofError::Checkpoint)?;
            let checkpoint = Checkpoint::parse(note.text()).ok_or(LogProofError::Checkpoint)?;
            let Some((log, key)) = self.logs().find(|(_, key)| key.name == checkpoint.origin) else {
                continue;
            };
            if !note.is_signed_by(key) {
                return Err(LogProofError::CheckpointSignature(log.to_owned()));
            }
            let root = root_from_inclusion(entry.index, entry.size, leaf_hash(&entry.body), &entry.proof);
            if entry.size != checkpoint.size || root != Some(checkpoint.root) {
                return Err(LogProofError::Inclusion);
            }
            let logged_key = check_leaf(envelope, &entry.body)?;
            let seen: Vec<(&str, Timestamp)> =
                self.witnesses().filter_map(|(name, key)| Some((name, note.cosigned_at(key)?))).collect();
            if facts.iter().all(|fact| fact.log != log || fact.key != logged_key) {
                facts.push(LogFact {
                    log: log.to_owned(),
                    index: entry.index,
                    key: logged_key,
                    witnesses: seen.iter().map(|(name, _)| (*name).to_owned()).collect(),
                    time: seen.iter().map(|(_, time)| *time).min(),
                });
            }
        }
        Ok(facts)
    }
}

/// The id of the key whose signature the leaf logs.
fn check_leaf(envelope: &Envelope, body: &[u8]) -> Result<String, LogProofError> {
    let Form::Bundle(bundle) = envelope.form() else { return Err(LogProofError::OtherSignature) };
    let Content::Dsse(dsse) = &bundle.content else { return Err(LogProofError::OtherSignature) };
    let leaf = json::parse(body).or(Err(LogProofError::Leaf))?;
    let (payload_hash, signature, verifier) = read_leaf(&leaf).or(Err(LogProofError::Leaf))?;
    let ours = dsse.signatures.iter().find(|s| STANDARD.encode(&s.bytes) == signature);
    let ours = ours.ok_or(LogProofError::OtherSignature)?;
    let key = STANDARD.decode(verifier).ok().and_then(|pem| String::from_utf8(pem).ok());
    let key = key.and_then(|pem| PublicKey::from_pem(&pem).ok()).ok_or(LogProofError::Leaf)?;
    let same_payload = payload_hash == to_hex(Digest::sha256(&dsse.payload).bytes());
    if !same_payload || key.verify(&dsse.pae(), &ours.bytes).is_err() {
        return Err(LogProofError::OtherSignature);
    }
    Ok(key.id())
}

fn read_leaf(leaf: &Json) -> Result<(&str, &str, &str), ShapeError> {
    let leaf = leaf.as_object()?;
    let spec = leaf.object("spec")?;
    if leaf.string("kind")? != "dsse" {
        return Err(ShapeError::new("kind", "dsse", leaf.string("kind")?));
    }
    let none = || ShapeError::new("signatures", "one signature", "none");
    let signature = spec.array("signatures")?.first().ok_or_else(none)?.as_object()?;
    let payload = spec.object("payloadHash")?;
    if payload.string("algorithm")? != "sha256" {
        return Err(ShapeError::new("payloadHash.algorithm", "sha256", "another"));
    }
    Ok((payload.string("value")?, signature.string("signature")?, signature.string("verifier")?))
}
