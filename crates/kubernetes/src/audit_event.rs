//! `audit.k8s.io/v1`: what the API server wrote down about a request, and what it says of us.
//!
//! Whoever may write the audit log is believed about who did what. What stands in it of ours is a claim: a webhook that
//! somebody else registered can say the same words. So an event names records, and what they are is looked up.

mod claim;

use std::fmt;

use attest::json::{JsonError, Limits, ShapeError, parse_with};
use attest::time::parse_time;
use attest::{Json, Object};
use jiff::Timestamp;

use crate::images::images;
use crate::mapping::Mapping;
use crate::reference::Reference;
use crate::review::GroupKind;
pub use claim::{Claim, Named, is_system};

/// The longest event that is read, in bytes: it may hold two objects of 1.5 MiB, each with what its managers note.
pub const MAX_EVENT: usize = 16 << 20;
/// What a batch of a webhook backend may hold: by default 400 events, at most 10 MiB.
pub const MAX_BATCH: usize = 32 << 20;

/// One request that was answered, as the audit log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// The request's id.
    pub id: String,
    /// How far it had come, as in `ResponseComplete`.
    pub stage: String,
    /// What was asked, as in `create`.
    pub verb: String,
    /// The path and its query.
    pub uri: String,
    /// Who asked.
    pub user: String,
    /// As whom they acted, where they acted as somebody else.
    pub acting_as: Option<String>,
    /// From where: the address nearest to the API server is the last.
    pub addresses: Vec<String>,
    /// The object; nothing for what is about none.
    pub object: Option<ObjectReference>,
    /// HTTP's status of the answer.
    pub status: Option<i64>,
    /// When it was received.
    pub received: Timestamp,
    /// When it had come so far.
    pub at: Timestamp,
    /// What the API server and webhooks note.
    annotations: Vec<(String, String)>,
    /// Every image in the object that was stored; nothing where the audit policy leaves the object out.
    pub images: Option<Vec<String>>,
}

/// The object that a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectReference {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its resource, as in `pods`.
    pub resource: String,
    /// The subresource; empty where there is none.
    pub subresource: String,
    /// The namespace; empty for objects outside of any.
    pub namespace: String,
    /// The name; empty where the server made one and the audit policy leaves the answer out.
    pub name: String,
    /// The uid, where it is known.
    pub uid: String,
}

impl fmt::Display for ObjectReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        write!(f, "{}", self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        write!(f, "/{}", if self.name.is_empty() { "(unnamed)" } else { &self.name })?;
        if self.subresource.is_empty() { Ok(()) } else { write!(f, "/{}", self.subresource) }
    }
}

/// Why a text is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditError {
    /// No strict JSON.
    Json(JsonError),
    /// JSON of another shape.
    Shape(ShapeError),
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(e) => write!(f, "the audit event cannot be read: {e}"),
            Self::Shape(e) => write!(f, "the audit event cannot be read: {e}"),
        }
    }
}
impl std::error::Error for AuditError {}

impl From<ShapeError> for AuditError {
    fn from(e: ShapeError) -> Self {
        Self::Shape(e)
    }
}

impl AuditEvent {
    /// Reads one line of an audit log.
    ///
    /// # Errors
    /// [`AuditError`]: what is no event may have been one.
    pub fn parse(line: &[u8]) -> Result<Self, AuditError> {
        let value = parse_with(line, limits(MAX_EVENT)).map_err(AuditError::Json)?;
        let object = value.as_object()?;
        expect(object, "Event")?;
        Ok(Self::read(object)?)
    }

    /// Reads what the API server's webhook backend sends: an `EventList`.
    ///
    /// # Errors
    /// [`AuditError`] for all where one of them is no event.
    pub fn parse_list(body: &[u8]) -> Result<Vec<Self>, AuditError> {
        let value = parse_with(body, limits(MAX_BATCH)).map_err(AuditError::Json)?;
        let object = value.as_object()?;
        expect(object, "EventList")?;
        let items = object.array("items")?;
        Ok(attest::json::each("items", items, |item| Self::read(item.as_object()?))?)
    }

