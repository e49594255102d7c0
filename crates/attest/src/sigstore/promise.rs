//! Rekor's first entries about attestations (kind `intoto`, version 0.0.1), which cosign 2 wrote and `sigstore-verify` does
//! not read.
//!
//! What the log promised of such an entry is checked here: its signed timestamp, under the instance's key for that log, and that the
//! entry is about this envelope and this certificate. Everything else stays the library's: it is given the same bundle
//! with an entry that it does read, of a log that exists for one call, promised at the time which the real one promised.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::instance::SigstoreError;
use crate::digest::{Algorithm, Digest, to_hex};
use crate::json::{self, Json, Object, ShapeError};
use crate::key::{PublicKey, Scheme};
use crate::pem;
use crate::secret::{SecretKey, Signer as _};
use crate::time::parse_time;

/// An entry of that kind, proven to be about its bundle; not yet to be promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    /// The bundle without the entry.
    bundle: Object,
    log: Vec<u8>,
    body: String,
    time: i64,
    index: i64,
    signature: Vec<u8>,
}

/// A trusted root with one log that exists for this call, and the bundle with an entry of it.
pub(super) struct Restated {
    pub(super) root: String,
    pub(super) bundle: String,
}

impl Promise {
    /// Reads a bundle whose one entry is of that kind; nothing where it is not.
    ///
    /// # Errors
    /// What is malformed, or about something else.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, ShapeError> {
        let Ok(Json::Object(mut bundle)) = json::parse_with(bytes, json::Limits::default().exact()) else {
            return Ok(None);
        };
        let material = bundle.object("verificationMaterial")?.clone();
        let [entry] = material.optional_array("tlogEntries")? else { return Ok(None) };
        let entry = entry.as_object()?.clone();
        let Some(kind) = entry.optional_object("kindVersion")? else { return Ok(None) };
        if (kind.string("kind")?, kind.string("version")?) != ("intoto", "0.0.1") {
            return Ok(None);
        }
        let mut without = material.clone();
        without.remove("tlogEntries");
        let envelope = bundle.object("dsseEnvelope")?.clone();
        check_body(entry.string("canonicalizedBody")?, &envelope, &certificate(&material)?)?;
        bundle.set("verificationMaterial", without);
        let promise = entry.object("inclusionPromise")?.string("signedEntryTimestamp")?;
        Ok(Some(Self {
            bundle,
            log: base64(entry.object("logId")?.string("keyId")?)?,
            body: entry.string("canonicalizedBody")?.to_owned(),
            time: number(&entry, "integratedTime")?,
            index: number(&entry, "logIndex")?,
            signature: base64(promise)?,
        }))
    }

    /// The log's key id.
    pub(super) fn log(&self) -> &[u8] {
        &self.log
    }

    /// The entry's place in the log.
    pub(super) fn index(&self) -> Option<u64> {
        u64::try_from(self.index).ok()
    }

    /// Checks that a log of this trusted root promised the entry at its time, and says the same in a way that can be
    /// verified further.
    ///
    /// # Errors
    /// [`SigstoreError`] for a log that the root does not know at that time, and a promise that it did not make.
    pub(super) fn restate(&self, root: &str) -> Result<Restated, SigstoreError> {
        let malformed = |e: ShapeError| SigstoreError::Malformed(e.to_string());
        let root = json::parse_with(root.as_bytes(), json::Limits::default().exact())
            .map_err(|e| SigstoreError::Malformed(e.to_string()))?;
        let mut root = root.as_object().map_err(malformed)?.clone();
        self.check(&root)?;
        let failed = |e: String| SigstoreError::Log(e);
        let key = SecretKey::generate(Scheme::P256).map_err(|e| failed(e.to_string()))?;
        let log = Digest::sha256(key.public().spki());
        let body = self.body_of_a_known_kind().map_err(malformed)?;
        let signature = key.sign(promised(&body, self.time, log.bytes(), self.index).as_bytes());
        let signature = signature.map_err(|e| failed(e.to_string()))?;
        root.set("tlogs", Json::Array(vec![log_of(key.public(), &log).into()]));
        let mut bundle = self.bundle.clone();
        let mut material = bundle.object("verificationMaterial").map_err(malformed)?.clone();
        material.set("tlogEntries", Json::Array(vec![self.entry(&log, &body, &signature).into()]));
        bundle.set("verificationMaterial", material);
        Ok(Restated { root: Json::from(root).to_string(), bundle: Json::from(bundle).to_string() })
    }

    /// Whether a log of the root, with a key that counted then, signed the promise.
    fn check(&self, root: &Object) -> Result<(), SigstoreError> {
        let malformed = |e: ShapeError| SigstoreError::Malformed(e.to_string());
        let time = Timestamp::from_second(self.time).map_err(|e| SigstoreError::Time(e.to_string()))?;
        let message = promised(&self.body, self.time, &self.log, self.index);
        for log in root.optional_array("tlogs").map_err(malformed)? {
            let log = log.as_object().map_err(malformed)?;
            let id = log.object("logId").and_then(|id| base64(id.string("keyId")?)).map_err(malformed)?;
            let key = log.object("publicKey").map_err(malformed)?;
            if id != self.log || !counted(key, time).map_err(malformed)? {
                continue;
            }
            let spki = key.string("rawBytes").and_then(base64).map_err(malformed)?;
            let key = PublicKey::from_spki(&spki).map_err(|e| SigstoreError::Malformed(e.to_string()))?;
            let broken = || SigstoreError::Log("its promise is not signed by its log".to_owned());
            return key.verify(message.as_bytes(), &self.signature).map_err(|_| broken());
        }
        Err(SigstoreError::UnknownLog(to_hex(&self.log)))
    }

    /// The same entry as kind `dsse`.
    fn body_of_a_known_kind(&self) -> Result<String, ShapeError> {
        let envelope = self.bundle.object("dsseEnvelope")?;
        let [signature] = envelope.array("signatures")? else {
            return Err(ShapeError::new("signatures", "one signature", "another number"));
        };
        let hash = |bytes: &[u8]| {
            Object::new().with("algorithm", "sha256").with("value", Digest::sha256(bytes).hex())
        };
        let leaf = certificate(self.bundle.object("verificationMaterial")?)?;
        let signature = Object::new()
            .with("signature", STANDARD.encode(base64(signature.as_object()?.string("sig")?)?))
            .with("verifier", STANDARD.encode(pem::encode("CERTIFICATE", &leaf)));
        let spec = Object::new()
            .with("envelopeHash", hash(compact(envelope).as_bytes()))
            .with("payloadHash", hash(&base64(envelope.string("payload")?)?))
            .with("signatures", Json::Array(vec![signature.into()]));
        let body = Object::new().with("apiVersion", "0.0.1").with("kind", "dsse").with("spec", spec);
        Ok(STANDARD.encode(compact(&body)))
    }

    fn entry(&self, log: &Digest, body: &str, signature: &[u8]) -> Object {
        let promise = Object::new().with("signedEntryTimestamp", STANDARD.encode(signature));
        Object::new()
            .with("logIndex", self.index.to_string())
            .with("logId", Object::new().with("keyId", STANDARD.encode(log.bytes())))
            .with("kindVersion", Object::new().with("kind", "dsse").with("version", "0.0.1"))
            .with("integratedTime", self.time.to_string())
            .with("inclusionPromise", promise)
            .with("canonicalizedBody", body)
    }
}

