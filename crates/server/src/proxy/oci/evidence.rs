//! What is evidence, and not an image: by what it is made of, whatever it says of itself.
//!
//! A manifest by digest can be run wherever somebody names that digest, and one with a `subject` no less. So what goes up
//! undecided is made only of records: layers of the kinds in which evidence is written, of which every one is text that no
//! reader of archives can unpack. All else with a `subject` is an image that points somewhere.

use attest::Digest;
use axum::response::Response;
use registry::{Descriptor, Document};

use crate::proxy::oci::Asked;
use crate::proxy::oci::name::Name;
use crate::proxy::oci::push::{MANIFEST, parse};
use crate::proxy::oci::shelf::Kind;

/// Bytes of one record, the largest envelope, and of all that one request makes us look at.
const RECORD: u64 = 24 << 20;
const RECORDS: u64 = 96 << 20;
/// Manifests in a list of referrers.
const LISTED: usize = 256;
/// Layers of one manifest.
const LAYERS: usize = 256;
/// Media types in which evidence is written, by how they begin.
const KINDS: [&str; 9] = [
    "application/vnd.dev.sigstore.bundle",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.in-toto+json",
    "application/jose+json",
    "application/spdx+json",
    "text/spdx",
    "application/vnd.cyclonedx",
    "application/vnd.syft+json",
];
/// The ends of cosign's tags.
const ENDS: [&str; 3] = [".att", ".sig", ".sbom"];
const BLOCK: usize = 512;
/// Where an archive's block has its checksum.
const SUM: std::ops::Range<usize> = 148..156;

/// Whether it goes up as evidence: called so, and nothing else in it.
pub(super) async fn is_evidence(
    asked: &Asked<'_>,
    name: &Name,
    document: &Document,
) -> Result<bool, Response> {
    let mut left = RECORDS;
    match (name, document) {
        (Name::Digest(_), Document::Manifest { subject: Some(_), config, layers, .. }) => {
            records(asked, config, layers, &mut left).await
        }
        (Name::Tag(tag), Document::Manifest { config, layers, .. }) if is_cosign(tag) => {
            records(asked, config, layers, &mut left).await
        }
        (Name::Tag(tag), Document::Index { manifests, .. }) if is_list(tag) => {
            listed(asked, manifests, &mut left).await
        }
        _ => Ok(false),
    }
}

