//! The evidence that is attached to an image, whoever keeps it: Sigstore bundles that refer to it (cosign 3, GitHub,
//! ours), and the attestations and signatures that cosign 2 keeps under tags made of the image's digest.
//!
//! Nothing is chosen by what a registry says: all of it is brought, in an order that follows from digests, up to a
//! bound; and how many records there were is told. Whoever needs one of more names it by its digest.

use attest::{Digest, json};

use crate::answer::{Unknown, Why};
use crate::cosign::{Cosign, CosignError};
use crate::document::{Descriptor, Document, Fetched};
use crate::limits::Limits;
use crate::referrers::tag_of;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const SIGNATURE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The configuration of what has none. Some pushers list it as the type of every artifact.
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// How cosign 2's manifests are called where they refer to images, up to `sig` and `att`.
const COSIGN: &str = "application/vnd.dev.cosign.artifact.";
/// The ends of cosign 2's tags, in the order in which they are read.
const TAGS: [&str; 2] = ["att", "sig"];

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it, up to [`Limits::pieces`].
    All,
    /// The one piece with this digest, or the pieces in the manifest with it, however many records there are.
    Only(Digest),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The pieces: first those that refer to the image, by the digests of their manifests; then cosign 2's
    /// attestations, and its signatures, by their digests.
    pub pieces: Vec<Piece>,
    /// How many pieces are attached; where it is more than were brought, one for each manifest that was not read.
    pub records: usize,
}

/// One piece of evidence, unopened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it is from, for people.
    pub name: String,
    /// The media type of its layer.
    pub media_type: String,
    /// The digest of its bytes; they were hashed.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What they are.
    pub kind: Kind,
}

/// What a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Sigstore bundle.
    Bundle,
    /// A DSSE envelope, and what cosign 2 wrote beside it.
    Attestation(Cosign),
    /// The text that cosign 2 signed, with the signature beside it.
    Signature,
}

impl Piece {
    /// The envelope in it, as whoever opens it reads it: of an attestation of cosign 2, a bundle with what stands beside it.
    /// Nothing where it is none: a signature without a statement.
    ///
    /// # Errors
    /// [`CosignError`] where what stands beside an attestation makes no bundle of it.
    pub fn envelope(&self) -> Result<Option<Vec<u8>>, CosignError> {
        match &self.kind {
            Kind::Bundle => Ok(Some(self.bytes.clone())),
            Kind::Attestation(beside) => beside.envelope(&self.bytes).map(Some),
            Kind::Signature => Ok(None),
        }
    }
}

/// Where manifests and blobs are. Bytes that it gives have the digest that was asked for.
pub(crate) trait Source {
    fn by_digest(&self, digest: &Digest) -> Result<Option<Fetched>, Unknown>;
    fn by_tag(&self, tag: &str) -> Result<Option<Fetched>, Unknown>;
    fn blob(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, Unknown>;
    /// What refers to an image.
    fn referrers(&self, image: &Digest) -> Result<Vec<Descriptor>, Unknown>;
    /// What to call a digest in it.
    fn name(&self, digest: &Digest) -> String;
}

pub(crate) fn evidence(
    source: &impl Source,
    image: &Digest,
    wanted: &Wanted,
    limits: &Limits,
) -> Result<Option<Evidence>, Unknown> {
    let reader = Reader { source, limits };
    let evidence = match wanted {
        Wanted::All => reader.all(image)?,
        Wanted::Only(digest) => reader.only(image, digest)?,
    };
    Ok(Some(evidence).filter(|evidence| !evidence.pieces.is_empty()))
}

/// What is in these manifests, whatever it is about.
pub(crate) fn everything_in(
    source: &impl Source,
    manifests: &[Fetched],
    limits: &Limits,
) -> Result<Option<Evidence>, Unknown> {
    let reader = Reader { source, limits };
    let mut evidence = Evidence { pieces: Vec::new(), records: 0 };
    for manifest in manifests {
        let layers = reader.layers(manifest)?;
        evidence.records += layers.len();
        reader.bring(&layers, &mut evidence.pieces)?;
    }
    Ok(Some(evidence).filter(|evidence| !evidence.pieces.is_empty()))
}

struct Reader<'a, S> {
    source: &'a S,
    limits: &'a Limits,
}

