//! The annotation that leads a choke point to evidence: digests in its store, or the evidence itself.

use std::io::{Read as _, Write as _};

use attest::{Digest, Json, json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::Store;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};

use super::bundles::Brought;
use crate::failure::Failure;

const DIGESTS: &str = "portcullis.dev/evidence-digest";
const INLINE: &str = "portcullis.dev/evidence";
/// What Kubernetes takes of all annotations of an object together, names included.
const MAX_TEXT: usize = 256 << 10;
/// What a choke point unpacks at most.
const MAX_UNPACKED: usize = 4 << 20;

/// An annotation with what it says of one artifact.
#[derive(Clone, Debug)]
pub(crate) enum Annotation {
    /// Digests of bundles in the evidence store.
    Digests(Vec<Digest>),
    /// The bundles themselves, and their text.
    Inline(Vec<Json>, String),
}

impl Annotation {
    pub(crate) fn digests(brought: &[Brought]) -> Self {
        Self::Digests(brought.iter().map(|b| b.digest.clone()).collect())
    }

    pub(crate) fn inline(brought: &[Brought]) -> Result<Self, Failure> {
        Self::packed(brought.iter().map(|b| b.json.clone()).collect())
    }

    fn packed(bundles: Vec<Json>) -> Result<Self, Failure> {
        if bundles.len() > Store::MAX_SET {
            return Err(too_many(bundles.len()));
        }
        let text = pack(&bundles)
            .map_err(|e| Failure::new("the evidence cannot be packed").line("found", &e.to_string()))?;
        Ok(Self::Inline(bundles, text))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Digests(_) => DIGESTS,
            Self::Inline(..) => INLINE,
        }
    }

    pub(crate) fn value(&self) -> String {
        match self {
            Self::Digests(digests) => digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Self::Inline(_, text) => text.clone(),
        }
    }

    /// This annotation after the one that stands in a manifest: evidence of other images of the same Pod stays.
    pub(crate) fn after(&self, old: Option<&str>) -> Result<Self, Failure> {
        let Some(old) = old.filter(|old| !old.trim().is_empty()) else { return Ok(self.clone()) };
        let unreadable = || {
            Failure::new(&format!("the annotation {} in the manifest cannot be read", self.name()))
                .line("fix", "put another in its place: --replace")
        };
        match self {
            Self::Digests(new) => {
                let parsed: Result<Vec<Digest>, _> =
                    old.split(',').map(|d| Digest::parse(d.trim())).collect();
                let mut all = parsed.or(Err(unreadable()))?;
                all.extend(new.iter().filter(|d| !all.contains(d)).cloned().collect::<Vec<_>>());
                if all.len() > Store::MAX_SET {
                    return Err(too_many(all.len()));
                }
                Ok(Self::Digests(all))
            }
            Self::Inline(new, _) => {
                let mut all = unpack(old).ok_or_else(unreadable)?;
                all.extend(new.iter().filter(|b| !all.contains(b)).cloned().collect::<Vec<_>>());
                Self::packed(all)
            }
        }
    }

    /// Whether Kubernetes will take it.
    pub(crate) fn check_size(&self) -> Result<(), Failure> {
        let size = self.name().len() + self.value().len();
        if size <= MAX_TEXT {
            return Ok(());
        }
        Err(Failure::new("the evidence is too large for an annotation")
            .code("too-large")
            .line(
                "wanted",
                &format!("at most {MAX_TEXT} bytes: Kubernetes takes no more annotations of an object"),
            )
            .line("found", &format!("{size} bytes, packed"))
            .line("fix", "leave --inline out, and give --store DIR or --server URL: digests are small"))
    }
}

fn too_many(count: usize) -> Failure {
    Failure::new("one Pod cannot name so many bundles")
        .line("wanted", &format!("at most {}", Store::MAX_SET))
        .line("found", &count.to_string())
        .line("fix", "drop those of older artifacts: --replace")
}

/// The same bundles give the same text: no time, no name.
fn pack(bundles: &[Json]) -> std::io::Result<String> {
    let mut packer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    packer.write_all(Json::Array(bundles.to_vec()).to_string().as_bytes())?;
    Ok(STANDARD.encode(packer.finish()?))
}

fn unpack(text: &str) -> Option<Vec<Json>> {
    let packed = STANDARD.decode(text.trim()).ok()?;
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_UNPACKED).ok()?.saturating_add(1);
    GzDecoder::new(packed.as_slice()).take(most).read_to_end(&mut bytes).ok()?;
    let value = json::parse(&bytes).ok().filter(|_| bytes.len() <= MAX_UNPACKED)?;
    Some(value.as_array().ok()?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_noise_is_not() {
        let bundles = vec![Json::from("eyJ"), Json::Array(Vec::new())];
        assert_eq!(unpack(&pack(&bundles).unwrap()).unwrap(), bundles);
        assert_eq!(pack(&bundles).unwrap(), pack(&bundles).unwrap());
        for noise in ["", "noise", "AAAA", &STANDARD.encode(b"{}")] {
            assert!(unpack(noise).is_none(), "{noise}");
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = pack(&[Json::from(" ".repeat(MAX_UNPACKED))]).unwrap();
        assert!(bomb.len() < 64 << 10);
        assert!(unpack(&bomb).is_none());
    }

    #[test]
    fn evidence_of_other_images_stays() {
        let one = Annotation::Digests(vec![Digest::sha256(b"1")]);
        let both = one.after(Some(&Digest::sha256(b"2").to_string())).unwrap();
        assert_eq!(both.value(), format!("{},{}", Digest::sha256(b"2"), Digest::sha256(b"1")));
        assert_eq!(both.after(Some(&both.value())).unwrap().value(), both.value());
        assert!(one.after(Some("noise")).is_err());
        let many: Vec<String> = (0..64_u8).map(|n| Digest::sha256(&[n, 0]).to_string()).collect();
        assert!(one.after(Some(&many.join(","))).is_err());
    }
}
