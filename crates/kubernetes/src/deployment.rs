//! What one request deploys: one deployment an artifact, ready for the choke point.

mod group;

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
use crate::refusal::Refusal;
use crate::review::Review;
use crate::subject::Judged;
use crate::template::template_digest;

use group::{group, quoted};

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
    /// The artifact. An image that is named by a tag alone, or by what is no reference, has no digest, and cannot be
    /// admitted.
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
    /// What of it cannot be read: then it is refused for that.
    pub unreadable: Vec<Refusal>,
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

    /// The request to the choke point, which takes the body with it: that is large. What the engine is told beside it (standing, grant, outage, consulted objects,
    /// the digest to use) is the adapter's to add.
    #[must_use]
    pub fn request(&mut self, cluster: &str) -> DeploymentRequest {
        let chokepoint = format!("kubernetes/{cluster}");
        let mut request = DeploymentRequest::new(self.artifact.clone(), &self.environment, &chokepoint);
        request.requester = Some(self.requester.clone());
        request.workload = Some(format!("{cluster}/{}", self.workload));
        request.body = Some(std::mem::replace(&mut self.body, Json::Null));
        request.envelopes.clone_from(&self.envelopes);
        request.unreadable = self.unreadable.iter().map(Refusal::unreadable).collect();
        request
    }
}

/// What the annotations bring: for the images (on the pod or its template), and for the object itself.
#[must_use]
pub fn attached(review: &Review, judged: &Judged, memory: &Memory) -> (Attached, Attached) {
    let Some(object) = &review.object else { return <_>::default() };
    let metadata = |of: &Object| of.optional_object("metadata").ok().flatten().cloned();
    let prefix = pod_prefix(&review.kind).unwrap_or_default();
    let read =
        |of: Option<&Object>, place: &str| Attached::read_with(of.and_then(metadata).as_ref(), place, memory);
    let holder =
        pod_in(&review.kind, object).or_else(|| pod_prefix(&review.kind).is_none().then_some(object));
    let for_images = read(holder.filter(|_| !judged.uses.is_empty()), &format!("{prefix}metadata"));
    let for_object = read(Some(object).filter(|_| judged.configuration.is_some()), "metadata");
    (for_images, for_object)
}

/// The annotations that cannot be read, as messages have them.
fn misread(attached: &Attached, place: &str) -> Vec<Refusal> {
    let one = |e: &EvidenceError| {
        let at = format!("{place}.annotations[{}]", e.annotation);
        Refusal::new("evidence-annotation", &at, &e.to_string(), &e.fix())
    };
    attached.unreadable.iter().map(one).collect()
}

/// The deployments of a request that [`crate::Subject::of`] found something to judge in. What of them cannot be read, or
/// is more evidence than is read for one review, is said of each that it concerns.
#[must_use]
pub fn requests(
    review: &Review,
    judged: &Judged,
    mapping: &Mapping,
    context: &Context<'_>,
) -> Vec<Deployment> {
    let groups = group(&judged.uses);
    let none = Memory::none();
    let memory = context.memory.unwrap_or(&none);
    let own = if context.attached.is_some() { <_>::default() } else { attached(review, judged, memory) };
    let (for_images, for_object) = context.attached.unwrap_or(&own);
    let (base, object) = Base::of(review, mapping, context);
    let artifacts: Vec<DigestSet> = groups.iter().map(|g| g.artifact.digests().clone()).collect();
    let (of_images, missing) = gather(for_images, &context.bundles);
    let (of_object, missing_of_object) = gather(for_object, &context.bundles);
    let mut routed = route_with(&of_images, &artifacts, memory);
    routed.push(of_object);
    let excess = excess(&routed);
    if excess.is_some() {
        routed.iter_mut().for_each(Vec::clear);
    }
    let prefix = pod_prefix(&review.kind).unwrap_or_default();
    let of_template = misread(for_images, &format!("{prefix}metadata"));
    let (mut out, mut routed) = (Vec::new(), routed.into_iter());
    for (group, envelopes) in groups.into_iter().zip(routed.by_ref()) {
        let unreadable = group.unreadable.into_iter().chain(of_template.clone()).collect();
        out.push(Deployment {
            missing: missing.clone(),
            breakglass: for_images.breakglass.clone(),
            unchanged: group.unchanged,
            unreadable,
            envelopes: envelopes.into_iter().cloned().collect(),
            ..base.deployment(Kind::Image(group.uses), group.artifact)
        });
    }
    if let Some(configuration) = &judged.configuration {
        let artifact = Artifact::new(&configuration_uri(review), configuration.digest.clone().into());
        out.push(Deployment {
            missing: missing_of_object,
            breakglass: for_object.breakglass.clone(),
            unchanged: configuration.unchanged,
            unreadable: misread(for_object, "metadata"),
            envelopes: routed.next().unwrap_or_default().into_iter().cloned().collect(),
            ..base.deployment(Kind::Configuration(configuration.changes.clone()), artifact)
        });
    }
    out.iter_mut().for_each(|deployment| deployment.unreadable.extend(excess.clone()));
    number(&mut out, object);
    out
}

