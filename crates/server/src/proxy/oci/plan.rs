//! All that a manifest needs: what waits here and goes up with it, and what the registry has. What is nowhere, or is not what
//! the manifest says of it, keeps the manifest from going up at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use attest::Digest;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::BoxFuture;
use registry::{Descriptor, Document};

use crate::proxy::oci::Asked;
use crate::proxy::oci::answer::error;
use crate::proxy::oci::push::{MANIFEST, parse};
use crate::proxy::oci::shelf::{Kept, Kind};

/// Manifests of an index, and of the indexes in it.
const CHILDREN: usize = 256;
/// An index in an index in an index.
const DEPTH: usize = 3;
/// Blobs of all of them.
const BLOBS: usize = 4096;

/// What goes up. It is held until then, whatever the shelf drops.
#[derive(Debug, Default)]
pub(super) struct Plan {
    blobs: BTreeMap<Digest, Option<Arc<Kept>>>,
    /// Each before what names it, as registries want them.
    children: Vec<(Digest, Arc<Kept>)>,
    seen: BTreeSet<Digest>,
}

impl Plan {
    pub(super) async fn of(asked: &Asked<'_>, document: &Document) -> Result<Self, Response> {
        let mut plan = Self::default();
        plan.parts_of(asked, document, DEPTH).await?;
        Ok(plan)
    }

    fn parts_of<'a>(
        &'a mut self,
        asked: &'a Asked<'_>,
        document: &'a Document,
        depth: usize,
    ) -> BoxFuture<'a, Result<(), Response>> {
        Box::pin(async move {
            match document {
                Document::Manifest { config, layers, .. } => self.blobs_of(asked, config, layers).await,
                Document::Index { .. } if depth == 0 => Err(invalid("too many indexes in each other")),
                Document::Index { manifests, .. } => {
                    for child in manifests {
                        self.child(asked, child, depth).await?;
                    }
                    Ok(())
                }
            }
        })
    }

    async fn child(&mut self, asked: &Asked<'_>, child: &Descriptor, depth: usize) -> Result<(), Response> {
        if !self.seen.insert(child.digest.clone()) {
            return Ok(());
        }
        if self.seen.len() > CHILDREN {
            return Err(invalid(&format!("more than {CHILDREN} manifests")));
        }
        let Some(kept) = asked.oci.shelf.get(&asked.owner(), Kind::Manifest, &child.digest) else {
            let is_there = asked.site().has_manifest(&child.digest).await?;
            return is_there.then_some(()).ok_or_else(|| missing("manifest", &child.digest));
        };
        let bytes = kept.held().bytes(MANIFEST).map_err(|e| asked.with.not_held(&e))?;
        let document = parse(&bytes, Some(&kept.media_type)).map_err(|e| invalid(&e.to_string()))?;
        if kept.held().length() != child.size || document.media_type() != child.media_type {
            return Err(differs(&child.digest));
        }
        self.parts_of(asked, &document, depth.saturating_sub(1)).await?;
        self.children.push((child.digest.clone(), kept));
        Ok(())
    }

    async fn blobs_of(
        &mut self,
        asked: &Asked<'_>,
        config: &Descriptor,
        layers: &[Descriptor],
    ) -> Result<(), Response> {
        for blob in std::iter::once(config).chain(layers) {
            if self.blobs.contains_key(&blob.digest) {
                continue;
            }
            if self.blobs.len() >= BLOBS {
                return Err(invalid(&format!("more than {BLOBS} blobs")));
            }
            let kept = asked.oci.shelf.get(&asked.owner(), Kind::Blob, &blob.digest);
            let size = match &kept {
                Some(kept) => Some(kept.held().length()),
                None => {
                    let found = asked.site().blob_size(&blob.digest).await?;
                    found.ok_or_else(|| missing("blob", &blob.digest))?
                }
            };
            if size.is_some_and(|size| size != blob.size) {
                return Err(differs(&blob.digest));
            }
            self.blobs.insert(blob.digest.clone(), kept);
        }
        Ok(())
    }

    /// Brings all of it to the registry.
    pub(super) async fn go(&self, asked: &Asked<'_>) -> Result<(), Response> {
        let site = asked.site();
        for (digest, kept) in kept(&self.blobs) {
            site.bring(digest, kept.held()).await?;
        }
        for (digest, kept) in &self.children {
            site.put(&digest.to_string(), digest, &kept.media_type, kept.held()).await?;
        }
        Ok(())
    }

    /// What went up waits no longer.
    pub(super) fn clear(&self, asked: &Asked<'_>) {
        let owner = asked.owner();
        for (digest, _) in kept(&self.blobs) {
            asked.oci.shelf.take(&owner, Kind::Blob, digest);
        }
        for (digest, _) in &self.children {
            asked.oci.shelf.take(&owner, Kind::Manifest, digest);
        }
    }
}

fn kept(all: &BTreeMap<Digest, Option<Arc<Kept>>>) -> impl Iterator<Item = (&Digest, &Arc<Kept>)> {
    all.iter().filter_map(|(digest, kept)| Some((digest, kept.as_ref()?)))
}

pub(super) fn invalid(text: &str) -> Response {
    error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", text)
}

fn missing(what: &str, digest: &Digest) -> Response {
    let text = format!("the {what} {digest} was not pushed, or too long ago: push it again, then this");
    error(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", &text)
}

fn differs(digest: &Digest) -> Response {
    invalid(&format!("{digest} has another size or media type than is said of it"))
}
