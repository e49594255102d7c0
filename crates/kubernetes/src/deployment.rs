//! What one request deploys: one deployment an artifact, ready for the choke point.

use std::collections::BTreeMap;

use attest::{Artifact, Digest, DigestSet, Json, Object};
use policy::{DeploymentRequest, Submitted};

use crate::canonical::canonical;
use crate::controller::is_owner;
use crate::difference::Difference;
use crate::digest::{DigestForm, configuration_form};
use crate::evidence::{Attached, EVIDENCE, EvidenceError, Memory, excess, route_with};
use crate::images::{ImageUse, pod_in, pod_prefix};
use crate::mapping::Mapping;
use crate::owner::{Link, Owner, Ownership};
use crate::reference::{Reference, ReferenceError};
use crate::refusal::Refusal;
use crate::review::Review;
use crate::subject::{Judged, Use};
use crate::template::template_digest;

/// What kind of artifact is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image, used at these places.
    Image(Vec<ImageUse>),
    /// The object itself, and what changed in it.
    Configuration(Vec<Difference>),
}

/// One artifact that a request deploys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// What it is.
    pub kind: Kind,
    /// The artifact. An image that is named by a tag alone has no digest, and cannot be admitted.
    pub artifact: Artifact,
    /// The environment.
    pub environment: String,
    /// Who asks: the person behind a controller's pod where that is proven.
    pub requester: String,
    /// The workload that a person wrote: `NAMESPACE/KIND/NAME`, without a namespace outside of any.
    pub workload: String,
    /// Evidence, routed to this artifact.
    pub envelopes: Vec<Submitted>,
    /// Bundles that an annotation names and that were not in what was fetched.
    pub missing: Vec<Digest>,
    /// The grant that an annotation names.
    pub breakglass: Option<Digest>,
    /// Whether nothing that is judged changed.
    pub unchanged: bool,
    /// The request, for the case: without the server's bookkeeping, evidence by digest. The object itself stands in the
    /// first deployment's only; the others have its digest.
    pub body: Json,
}

/// What the adapter found out beside the request.
#[derive(Clone, Debug, Default)]
pub struct Context<'a> {
    /// Whose it is.
    pub ownership: Option<&'a Ownership>,
    /// The link of [`Ownership::Made`] about whose owner *and* template a decision is on record, and who asked for that.
    pub heir: Option<(&'a Link, &'a str)>,
    /// Bundles from the evidence store, by the digest that an annotation names.
    pub bundles: BTreeMap<Digest, Submitted>,
    /// The key that binds the data of Secrets.
    pub secret_key: Option<&'a [u8]>,
    /// What [`attached`] gave; it is read from the request where this is absent.
    pub attached: Option<&'a (Attached, Attached)>,
    /// What is remembered of evidence.
    pub memory: Option<&'a Memory>,
}

impl Deployment {
    /// Where it stands, for messages: the first image's path, or the object itself.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.kind {
            Kind::Image(uses) => uses.iter().map(|u| u.path.as_str()).collect::<Vec<_>>().join(", "),
            Kind::Configuration(_) => "the object".to_owned(),
        }
    }

    /// The request to the choke point. What the engine is told beside it (standing, grant, outage, consulted objects,
    /// the digest to use) is the adapter's to add.
    #[must_use]
    pub fn request(&self, cluster: &str) -> DeploymentRequest {
        let chokepoint = format!("kubernetes/{cluster}");
        let mut request = DeploymentRequest::new(self.artifact.clone(), &self.environment, &chokepoint);
        request.requester = Some(self.requester.clone());
        request.workload = Some(format!("{cluster}/{}", self.workload));
        request.body = Some(self.body.clone());
        request.envelopes.clone_from(&self.envelopes);
        request
    }
}

