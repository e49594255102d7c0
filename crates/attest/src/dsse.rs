//! DSSE: the envelope around a statement (secure-systems-lab/dsse v1.0.2).
//!
//! The payload bytes that the signature covers are the bytes that are parsed; nothing is re-encoded. The key id in
//! an envelope is a hint and decides nothing.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use crate::json::{Json, Object, ShapeError};
use crate::secret::{SignError, Signer};

/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// More signatures than this are a way to make a verifier work, not a way to say something.
const MAX_SIGNATURES: usize = 16;

/// A DSSE envelope: authentic only once `TrustRoot::open` says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dsse {
    /// What the payload claims to be.
    pub payload_type: String,
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// The signatures, at least one.
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// A hint at the key; tried first and never believed.
    pub hint: Option<String>,
    /// The signature.
    pub bytes: Vec<u8>,
}

impl Dsse {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`ShapeError`] for missing or malformed fields, no signature, or too many. Unknown fields are ignored, as
    /// DSSE asks; they can add nothing.
    pub fn read(object: &Object) -> Result<Self, ShapeError> {
        let payload = object.string("payload")?;
        let signatures = object.array("signatures")?;
        if signatures.is_empty() || signatures.len() > MAX_SIGNATURES {
            let found = format!("{}", signatures.len());
            return Err(ShapeError::new("signatures", "1 to 16 signatures", &found));
        }
        Ok(Self {
            payload_type: object.string("payloadType")?.to_owned(),
            payload: base64(payload).ok_or_else(|| ShapeError::new("payload", "base64", "something else"))?,
            signatures: crate::json::each("signatures", signatures, |item| {
                let item = item.as_object()?;
                let bytes = base64(item.string("sig")?);
                Ok(Signature {
                    hint: item.optional_string("keyid")?.map(str::to_owned),
                    bytes: bytes.ok_or_else(|| ShapeError::new("sig", "base64", "something else"))?,
                })
            })?,
        })
    }

    /// The bytes that signatures cover.
    #[must_use]
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// Signs a payload with each signer in turn.
    ///
    /// # Errors
    /// [`SignError`] where a key cannot sign.
    pub fn sign(payload_type: &str, payload: &[u8], signers: &[&dyn Signer]) -> Result<Self, SignError> {
        let message = pae(payload_type, payload);
        // verifiers of the Go library skip a signature whose keyid is not their own name for the key, so a lone
        // signature goes without
        let hint = |signer: &dyn Signer| (signers.len() > 1).then(|| signer.public().id());
        let one = |signer: &&dyn Signer| Ok(Signature { hint: hint(*signer), bytes: signer.sign(&message)? });
        let signatures = signers.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Self { payload_type: payload_type.to_owned(), payload: payload.to_vec(), signatures })
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Object {
        let signature = |s: &Signature| {
            let mut object = Object::new().with("sig", STANDARD.encode(&s.bytes));
            object.set_some("keyid", s.hint.as_deref());
            object
        };
        Object::new()
            .with("payload", STANDARD.encode(&self.payload))
            .with("payloadType", self.payload_type.as_str())
            .with("signatures", Json::Array(self.signatures.iter().map(|s| signature(s).into()).collect()))
    }
}

/// The pre-authentication encoding: lengths are decimal byte counts.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Decodes either alphabet, padded or not, as DSSE asks. Mixed alphabets, white space and stray bits at the end
/// are refused: one text has one meaning.
#[must_use]
pub fn base64(text: &str) -> Option<Vec<u8>> {
    // no text with a character of the one alphabet alone is read by the other, so the order only says which is tried
    // first; to look which it is would cost as much as decoding
    let (standard, url_safe) = match text.ends_with('=') {
        true => (&STANDARD, &URL_SAFE),
        false => (&STANDARD_NO_PAD, &URL_SAFE_NO_PAD),
    };
    standard.decode(text).or_else(|_| url_safe.decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_are_read_and_mixtures_refused() {
        assert_eq!(base64("-_8="), Some(vec![0xfb, 0xff]));
        assert_eq!(base64("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(base64("+/8"), Some(vec![0xfb, 0xff]));
        for bad in ["-/8=", "+/9=", "+/8=\n", "+", "+/8=="] {
            assert_eq!(base64(bad), None, "{bad}");
        }
    }
}