impl<S: Source> Reader<'_, S> {
    fn all(&self, image: &Digest) -> Result<Evidence, Unknown> {
        let mut referrers = self.source.referrers(image)?;
        referrers.retain(may_be_evidence);
        referrers.sort_by(|a, b| a.digest.cmp(&b.digest));
        referrers.dedup_by(|a, b| a.digest == b.digest);
        let tagged = self.tagged(image)?;
        let (mut pieces, mut records) = (Vec::new(), tagged.len());
        for referrer in &referrers {
            if pieces.len() >= self.limits.pieces {
                records += 1;
                continue;
            }
            let layers = self.layers_of(image, &referrer.digest)?;
            let layers = layers.ok_or_else(|| self.missing(&referrer.digest))?;
            records += layers.len();
            self.bring(&layers, &mut pieces)?;
        }
        self.bring(&tagged, &mut pieces)?;
        Ok(Evidence { pieces, records })
    }

    /// However many records there are, it costs the same: nothing is listed, but cosign 2's tags where the bytes could
    /// be theirs, for without what stands there a text has no signature and an envelope no certificate.
    fn only(&self, image: &Digest, digest: &Digest) -> Result<Evidence, Unknown> {
        let bytes = self.source.blob(digest, self.limits.blob)?;
        let itself = bytes.as_deref().and_then(bare);
        let mut pieces = Vec::new();
        if bytes.is_some() && !matches!(itself, Some((_, Kind::Bundle))) {
            let mut layers = self.tagged(image)?;
            layers.retain(|layer| layer.digest == *digest);
            self.bring(&layers, &mut pieces)?;
        }
        if pieces.is_empty()
            && let Some(((media_type, kind), bytes)) = itself.zip(bytes)
        {
            let name = self.source.name(digest);
            pieces.push(Piece { name, media_type, digest: digest.clone(), bytes, kind });
        }
        if pieces.is_empty()
            && let Some(layers) = self.layers_of(image, digest)?
        {
            self.bring(&layers, &mut pieces)?;
        }
        Ok(Evidence { records: pieces.len(), pieces })
    }

    /// The layers under cosign 2's tags.
    fn tagged(&self, image: &Digest) -> Result<Vec<Descriptor>, Unknown> {
        let mut all = Vec::new();
        for end in TAGS {
            let tag = format!("{}.{end}", tag_of(image));
            let Some(fetched) = self.source.by_tag(&tag)? else { continue };
            let mut layers = self.layers(&fetched)?;
            layers.sort_by(|a, b| (&a.digest, &a.annotations).cmp(&(&b.digest, &b.annotations)));
            // one text that two keys signed is two layers
            layers.dedup();
            all.extend(layers);
        }
        Ok(all)
    }

    /// The layers of a manifest that refers to the image.
    fn layers_of(&self, image: &Digest, digest: &Digest) -> Result<Option<Vec<Descriptor>>, Unknown> {
        let Some(fetched) = self.source.by_digest(digest)? else { return Ok(None) };
        let about = match fetched.document() {
            Ok(Document::Manifest { subject, .. }) => subject.map(|s| s.digest),
            Ok(Document::Index { .. }) => None,
            Err(e) => return Err(self.unknown(&fetched.digest, Why::Document(e))),
        };
        if about.as_ref() != Some(image) {
            return Err(self.unknown(&fetched.digest, Why::WrongSubject(about)));
        }
        self.layers(&fetched).map(Some)
    }

    /// The layers of a manifest that are evidence.
    fn layers(&self, fetched: &Fetched) -> Result<Vec<Descriptor>, Unknown> {
        let failed = |why| self.unknown(&fetched.digest, why);
        match fetched.document().map_err(|e| failed(Why::Document(e)))? {
            Document::Manifest { layers, .. } => {
                let is_evidence = |layer: &Descriptor| kind(layer).is_some();
                let layers: Vec<Descriptor> = layers.into_iter().filter(is_evidence).collect();
                if layers.len() > self.limits.referrers {
                    return Err(failed(Why::TooMany("layers", self.limits.referrers)));
                }
                Ok(layers)
            }
            Document::Index { .. } => Ok(Vec::new()),
        }
    }

    fn bring(&self, layers: &[Descriptor], pieces: &mut Vec<Piece>) -> Result<(), Unknown> {
        for layer in layers {
            let Some(kind) = kind(layer).filter(|_| pieces.len() < self.limits.pieces) else { continue };
            let failed = |why| self.unknown(&layer.digest, why);
            if layer.size > self.limits.blob {
                return Err(failed(Why::TooLarge(self.limits.blob)));
            }
            let bytes = self.source.blob(&layer.digest, layer.size)?;
            let bytes = bytes.ok_or_else(|| self.missing(&layer.digest))?;
            let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if found != layer.size {
                return Err(failed(Why::WrongSize { wanted: layer.size, found }));
            }
            pieces.push(Piece {
                name: self.source.name(&layer.digest),
                media_type: layer.media_type.clone(),
                digest: layer.digest.clone(),
                bytes,
                kind,
            });
        }
        Ok(())
    }

    fn missing(&self, digest: &Digest) -> Unknown {
        self.unknown(digest, Why::Missing(digest.clone()))
    }

    fn unknown(&self, digest: &Digest, why: Why) -> Unknown {
        Unknown::new(&self.source.name(digest), why)
    }
}

/// Whether a manifest that refers to an image can be evidence, as the list says; where it says nothing, it can.
fn may_be_evidence(referrer: &Descriptor) -> bool {
    match &referrer.artifact_type {
        Some(kind) => kind.starts_with(BUNDLE) || kind.starts_with(COSIGN) || kind == DSSE || kind == EMPTY,
        None => true,
    }
}

fn kind(layer: &Descriptor) -> Option<Kind> {
    match layer.media_type.as_str() {
        DSSE => Some(Kind::Attestation(Cosign::read(&layer.annotations))),
        SIGNATURE => Some(Kind::Signature),
        other => other.starts_with(BUNDLE).then_some(Kind::Bundle),
    }
}

/// What bytes are that were named by their digest alone: they have to say it themselves.
fn bare(bytes: &[u8]) -> Option<(String, Kind)> {
    let value = json::parse(bytes).ok()?;
    let object = value.as_object().ok()?;
    match object.optional_string("mediaType").ok()? {
        Some(media_type) => media_type.starts_with(BUNDLE).then(|| (media_type.to_owned(), Kind::Bundle)),
        None => object.get("payloadType").map(|_| (DSSE.to_owned(), Kind::Attestation(Cosign::default()))),
    }
}
