//! Any form in which evidence arrives: a DSSE envelope, a Sigstore bundle, a PEP 740 attestation, a JWT, or a
//! clear-signed .buildinfo of Debian.

use std::fmt;

use crate::buildinfo::{Buildinfo, is_unsigned};
use crate::bundle::{Bundle, Content};
use crate::digest::{Algorithm, Digest, DigestSet};
use crate::dsse::Dsse;
use crate::json::{self, Json, JsonError, ShapeError};
use crate::jwt::Jws;
use crate::open::Attestation;
use crate::openpgp::{self, ClearSigned, OpenPgpError};
use crate::sigstore;
use crate::statement::Statement;

/// One unopened envelope. It says nothing until `TrustRoot::open` has opened it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    digest: Digest,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Dsse(Dsse),
    Bundle(Box<Bundle>),
    Jwt(Jws),
    Buildinfo(Box<ClearSigned>),
}

/// Why bytes are no envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvelopeError {
    /// Nothing at all.
    Empty,
    /// Neither JSON nor a compact JWS.
    Json(JsonError),
    /// A compact JWS with a malformed part, or one that asks for what we do not do.
    Jws,
    /// JSON of another shape.
    Shape(ShapeError),
    /// A clear-signed text that is not accepted.
    ClearSigned(OpenPgpError),
    /// A .buildinfo that nobody signed.
    NotSigned,
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the file is empty"),
            Self::Json(e) => write!(f, "no DSSE envelope, Sigstore bundle or JWT: {e}"),
            Self::Jws => f.write_str("a malformed JWT: wanted three base64url parts, and no `crit` or `b64`"),
            Self::Shape(e) => write!(f, "no DSSE envelope, Sigstore bundle or JWT: {e}"),
            Self::ClearSigned(e) => e.fmt(f),
            Self::NotSigned => {
                f.write_str("a .buildinfo that is not signed; sign it: debsign FILE.buildinfo")
            }
        }
    }
}
impl std::error::Error for EnvelopeError {}

impl Envelope {
    /// The largest envelope that is read, in bytes.
    pub const MAX_BYTES: usize = 24 << 20;

    /// Parses an envelope of any form.
    ///
    /// # Errors
    /// [`EnvelopeError`] with the byte or the path of what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let digest = Digest::sha256(bytes);
        if bytes.is_empty() {
            return Err(EnvelopeError::Empty);
        }
        if bytes.starts_with(b"ey") {
            let text = std::str::from_utf8(bytes).or(Err(EnvelopeError::Jws))?;
            let form = Form::Jwt(Jws::parse(text.trim_end_matches('\n')).ok_or(EnvelopeError::Jws)?);
            return Ok(Self { digest, form });
        }
        if bytes.starts_with(openpgp::SIGNED_MESSAGE.as_bytes()) {
            let text = ClearSigned::parse_lasting(bytes).map_err(EnvelopeError::ClearSigned)?;
            return Ok(Self { digest, form: Form::Buildinfo(Box::new(text)) });
        }
        if is_unsigned(bytes) {
            return Err(EnvelopeError::NotSigned);
        }
        let limits = json::Limits { bytes: Self::MAX_BYTES, ..json::Limits::default() };
        let value = json::parse_with(bytes, limits).map_err(EnvelopeError::Json)?;
        let form = read_json(&value, bytes).map_err(EnvelopeError::Shape)?;
        Ok(Self { digest, form })
    }

    /// Whether bytes begin like an envelope that is text and no JSON: a JWT, or a clear-signed .buildinfo. In lists of
    /// envelopes such a one is a string.
    #[must_use]
    pub fn is_text(bytes: &[u8]) -> bool {
        bytes.starts_with(b"ey") || bytes.starts_with(openpgp::SIGNED_MESSAGE.as_bytes())
    }

    /// SHA-256 of the bytes as they were submitted.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(crate) fn form(&self) -> &Form {
        &self.form
    }

    /// The SHA-2 algorithms that the unproven payload mentions beside SHA-256. Only a hint at what to compute of
    /// the artifact: more digests can only make the comparison stricter.
    #[must_use]
    pub fn mentioned_algorithms(&self) -> Vec<Algorithm> {
        if let Form::Bundle(bundle) = &self.form
            && let Content::Message { digest, .. } = &bundle.content
        {
            return vec![digest.algorithm()];
        }
        let payload = self.unproven_payload();
        let mentions = |word: &[u8]| payload.windows(word.len()).any(|w| w == word);
        let mut found = Vec::new();
        if mentions(b"sha512") || mentions(b"sha-512") {
            found.push(Algorithm::Sha512);
        }
        if mentions(b"sha384") || mentions(b"sha-384") {
            found.push(Algorithm::Sha384);
        }
        found
    }

    /// What the unproven payload calls its subjects. Only a hint at where a message belongs that says why nothing is
    /// proven.
    #[must_use]
    pub fn unproven_subjects(&self) -> Vec<DigestSet> {
        let statement = match &self.form {
            Form::Jwt(jws) => crate::jwt::read_statement(jws.unproven_payload()),
            Form::Dsse(_) | Form::Bundle(_) => Statement::parse(self.unproven_payload()),
            Form::Buildinfo(text) => Buildinfo::statement_of(text.text()),
        };
        statement.map_or_else(|_| Vec::new(), |s| s.subjects.into_iter().map(|s| s.digests).collect())
    }

    /// SHA-256 of the payload, whatever it is worth: under this a log of signatures lists it.
    #[must_use]
    pub fn payload_digest(&self) -> Digest {
        Digest::sha256(self.unproven_payload())
    }

    /// The payload of what opened: the very bytes that were signed. Nothing where another envelope opened, or where a file
    /// was signed and not a payload.
    #[must_use]
    pub fn payload(&self, opened: &Attestation) -> Option<&[u8]> {
        if let Form::Bundle(bundle) = &self.form
            && let Content::Message { .. } = &bundle.content
        {
            return None;
        }
        (opened.envelope() == &self.digest).then(|| self.unproven_payload())
    }

    fn unproven_payload(&self) -> &[u8] {
        match &self.form {
            Form::Dsse(dsse) => &dsse.payload,
            Form::Bundle(bundle) => match &bundle.content {
                Content::Dsse(dsse) => &dsse.payload,
                Content::Message { digest, .. } => digest.bytes(),
            },
            Form::Jwt(jws) => jws.unproven_payload(),
            Form::Buildinfo(text) => text.text().as_bytes(),
        }
    }
}

fn read_json(value: &Json, bytes: &[u8]) -> Result<Form, ShapeError> {
    let object = value.as_object()?;
    if Bundle::is_bundle(object) {
        return Ok(Form::Bundle(Box::new(Bundle::read(object, bytes)?)));
    }
    if sigstore::is_pep740(object) {
        let bundle = sigstore::read_pep740(object)?;
        let bytes = Json::from(bundle.clone()).to_string();
        return Ok(Form::Bundle(Box::new(Bundle::read(&bundle, bytes.as_bytes())?)));
    }
    if object.get("payload").is_none() {
        return Err(ShapeError::new("", "a `mediaType` (bundle) or a `payload` (DSSE)", "neither"));
    }
    Ok(Form::Dsse(Dsse::read(object)?))
}
