//! The Sigstore bundle, versions 0.1 to 0.3: what is signed, by a key or under a certificate, and proof that it is in a log.
//!
//! Keys, and proofs of our own logs, are read here; certificates, and proofs of Sigstore's logs, are for [`crate::sigstore`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::{Algorithm, Digest};
use crate::dsse::{Dsse, IN_TOTO, base64};
use crate::json::{Json, Object, ShapeError, each};
use crate::key::Scheme;
use crate::merkle::Hash;
use crate::secret::{SignError, Signer};
use crate::sigstore::Foreign;

/// The media type that is written.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const MEDIA_TYPES: [&str; 5] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle.v0.2+json",
];
/// The predicate of cosign 3's signatures of images: nothing but that it was signed.
const COSIGN_SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
const MAX_LOG_ENTRIES: usize = 8;

/// What a bundle carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An envelope around a statement.
    Dsse(Dsse),
    /// A signature over a file of which the digest is given.
    Message {
        /// The digest the bundle claims; the artifact decides.
        digest: Digest,
        /// The signature over the file.
        signature: Vec<u8>,
    },
}

/// A parsed bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// What is signed.
    pub content: Content,
    /// A hint at the key; tried first and never believed.
    pub hint: Option<String>,
    /// Whether a certificate, not a key, is to verify it.
    pub has_certificate: bool,
    /// Proofs that the signature is in a log.
    pub log_entries: Vec<LogEntry>,
    /// The same as Sigstore reads it, where there is something in it for Sigstore to verify: a certificate, or log entries of
    /// its logs.
    pub(crate) foreign: Option<Foreign>,
}

/// One transparency log entry: a leaf, its place, and a checkpoint that covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Place of the leaf, from 0.
    pub index: u64,
    /// Size of the tree that the proof is for.
    pub size: u64,
    /// The inclusion proof.
    pub proof: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
    /// The leaf.
    pub body: Vec<u8>,
}

impl Bundle {
    /// Whether `object` says that it is a bundle.
    #[must_use]
    pub fn is_bundle(object: &Object) -> bool {
        object.get("mediaType").is_some()
    }

    /// Reads the JSON form; `bytes` are those that were submitted.
    ///
    /// # Errors
    /// [`ShapeError`] for an unknown media type, content of both kinds or none, and malformed fields.
    pub fn read(object: &Object, bytes: &[u8]) -> Result<Self, ShapeError> {
        let media_type = object.string("mediaType")?;
        if !MEDIA_TYPES.contains(&media_type) {
            return Err(ShapeError::new("mediaType", "a Sigstore bundle, version 0.1 to 0.3", media_type));
        }
        let content =
            match (object.optional_object("dsseEnvelope")?, object.optional_object("messageSignature")?) {
                (Some(dsse), None) => Content::Dsse(Dsse::read(dsse).map_err(|e| e.within("dsseEnvelope"))?),
                (None, Some(message)) => read_message(message).map_err(|e| e.within("messageSignature"))?,
                (Some(_), Some(_)) => {
                    return Err(ShapeError::new("", "one of dsseEnvelope and messageSignature", "both"));
                }
                (None, None) => {
                    return Err(ShapeError::new("", "dsseEnvelope or messageSignature", "neither"));
                }
            };
        let material = object.object("verificationMaterial")?;
        let entries = material.optional_array("tlogEntries").map_err(|e| e.within("verificationMaterial"))?;
        if entries.len() > MAX_LOG_ENTRIES {
            let found = format!("{}", entries.len());
            return Err(ShapeError::new("verificationMaterial.tlogEntries", "at most 8 entries", &found));
        }
        let has_certificate =
            material.get("certificate").is_some() || material.get("x509CertificateChain").is_some();
        // without either, Sigstore has nothing to say of it
        let is_foreign = has_certificate || !entries.is_empty();
        let foreign = match is_foreign.then(|| Foreign::parse(bytes)).transpose() {
            Ok(foreign) => foreign,
            Err(why) if has_certificate => return Err(ShapeError::new("", "a Sigstore bundle", &why)),
            Err(_) => None,
        };
        let log_entries = if has_certificate {
            Vec::new()
        } else {
            // of an entry with a promise and no proof only Sigstore's logs can prove anything
            let is_ours = |entry: &&Json| {
                let object = entry.as_object();
                foreign.is_none()
                    || object.is_ok_and(|e| {
                        e.get("inclusionProof").is_some() || e.get("inclusionPromise").is_none()
                    })
            };
            let entries: Vec<Json> = entries.iter().filter(is_ours).cloned().collect();
            each("tlogEntries", &entries, LogEntry::read).map_err(|e| e.within("verificationMaterial"))?
        };
        let hint = match material.optional_object("publicKey")? {
            Some(key) => key.optional_string("hint")?.map(str::to_owned),
            None => None,
        };
        Ok(Self { content, hint, has_certificate, log_entries, foreign })
    }

