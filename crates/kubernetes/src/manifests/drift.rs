//! What the cluster has, against what it should have: field by field, without what only the API server writes.

use std::collections::BTreeSet;

use attest::{Json, Object};

use super::ManifestError;

/// Kinds that are compared: nothing else of ours is out of the reach of webhooks and policies.
const KINDS: [&str; 4] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

/// Lists whose order means nothing: all but those of names are compared as they stand.
const UNORDERED: [&str; 5] = ["values", "apiGroups", "resources", "operations", "validationActions"];

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The object, as in `ValidatingWebhookConfiguration/portcullis`.
    pub object: String,
    /// Where in it, as in `webhooks[0].failurePolicy`; empty for all of it.
    pub place: String,
    /// What should stand there.
    pub wanted: String,
    /// What stands there.
    pub found: String,
    /// How to mend it.
    pub fix: String,
}

/// What `kubectl get … -o json` printed.
#[derive(Clone, Debug)]
pub struct Live {
    pub(super) items: Vec<Object>,
}

impl Live {
    /// Reads the objects of a list, or one object.
    ///
    /// # Errors
    /// [`ManifestError`] where it is neither: what cannot be read says nothing about the cluster.
    pub fn read(document: &Json) -> Result<Self, ManifestError> {
        let bad = |found: &str| {
            let wanted = "what kubectl get … -o json prints";
            let fix = "see portcullis kubernetes drift --help for the command";
            ManifestError::new("these are no objects of a cluster", wanted, found, fix)
        };
        let object = document.as_object().map_err(|e| bad(&e.found))?;
        let kind = object.string("kind").map_err(|e| bad(&e.to_string()))?;
        if !kind.ends_with("List") {
            if name(object).is_empty() {
                return Err(bad(kind));
            }
            return Ok(Self { items: vec![object.clone()] });
        }
        let items = object.array("items").map_err(|e| bad(&e.to_string()))?;
        let items = items.iter().map(|i| i.as_object().cloned().map_err(|e| bad(&e.found)));
        Ok(Self { items: items.collect::<Result<_, _>>()? })
    }

    pub(super) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.items.iter().filter(move |o| text(o, "kind") == kind)
    }
}

/// The objects of a list, or one object, as [`Live::read`] reads them.
///
/// # Errors
/// [`ManifestError`] where it is neither.
pub fn objects(document: &Json) -> Result<Vec<Object>, ManifestError> {
    Live::read(document).map(|live| live.items)
}

/// Everything in which the cluster differs from what is wanted. Objects of ours that are not wanted any more are told
/// too: a webhook of an old name still asks.
#[must_use]
pub fn compare(wanted: &[Json], live: &Live) -> Vec<Difference> {
    let wanted: Vec<&Object> =
        wanted.iter().filter_map(|o| o.as_object().ok()).filter(|o| is_compared(o)).collect();
    let mut differences = Vec::new();
    for object in &wanted {
        let id = id(object);
        match live.items.iter().find(|o| self::id(o) == id) {
            Some(found) => one(&id, object, found, &mut differences),
            None => differences.push(Difference {
                object: id,
                place: String::new(),
                wanted: "the object".to_owned(),
                found: "nothing".to_owned(),
                fix: APPLY.to_owned(),
            }),
        }
    }
    let known: BTreeSet<String> = wanted.iter().map(|o| id(o)).collect();
    for object in live.items.iter().filter(|o| is_compared(o) && is_ours(o) && !known.contains(&id(o))) {
        differences.push(Difference {
            object: id(object),
            place: String::new(),
            wanted: "nothing".to_owned(),
            found: "an object by a name of ours".to_owned(),
            fix: format!("find out who made it, and delete it: kubectl delete {}", id(object).to_lowercase()),
        });
    }
    differences.sort();
    differences
}

const APPLY: &str = "find out who changed it, then apply what portcullis kubernetes manifests writes";

