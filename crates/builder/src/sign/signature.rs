//! A signature on its way into the log: the chapter's two forms of one record.

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Digest, Json, Object, Signer};
use tlog::Receipt;

use super::protocol::Record;
use super::{SignError, VERSION, refused};

/// What the key made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    /// An envelope around a statement.
    Envelope(Dsse),
    /// A token.
    Token(String),
}

impl Signature {
    /// Signs what the signer itself writes from a record.
    pub(super) fn make(record: &Record, builder_id: &str, key: &dyn Signer) -> Result<Self, SignError> {
        if let Record::Token(record) = record {
            let token = attest::jwt::sign(&record.provenance_of(builder_id, VERSION), &record.digest, key);
            return token.map(Self::Token).map_err(|e| refused(&e));
        }
        let statement = record.statement(builder_id, VERSION);
        Dsse::sign(IN_TOTO, statement.as_bytes(), &[key]).map(Self::Envelope).map_err(|e| refused(&e))
    }

    /// What was signed before a crash is logged under the key that signed it, or not at all.
    pub(super) fn is_of(&self, key: &dyn Signer) -> bool {
        match self {
            Self::Envelope(envelope) => {
                let bytes = envelope.signatures.first().map(|s| s.bytes.as_slice()).unwrap_or_default();
                key.public().verify(&envelope.pae(), bytes).is_ok()
            }
            Self::Token(token) => {
                attest::jwt::Jws::parse(token).is_some_and(|token| token.verify(key.public()).is_some())
            }
        }
    }

    /// The log's leaf. A token's binds all of its text, signature included.
    pub(super) fn leaf(&self, key: &dyn Signer) -> Vec<u8> {
        match self {
            Self::Envelope(envelope) => {
                let digest = Digest::sha256(envelope.to_json().to_string().as_bytes());
                attest::open::leaf_body(envelope, &digest, key.public())
            }
            Self::Token(token) => {
                let spec = Object::new()
                    .with("token", Digest::sha256(token.as_bytes()).to_string())
                    .with("key", key.public().id());
                let leaf = Object::new().with("apiVersion", "0.0.1").with("kind", "jwt").with("spec", spec);
                Json::from(leaf).to_string().into_bytes()
            }
        }
    }

    /// What is handed out: a bundle with its proof, or the token, for which the log answers.
    pub(super) fn hand_out(self, key: &dyn Signer, receipt: &Receipt, leaf: &[u8]) -> Json {
        match self {
            Self::Envelope(envelope) => {
                Bundle::write(&envelope, &key.public().id(), &[receipt.to_entry(leaf)])
            }
            Self::Token(token) => Json::from(token),
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::Envelope(envelope) => envelope.to_json().into(),
            Self::Token(token) => Json::from(token.as_str()),
        }
    }

    pub(super) fn read(json: &Json) -> Option<Self> {
        match json {
            Json::String(token) => Some(Self::Token(token.clone())),
            other => Dsse::read(other.as_object().ok()?).ok().map(Self::Envelope),
        }
    }
}
