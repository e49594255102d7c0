//! Whose a pod is: which owners to look up, and whether what a person wrote is proven to be behind it.
//!
//! Owner references are text that any tenant can write. A link counts only where the requester is the very controller
//! that makes such links, the live owner has the uid, and what was made is of the owner's template. Links further up
//! were written at another time, by whoever; they count only where the template is the same again, or where a decision
//! about exactly that owner and template is on record, which the adapter looks up.

use attest::{Digest, Json, Object};

use crate::controller::{is_maker, link};
use crate::images::pod_in;
use crate::mapping::Mapping;
use crate::review::{GroupKind, Operation, Review};
use crate::template::{Maker, digest_of_template, pod_is_of_template, template_digest};

/// CronJob → Job → Pod is the longest chain there is.
const MAX_LINKS: usize = 3;

/// An object that owns another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Its kind.
    pub kind: GroupKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: the same name can be another object tomorrow.
    pub uid: String,
}

impl Owner {
    /// `Deployment/shop/web/UID`: the key under which decisions about its templates are kept.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}/{}/{}", self.kind.name(), self.namespace, self.name, self.uid)
    }
}

/// An object to be read from the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Its kind.
    pub kind: GroupKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// One verified owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Who.
    pub owner: Owner,
    /// The template that the pod was made of.
    pub template: Digest,
    /// Whether it is this owner's template right now, all the way up to here. Where not, only a decision on record
    /// about this owner and this template can say that it was.
    pub current: bool,
}

/// An object that was looked at: its name for people, and what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// As in `ReplicaSet shop/web-5d8f`.
    pub name: String,
    /// The object.
    pub object: Json,
}

/// What is proven about whose something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Nobody claims it: the requester's own.
    Own,
    /// A controller made it; nearest owner first.
    Made(Vec<Link>),
    /// It claims an owner, and that is not proven: the requester's own, and the field says why.
    Unproven(String),
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read this object, and hand it to [`Chain::found`].
    Look(Lookup),
    /// Everything is known.
    Done(Ownership),
}

/// The way from an object up to what a person wrote.
#[derive(Clone, Debug)]
pub struct Chain {
    namespace: String,
    made: (GroupKind, Object),
    links: Vec<Link>,
    seen: Vec<Seen>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Owner(Reference),
    Revision { owner: Owner, object: Object, name: String, why: String },
    Done(Ownership),
}

#[derive(Clone, Debug)]
struct Reference {
    kind: GroupKind,
    name: String,
    uid: String,
}

impl Chain {
    /// Begins with what is being made.
    #[must_use]
    pub fn begin(review: &Review, mapping: &Mapping) -> Self {
        let made = (review.kind.clone(), review.object.clone().unwrap_or_default());
        let state = begin(review, mapping, &made);
        Self { namespace: review.namespace.clone(), made, links: Vec::new(), seen: Vec::new(), state }
    }

    /// What to do next.
    #[must_use]
    pub fn step(&self) -> Step {
        let look = |kind: &GroupKind, name: &str| {
            let (kind, name) = (kind.clone(), name.to_owned());
            Step::Look(Lookup { kind, namespace: self.namespace.clone(), name })
        };
        match &self.state {
            State::Owner(reference) => look(&reference.kind, &reference.name),
            State::Revision { name, .. } => look(&GroupKind::of("apps/v1", "ControllerRevision"), name),
            State::Done(ownership) => Step::Done(ownership.clone()),
        }
    }

    /// Every object that was looked at: all of it belongs into the case.
    #[must_use]
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// Takes the object that was asked for; nothing where there is none.
    pub fn found(&mut self, object: Option<&Object>) {
        let state = std::mem::replace(&mut self.state, State::Done(Ownership::Own));
        self.state = match state {
            State::Owner(reference) => self.owner(&reference, object),
            State::Revision { owner, object: live, name, why } => {
                self.revision((owner, live), &name, &why, object)
            }
            done @ State::Done(_) => done,
        };
    }

    /// What is proven where the object that was asked for could not be read: everything below it.
    #[must_use]
    pub fn broken(&self, why: String) -> Ownership {
        if self.links.is_empty() { Ownership::Unproven(why) } else { Ownership::Made(self.links.clone()) }
    }

