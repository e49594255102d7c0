//! Evidence that travels in annotations. Nothing here is believed: envelopes are handed on unopened, digests only name.
//!
//! Text, unpacked size and count are bounded before anything is parsed, so that no annotation costs more than a page.

mod memory;

use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use attest::json::{JsonError, Limits, parse_with};
use attest::{Algorithm, Digest, DigestSet, Envelope, Json, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use policy::Submitted;

pub use memory::Memory;

use crate::refusal::Refusal;

/// What all our annotations begin with.
pub const PREFIX: &str = "portcullis.dev/";
/// Envelopes: base64 of gzip of a JSON array.
pub const EVIDENCE: &str = "portcullis.dev/evidence";
/// Digests of bundles in the local evidence store.
pub const EVIDENCE_DIGEST: &str = "portcullis.dev/evidence-digest";
/// The digest of a signed grant in the evidence store.
pub const BREAKGLASS: &str = "portcullis.dev/breakglass";
const KNOWN: [&str; 3] = [EVIDENCE, EVIDENCE_DIGEST, BREAKGLASS];

/// Kubernetes allows 256 KiB of annotations on one object in all.
pub const MAX_TEXT: usize = 256 << 10;
/// What inline evidence may unpack to.
pub const MAX_UNPACKED: usize = 4 << 20;
/// Envelopes inline, and digests, each.
pub const MAX_COUNT: usize = 64;
/// Annotations that cannot be read, of which one refusal speaks.
const MAX_UNREADABLE: usize = 8;
/// Envelopes that one review may bring, counted once for every artifact that they go to.
pub const MAX_PAIRS: usize = 1024;
/// What they may have in bytes, counted the same way: the record of each artifact keeps its own.
pub const MAX_ROUTED: usize = 8 << 20;

/// What an object's annotations bring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Inline envelopes, unopened.
    pub envelopes: Vec<Submitted>,
    /// Bundles to be fetched from the evidence store.
    pub digests: Vec<Digest>,
    /// The grant that is asked for.
    pub breakglass: Option<Digest>,
    /// Every annotation under our prefix that cannot be read, an unknown one among them: a misspelt one would be
    /// evidence that silently does not count. A grant beside it is still asked for.
    pub unreadable: Vec<EvidenceError>,
}

/// An annotation of ours that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceError {
    /// Which.
    pub annotation: String,
    /// What is wrong with it.
    pub kind: EvidenceErrorKind,
}

