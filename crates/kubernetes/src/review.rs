//! `admission.k8s.io/v1`, read strictly: what the API server says about one request.
//!
//! The API server is believed (it authenticated itself before the bytes came here); what it passes on from a tenant is
//! not. Unknown fields are ignored, because Kubernetes adds some; a known field of another type is an error.

use std::fmt;

use attest::json::{JsonError, Limits, ShapeError, each, parse_with};
use attest::{Json, Object};

/// The largest body that is read, in bytes. An object in etcd is at most 1.5 MiB, and a review holds two.
pub const MAX_BYTES: usize = 8 << 20;
/// As deep as any document of ours: the object goes into the case at the depth that it has here, and a case that could
/// not be read back could not be replayed.
const MAX_DEPTH: usize = 64;
const MAX_VALUES: usize = 500_000;

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is taken away.
    Delete,
    /// A connection to it: exec, attach, port-forward, proxy.
    Connect,
}

impl Operation {
    /// The word in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete, Self::Connect].into_iter().find(|o| o.name() == word)
    }
}

/// A kind, with its group and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKind {
    /// The group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
}

impl GroupKind {
    /// From `apps/v1` and `Deployment`.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `Deployment` for the kinds of Kubernetes itself, `Rollout.argoproj.io` for others: what configuration calls it.
    #[must_use]
    pub fn name(&self) -> String {
        if self.is_built_in() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// Whether it is of Kubernetes itself.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        OWN_GROUPS.contains(&self.group.as_str())
    }
}

/// Groups of Kubernetes itself whose kinds go by their own name. A list and not a suffix: groups under `k8s.io` can be
/// served from custom resource definitions, and a kind's short name must mean one kind.
const OWN_GROUPS: [&str; 19] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Who asks, as the API server authenticated them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub username: String,
    /// The id, where there is one.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
}

/// One request for admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The id of this question; the answer repeats it.
    pub uid: String,
    /// The kind that the objects are in.
    pub kind: GroupKind,
    /// The kind that the requester wrote, where it is another one.
    pub request_kind: Option<GroupKind>,
    /// The resource, as in `deployments`.
    pub resource: String,
    /// The subresource, as in `scale`; empty where there is none.
    pub subresource: String,
    /// The name; empty where the server still has to make one.
    pub name: String,
    /// The namespace; empty for objects outside of namespaces.
    pub namespace: String,
    /// What is done.
    pub operation: Operation,
    /// Who asks.
    pub user: User,
    /// The object as it will be.
    pub object: Option<Object>,
    /// The object as it is: UPDATE and DELETE only.
    pub old_object: Option<Object>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// The options of the operation.
    pub options: Option<Object>,
}

/// Why a body is no review. `uid` is the question's id where it could be read, so that it can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewError {
    /// The id of the question, where it could be read.
    pub uid: Option<String>,
    /// What is wrong.
    pub kind: ReviewErrorKind,
}

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewErrorKind {
    /// Not strict JSON, or past a limit.
    Json(JsonError),
    /// JSON of another shape.
    Shape(ShapeError),
}

impl fmt::Display for ReviewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ReviewErrorKind::Json(e) => write!(f, "the admission review cannot be read: {e}"),
            ReviewErrorKind::Shape(e) => write!(f, "the admission review cannot be read: {e}"),
        }
    }
}
impl std::error::Error for ReviewError {}

impl Review {
    /// Parses a body.
    ///
    /// # Errors
    /// [`ReviewError`] with the byte or the path of the first thing that is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, ReviewError> {
        let limits = Limits { bytes: MAX_BYTES, depth: MAX_DEPTH, values: MAX_VALUES, exact_numbers: true };
        let value = parse_with(body, limits)
            .map_err(|e| ReviewError { uid: find_uid(body), kind: ReviewErrorKind::Json(e) })?;
        let uid = uid_of(&value);
        read(value).map_err(|e| ReviewError { uid, kind: ReviewErrorKind::Shape(e) })
    }

    /// The object that the request is about: the new one, or the old one where something is deleted.
    #[must_use]
    pub fn subject(&self) -> Option<&Object> {
        self.object.as_ref().or(self.old_object.as_ref())
    }

    /// The object's name, or `PREFIX*` where the server makes one out of a prefix.
    #[must_use]
    pub fn display_name(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let metadata = self.subject().and_then(|o| o.optional_object("metadata").ok().flatten());
        let text = |key| metadata.and_then(|m| m.optional_string(key).ok().flatten()).unwrap_or_default();
        match (text("name"), text("generateName")) {
            ("", prefix) => format!("{prefix}*"),
            (name, _) => name.to_owned(),
        }
    }

    /// `Deployment shop/web`, for messages.
    #[must_use]
    pub fn title(&self) -> String {
        let (kind, name) = (self.kind.name(), self.display_name());
        if self.namespace.is_empty() {
            format!("{kind} {name}")
        } else {
            format!("{kind} {}/{name}", self.namespace)
        }
    }
}

fn uid_of(value: &Json) -> Option<String> {
    let request = value.as_object().ok()?.optional_object("request").ok()??;
    let uid = request.optional_string("uid").ok()??;
    is_uid(uid).then(|| uid.to_owned())
}

