//! The envelope around a layout or link: the old form, or DSSE. It says nothing until a key verified a signature on it.

use attest::digest::parse_hex;
use attest::dsse::{self, Dsse};
use attest::json::{self, ShapeError, each};
use attest::{Json, Object, PublicKey, StatementError};

use super::canonical::canonical;

/// More than any layout has owners, and than any step has functionaries.
const MAX_SIGNATURES: usize = 64;
/// Links list every file of a source tree; layouts are pages.
const MAX_BYTES: usize = 16 << 20;

/// In which form it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{signatures, signed}`, signed over canonical JSON.
    Old,
    /// A DSSE envelope.
    Dsse,
}

/// Signed metadata, unproven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    form: Form,
    message: Vec<u8>,
    body: Object,
    signatures: Vec<Vec<u8>>,
    unusable: Vec<&'static str>,
}

impl Metadata {
    /// Parses either form.
    ///
    /// # Errors
    /// [`StatementError`] with the byte or the path of what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        let limits = json::Limits { bytes: MAX_BYTES, ..json::Limits::default() };
        let value = json::parse_with(bytes, limits).map_err(StatementError::Json)?;
        let object = value.as_object()?;
        if object.get("payload").is_some() { read_dsse(object) } else { Ok(read_old(object)?) }
    }

    /// The form.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// What is signed. Nothing vouches for it before [`Metadata::is_signed_by`] does.
    #[must_use]
    pub fn unproven(&self) -> &Object {
        &self.body
    }

    /// Whether some signature verifies under this key. Key ids are hints, and not even looked at.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signatures.iter().any(|signature| key.verify(&self.message, signature).is_ok())
    }

    /// What stands among the signatures and cannot be verified here.
    #[must_use]
    pub fn unusable(&self) -> &[&'static str] {
        &self.unusable
    }
}

fn read_dsse(object: &Object) -> Result<Metadata, StatementError> {
    let dsse = Dsse::read(object)?;
    if dsse.payload_type != dsse::IN_TOTO {
        return Err(ShapeError::new("payloadType", dsse::IN_TOTO, &dsse.payload_type).into());
    }
    let limits = json::Limits { bytes: MAX_BYTES, ..json::Limits::default() };
    let body = json::parse_with(&dsse.payload, limits).map_err(StatementError::Json)?;
    Ok(Metadata {
        form: Form::Dsse,
        message: dsse.pae(),
        body: body.as_object().map_err(|e| e.within("payload"))?.clone(),
        signatures: dsse.signatures.into_iter().map(|s| s.bytes).collect(),
        unusable: Vec::new(),
    })
}

fn read_old(object: &Object) -> Result<Metadata, ShapeError> {
    if let Some((key, _)) = object.iter().find(|(key, _)| !matches!(*key, "signed" | "signatures")) {
        return Err(ShapeError::new(
            key,
            "`signed` and `signatures`, or a DSSE envelope",
            "an unknown field",
        ));
    }
    let body = object.object("signed")?.clone();
    let message = canonical(&Json::Object(body.clone()))
        .ok_or_else(|| ShapeError::new("signed", "integers only", "a fraction"))?;
    let items = object.array("signatures")?;
    if items.len() > MAX_SIGNATURES {
        return Err(ShapeError::new("signatures", "at most 64 signatures", &items.len().to_string()));
    }
    let mut signatures = Vec::new();
    let mut unusable = Vec::new();
    for read in each("signatures", items, read_signature)? {
        match read {
            Ok(bytes) => signatures.push(bytes),
            Err(why) => unusable.push(why),
        }
    }
    Ok(Metadata { form: Form::Old, message, body, signatures, unusable })
}

/// The signature's bytes, or why it is of a kind that is not verified here.
fn read_signature(value: &Json) -> Result<Result<Vec<u8>, &'static str>, ShapeError> {
    let object = value.as_object()?;
    if object.get("other_headers").is_some() {
        return Ok(Err("an OpenPGP signature, which is not verified here"));
    }
    if object.optional_string("cert")?.is_some_and(|cert| !cert.is_empty()) {
        return Ok(Err("a signature under a certificate, which is not verified here"));
    }
    let text = object.string("sig")?;
    parse_hex(text).map(Ok).ok_or_else(|| ShapeError::new("sig", "lower-case hex", "something else"))
}