    /// The JSON form of a bundle around an envelope: what `cosign verify-blob-attestation --key` reads.
    #[must_use]
    pub fn write(dsse: &Dsse, key_hint: &str, log_entries: &[LogEntry]) -> Json {
        let mut material = Object::new().with("publicKey", Object::new().with("hint", key_hint.to_owned()));
        if !log_entries.is_empty() {
            material.set("tlogEntries", Json::Array(log_entries.iter().map(LogEntry::to_json).collect()));
        }
        Object::new()
            .with("mediaType", MEDIA_TYPE)
            .with("verificationMaterial", material)
            .with("dsseEnvelope", dsse.to_json())
            .into()
    }
}

impl Bundle {
    /// Signs a file as `cosign sign-blob --key` does, without a log: what `cosign verify-blob --key --bundle
    /// --insecure-ignore-tlog` reads.
    ///
    /// # Errors
    /// [`BlobError`]: cosign signs the file's bytes as they are, so a file that is what another protocol signs would be
    /// a signature there too.
    pub fn sign_blob(signer: &dyn Signer, message: &[u8]) -> Result<Json, BlobError> {
        if signer.public().scheme() != Scheme::P256 {
            return Err(BlobError::Scheme(signer.public().scheme()));
        }
        if let Some(name) = of_another_protocol(message) {
            return Err(BlobError::Message(name));
        }
        let signature = signer.sign(message).map_err(BlobError::Key)?;
        let digest = Object::new()
            .with("algorithm", "SHA2_256")
            .with("digest", STANDARD.encode(Digest::sha256(message).bytes()));
        let signed =
            Object::new().with("messageDigest", digest).with("signature", STANDARD.encode(signature));
        let material = Object::new().with("publicKey", Object::new().with("hint", hint_of(signer)));
        let bundle = Object::new().with("mediaType", MEDIA_TYPE).with("verificationMaterial", material);
        Ok(bundle.with("messageSignature", signed).into())
    }

    /// Signs the digest of an image's manifest as `cosign sign --key` does, without a log: what `cosign verify --key
    /// --insecure-ignore-tlog` reads where it is attached to the image.
    ///
    /// # Errors
    /// [`SignError`] where the key cannot sign.
    pub fn sign_image(signer: &dyn Signer, image: &Digest) -> Result<Json, SignError> {
        let subject = Object::new().with("digest", Object::new().with(image.algorithm().name(), image.hex()));
        let statement = Object::new()
            .with("_type", "https://in-toto.io/Statement/v1")
            .with("subject", Json::Array(vec![subject.into()]))
            .with("predicateType", COSIGN_SIGNED)
            .with("predicate", Object::new());
        let dsse = Dsse::sign(IN_TOTO, Json::from(statement).to_string().as_bytes(), &[signer])?;
        Ok(Self::write(&dsse, &hint_of(signer), &[]))
    }
}

/// cosign's own name for a key.
fn hint_of(signer: &dyn Signer) -> String {
    STANDARD.encode(Digest::sha256(signer.public().spki()).bytes())
}

/// Which protocol signs just these bytes. A key should sign in one protocol alone; where it does not, this keeps the others.
fn of_another_protocol(message: &[u8]) -> Option<&'static str> {
    if message.starts_with(b"DSSEv1 ") {
        return Some("DSSE");
    }
    // OpenPGP hashes the text, the front of its signature, and how long that is
    let (rest, count) = message.split_last_chunk::<4>()?;
    let front = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    let before = rest.strip_suffix(&[4, 0xff])?;
    let begin = before.len().checked_sub(front)?;
    (before.get(begin) == Some(&4)).then_some("OpenPGP")
}