    fn read(event: &Object) -> Result<Self, ShapeError> {
        let text = |key: &str| event.string(key).map(str::to_owned);
        let name = |key: &str| {
            let user = event.optional_object(key)?;
            Ok::<_, ShapeError>(
                user.map(|u| u.optional_string("username")).transpose()?.flatten().map(str::to_owned),
            )
        };
        let addresses = event.optional_array("sourceIPs")?;
        let status = event.optional_object("responseStatus")?;
        let mut annotations = Vec::new();
        for (key, value) in event.optional_object("annotations")?.into_iter().flat_map(Object::iter) {
            annotations
                .push((key.to_owned(), value.as_str().map_err(|e| e.within("annotations"))?.to_owned()));
        }
        let answer = event.get("responseObject").and_then(|o| o.as_object().ok());
        let object = event.optional_object("objectRef")?;
        Ok(Self {
            id: text("auditID")?,
            stage: text("stage")?,
            verb: text("verb")?,
            uri: text("requestURI")?,
            user: name("user")?.unwrap_or_default(),
            acting_as: name("impersonatedUser")?,
            addresses: attest::json::each("sourceIPs", addresses, |a| a.as_str().map(str::to_owned))?,
            object: object.map(|o| ObjectReference::read(o, answer)).transpose()?,
            status: status.map(|s| s.int("code")).transpose()?,
            received: time(event, "requestReceivedTimestamp")?,
            at: time(event, "stageTimestamp")?,
            annotations,
            images: answer.and_then(images_of),
        })
    }

    /// What the event says of us, for whoever decides what must have been judged.
    #[must_use]
    pub fn claim(&self, mapping: &Mapping) -> Claim {
        Claim::of(self, mapping)
    }

    /// Who did it, in words.
    #[must_use]
    pub fn who(&self) -> String {
        let from = self.addresses.last().map(|a| format!(" from {a}")).unwrap_or_default();
        match &self.acting_as {
            Some(other) => format!("{} as {other}{from}", self.user),
            None => format!("{}{from}", self.user),
        }
    }

    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl ObjectReference {
    fn read(object: &Object, answer: Option<&Object>) -> Result<Self, ShapeError> {
        let some =
            |key: &str| Ok::<_, ShapeError>(object.optional_string(key)?.unwrap_or_default().to_owned());
        let answered = |key: &str| {
            let metadata = answer.and_then(|a| a.optional_object("metadata").ok().flatten())?;
            metadata.optional_string(key).ok().flatten().map(str::to_owned)
        };
        let or_answered = |found: String, key: &str| match found.is_empty() {
            true => answered(key).unwrap_or_default(),
            false => found,
        };
        Ok(Self {
            group: some("apiGroup")?,
            resource: some("resource")?,
            subresource: some("subresource")?,
            namespace: some("namespace")?,
            name: or_answered(some("name")?, "name"),
            uid: or_answered(some("uid")?, "uid"),
        })
    }
}

/// The images of an object, each once; nothing where it is of no kind that holds some, or has another shape.
fn images_of(object: &Object) -> Option<Vec<String>> {
    let kind = GroupKind::of(object.string("apiVersion").ok()?, object.string("kind").ok()?);
    crate::images::pod_prefix(&kind)?;
    let mut all: Vec<String> =
        images(&kind, object, &[]).ok()?.into_iter().map(|one| one.reference).collect();
    all.sort();
    all.dedup();
    Some(all)
}

/// The digest of an image reference, where it names one.
#[must_use]
pub fn digest_of(image: &str) -> Option<attest::Digest> {
    Reference::parse(image).ok()?.digest().cloned()
}

fn expect(object: &Object, kind: &str) -> Result<(), ShapeError> {
    for (key, wanted) in [("apiVersion", "audit.k8s.io/v1"), ("kind", kind)] {
        if object.string(key)? != wanted {
            return Err(ShapeError::new(key, wanted, object.string(key)?));
        }
    }
    Ok(())
}

fn time(event: &Object, key: &str) -> Result<Timestamp, ShapeError> {
    let text = event.string(key)?;
    parse_time(text).ok_or_else(|| ShapeError::new(key, "a time in UTC", text))
}

/// Others define what stands in the objects of an event: numbers stay as they stand.
fn limits(bytes: usize) -> Limits {
    Limits { bytes, depth: 128, values: 4_000_000, exact_numbers: true }
}

impl From<&ObjectReference> for Json {
    fn from(object: &ObjectReference) -> Self {
        let mut out = Object::new();
        for (key, value) in [
            ("group", &object.group),
            ("resource", &object.resource),
            ("subresource", &object.subresource),
            ("namespace", &object.namespace),
            ("name", &object.name),
            ("uid", &object.uid),
        ] {
            out.set_some(key, Some(value.as_str()).filter(|text| !text.is_empty()));
        }
        out.into()
    }
}

#[cfg(test)]
mod tests;
