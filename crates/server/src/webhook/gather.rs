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
    /// What a registry brought is bounded with the rest.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.evidence.0 += bytes;
    }

    /// A bundle that is named.
    pub(crate) fn bundle(&mut self, store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
        self.evidence.read(|| store.get(digest))
    }

    /// A grant that is named.
    pub(crate) fn grant(&mut self, store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>, ReadError> {
        self.grants.read(|| store.grant(digest))
    }

    /// Why the review is refused: it wants more than is read for one.
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
    deployment: &mut Deployment,
    cluster: &str,
    is_failing: bool,
    fetched: &mut Fetched,
) -> DeploymentRequest {
    let mut request = deployment.request(cluster);
    let mut is_failing = is_failing;
    // where something cannot be read nothing is said about evidence
    let is_readable = deployment.unreadable.is_empty();
    if is_readable && request.envelopes.is_empty() && deployment.missing.is_empty() {
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

/// The set that was attached to an artifact.
pub(crate) fn attached(
    store: &Store,
    artifact: &Digest,
    fetched: &mut Fetched,
) -> Result<Vec<Submitted>, ReadError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use attest::{Artifact, DigestSet, Json};
    use kubernetes::DeploymentKind;

    const MIB: usize = 1 << 20;

    /// A folder with a store, and bundles of about 3 MiB each in it.
    fn store(count: usize) -> (tempfile::TempDir, Store, Vec<Digest>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let bundle = |number: usize| {
            let payload = format!("{number:04}{}", "AAAA".repeat(3 * MIB / 4));
            let text = format!(
                r#"{{"payload":"{payload}","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"AA=="}}]}}"#
            );
            store.put(text.as_bytes()).unwrap()
        };
        let digests = (0..count).map(bundle).collect();
        (folder, store, digests)
    }

    fn naming(digests: &[Digest]) -> Attached {
        Attached { digests: digests.to_vec(), ..Attached::default() }
    }

    fn deployment(digest: &Digest, breakglass: Option<Digest>) -> Deployment {
        Deployment {
            kind: DeploymentKind::Image(Vec::new()),
            artifact: Artifact::new("registry.example/a", DigestSet::from(digest.clone())),
            environment: "prod".to_owned(),
            workload: "shop/Pod/web".to_owned(),
            requester: "alice".to_owned(),
            envelopes: Vec::new(),
            missing: Vec::new(),
            breakglass,
            unchanged: false,
            unreadable: Vec::new(),
            body: Json::Null,
        }
    }

    #[test]
    fn bundles_that_a_review_names_are_bounded_in_sum() {
        let (_folder, store, digests) = store(4);
        let fetch = |one: &[Digest], other: &[Digest]| {
            let mut fetched = Fetched::default();
            let (found, is_failing) = bundles(&store, [&naming(one), &naming(other)], &mut fetched);
            assert!(!is_failing, "too much is no outage");
            (found.len(), fetched)
        };
        // the same bundle twice is read once
        let (count, fetched) = fetch(&digests[..2], &digests[..2]);
        assert_eq!((count, fetched.excess()), (2, None));
        let (count, fetched) = fetch(&digests[..2], &digests[2..]);
        let refusal = fetched.excess().unwrap();
        assert_eq!((count, refusal.code), (0, "evidence-too-much"));
        assert_eq!(refusal.wanted, "at most 8388608 bytes from the evidence store");
        assert!(refusal.fix.contains("split the workload"), "{refusal}");
        assert!(fetched.evidence.0 < 10 * MIB, "the fourth is not read: {}", fetched.evidence.0);
    }

    #[test]
    fn sets_of_many_images_and_their_grants_are_bounded_in_sum() {
        let (_folder, store, digests) = store(1);
        let artifact = Digest::sha256(b"artifact");
        store.attach(&artifact, &digests).unwrap();
        let grant = store.put_grant(&store.get(&digests[0]).unwrap().unwrap()).unwrap();
        let sum = |deployment: &Deployment| {
            let mut fetched = Fetched::default();
            let one = |_| request(&store, &mut deployment.clone(), "eu-1", false, &mut fetched);
            let requests: Vec<DeploymentRequest> = (0..20).map(one).collect();
            assert!(requests.iter().all(|request| request.outage.is_none()));
            let evidence = requests.iter().flat_map(|r| &r.envelopes).map(|e| e.bytes.len()).sum::<usize>();
            let grants = requests.iter().flat_map(|r| &r.grant).map(|g| g.bytes.len()).sum::<usize>();
            (evidence / MIB, grants / MIB, fetched.excess().map(|refusal| refusal.code))
        };
        assert_eq!(sum(&deployment(&artifact, None)), (6, 0, Some("evidence-too-much")));
        let nothing = Digest::sha256(b"nothing");
        assert_eq!(sum(&deployment(&nothing, Some(grant.clone()))), (0, 6, Some("evidence-too-much")));
        assert_eq!(sum(&deployment(&artifact, Some(grant))).1, 6, "too much evidence takes no grant away");
        assert_eq!(sum(&deployment(&nothing, None)), (0, 0, None));
    }
}
