//! What the local evidence store has for a request. A store that does not answer is an outage of ours, and is said so:
//! it is never read as "there is nothing".

use std::collections::BTreeMap;

use attest::Digest;
use evidence::{ReadError, Store};
use kubernetes::{Attached, Deployment, Reference};
use policy::{DeploymentRequest, Outage, Standing, Submitted};

use crate::webhook::tell::stored;

/// Bundles that annotations name, and whether the store failed on the way.
pub(crate) fn bundles(store: &Store, attached: [&Attached; 2]) -> (BTreeMap<Digest, Submitted>, bool) {
    let (mut found, mut is_failing) = (BTreeMap::new(), false);
    for digest in attached.into_iter().flat_map(|one| &one.digests) {
        match store.get(digest) {
            Ok(Some(bytes)) => drop(found.insert(digest.clone(), Submitted { name: stored(digest), bytes })),
            Ok(None) => {}
            Err(_) => is_failing = true,
        }
    }
    (found, is_failing)
}

/// The request to the engine: with the set that was attached where the requester named nothing, the grant, and what is
/// proven about something that runs already.
pub(crate) fn request(
    store: &Store,
    deployment: &Deployment,
    cluster: &str,
    is_failing: bool,
) -> DeploymentRequest {
    let mut request = deployment.request(cluster);
    let mut is_failing = is_failing;
    if request.envelopes.is_empty() && deployment.missing.is_empty() {
        let digests: Vec<Digest> = request.artifact.digests().iter().collect();
        for digest in digests {
            match attached(store, &digest) {
                Ok(found) => request.envelopes.extend(found),
                Err(_) => is_failing = true,
            }
        }
    }
    if let Some(digest) = &deployment.breakglass {
        match store.grant(digest) {
            Ok(found) => request.grant = found.map(|bytes| Submitted { name: stored(digest), bytes }),
            Err(_) => is_failing = true,
        }
    }
    if request.artifact.digests().iter().next().is_none() {
        request.suggestion = suggestion(store, deployment);
    }
    request.standing = deployment.unchanged.then_some(Standing::Unchanged);
    request.outage = is_failing.then_some(Outage::EvidenceStore);
    request
}

fn attached(store: &Store, artifact: &Digest) -> Result<Vec<Submitted>, ReadError> {
    let mut found = Vec::new();
    for digest in store.attached(artifact)?.unwrap_or_default() {
        if let Some(bytes) = store.get(&digest)? {
            found.push(Submitted { name: stored(&digest), bytes });
        }
    }
    Ok(found)
}

/// The digest that a tag stands for, where somebody who may attach said so: for the message only.
fn suggestion(store: &Store, deployment: &Deployment) -> Option<Digest> {
    let kubernetes::DeploymentKind::Image(uses) = &deployment.kind else { return None };
    resolve(store, &Reference::parse(&uses.first()?.reference).ok()?)
}

/// What a tag stands for.
pub(crate) fn resolve(store: &Store, reference: &Reference) -> Option<Digest> {
    let tagged = store.tagged(reference.repository(), reference.tag().unwrap_or("latest"));
    tagged.ok().flatten().map(|tagged| tagged.digest)
}