/// What the annotations bring: for the images (on the pod or its template), and for the object itself.
///
/// # Errors
/// [`Refusal`] for an annotation of ours that cannot be read, with its place. Where nothing changes, what is wrong is as
/// if it were not there: what runs is not blocked because of it.
pub fn attached(review: &Review, judged: &Judged, memory: &Memory) -> Result<(Attached, Attached), Refusal> {
    let Some(object) = &review.object else { return Ok(<_>::default()) };
    let metadata = |of: &Object| of.optional_object("metadata").ok().flatten().cloned();
    let prefix = pod_prefix(&review.kind).unwrap_or_default();
    let unchanged = judged.is_unchanged();
    let read = |of: Option<&Object>, place: &str| {
        let found = Attached::read_with(of.and_then(metadata).as_ref(), place, memory);
        if unchanged { Ok(found.unwrap_or_default()) } else { found.map_err(|e| refuse(&e, place)) }
    };
    let holder =
        pod_in(&review.kind, object).or_else(|| pod_prefix(&review.kind).is_none().then_some(object));
    let for_images = read(holder.filter(|_| !judged.uses.is_empty()), &format!("{prefix}metadata"))?;
    let for_object = read(Some(object).filter(|_| judged.configuration.is_some()), "metadata")?;
    Ok((for_images, for_object))
}

fn refuse(e: &EvidenceError, place: &str) -> Refusal {
    Refusal::new(
        "evidence-annotation",
        &format!("{place}.annotations[{}]", e.annotation),
        &e.to_string(),
        &e.fix(),
    )
}

/// The deployments of a request that [`crate::Subject::of`] found something to judge in.
///
/// # Errors
/// Every [`Refusal`] at once: references that are none, annotations that cannot be read; more evidence than is read for
/// one review.
pub fn requests(
    review: &Review,
    judged: &Judged,
    mapping: &Mapping,
    context: &Context<'_>,
) -> Result<Vec<Deployment>, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let groups = group(&judged.uses, &mut refusals);
    let none = Memory::none();
    let memory = context.memory.unwrap_or(&none);
    let own = match context.attached {
        Some(_) => None,
        None => attached(review, judged, memory).map_err(|e| refusals.push(e)).ok(),
    };
    let (Some((for_images, for_object)), true) = (context.attached.or(own.as_ref()), refusals.is_empty())
    else {
        return Err(refusals);
    };
    let (requester, workload) = behind(review, context);
    let (head, object) = body(review, context.secret_key);
    let base = Base {
        environment: mapping.environment(&review.namespace, &workload.0, &workload.1),
        requester,
        workload: place(&review.namespace, &workload.0, &workload.1),
        head,
    };
    let artifacts: Vec<DigestSet> = groups.iter().map(|g| g.artifact.digests().clone()).collect();
    let (of_images, missing) = gather(for_images, &context.bundles);
    let (of_object, missing_of_object) = gather(for_object, &context.bundles);
    let mut routed = route_with(&of_images, &artifacts, memory);
    routed.push(of_object);
    match excess(&routed) {
        Some(refusal) if !judged.is_unchanged() => return Err(vec![refusal]),
        Some(_) => routed.iter_mut().for_each(Vec::clear),
        None => {}
    }
    let (mut out, mut routed) = (Vec::new(), routed.into_iter());
    for (group, envelopes) in groups.into_iter().zip(routed.by_ref()) {
        let rest = (missing.clone(), for_images.breakglass.clone(), group.unchanged);
        out.push(base.deployment(Kind::Image(group.uses), group.artifact, envelopes, rest));
    }
    if let Some(configuration) = &judged.configuration {
        let artifact = Artifact::new(&configuration_uri(review), configuration.digest.clone().into());
        let kind = Kind::Configuration(configuration.changes.clone());
        let rest = (missing_of_object, for_object.breakglass.clone(), configuration.unchanged);
        out.push(base.deployment(kind, artifact, routed.next().unwrap_or_default(), rest));
    }
    number(&mut out, object);
    Ok(out)
}