/// What Rekor signs when it promises an entry: canonical JSON.
fn promised(body: &str, time: i64, log: &[u8], index: i64) -> String {
    let log = to_hex(log);
    format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{log}","logIndex":{index}}}"#)
}

fn log_of(key: &PublicKey, id: &Digest) -> Object {
    let key = Object::new()
        .with("rawBytes", STANDARD.encode(key.spki()))
        .with("keyDetails", "PKIX_ECDSA_P256_SHA_256")
        .with("validFor", Object::new().with("start", "1970-01-01T00:00:00Z"));
    Object::new()
        .with("baseUrl", "https://rekor.invalid")
        .with("hashAlgorithm", "SHA2_256")
        .with("publicKey", key)
        .with("logId", Object::new().with("keyId", STANDARD.encode(id.bytes())))
}

/// Whether a key of the trusted root counted at a time; both ends are in.
fn counted(key: &Object, time: Timestamp) -> Result<bool, ShapeError> {
    let Some(window) = key.optional_object("validFor")? else { return Ok(true) };
    let end = |name: &str| -> Result<Option<Timestamp>, ShapeError> {
        let Some(text) = window.optional_string(name)? else { return Ok(None) };
        parse_time(text).map(Some).ok_or_else(|| ShapeError::new(name, "a time in UTC", text))
    };
    Ok(end("start")?.is_none_or(|start| time >= start) && end("end")?.is_none_or(|end| time <= end))
}

