//! Detached CMS signatures (RFC 5652) as gitsign puts them on commits and tags: one signer, ECDSA with SHA-256, the signer's
//! certificate, and the entry of a Sigstore log among the unsigned attributes.
//!
//! Nothing is believed here. What is read is said again as a Sigstore bundle: the signed attributes are the file that was
//! signed. Chain, certificate log, log entry and signature are then verified where those of every bundle are.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::der::{INTEGER, NULL, OCTET_STRING, OID, Reader, SEQUENCE, SET, encode};
use crate::digest::Digest;
use crate::json::{Json, Object};
use crate::pem;

mod entry;

const LABEL: &str = "SIGNED MESSAGE";
/// The most attributes of one kind, and the most certificates.
const MOST: usize = 16;
/// `[0]` and `[1]`, constructed.
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;

const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
/// 1.3.6.1.4.1.57264.3.1: an entry of Rekor, as `dev.sigstore.rekor.v1.TransparencyLogEntry`.
const LOG_ENTRY: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x03, 0x01];

/// An attribute's type and its values, both as DER.
type Attribute<'a> = (&'a [u8], &'a [u8]);

/// A signature, read and not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CmsSignature {
    /// The digest that is said to be the content's.
    content: Vec<u8>,
    /// What is signed: the attributes, as the SET that they are.
    signed: Vec<u8>,
    signature: Vec<u8>,
    certificate: Vec<u8>,
    entry: Option<Vec<u8>>,
}

/// Why a CMS signature is not read, or is of something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CmsError {
    /// The field says what was wanted.
    Malformed(&'static str),
    /// The field says what is supported.
    Unsupported(&'static str),
    /// It is over other bytes.
    OtherContent,
    /// No log's entry is in it, so nothing trusted says when it was made.
    NotLogged,
}

impl fmt::Display for CmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(wanted) => write!(f, "malformed CMS signature: wanted {wanted}"),
            Self::Unsupported(wanted) => write!(f, "a CMS signature of a kind that is not read: wanted {wanted}"),
            Self::OtherContent => f.write_str("the CMS signature is over other bytes than this object's"),
            Self::NotLogged => f.write_str(
                "signed with CMS in a form that is not read: no log entry is in the signature, so nothing says when it was \
                 made; sign with gitsign after `git config gitsign.rekorMode offline`, or with OpenPGP or SSH",
            ),
        }
    }
}
impl std::error::Error for CmsError {}

impl CmsSignature {
    /// Reads the armored signature of a commit or tag.
    pub(crate) fn from_armor(text: &str) -> Result<Self, CmsError> {
        let armored = pem::decode(text).filter(|(label, _)| *label == LABEL);
        let (_, der) = armored.ok_or(CmsError::Malformed("one block of base64, and nothing after it"))?;
        let mut data = signed_data(&der).ok_or(CmsError::Malformed("detached CMS signed data in DER"))?;
        let certificates =
            data.take(CONTEXT_0).ok_or(CmsError::Malformed("the signer's certificate in it"))?;
        let signers = data.take(SET).filter(|_| data.is_done());
        let mut signers = Reader::new(signers.ok_or(CmsError::Malformed("signers last, and no CRLs"))?);
        let one = signers.sequence().filter(|_| signers.is_done());
        signer(one.ok_or(CmsError::Malformed("exactly one signer"))?, certificates)
    }

    /// The digest of what is signed, and a Sigstore bundle that says the same.
    pub(crate) fn bundle(&self, content: &[u8]) -> Result<(Digest, String), CmsError> {
        if self.content != Digest::sha256(content).bytes() {
            return Err(CmsError::OtherContent);
        }
        let entry = self.entry.as_ref().ok_or(CmsError::NotLogged)?;
        let subject = Digest::sha256(&self.signed);
        let entry = entry::read(entry, &STANDARD.encode(self.body(&subject)))?;
        let certificate = Object::new().with("rawBytes", STANDARD.encode(&self.certificate));
        let material = Object::new()
            .with("certificate", certificate)
            .with("tlogEntries", Json::Array(vec![entry.into()]));
        let digest =
            Object::new().with("algorithm", "SHA2_256").with("digest", STANDARD.encode(subject.bytes()));
        let message =
            Object::new().with("messageDigest", digest).with("signature", STANDARD.encode(&self.signature));
        let bundle = Object::new()
            .with("mediaType", "application/vnd.dev.sigstore.bundle.v0.3+json")
            .with("verificationMaterial", material)
            .with("messageSignature", message);
        Ok((subject, bundle.to_string()))
    }

    /// The entry's body. gitsign leaves it out, since it follows from the rest; only the right one is in the log.
    fn body(&self, subject: &Digest) -> String {
        let hash = Object::new().with("algorithm", "sha256").with("value", subject.hex());
        let key =
            Object::new().with("content", STANDARD.encode(pem::encode("CERTIFICATE", &self.certificate)));
        let signature =
            Object::new().with("content", STANDARD.encode(&self.signature)).with("publicKey", key);
        let spec = Object::new().with("data", Object::new().with("hash", hash)).with("signature", signature);
        let body = Object::new().with("apiVersion", "0.0.1").with("kind", "hashedrekord").with("spec", spec);
        body.to_string()
    }
}