/// A review is admitted whole: its records say how many they are, and which. The object stands in the first alone, or
/// each of its images would keep a copy on record.
fn number(deployments: &mut [Deployment], mut object: Json) {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let parts = count(deployments.len());
    let digest = (deployments.len() > 1).then(|| {
        // of what the first record shows: a digest of more would let secrets be guessed
        policy::redact(&mut object);
        Digest::sha256(canonical(&object).as_bytes()).to_string()
    });
    let mut object = Some(object);
    for (part, deployment) in deployments.iter_mut().enumerate() {
        let Json::Object(body) = &mut deployment.body else { continue };
        if let Some(object) = object.take() {
            body.set("object", object);
        } else {
            body.set("object", Object::new().with("part", 0_i64));
            body.set_some("digest", digest.clone());
        }
        body.set("part", count(part));
        body.set("parts", parts);
    }
}

struct Base {
    environment: String,
    requester: String,
    workload: String,
    /// The body without the object.
    head: Object,
}

impl Base {
    fn deployment(
        &self,
        kind: Kind,
        artifact: Artifact,
        envelopes: Vec<&Submitted>,
        (missing, breakglass, unchanged): (Vec<Digest>, Option<Digest>, bool),
    ) -> Deployment {
        Deployment {
            kind,
            artifact,
            environment: self.environment.clone(),
            requester: self.requester.clone(),
            workload: self.workload.clone(),
            envelopes: envelopes.into_iter().cloned().collect(),
            missing,
            breakglass,
            unchanged,
            body: self.head.clone().into(),
        }
    }
}

/// Uses of one image under one name are one deployment; one that was there already and one that is new are two.
struct Group {
    artifact: Artifact,
    unchanged: bool,
    uses: Vec<ImageUse>,
}

fn group(uses: &[Use], refusals: &mut Vec<Refusal>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: BTreeMap<(String, String, bool), usize> = BTreeMap::new();
    for Use { image, unchanged } in uses {
        let reference = match Reference::parse(&image.reference) {
            Ok(reference) => reference,
            Err(e) => {
                refusals.push(bad_reference(image, &e));
                continue;
            }
        };
        // a digest decides alone; without one, two tags of one repository are two images
        let version = reference
            .digest()
            .map_or_else(|| format!("tag:{}", reference.tag().unwrap_or_default()), ToString::to_string);
        let next = groups.len();
        let index = *known.entry((reference.repository().to_owned(), version, *unchanged)).or_insert(next);
        match groups.get_mut(index) {
            Some(group) => group.uses.push(image.clone()),
            None => {
                let digests = reference.digest().map(|d| DigestSet::from(d.clone())).unwrap_or_default();
                let artifact = Artifact::new(reference.repository(), digests);
                groups.push(Group { artifact, unchanged: *unchanged, uses: vec![image.clone()] });
            }
        }
    }
    groups
}

fn bad_reference(image: &ImageUse, e: &ReferenceError) -> Refusal {
    let fix = match e {
        ReferenceError::UpperCase => "write the repository in lower case",
        ReferenceError::Digest(_) => "write @sha256: and 64 lower-case hex digits",
        _ => "write registry.example/repository@sha256:…",
    };
    Refusal::new("image-reference", &image.path, &format!("the image reference cannot be read: {e}"), fix)
        .wanted("registry/repository[:tag]@sha256:HEX")
        .found(&image.reference)
}

/// Who is behind a request, and which workload decides about its environment.
fn behind(review: &Review, context: &Context<'_>) -> (String, (String, String)) {
    let own = || (review.kind.name(), review.display_name());
    let user = review.user.username.clone();
    let Some(Ownership::Made(links)) = context.ownership else { return (user, own()) };
    let workload = |owner: &Owner| (owner.kind.name(), owner.name.clone());
    // only a link that this very chain proved can be inherited from
    let heir = context.heir.filter(|(link, _)| links.contains(link));
    let of_heir = heir.and_then(|(link, _)| links.iter().position(|l| l == link));
    let of_template = links.iter().take_while(|l| l.current).count().checked_sub(1);
    // what a person wrote is on top: a Deployment's environment is its Pods', whoever of the two is on record
    let top = of_heir.max(of_template).and_then(|at| links.get(at));
    let requester = heir.map_or(user, |(_, requester)| requester.to_owned());
    (requester, top.map_or_else(own, |link| workload(&link.owner)))
}