/// Why a file was not signed in cosign's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobError {
    /// A kind of key that is not taken for this.
    Scheme(Scheme),
    /// The file is what another protocol signs; the field names that.
    Message(&'static str),
    /// The key cannot sign.
    Key(SignError),
}

impl std::fmt::Display for BlobError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scheme(found) => {
                write!(f, "a key for {} does not sign in cosign's form here (wanted p256)", found.name())
            }
            Self::Message(name) => {
                write!(
                    f,
                    "the file is made as what {name} signs, and a signature over it would count there too"
                )
            }
            Self::Key(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for BlobError {}

fn read_message(message: &Object) -> Result<Content, ShapeError> {
    let digest = message.object("messageDigest")?;
    let algorithm = match digest.string("algorithm")? {
        "SHA2_256" => Algorithm::Sha256,
        "SHA2_384" => Algorithm::Sha384,
        "SHA2_512" => Algorithm::Sha512,
        other => {
            return Err(ShapeError::new("messageDigest.algorithm", "SHA2_256, SHA2_384 or SHA2_512", other));
        }
    };
    let bad = |path: &str| ShapeError::new(path, "base64 of the right length", "something else");
    let bytes = base64(digest.string("digest")?).ok_or_else(|| bad("messageDigest.digest"))?;
    Ok(Content::Message {
        digest: Digest::from_bytes(algorithm, bytes).or(Err(bad("messageDigest.digest")))?,
        signature: base64(message.string("signature")?).ok_or_else(|| bad("signature"))?,
    })
}

impl LogEntry {
    fn read(value: &Json) -> Result<Self, ShapeError> {
        let entry = value.as_object()?;
        let bad = |path: &str| ShapeError::new(path, "base64", "something else");
        let proof = entry.object("inclusionProof")?;
        let hashes = each("hashes", proof.optional_array("hashes")?, |hash| {
            let bytes = base64(hash.as_str()?).and_then(|b| Hash::try_from(b).ok());
            bytes.ok_or_else(|| ShapeError::new("", "32 bytes in base64", "something else"))
        })
        .map_err(|e| e.within("inclusionProof"))?;
        Ok(Self {
            index: number(proof, "logIndex").map_err(|e| e.within("inclusionProof"))?,
            size: number(proof, "treeSize").map_err(|e| e.within("inclusionProof"))?,
            proof: hashes,
            checkpoint: proof.object("checkpoint")?.string("envelope")?.to_owned(),
            body: base64(entry.string("canonicalizedBody")?).ok_or_else(|| bad("canonicalizedBody"))?,
        })
    }

    fn to_json(&self) -> Json {
        let hashes = self.proof.iter().map(|h| Json::from(STANDARD.encode(h))).collect();
        let checkpoint = crate::note::Note::parse(&self.checkpoint)
            .and_then(|note| crate::note::Checkpoint::parse(note.text()));
        let origin = checkpoint.as_ref().map(|c| c.origin.clone()).unwrap_or_default();
        let proof = Object::new()
            .with("logIndex", self.index.to_string())
            .with("rootHash", STANDARD.encode(checkpoint.map(|c| c.root).unwrap_or_default()))
            .with("treeSize", self.size.to_string())
            .with("hashes", Json::Array(hashes))
            .with("checkpoint", Object::new().with("envelope", self.checkpoint.as_str()));
        let log_id = STANDARD.encode(Digest::sha256(origin.as_bytes()).bytes());
        Object::new()
            .with("logIndex", self.index.to_string())
            .with("logId", Object::new().with("keyId", log_id))
            .with("kindVersion", Object::new().with("kind", "dsse").with("version", "0.0.1"))
            .with("inclusionProof", proof)
            .with("canonicalizedBody", STANDARD.encode(&self.body))
            .into()
    }
}

/// An int64 as protobuf writes it in JSON: a string of digits (a number is accepted too).
fn number(object: &Object, key: &str) -> Result<u64, ShapeError> {
    let wanted = || ShapeError::new(key, "a whole number", "something else");
    match object.get(key) {
        None => Ok(0),
        Some(Json::Int(number)) => u64::try_from(*number).or(Err(wanted())),
        Some(value) => value.as_str().map_err(|e| e.within(key))?.parse().or(Err(wanted())),
    }
}