fn is_compared(object: &Object) -> bool {
    KINDS.contains(&text(object, "kind"))
}

fn is_ours(object: &Object) -> bool {
    let name = name(object);
    name == "portcullis" || name.ends_with(".portcullis.dev")
}

pub(super) fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    object.get(key).and_then(|v| v.as_str().ok()).unwrap_or_default()
}

pub(super) fn name(object: &Object) -> &str {
    object.get("metadata").and_then(|m| m.as_object().ok()).map(|m| text(m, "name")).unwrap_or_default()
}

pub(super) fn id(object: &Object) -> String {
    format!("{}/{}", text(object, "kind"), name(object))
}

fn one(id: &str, wanted: &Object, found: &Object, differences: &mut Vec<Difference>) {
    let (wanted, found) = (owned(wanted), owned(found));
    let mut walk = Walk { object: id, differences };
    walk.values("", Some(&wanted.into()), Some(&found.into()));
}

/// What a person decides in an object. Labels and annotations change nothing about it, and other tools leave theirs.
fn owned(object: &Object) -> Object {
    let mut out: Object = object
        .iter()
        .filter(|(key, _)| !matches!(*key, "apiVersion" | "status" | "metadata"))
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    let metadata = object.get("metadata").and_then(|m| m.as_object().ok());
    // an owner that does not exist lets the garbage collector delete the object
    for key in ["ownerReferences", "deletionTimestamp", "finalizers"] {
        if let Some(value) = metadata.and_then(|m| m.get(key)) {
            out.set("metadata", Object::new().with(key, value.clone()));
        }
    }
    out
}

struct Walk<'a> {
    object: &'a str,
    differences: &'a mut Vec<Difference>,
}

impl Walk<'_> {
    fn values(&mut self, place: &str, wanted: Option<&Json>, found: Option<&Json>) {
        let (wanted, found) = (wanted.filter(|v| !is_nothing(v)), found.filter(|v| !is_nothing(v)));
        match (wanted, found) {
            (Some(Json::Object(wanted)), Some(Json::Object(found))) => {
                let keys: BTreeSet<&str> = wanted.iter().chain(found.iter()).map(|(key, _)| key).collect();
                for key in keys {
                    let place = if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
                    self.values(&place, wanted.get(key), found.get(key));
                }
            }
            (Some(Json::Array(wanted)), Some(Json::Array(found))) => self.lists(place, wanted, found),
            (wanted, found) if wanted == found || is_default(place, wanted, found) => {}
            (wanted, found) => self.differences.push(Difference {
                object: self.object.to_owned(),
                place: place.to_owned(),
                wanted: shown(wanted),
                found: shown(found),
                fix: APPLY.to_owned(),
            }),
        }
    }

    fn lists(&mut self, place: &str, wanted: &[Json], found: &[Json]) {
        let key = place.rsplit('.').next().unwrap_or_default();
        if UNORDERED.contains(&key) {
            let sorted = |items: &[Json]| {
                let mut texts: Vec<String> = items.iter().map(Json::to_string).collect();
                texts.sort();
                texts
            };
            if sorted(wanted) != sorted(found) {
                self.values(
                    place,
                    Some(&Json::from(sorted(wanted).join(", "))),
                    Some(&Json::from(sorted(found).join(", "))),
                );
            }
            return;
        }
        for index in 0..wanted.len().max(found.len()) {
            self.values(&format!("{place}[{index}]"), wanted.get(index), found.get(index));
        }
    }
}

/// Null, and a map or a list with nothing in it, say what absence says.
fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Object(object) => object.iter().all(|(_, v)| is_nothing(v)),
        Json::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// What the API server fills in where we say nothing.
fn is_default(place: &str, wanted: Option<&Json>, found: Option<&Json>) -> bool {
    let (None, Some(Json::String(found))) = (wanted, found) else { return false };
    place.ends_with("matchPolicy") && found == "Equivalent"
}

fn shown(value: Option<&Json>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}