/// The id in a body that is no JSON: the first `"uid":"…"` near the start, where the API server writes it. Worth
/// nothing but an address for the answer.
fn find_uid(body: &[u8]) -> Option<String> {
    let head = body.get(..body.len().min(1024))?;
    let text = String::from_utf8_lossy(head);
    let (_, rest) = text.split_once("\"uid\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let (uid, _) = rest.split_once('"')?;
    is_uid(uid).then(|| uid.to_owned())
}

fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Takes the objects out of the body: they are large, and every review has one.
fn read(value: Json) -> Result<Review, ShapeError> {
    value.as_object()?;
    let mut outer = if let Json::Object(outer) = value { outer } else { Object::new() };
    for (key, wanted) in [("apiVersion", "admission.k8s.io/v1"), ("kind", "AdmissionReview")] {
        if outer.string(key)? != wanted {
            return Err(ShapeError::new(key, wanted, outer.string(key)?));
        }
    }
    outer.object("request")?;
    let request = taken(&mut outer, "request")?.unwrap_or_default();
    let review = read_request(request).map_err(|e| e.within("request"))?;
    consistent(&review).map_err(|e| e.within("request"))?;
    Ok(review)
}

/// An object that may be there, and is not there any more.
fn taken(from: &mut Object, key: &str) -> Result<Option<Object>, ShapeError> {
    from.optional_object(key)?;
    Ok(if let Some(Json::Object(object)) = from.remove(key) { Some(object) } else { None })
}

fn read_request(mut request: Object) -> Result<Review, ShapeError> {
    let objects = ["object", "oldObject", "options"].map(|key| taken(&mut request, key));
    let uid = request.string("uid")?;
    if !is_uid(uid) {
        return Err(ShapeError::new("uid", "an id of letters, digits and dashes", "something else"));
    }
    let word = request.string("operation")?;
    let operation = Operation::parse(word)
        .ok_or_else(|| ShapeError::new("operation", "CREATE, UPDATE, DELETE or CONNECT", word))?;
    let text = |key| Ok::<_, ShapeError>(request.optional_string(key)?.unwrap_or_default().to_owned());
    let resource = request.object("resource")?;
    let request_kind = request.optional_object("requestKind")?.map(read_kind).transpose();
    let [object, old_object, options] = objects;
    Ok(Review {
        uid: uid.to_owned(),
        kind: read_kind(request.object("kind")?).map_err(|e| e.within("kind"))?,
        request_kind: request_kind.map_err(|e| e.within("requestKind"))?,
        resource: resource.string("resource").map_err(|e| e.within("resource"))?.to_owned(),
        subresource: text("subResource")?,
        name: text("name")?,
        namespace: text("namespace")?,
        operation,
        user: read_user(request.object("userInfo")?).map_err(|e| e.within("userInfo"))?,
        object: object?,
        old_object: old_object?,
        dry_run: request.flag("dryRun")?,
        options: options?,
    })
}

fn read_kind(object: &Object) -> Result<GroupKind, ShapeError> {
    Ok(GroupKind {
        group: object.optional_string("group")?.unwrap_or_default().to_owned(),
        version: object.string("version")?.to_owned(),
        kind: object.string("kind")?.to_owned(),
    })
}

fn read_user(object: &Object) -> Result<User, ShapeError> {
    let groups = object.optional_array("groups")?;
    let text = |key| Ok::<_, ShapeError>(object.optional_string(key)?.unwrap_or_default().to_owned());
    Ok(User {
        username: text("username")?,
        uid: text("uid")?,
        groups: each("groups", groups, |g| Ok(g.as_str()?.to_owned()))?,
    })
}

/// The object is of the kind, and at the place, that the request says: what is judged is what is stored.
fn consistent(review: &Review) -> Result<(), ShapeError> {
    if review.user.username.is_empty() {
        return Err(ShapeError::new("userInfo.username", "the name of who asks", "nothing"));
    }
    let needs = match review.operation {
        Operation::Create => (true, false),
        Operation::Update => (true, true),
        Operation::Delete => (false, false),
        Operation::Connect => (false, false),
    };
    for (key, object, needed) in
        [("object", &review.object, needs.0), ("oldObject", &review.old_object, needs.1)]
    {
        match object {
            Some(object) => agrees(review, object).map_err(|e| e.within(key))?,
            None if needed => return Err(ShapeError::new(key, "an object", "nothing")),
            None => {}
        }
    }
    Ok(())
}

fn agrees(review: &Review, object: &Object) -> Result<(), ShapeError> {
    let metadata = object.optional_object("metadata")?;
    let text = |key| Ok(metadata.map(|m| m.optional_string(key)).transpose()?.flatten().unwrap_or_default());
    let namespace = text("namespace").map_err(|e: ShapeError| e.within("metadata"))?;
    let name = text("name").map_err(|e: ShapeError| e.within("metadata"))?;
    let kind = review.kind.kind.as_str();
    for (key, wanted) in [("kind", kind), ("apiVersion", &review.kind.api_version())] {
        let found = object.string(key)?;
        if found != wanted {
            return Err(ShapeError::new(key, &format!("{wanted}, as the request says"), found));
        }
    }
    // a Namespace is "in" itself for the request, and in nothing for its own metadata
    let elsewhere = !namespace.is_empty() && namespace != review.namespace;
    if elsewhere || (!name.is_empty() && !review.name.is_empty() && name != review.name) {
        let wanted = format!("{}/{}, as the request says", review.namespace, review.name);
        return Err(ShapeError::new("metadata", &wanted, &format!("{namespace}/{name}")));
    }
    Ok(())
}
