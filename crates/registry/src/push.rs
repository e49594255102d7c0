//! Evidence to a registry: a bundle as an artifact that refers to an image, in the form in which cosign 3 writes and
//! reads it. The same bundle gives the same manifest, so pushing it twice is pushing it once.

use std::collections::BTreeMap;
use std::fmt;

use attest::{Digest, Json, Object, json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::answer::{Unknown, Why};
use crate::document::{Descriptor, INDEX, MANIFEST};
use crate::evidence::{EMPTY, Source as _};
use crate::referrers::{Kept, tag_of};
use crate::session::Session;
use crate::wire::{Ask, Reply};

const EMPTY_BYTES: &[u8] = b"{}";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const MAX_ANSWER: u64 = 64 << 10;
/// How often the list under the tag is written until nobody else's writing took ours away.
const TRIES: usize = 4;

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest that refers to the image.
    pub manifest: Digest,
    /// The bundle.
    pub bundle: Digest,
    /// The tag under which the list of referrers was kept, because the registry keeps none itself.
    pub tag: Option<String>,
}

/// A bundle was not pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushError {
    /// It is no Sigstore bundle of version 0.3; the field says what it is.
    NoBundle(String),
    /// The registry says that it has no such image.
    NoImage,
    /// Nobody knows whether the registry has it.
    Unknown(Unknown),
    /// Somebody else keeps writing the list of referrers at the same time.
    Contended(String),
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBundle(found) => write!(f, "wanted a Sigstore bundle, version 0.3, found {found}"),
            Self::NoImage => f.write_str("the registry has no such image"),
            Self::Unknown(unknown) => unknown.fmt(f),
            Self::Contended(tag) => write!(f, "others keep writing the list under {tag}"),
        }
    }
}
impl std::error::Error for PushError {}

impl From<Unknown> for PushError {
    fn from(unknown: Unknown) -> Self {
        Self::Unknown(unknown)
    }
}

pub(crate) fn push(session: &Session<'_>, image: &Digest, bundle: &[u8]) -> Result<Pushed, PushError> {
    let annotations = describe(bundle)?;
    let subject = subject(session, image)?;
    let (config, layer) = (descriptor(EMPTY, EMPTY_BYTES), descriptor(BUNDLE, bundle));
    upload(session, &config.digest, EMPTY_BYTES)?;
    upload(session, &layer.digest, bundle)?;
    let manifest = Object::new()
        .with("schemaVersion", 2)
        .with("mediaType", MANIFEST)
        .with("artifactType", BUNDLE)
        .with("config", config.to_json())
        .with("layers", Json::Array(vec![layer.to_json()]))
        .with("subject", subject.to_json())
        .with("annotations", to_json(&annotations));
    let bytes = Json::from(manifest).to_string().into_bytes();
    let mut pushed = descriptor(MANIFEST, &bytes);
    let reply = put(session, &pushed.digest.to_string(), MANIFEST, &bytes)?;
    let is_listed = reply.header("oci-subject").is_some_and(|subject| subject == image.to_string());
    let tag = if is_listed {
        None
    } else {
        (pushed.artifact_type, pushed.annotations) = (Some(BUNDLE.to_owned()), annotations);
        Some(list(session, image, &pushed)?)
    };
    Ok(Pushed { manifest: pushed.digest, bundle: layer.digest, tag })
}

/// What stands beside a bundle, so that others find the kind that they look for without fetching all.
fn describe(bundle: &[u8]) -> Result<BTreeMap<String, String>, PushError> {
    let other = |found: &str| PushError::NoBundle(found.to_owned());
    let value = json::parse(bundle).map_err(|e| other(&e.to_string()))?;
    let object = value.as_object().map_err(|e| other(&e.found))?;
    match object.optional_string("mediaType") {
        Ok(Some(BUNDLE)) => {}
        Ok(Some(found)) => return Err(other(&found.escape_debug().to_string())),
        _ => return Err(other("JSON without a mediaType")),
    }
    let content = if object.get("dsseEnvelope").is_some() { "dsse-envelope" } else { "message-signature" };
    let mut annotations = BTreeMap::from([("dev.sigstore.bundle.content".to_owned(), content.to_owned())]);
    if let Some(kind) = predicate_type(object) {
        annotations.insert("dev.sigstore.bundle.predicateType".to_owned(), kind);
    }
    Ok(annotations)
}