/// The deployment that stands for a request of which nothing can be read ([`crate::Subject::Refused`]): the object
/// itself, without a digest.
#[must_use]
pub fn unread(review: &Review, refusal: &Refusal, mapping: &Mapping, context: &Context<'_>) -> Deployment {
    let (base, object) = Base::of(review, mapping, context);
    let artifact = Artifact::new(&configuration_uri(review), DigestSet::default());
    let unreadable = vec![refusal.clone()];
    let mut one = [Deployment { unreadable, ..base.deployment(Kind::Configuration(Vec::new()), artifact) }];
    number(&mut one, object);
    let [one] = one;
    one
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
    /// What all of a review's deployments have in common, and the object.
    fn of(review: &Review, mapping: &Mapping, context: &Context<'_>) -> (Self, Json) {
        let (requester, workload) = behind(review, context);
        let (head, object) = body(review, context.secret_key);
        let base = Self {
            environment: mapping.environment(&review.namespace, &workload.0, &workload.1),
            requester,
            workload: place(&review.namespace, &workload.0, &workload.1),
            head,
        };
        (base, object)
    }

    fn deployment(&self, kind: Kind, artifact: Artifact) -> Deployment {
        Deployment {
            kind,
            artifact,
            environment: self.environment.clone(),
            requester: self.requester.clone(),
            workload: self.workload.clone(),
            envelopes: Vec::new(),
            missing: Vec::new(),
            breakglass: None,
            unchanged: false,
            unreadable: Vec::new(),
            body: self.head.clone().into(),
        }
    }
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
    let name = quoted(name);
    if namespace.is_empty() { format!("{kind}/{name}") } else { format!("{namespace}/{kind}/{name}") }
}

/// The request for the case: who asks for what; and, apart, the object without the server's bookkeeping.
fn body(review: &Review, secret_key: Option<&[u8]>) -> (Object, Json) {
    let object = review.object.as_ref();
    let object = if review.kind.group.is_empty() && review.kind.kind == "Secret" {
        // without a key nothing of the data is kept at all
        let form = DigestForm { autoscaled: false, secret_key };
        let bound = object.and_then(|object| configuration_form(&review.kind, object, form).ok());
        bound.map(|object| shortened(&object, 0))
    } else {
        object.map(|object| shortened(object, 0))
    };
    let object = Json::Object(object.unwrap_or_default());
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

/// A copy without `managedFields`, and with its digest in the place of inline evidence, wherever a template holds some.
fn shortened(object: &Object, depth: usize) -> Object {
    const METADATA_DEPTH: usize = 12;
    let copy = |key: &str, value: &Json| match value {
        Json::String(text) if key == EVIDENCE => Json::from(Digest::sha256(text.as_bytes()).to_string()),
        Json::Object(inner) if depth < METADATA_DEPTH => Json::Object(shortened(inner, depth + 1)),
        other => other.clone(),
    };
    let kept = object.iter().filter(|(key, _)| *key != "managedFields");
    Object::from_unique(kept.map(|(key, value)| (key.to_owned(), copy(key, value))))
}