/// The entry must be about exactly this envelope, signature and all, and this certificate (CVE-2022-36056).
fn check_body(body: &str, envelope: &Object, leaf: &[u8]) -> Result<(), ShapeError> {
    let within = |e: ShapeError| e.within("canonicalizedBody");
    let parsed = json::parse(&base64(body)?).map_err(|e| ShapeError::new("", "JSON", &e.to_string()));
    let parsed = parsed.map_err(within)?;
    let object = parsed.as_object().map_err(within)?;
    if (object.string("kind").map_err(within)?, object.string("apiVersion").map_err(within)?)
        != ("intoto", "0.0.1")
    {
        return Err(within(ShapeError::new("kind", "intoto 0.0.1", "another")));
    }
    let spec = object.object("spec").map_err(within)?;
    let content = spec.object("content").map_err(within)?;
    let hashed = |key: &str, bytes: &[u8]| {
        let given = content.object(key)?;
        let hex = given.string("value")?;
        let is_it = given.string("algorithm")? == "sha256"
            && Digest::from_hex(Algorithm::Sha256, hex).is_ok_and(|d| d == Digest::sha256(bytes));
        if is_it { Ok(()) } else { Err(ShapeError::new(key, "the hash of this bundle's envelope", hex)) }
    };
    hashed("hash", compact(envelope).as_bytes()).map_err(within)?;
    hashed("payloadHash", &base64(envelope.string("payload")?)?).map_err(within)?;
    let key = base64(spec.string("publicKey").map_err(within)?)?;
    let logged = std::str::from_utf8(&key).ok().and_then(pem::decode).map(|(_, der)| der);
    if logged.as_deref() == Some(leaf) {
        return Ok(());
    }
    Err(within(ShapeError::new("publicKey", "this bundle's certificate", "another")))
}

/// The leaf certificate of a bundle.
fn certificate(material: &Object) -> Result<Vec<u8>, ShapeError> {
    if let Some(single) = material.optional_object("certificate")? {
        return base64(single.string("rawBytes")?);
    }
    let chain = material.object("x509CertificateChain")?;
    let first = chain.array("certificates")?.first();
    base64(
        first
            .ok_or_else(|| ShapeError::new("certificates", "a certificate", "none"))?
            .as_object()?
            .string("rawBytes")?,
    )
}

fn compact(object: &Object) -> String {
    Json::from(object.clone()).to_string()
}

fn base64(text: &str) -> Result<Vec<u8>, ShapeError> {
    STANDARD.decode(text).or(Err(ShapeError::new("", "base64", "something else")))
}

fn number(object: &Object, key: &str) -> Result<i64, ShapeError> {
    match object.get(key) {
        Some(Json::Int(number)) => Ok(*number),
        _ => {
            let text = object.string(key)?;
            let whole = text.parse().ok().filter(|n: &i64| *n >= 0);
            whole.ok_or_else(|| ShapeError::new(key, "a whole number", text))
        }
    }
}