/// A list of referrers, as clients keep it where the registry keeps none: of evidence alone.
async fn listed(asked: &Asked<'_>, manifests: &[Descriptor], left: &mut u64) -> Result<bool, Response> {
    if manifests.len() > LISTED {
        return Ok(false);
    }
    for one in manifests {
        let Some(bytes) = asked.site().bytes("manifests", &one.digest, MANIFEST).await? else {
            return Ok(false);
        };
        let Ok(Document::Manifest { subject: Some(_), config, layers, .. }) = parse(&bytes, None) else {
            return Ok(false);
        };
        if !records(asked, &config, &layers, left).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether all layers are records; the configuration may be called what it wants, and is text too.
async fn records(
    asked: &Asked<'_>,
    config: &Descriptor,
    layers: &[Descriptor],
    left: &mut u64,
) -> Result<bool, Response> {
    let is_one = |layer: &Descriptor| KINDS.iter().any(|kind| layer.media_type.starts_with(kind));
    if layers.is_empty() || layers.len() > LAYERS || !layers.iter().all(is_one) {
        return Ok(false);
    }
    for part in std::iter::once(config).chain(layers) {
        let Some(rest) = left.checked_sub(part.size).filter(|_| part.size <= RECORD) else {
            return Ok(false);
        };
        *left = rest;
        if !bytes(asked, &part.digest, part.size).await?.is_some_and(|bytes| is_text(&bytes)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A blob that has at most so many bytes.
async fn bytes(asked: &Asked<'_>, digest: &Digest, most: u64) -> Result<Option<Vec<u8>>, Response> {
    match asked.oci.shelf.get(&asked.owner(), Kind::Blob, digest) {
        Some(kept) => kept.held().bytes(most).map(Some).map_err(|e| asked.with.not_held(&e)),
        None => asked.site().bytes("blobs", digest, most).await,
    }
}

/// Whether bytes are text, and no archive. Compressed ones are no text; that text can be an archive all the same is seen
/// by the checksum of its first block, which every reader of archives compares.
fn is_text(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let is_plain = text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'));
    is_plain && !text.starts_with("BZh") && !is_archive(bytes)
}

fn is_archive(bytes: &[u8]) -> bool {
    let (Some(block), Some(field)) = (bytes.get(..BLOCK), bytes.get(SUM)) else { return false };
    // readers differ about what may stand around the digits, and take a sum of signed bytes too, as old writers made it
    let digits = field.iter().skip_while(|byte| byte.is_ascii_whitespace());
    let digits: Vec<i64> = digits.map_while(|byte| char::from(*byte).to_digit(8)).map(i64::from).collect();
    let said = digits.iter().fold(0, |said, digit| said * 8 + digit);
    let with = |value: fn(u8) -> i64| -> i64 {
        let around = block.iter().enumerate();
        around.map(|(at, byte)| value(if SUM.contains(&at) { b' ' } else { *byte })).sum()
    };
    !digits.is_empty() && (said == with(i64::from) || said == with(|byte| i64::from(byte.cast_signed())))
}

fn is_cosign(tag: &str) -> bool {
    ENDS.iter().any(|end| tag.strip_suffix(end).is_some_and(is_list))
}

/// Whether a tag is made of an image's digest.
fn is_list(tag: &str) -> bool {
    tag.split_once('-').is_some_and(|(algorithm, hex)| {
        matches!(algorithm, "sha256" | "sha512") && Digest::parse(&format!("{algorithm}:{hex}")).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_evidence_are_made_of_a_digest() {
        let hex = "a".repeat(64);
        assert!(is_list(&format!("sha256-{hex}")) && is_cosign(&format!("sha256-{hex}.att")));
        for tag in
            ["1.4".to_owned(), "x.att".to_owned(), format!("sha256-{hex}.exe"), format!("sha512-{hex}")]
        {
            assert!(!is_list(&tag) && !is_cosign(&tag), "{tag}");
        }
    }

    #[test]
    fn what_can_be_unpacked_is_no_text() {
        assert!(is_text(b"{\"payloadType\":\"x\"}\n") && is_text(&[b'{'; 4096]) && is_text("ä".as_bytes()));
        for bad in
            [&[0x1f, 0x8b, 8][..], &[0x28, 0xb5, 0x2f, 0xfd], &[0; 1024], b"BZh91AY", b"\0asm", b"\x7fELF"]
        {
            assert!(!is_text(bad), "{bad:?}");
        }
        // an archive that is JSON too
        let mut block = vec![b' '; BLOCK];
        block[..9].copy_from_slice(b"{\"name\":\"");
        block[124..135].copy_from_slice(b"00000000010");
        block[510..].copy_from_slice(b"\"}");
        assert!(is_text(&block));
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[SUM].copy_from_slice(format!("{sum:06o}  ").as_bytes());
        assert!(attest::json::parse(&block).is_ok());
        assert!(!is_text(&block));
        // as some readers take it: with more behind the digits, and over signed bytes
        block[SUM].copy_from_slice(format!("{sum:06o}x ").as_bytes());
        assert!(!is_text(&block));
        block[SUM].copy_from_slice(b"        ");
        block[20..22].copy_from_slice("ä".as_bytes());
        let signed: i64 = block.iter().map(|b| i64::from(b.cast_signed())).sum();
        block[SUM].copy_from_slice(format!("{signed:06o}  ").as_bytes());
        assert!(attest::json::parse(&block).is_ok());
        assert!(!is_text(&block));
    }
}