    fn see(&mut self, kind: &GroupKind, name: &str, object: &Object) {
        let name = format!("{} {}/{name}", kind.name(), self.namespace);
        self.seen.push(Seen { name, object: Json::Object(object.clone()) });
    }

    /// Without a link there is nothing proven; with some, a broken one further up ends the chain below it.
    fn ended(&self, why: String) -> State {
        State::Done(self.broken(why))
    }

    fn owner(&mut self, reference: &Reference, object: Option<&Object>) -> State {
        let title = format!("{} {}/{}", reference.kind.name(), self.namespace, reference.name);
        let Some(object) = object else { return self.ended(format!("its owner {title} does not exist")) };
        self.see(&reference.kind, &reference.name, object);
        if !is_object(object, &reference.kind, &self.namespace, &reference.name) {
            return self.ended(format!("what was found is not {title}"));
        }
        if text(object, "uid") != reference.uid {
            return self.ended(format!("{title} has another uid than the owner reference says"));
        }
        let owner = Owner {
            kind: reference.kind.clone(),
            namespace: self.namespace.clone(),
            name: reference.name.clone(),
            uid: reference.uid.clone(),
        };
        match self.template_of(&owner, object) {
            Ok(link) => self.go_on(link, object),
            Err(Unlike { why, revision: Some(name) }) => {
                State::Revision { owner, object: object.clone(), name, why }
            }
            Err(Unlike { why, revision: None }) => self.ended(why),
        }
    }

    fn template_of(&self, owner: &Owner, object: &Object) -> Result<Link, Unlike> {
        let unlike = |why: String| Unlike { why, revision: None };
        let Some((template, digest)) = pod_in(&owner.kind, object).zip(template_digest(&owner.kind, object))
        else {
            return Err(unlike(format!("{} {} holds no template", owner.kind.name(), owner.name)));
        };
        let (kind, made) = &self.made;
        if kind.kind != "Pod" {
            // a ReplicaSet of an earlier rollout has an earlier template: only a record can say whose it was
            let template =
                template_digest(kind, made).ok_or_else(|| unlike("it holds no template".to_owned()))?;
            let below = self.links.last().is_none_or(|link| link.current);
            return Ok(Link { owner: owner.clone(), current: below && template == digest, template });
        }
        match pod_is_of_template(made, template, &Maker::of(&owner.kind, object)) {
            Ok(()) => Ok(Link { owner: owner.clone(), template: digest, current: true }),
            Err(difference) => {
                let why = format!(
                    "the pod is not of the template of {} {}: {difference}",
                    owner.kind.name(),
                    owner.name
                );
                Err(Unlike { why, revision: revision_name(&owner.kind, &owner.name, made) })
            }
        }
    }

    /// A StatefulSet and a DaemonSet make pods of earlier templates too, which they keep as revisions.
    fn revision(&mut self, of: (Owner, Object), name: &str, why: &str, object: Option<&Object>) -> State {
        let (owner, live) = of;
        let kind = GroupKind::of("apps/v1", "ControllerRevision");
        let Some(object) = object else { return self.ended(why.to_owned()) };
        self.see(&kind, name, object);
        let is_its = is_object(object, &kind, &self.namespace, name)
            && controller_of(object)
                .is_ok_and(|c| c.is_some_and(|c| c.uid == owner.uid && c.kind == owner.kind));
        if !is_its {
            return self.ended(format!(
                "ControllerRevision {name} is not of {} {}",
                owner.kind.name(),
                owner.name
            ));
        }
        let template = object.optional_object("data").ok().flatten();
        let template = template.and_then(|d| d.optional_object("spec").ok().flatten());
        let Some(template) = template.and_then(|s| s.optional_object("template").ok().flatten()) else {
            return self.ended(format!("ControllerRevision {name} holds no template"));
        };
        let mut template = template.clone();
        template.remove("$patch");
        match pod_is_of_template(&self.made.1, &template, &Maker::of(&owner.kind, &live)) {
            // anybody who may make revisions could have made this one: a record has to say that it was decided
            Ok(()) => {
                let link = Link { owner, template: digest_of_template(&template), current: false };
                self.go_on(link, &live)
            }
            Err(_) => self.ended(why.to_owned()),
        }
    }

