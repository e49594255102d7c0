//! An attestation as Container Analysis keeps it: an occurrence, with a payload of simple signing beside its signatures.

use attest::dsse::{Signature, base64};
use attest::json::{self, Limits, ShapeError, each};
use attest::{Attestation, Envelope, Json, Object, StatementError, TrustRoot};
use jiff::Timestamp;

const MAX_SIGNATURES: usize = 64;

/// An occurrence of kind ATTESTATION, unproven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// What it is kept for; a name, which decides nothing.
    pub resource: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
    tokens: Vec<String>,
}

/// What one part of an occurrence is worth: what it proves, or why it proves nothing.
#[derive(Clone, Debug)]
pub struct Word {
    /// Which part.
    pub part: String,
    /// The result of step one.
    pub opened: Result<Attestation, String>,
}

impl Occurrence {
    /// Parses one occurrence, as `gcloud container binauthz attestations list --format=json` prints each.
    ///
    /// # Errors
    /// [`StatementError`] with the byte or the path of what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let value = json::parse_with(bytes, Limits::default()).map_err(StatementError::Json)?;
        let object = value.as_object()?;
        let kind = object.optional_string("kind")?.unwrap_or("ATTESTATION");
        if kind != "ATTESTATION" {
            return Err(ShapeError::new("kind", "ATTESTATION", kind).into());
        }
        let resource = object.optional_string("resourceUri")?.unwrap_or_default().to_owned();
        let attestation = object.object("attestation")?;
        Ok(read(attestation, resource).map_err(|e| e.within("attestation"))?)
    }

    /// Opens everything in it: the payload under its signatures, and each token under a key of its own.
    #[must_use]
    pub fn open(&self, root: &TrustRoot, at: Timestamp) -> Vec<Word> {
        let mut words = Vec::new();
        if !self.signatures.is_empty() {
            let opened =
                root.open_simple_signing(&self.payload, &self.signatures, at).map_err(|e| e.to_string());
            words.push(Word { part: "serializedPayload".to_owned(), opened });
        }
        for (index, token) in self.tokens.iter().enumerate() {
            let opened = Envelope::parse(token.as_bytes())
                .map_err(|e| e.to_string())
                .and_then(|envelope| root.open(&envelope, at).map_err(|e| e.to_string()));
            words.push(Word { part: format!("jwts[{index}]"), opened });
        }
        words
    }
}

fn read(object: &Object, resource: String) -> Result<Occurrence, ShapeError> {
    let signatures = object.optional_array("signatures")?;
    let tokens = object.optional_array("jwts")?;
    if signatures.len() + tokens.len() > MAX_SIGNATURES || signatures.is_empty() && tokens.is_empty() {
        let found = (signatures.len() + tokens.len()).to_string();
        return Err(ShapeError::new("signatures", "1 to 64 signatures or tokens", &found));
    }
    let bad = |key: &str| ShapeError::new(key, "base64", "something else");
    let payload = object.optional_string("serializedPayload")?.unwrap_or_default();
    Ok(Occurrence {
        resource,
        payload: base64(payload).ok_or_else(|| bad("serializedPayload"))?,
        signatures: each("signatures", signatures, |item: &Json| {
            let item = item.as_object()?;
            Ok(Signature {
                hint: item.optional_string("publicKeyId")?.map(str::to_owned),
                bytes: base64(item.string("signature")?).ok_or_else(|| bad("signature"))?,
            })
        })?,
        tokens: each("jwts", tokens, |item: &Json| Ok(item.as_object()?.string("compactJwt")?.to_owned()))?,
    })
}