/// SignedData from its certificates on.
fn signed_data(der: &[u8]) -> Option<Reader<'_>> {
    let mut all = Reader::new(der);
    let mut info = all.sequence().filter(|_| all.is_done())?;
    info.take(OID).filter(|kind| *kind == SIGNED_DATA)?;
    let mut explicit = Reader::new(info.take(CONTEXT_0).filter(|_| info.is_done())?);
    let mut data = explicit.sequence().filter(|_| explicit.is_done())?;
    data.take(INTEGER).filter(|version| *version == [1])?;
    let mut digests = Reader::new(data.take(SET)?);
    (is_algorithm(&mut digests, SHA256) && digests.is_done()).then_some(())?;
    let mut content = data.sequence()?;
    // detached: a type, and no content of its own
    content.take(OID).filter(|kind| *kind == DATA && content.is_done())?;
    Some(data)
}

fn is_algorithm(reader: &mut Reader<'_>, wanted: &[u8]) -> bool {
    let Some(mut algorithm) = reader.sequence() else { return false };
    let is_it = algorithm.take(OID) == Some(wanted);
    is_it && (algorithm.is_done() || (algorithm.take(NULL) == Some(&[]) && algorithm.is_done()))
}

fn signer(mut info: Reader<'_>, certificates: &[u8]) -> Result<CmsSignature, CmsError> {
    let wanted = CmsError::Malformed;
    info.take(INTEGER).filter(|version| *version == [1]).ok_or(wanted("a signer of version 1"))?;
    let issuer_and_serial = info.take(SEQUENCE).ok_or(wanted("the signer by issuer and serial number"))?;
    let certificate = certificate(certificates, issuer_and_serial)?;
    if !is_algorithm(&mut info, SHA256) {
        return Err(CmsError::Unsupported("SHA-256"));
    }
    let attributes = info.take(CONTEXT_0).ok_or(wanted("signed attributes"))?;
    if !is_algorithm(&mut info, ECDSA_SHA256) {
        return Err(CmsError::Unsupported("ECDSA with SHA-256"));
    }
    let signature = info.take(OCTET_STRING).ok_or(wanted("a signature"))?;
    let unsigned = info.take(CONTEXT_1);
    if !info.is_done() {
        return Err(wanted("nothing after the unsigned attributes"));
    }
    let signed = read_attributes(attributes)?;
    let is_data = only(&signed, CONTENT_TYPE, OID)? == Some(DATA);
    let content = only(&signed, MESSAGE_DIGEST, OCTET_STRING)?;
    let content =
        content.filter(|_| is_data).ok_or(wanted("content type and digest among the signed attributes"))?;
    let unsigned = unsigned.map(read_attributes).transpose()?.unwrap_or_default();
    Ok(CmsSignature {
        content: content.to_vec(),
        signed: encode(SET, attributes),
        signature: signature.to_vec(),
        certificate,
        entry: only(&unsigned, LOG_ENTRY, OCTET_STRING)?.map(<[u8]>::to_vec),
    })
}

/// The one certificate that has this issuer and serial number.
fn certificate(certificates: &[u8], issuer_and_serial: &[u8]) -> Result<Vec<u8>, CmsError> {
    let (mut rest, mut own) = (Reader::new(certificates), Vec::new());
    for _ in 0..MOST {
        let Some(one) = rest.take(SEQUENCE) else { break };
        let names = named(one).ok_or(CmsError::Malformed("X.509 certificates"))?;
        if names == issuer_and_serial {
            own.push(encode(SEQUENCE, one));
        }
    }
    let one = own.pop().filter(|_| own.is_empty() && rest.is_done());
    one.ok_or(CmsError::Malformed("one certificate with the signer's issuer and serial number"))
}

/// The issuer and the serial number of a certificate, as a signer is named by them.
fn named(certificate: &[u8]) -> Option<Vec<u8>> {
    let mut signed = Reader::new(certificate).sequence()?;
    signed.take(CONTEXT_0)?;
    let serial = signed.take(INTEGER)?;
    signed.take(SEQUENCE)?;
    let issuer = signed.take(SEQUENCE)?;
    Some([encode(SEQUENCE, issuer), encode(INTEGER, serial)].concat())
}

fn read_attributes(bytes: &[u8]) -> Result<Vec<Attribute<'_>>, CmsError> {
    let (mut rest, mut all) = (Reader::new(bytes), Vec::new());
    let wanted = CmsError::Malformed("some attributes, each of another type");
    while !rest.is_done() {
        let mut attribute = rest.sequence().ok_or(wanted)?;
        let (kind, values) = (attribute.take(OID).ok_or(wanted)?, attribute.take(SET).ok_or(wanted)?);
        if !attribute.is_done() || all.len() == MOST || all.iter().any(|(other, _)| *other == kind) {
            return Err(wanted);
        }
        all.push((kind, values));
    }
    Ok(all)
}

/// The one value of an attribute, where the attribute is there.
fn only<'a>(attributes: &[Attribute<'a>], kind: &[u8], tag: u8) -> Result<Option<&'a [u8]>, CmsError> {
    let Some((_, values)) = attributes.iter().find(|(other, _)| *other == kind) else { return Ok(None) };
    let mut values = Reader::new(values);
    let value = values.take(tag).filter(|_| values.is_done());
    value.map(Some).ok_or(CmsError::Malformed("one value of the right type in an attribute"))
}