fn predicate_type(bundle: &Object) -> Option<String> {
    let payload = bundle.object("dsseEnvelope").ok()?.string("payload").ok()?;
    let statement = json::parse(&STANDARD.decode(payload).ok()?).ok()?;
    Some(statement.as_object().ok()?.string("predicateType").ok()?.to_owned())
}

/// The image as what refers to it names it: its media type and size are those of its bytes.
fn subject(session: &Session<'_>, image: &Digest) -> Result<Descriptor, PushError> {
    let fetched = session.by_digest(image)?.ok_or(PushError::NoImage)?;
    let failed = |e| Unknown::new(&session.name(image), Why::Document(e));
    let document = fetched.document().map_err(failed)?;
    Ok(Descriptor { digest: image.clone(), ..descriptor(document.media_type(), &fetched.bytes) })
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::sha256(bytes),
        size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        artifact_type: None,
        annotations: BTreeMap::new(),
    }
}

fn to_json(annotations: &BTreeMap<String, String>) -> Object {
    Object::from_unique(annotations.iter().map(|(key, value)| (key.clone(), Json::from(value.as_str()))))
}

fn upload(session: &Session<'_>, digest: &Digest, bytes: &[u8]) -> Result<(), PushError> {
    let begin = Ask { body: Some((OCTETS, &[])), ..writing("POST", session.at("blobs/uploads/")) };
    let reply = expect(session, &begin, 202)?;
    let location = reply.header("location").unwrap_or_default();
    let failed = |what: &str| Unknown::new(&begin.shown(), Why::Redirect(what.to_owned()));
    let at = begin.at.join(&location).ok_or_else(|| failed("to no address"))?;
    // the next request carries our login
    if at.origin != begin.at.origin {
        return Err(failed(&format!("to {}, for the upload", at.origin)).into());
    }
    let at = at.with("digest", &digest.to_string());
    expect(session, &Ask { body: Some((OCTETS, bytes)), ..writing("PUT", at) }, 201)?;
    Ok(())
}

const OCTETS: &str = "application/octet-stream";

fn put(session: &Session<'_>, name: &str, media_type: &str, bytes: &[u8]) -> Result<Reply, Unknown> {
    let at = session.at(&format!("manifests/{name}"));
    expect(session, &Ask { body: Some((media_type, bytes)), ..writing("PUT", at) }, 201)
}

fn writing(method: &'static str, at: crate::address::Address) -> Ask<'static> {
    Ask { method, at, accept: "*/*", body: None, limit: MAX_ANSWER, follows_redirects: false }
}

fn expect(session: &Session<'_>, ask: &Ask<'_>, status: u16) -> Result<Reply, Unknown> {
    let reply = session.ask(ask)?;
    if reply.status == status { Ok(reply) } else { Err(Unknown::new(&ask.shown(), reply.refusal())) }
}

/// Adds to the list of referrers under the image's tag, and looks whether it stayed. Registries have no way to write
/// only what nobody else changed: two who write at once can take each other's entry away, so each looks again.
fn list(session: &Session<'_>, image: &Digest, pushed: &Descriptor) -> Result<String, PushError> {
    let tag = tag_of(image);
    let is_in = |kept: &Kept| kept.manifests.iter().any(|one| one.digest == pushed.digest);
    for _ in 0..TRIES {
        let kept = session.fallback(image)?;
        if is_in(&kept) {
            return Ok(tag);
        }
        put(session, &tag, INDEX, with(&kept.bytes, pushed).to_string().as_bytes())?;
        if is_in(&session.fallback(image)?) {
            return Ok(tag);
        }
    }
    Err(PushError::Contended(tag))
}

/// A list with one more record; what others wrote in it stays as it is, to the last unknown field.
fn with(list: &[u8], pushed: &Descriptor) -> Json {
    let list = json::parse(list).ok().and_then(|value| value.as_object().ok().cloned());
    let mut list = list.unwrap_or_else(|| Object::new().with("schemaVersion", 2).with("mediaType", INDEX));
    let mut manifests = list.optional_array("manifests").unwrap_or_default().to_vec();
    manifests.push(pushed.to_json());
    list.set("manifests", Json::Array(manifests));
    list.into()
}