    fn go_on(&mut self, link: Link, owner: &Object) -> State {
        self.made = (link.owner.kind.clone(), owner.clone());
        self.links.push(link);
        match controller_of(owner) {
            Ok(Some(next))
                if self.links.len() < MAX_LINKS
                    && crate::controller::link(&self.made.0, &next.kind).is_some() =>
            {
                State::Owner(next)
            }
            _ => State::Done(Ownership::Made(self.links.clone())),
        }
    }
}

/// Something is not of a template; perhaps of an earlier one.
struct Unlike {
    why: String,
    revision: Option<String>,
}

fn begin(review: &Review, mapping: &Mapping, made: &(GroupKind, Object)) -> State {
    let own = State::Done(Ownership::Own);
    let is_new = review.operation == Operation::Create && review.subresource.is_empty();
    if !is_new || !matches!(made.0.kind.as_str(), "Pod" | "ReplicaSet" | "Job") {
        return own;
    }
    let unproven = |why: String| State::Done(Ownership::Unproven(why));
    let reference = match controller_of(&made.1) {
        Ok(Some(reference)) => reference,
        Ok(None) => return own,
        Err(why) => return unproven(why.to_owned()),
    };
    let title = format!("{} {}", reference.kind.name(), policy::one_line(&reference.name));
    let Some(link) = link(&made.0, &reference.kind) else {
        return unproven(format!("no controller of Kubernetes makes a {} of {title}", made.0.kind));
    };
    if !is_maker(&review.user.username, link, &mapping.controllers) {
        return unproven(format!(
            "it claims to be made of {title}, and {} is not the {}",
            review.user.username, link.account
        ));
    }
    State::Owner(reference)
}

/// The one owner that is the controller.
fn controller_of(object: &Object) -> Result<Option<Reference>, &'static str> {
    const SHAPE: &str = "its owner references have another shape";
    let metadata = object.optional_object("metadata").or(Err(SHAPE))?;
    let Some(metadata) = metadata else { return Ok(None) };
    let mut found = None;
    for item in metadata.optional_array("ownerReferences").or(Err(SHAPE))? {
        let item = item.as_object().or(Err(SHAPE))?;
        if !item.flag("controller").or(Err(SHAPE))? {
            continue;
        }
        let text = |key| item.string(key).or(Err(SHAPE));
        let kind = GroupKind::of(text("apiVersion")?, text("kind")?);
        let (name, uid) = (text("name")?.to_owned(), text("uid")?.to_owned());
        // a name becomes part of a path: nothing but a name may stand there
        if uid.is_empty() || !is_object_name(&name) {
            return Err(SHAPE);
        }
        if found.replace(Reference { kind, name, uid }).is_some() {
            return Err("it claims two controllers");
        }
    }
    Ok(found)
}

fn is_object_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=253).contains(&name.len())
        && name.bytes().all(|b| plain(b) || matches!(b, b'-' | b'.'))
        && name.bytes().next().is_some_and(plain)
        && name.bytes().next_back().is_some_and(plain)
}

fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    let metadata = object.optional_object("metadata").ok().flatten();
    metadata.and_then(|m| m.optional_string(key).ok().flatten()).unwrap_or_default()
}

fn is_object(object: &Object, kind: &GroupKind, namespace: &str, name: &str) -> bool {
    let field = |key: &str| object.optional_string(key).ok().flatten().unwrap_or_default().to_owned();
    field("apiVersion") == kind.api_version()
        && field("kind") == kind.kind
        && text(object, "namespace") == namespace
        && text(object, "name") == name
}

/// Where the controller keeps the template of this pod: by the label that it sets.
fn revision_name(kind: &GroupKind, owner: &str, pod: &Object) -> Option<String> {
    let metadata = pod.optional_object("metadata").ok().flatten()?;
    let labels = metadata.optional_object("labels").ok().flatten()?;
    let hash = labels.optional_string("controller-revision-hash").ok().flatten()?;
    let name = match kind.kind.as_str() {
        "StatefulSet" => hash.to_owned(),
        "DaemonSet" => format!("{owner}-{hash}"),
        _ => return None,
    };
    is_object_name(&name).then_some(name)
}