/// What can be wrong with an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvidenceErrorKind {
    /// No annotation that we know; the field is the nearest that we do.
    Unknown(Option<&'static str>),
    /// The annotation, or all annotations, are no texts.
    NoText(&'static str),
    /// Longer than 256 KiB.
    TooLong(usize),
    /// Not base64.
    NotBase64,
    /// Not gzip, or broken, or with data after its end.
    NotGzip(&'static str),
    /// Unpacks to more than 4 MiB.
    Bomb,
    /// The unpacked text is no strict JSON.
    NotJson(JsonError),
    /// The unpacked JSON is no array.
    NoArray(&'static str),
    /// An entry is no envelope.
    NoEnvelope(usize, &'static str),
    /// More than 64 entries.
    TooMany(usize),
    /// The same entry twice.
    Twice(usize),
    /// Not `sha256:HEX`.
    NoDigest(String),
}

impl fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the annotation {}", policy::one_line(&self.annotation))?;
        match &self.kind {
            EvidenceErrorKind::Unknown(_) => f.write_str(" is none that is known"),
            EvidenceErrorKind::NoText(kind) => write!(f, " is {kind}, not a text"),
            EvidenceErrorKind::TooLong(bytes) => write!(f, " has {bytes} bytes, more than {MAX_TEXT}"),
            EvidenceErrorKind::NotBase64 => f.write_str(" is not base64"),
            EvidenceErrorKind::NotGzip(why) => write!(f, " is not one gzip member: {why}"),
            EvidenceErrorKind::Bomb => write!(f, " unpacks to more than {MAX_UNPACKED} bytes"),
            EvidenceErrorKind::NotJson(e) => write!(f, " does not hold strict JSON: {e}"),
            EvidenceErrorKind::NoArray(kind) => write!(f, " holds {kind}, not an array of envelopes"),
            EvidenceErrorKind::NoEnvelope(index, kind) => {
                write!(f, " holds {kind} as entry {index}, not an envelope")
            }
            EvidenceErrorKind::TooMany(count) => write!(f, " names {count} entries, more than {MAX_COUNT}"),
            EvidenceErrorKind::Twice(index) => write!(f, " names entry {index} twice"),
            EvidenceErrorKind::NoDigest(text) => write!(f, " names `{text}`, which is no sha256 digest"),
        }
    }
}
impl std::error::Error for EvidenceError {}

impl EvidenceError {
    /// How to mend it.
    #[must_use]
    pub fn fix(&self) -> String {
        match &self.kind {
            EvidenceErrorKind::Unknown(Some(near)) => format!("write {near}"),
            EvidenceErrorKind::Unknown(None) => format!("remove it; known are {}", KNOWN.join(", ")),
            EvidenceErrorKind::TooLong(_) | EvidenceErrorKind::Bomb | EvidenceErrorKind::TooMany(_) => {
                format!(
                    "put the bundles into the evidence store with `portcullis attach`, and name them in {EVIDENCE_DIGEST}"
                )
            }
            EvidenceErrorKind::NoDigest(_) => "write sha256: and 64 lower-case hex digits".to_owned(),
            _ => "write it anew with `portcullis attach`".to_owned(),
        }
    }
}

impl Attached {
    /// Reads the annotations of one object or template; `place` is where its metadata stands, for the names of
    /// envelopes in messages.
    #[must_use]
    pub fn read(metadata: Option<&Object>, place: &str) -> Self {
        Self::read_with(metadata, place, &Memory::none())
    }

    /// As [`Attached::read`], with what is remembered of the same annotation.
    #[must_use]
    pub fn read_with(metadata: Option<&Object>, place: &str, memory: &Memory) -> Self {
        let mut attached = Self::default();
        let Some(annotations) = metadata.and_then(|m| m.get("annotations")) else { return attached };
        let Json::Object(annotations) = annotations else {
            let kind = EvidenceErrorKind::NoText(annotations.kind());
            attached.unreadable.push(EvidenceError { annotation: format!("{place}.annotations"), kind });
            return attached;
        };
        for (key, value) in annotations.iter().filter(|(key, _)| key.starts_with(PREFIX)) {
            let text = match value {
                Json::String(text) if text.len() <= MAX_TEXT => Ok(text.as_str()),
                Json::String(text) => Err(EvidenceErrorKind::TooLong(text.len())),
                other => Err(EvidenceErrorKind::NoText(other.kind())),
            };
            let read = text.and_then(|text| match key {
                EVIDENCE => memory.unpacked(text, || decode(text)).map(|envelopes| {
                    attached.envelopes = named(&envelopes, place);
                }),
                EVIDENCE_DIGEST => digests(text).map(|digests| attached.digests = digests),
                BREAKGLASS => digest(text).map(|digest| attached.breakglass = Some(digest)),
                _ => Err(EvidenceErrorKind::Unknown(attest::yaml::suggest(key, &KNOWN))),
            });
            let Err(kind) = read else { continue };
            // a few tell what the matter is; one annotation of many could ask for a record of any size
            if attached.unreadable.len() < MAX_UNREADABLE {
                attached.unreadable.push(EvidenceError { annotation: key.to_owned(), kind });
            }
        }
        attached
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The text of inline evidence: what [`Attached::read`] reads back. The same envelopes always give the same text.
///
/// # Errors
/// [`EvidenceErrorKind`] where it would be refused when read: too many, too large, or no envelopes.
pub fn encode(envelopes: &[Vec<u8>]) -> Result<String, EvidenceErrorKind> {
    let mut items = Vec::new();
    for bytes in envelopes {
        let limits = Limits { bytes: MAX_UNPACKED, ..Limits::default() };
        items.push(match std::str::from_utf8(bytes) {
            Ok(text) if Envelope::is_text(bytes) => Json::from(text.trim_end()),
            _ => parse_with(bytes, limits).map_err(EvidenceErrorKind::NotJson)?,
        });
    }
    let text = Json::Array(items).to_string();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    // writing to memory does not fail; if it did, reading back finds it
    let packed = packed.write_all(text.as_bytes()).and_then(|()| packed.finish()).unwrap_or_default();
    let text = STANDARD.encode(packed);
    if text.len() > MAX_TEXT {
        return Err(EvidenceErrorKind::TooLong(text.len()));
    }
    decode(&text)?;
    Ok(text)
}

/// Envelopes under the names that messages use.
fn named(envelopes: &[Vec<u8>], place: &str) -> Vec<Submitted> {
    let one = |(index, bytes): (usize, &Vec<u8>)| Submitted {
        name: format!("{place}.annotations[{EVIDENCE}][{index}]"),
        bytes: bytes.clone(),
    };
    envelopes.iter().enumerate().map(one).collect()
}

fn decode(text: &str) -> Result<Vec<Vec<u8>>, EvidenceErrorKind> {
    let packed = STANDARD.decode(text).or(Err(EvidenceErrorKind::NotBase64))?;
    let text = unpack(&packed)?;
    let limits = Limits { bytes: MAX_UNPACKED, ..Limits::default() };
    let value = parse_with(&text, limits).map_err(EvidenceErrorKind::NotJson)?;
    let Json::Array(items) = &value else { return Err(EvidenceErrorKind::NoArray(value.kind())) };
    if items.len() > MAX_COUNT {
        return Err(EvidenceErrorKind::TooMany(items.len()));
    }
    let mut envelopes: Vec<Vec<u8>> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let bytes = match item {
            Json::Object(_) => item.to_string().into_bytes(),
            Json::String(text) if Envelope::is_text(text.as_bytes()) => text.clone().into_bytes(),
            other => return Err(EvidenceErrorKind::NoEnvelope(index, other.kind())),
        };
        if envelopes.contains(&bytes) {
            return Err(EvidenceErrorKind::Twice(index));
        }
        envelopes.push(bytes);
    }
    Ok(envelopes)
}

/// One member, nothing after it, and never more than the bound in memory.
fn unpack(packed: &[u8]) -> Result<Vec<u8>, EvidenceErrorKind> {
    let mut rest = packed;
    let mut text = Vec::new();
    let bound = u64::try_from(MAX_UNPACKED).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoder = flate2::bufread::GzDecoder::new(&mut rest).take(bound);
    decoder.read_to_end(&mut text).or(Err(EvidenceErrorKind::NotGzip("it does not unpack")))?;
    if text.len() > MAX_UNPACKED {
        return Err(EvidenceErrorKind::Bomb);
    }
    drop(decoder);
    if rest.is_empty() { Ok(text) } else { Err(EvidenceErrorKind::NotGzip("data after its end")) }
}

fn digests(text: &str) -> Result<Vec<Digest>, EvidenceErrorKind> {
    let count = text.split(',').count();
    if count > MAX_COUNT {
        return Err(EvidenceErrorKind::TooMany(count));
    }
    let mut out: Vec<Digest> = Vec::new();
    for (index, part) in text.split(',').enumerate() {
        let digest = digest(part.trim_matches(' '))?;
        if out.contains(&digest) {
            return Err(EvidenceErrorKind::Twice(index));
        }
        out.push(digest);
    }
    Ok(out)
}

fn digest(text: &str) -> Result<Digest, EvidenceErrorKind> {
    let found = Digest::parse(text).ok().filter(|d| d.algorithm() == Algorithm::Sha256);
    found.ok_or_else(|| {
        EvidenceErrorKind::NoDigest(policy::one_line(&text.chars().take(80).collect::<String>()))
    })
}

/// Which envelopes go to which artifact: those that say they are about it, and those about a commit. Nobody can place
/// the others, and an envelope that refuses one artifact refuses the whole review: what says nothing readable goes to the
/// first artifact, and what is about none of them to the first that has no evidence of its own, so that a refusal names
/// it: beside an image's own evidence, that of its next version harms nothing. Read unproven, for routing only: an
/// envelope at the wrong artifact proves nothing there, and one that is missing can only make it be refused.
#[must_use]
pub fn route(envelopes: &[Submitted], artifacts: &[DigestSet]) -> Vec<Vec<Submitted>> {
    let all: Vec<&Submitted> = envelopes.iter().collect();
    let routed = route_with(&all, artifacts, &Memory::none());
    routed.into_iter().map(|list| list.into_iter().cloned().collect()).collect()
}

/// As [`route`], with what is remembered of the same envelopes; nothing is copied yet.
pub(crate) fn route_with<'a>(
    envelopes: &[&'a Submitted],
    artifacts: &[DigestSet],
    memory: &Memory,
) -> Vec<Vec<&'a Submitted>> {
    let read = |bytes: &[u8]| Envelope::parse(bytes).map(|e| e.unproven_subjects()).unwrap_or_default();
    let subjects: Vec<_> = envelopes.iter().map(|e| memory.subjects(&e.bytes, || read(&e.bytes))).collect();
    let is_commit = |d: Digest| matches!(d.algorithm(), Algorithm::GitCommit | Algorithm::GitTree);
    let about = |own: &Arc<Vec<DigestSet>>| -> Vec<bool> {
        let is_of = |artifact: &DigestSet| {
            let same = |digest: Digest| artifact.get(digest.algorithm()) == Some(digest);
            own.iter().any(|s| s.iter().any(same))
        };
        artifacts.iter().map(is_of).collect()
    };
    // looked at once for each pair: a request may hold many of both
    let about: Vec<Vec<bool>> = subjects.iter().map(about).collect();
    let has_own = |at: usize| about.iter().any(|row| row.get(at) == Some(&true));
    let first_without = (0..artifacts.len()).find(|at| !has_own(*at));
    let mut out: Vec<Vec<&Submitted>> = vec![Vec::new(); artifacts.len()];
    for ((envelope, own), row) in envelopes.iter().zip(&subjects).zip(&about) {
        let is_everywhere = own.iter().any(|s| s.iter().any(is_commit));
        // at every artifact, one envelope that nobody can place would be kept as often as there are images
        let only_at = match (own.is_empty(), row.contains(&true)) {
            (true, _) => Some(0),
            (false, false) => first_without,
            (false, true) => None,
        };
        for (at, (list, is_about)) in out.iter_mut().zip(row).enumerate() {
            if is_everywhere || *is_about || only_at == Some(at) {
                list.push(envelope);
            }
        }
    }
    out
}

/// Why what was routed is more than one review may bring; nothing where it is not. Only lengths are looked at.
pub(crate) fn excess(routed: &[Vec<&Submitted>]) -> Option<Refusal> {
    let pairs: usize = routed.iter().map(Vec::len).sum();
    let bytes: usize = routed.iter().flatten().map(|envelope| envelope.bytes.len()).sum();
    (pairs > MAX_PAIRS || bytes > MAX_ROUTED).then(|| {
        let wanted =
            format!("at most {MAX_PAIRS} envelopes and {MAX_ROUTED} bytes, counted for each artifact anew");
        too_much(&wanted, &format!("{pairs} envelopes and {bytes} bytes"))
    })
}

/// A review that brings more evidence than is read, and kept on record, for one.
#[must_use]
pub fn too_much(wanted: &str, found: &str) -> Refusal {
    let message = "the review brings more evidence than is read for one";
    let fix = format!(
        "attach to each image its own bundles with `portcullis attach`, and name by digest in {EVIDENCE_DIGEST} only \
         those that are about it; or split the workload"
    );
    Refusal::new("evidence-too-much", &format!("annotations[{PREFIX}evidence…]"), message, &fix)
        .wanted(wanted)
        .found(found)
}