fn gather<'a>(
    attached: &'a Attached,
    bundles: &'a BTreeMap<Digest, Submitted>,
) -> (Vec<&'a Submitted>, Vec<Digest>) {
    let mut envelopes: Vec<&Submitted> = attached.envelopes.iter().collect();
    let mut missing = Vec::new();
    for digest in &attached.digests {
        match bundles.get(digest).filter(|b| Digest::sha256(&b.bytes) == *digest) {
            Some(bundle) => envelopes.push(bundle),
            None => missing.push(digest.clone()),
        }
    }
    (envelopes, missing)
}

/// `kubernetes:shop/ConfigMap/flags`. A name may hold colons (RBAC does), which an artifact's name takes for a tag.
fn configuration_uri(review: &Review) -> String {
    format!("kubernetes:{}", place(&review.namespace, &review.kind.name(), &review.display_name()))
}

/// `NAMESPACE/KIND/NAME`; an object outside of any namespace has two parts.
fn place(namespace: &str, kind: &str, name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let quote = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    let name: String = name.bytes().map(quote).collect();
    if namespace.is_empty() { format!("{kind}/{name}") } else { format!("{namespace}/{kind}/{name}") }
}

/// The request for the case: who asks for what; and, apart, the object without the server's bookkeeping.
fn body(review: &Review, secret_key: Option<&[u8]>) -> (Object, Json) {
    let mut object = review.object.clone().unwrap_or_default();
    if review.kind.group.is_empty() && review.kind.kind == "Secret" {
        // without a key nothing of the data is kept at all
        let form = DigestForm { autoscaled: false, secret_key };
        object = configuration_form(&review.kind, &object, form).unwrap_or_default();
    }
    let mut object = Json::Object(object);
    shorten(&mut object, 0);
    let user = Object::new()
        .with("username", review.user.username.as_str())
        .with("groups", review.user.groups.clone());
    let mut body = Object::new()
        .with("uid", review.uid.as_str())
        .with("operation", review.operation.name())
        .with("apiVersion", review.kind.api_version())
        .with("kind", review.kind.kind.as_str());
    let request_kind = review.request_kind.as_ref().filter(|k| **k != review.kind);
    body.set_some("requestKind", request_kind.map(|k| format!("{}/{}", k.api_version(), k.kind)));
    if !review.subresource.is_empty() {
        body.set("subresource", review.subresource.as_str());
    }
    body.set("namespace", review.namespace.as_str());
    body.set("name", review.display_name());
    body.set("user", user);
    body.set("dryRun", review.dry_run);
    if let Some((owner, template)) = makes(review) {
        body.set("owner", owner.key());
        body.set("template", template.to_string());
    }
    (body, object)
}

/// What the object is to those that are made of its template, where it has one: its name as an owner, and the digest of
/// the template before anything in it is redacted.
#[must_use]
pub fn makes(review: &Review) -> Option<(Owner, Digest)> {
    let object = review.object.as_ref()?;
    // a PodTemplate holds one too, and nothing is made of it
    let template = template_digest(&review.kind, object).filter(|_| is_owner(&review.kind))?;
    let metadata = object.optional_object("metadata").ok().flatten()?;
    let uid = metadata.optional_string("uid").ok().flatten()?.to_owned();
    let (kind, namespace) = (review.kind.clone(), review.namespace.clone());
    let name = metadata.optional_string("name").ok().flatten()?.to_owned();
    Some((Owner { kind, namespace, name, uid }, template))
}

/// Takes out `managedFields`, and puts its digest in the place of inline evidence, wherever a template holds some.
fn shorten(value: &mut Json, depth: usize) {
    const METADATA_DEPTH: usize = 12;
    let Json::Object(object) = value else { return };
    object.remove("managedFields");
    for (key, value) in object.iter_mut() {
        match value {
            Json::String(text) if key == EVIDENCE => {
                *value = Json::from(Digest::sha256(text.as_bytes()).to_string());
            }
            Json::Object(_) if depth < METADATA_DEPTH => shorten(value, depth + 1),
            _ => {}
        }
    }
}
