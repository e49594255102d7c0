//! What the local evidence store has for a request. A store that does not answer is an outage of ours, and is said so:
//! it is never read as "there is nothing".

use std::collections::BTreeMap;

use attest::Digest;
use evidence::{ReadError, Store};
use kubernetes::evidence::{MAX_ROUTED, too_much};
use kubernetes::{Attached, Deployment, Reference, Refusal};
use policy::{DeploymentRequest, Outage, Standing, Submitted};

use crate::webhook::tell::stored;

/// What was read from the evidence store for one review: every record keeps its own, so that a small request could ask
/// for any number of bytes.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    evidence: Tally,
    /// Apart: too much evidence takes nobody's grant away.
    grants: Tally,
}

#[derive(Debug, Default)]
struct Tally(usize);

impl Tally {
    /// Reads, unless there was too much already. What is too much goes to nobody.
    fn read(
        &mut self,
        read: impl FnOnce() -> Result<Option<Vec<u8>>, ReadError>,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        if self.is_too_much() {
            return Ok(None);
        }
        let found = read()?;
        self.0 += found.as_ref().map_or(0, Vec::len);
        Ok(found.filter(|_| !self.is_too_much()))
    }

    fn is_too_much(&self) -> bool {
        self.0 > MAX_ROUTED
    }
}

impl Fetched {
    /// Why the review is refused, where something changes: it wants more than is read for one.
    pub(crate) fn excess(&self) -> Option<Refusal> {
        let over = [&self.evidence, &self.grants].into_iter().find(|tally| tally.is_too_much())?;
        let wanted = format!("at most {MAX_ROUTED} bytes from the evidence store");
        Some(too_much(&wanted, &format!("{} bytes or more", over.0)))
    }
}

/// Bundles that annotations name, and whether the store failed on the way. None at all where they are too much.
pub(crate) fn bundles(
    store: &Store,
    attached: [&Attached; 2],
    fetched: &mut Fetched,
) -> (BTreeMap<Digest, Submitted>, bool) {
    let (mut found, mut is_failing) = (BTreeMap::new(), false);
    for digest in attached.into_iter().flat_map(|one| &one.digests) {
        if found.contains_key(digest) {
            continue;
        }
        match fetched.evidence.read(|| store.get(digest)) {
            Ok(Some(bytes)) => drop(found.insert(digest.clone(), Submitted { name: stored(digest), bytes })),
            Ok(None) => {}
            Err(_) => is_failing = true,
        }
    }
    if fetched.evidence.is_too_much() {
        found.clear();
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
    fetched: &mut Fetched,
) -> DeploymentRequest {
    let mut request = deployment.request(cluster);
    let mut is_failing = is_failing;
    if request.envelopes.is_empty() && deployment.missing.is_empty() {
        let digests: Vec<Digest> = request.artifact.digests().iter().collect();
        for digest in digests {
            match attached(store, &digest, fetched) {
                Ok(found) => request.envelopes.extend(found),
                Err(_) => is_failing = true,
            }
        }
    }
    if let Some(digest) = &deployment.breakglass {
        match fetched.grants.read(|| store.grant(digest)) {
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

fn attached(store: &Store, artifact: &Digest, fetched: &mut Fetched) -> Result<Vec<Submitted>, ReadError> {
    let mut found = Vec::new();
    for digest in store.attached(artifact)?.unwrap_or_default() {
        if let Some(bytes) = fetched.evidence.read(|| store.get(&digest))? {
            found.push(Submitted { name: stored(&digest), bytes });
        }
    }
    if fetched.evidence.is_too_much() {
        found.clear();
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
