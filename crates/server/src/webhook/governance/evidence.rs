//! What the evidence store has for a reviewed file.

use attest::{Digest, Envelope};
use evidence::{About, ReadError, Store, about};
use policy::{DeploymentRequest, Submitted};

use super::Part;
use crate::webhook::gather::{self, Fetched};
use crate::webhook::tell::stored;

/// Grants are few, and whoever may bring some should not make every look at the files slow.
const GRANTS: usize = 256;

/// The request for a file: with the set that was attached to it, and the first grant that is about it alone.
pub(super) fn request(
    store: &Store,
    environment: &str,
    part: Part,
    digest: &Digest,
) -> Result<DeploymentRequest, ReadError> {
    let mut request = DeploymentRequest::new(part.artifact(digest), environment, chokepoint::OF_FILES);
    request.envelopes = gather::attached(store, digest, &mut Fetched::default())?;
    let digests = request.artifact.digests().clone();
    for grant in store.grants()?.into_iter().take(GRANTS) {
        let Some(bytes) = store.grant(&grant)? else { continue };
        // a grant for everything in the environment is for no file that nobody thought of
        let is_about = Envelope::parse(&bytes).is_ok_and(|e| about(&e, &digests) == About::Artifact);
        if is_about {
            request.grant = Some(Submitted { name: stored(&grant), bytes });
            break;
        }
    }
    Ok(request)
}

/// What a request brings, to see whether it is another than the last one.
pub(super) fn brought(request: &DeploymentRequest) -> Vec<Digest> {
    request.envelopes.iter().chain(&request.grant).map(|one| Digest::sha256(&one.bytes)).collect()
}
