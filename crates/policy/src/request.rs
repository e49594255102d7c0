//! What a choke point's adapter asks, and what it found out while it prepared the question.

use attest::json::{MAX_INT, ShapeError, each};
use attest::redact::{redact, without_credentials};
use attest::{Artifact, Digest, Json, Object};
use jiff::Timestamp;

use crate::case::{read_digest, read_time};
use crate::finding::one_line;

/// Who asks for what to be deployed where. A choke point's adapter makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentRequest {
    /// The artifact; one request, one artifact. Without a digest it is refused by the rule `digest-required`.
    pub artifact: Artifact,
    /// The environment, as in `prod/shop`.
    pub environment: String,
    /// The authenticated requester, where the choke point knows one.
    pub requester: Option<String>,
    /// Which choke point asks.
    pub chokepoint: String,
    /// What a person wrote and what will run the artifact, where the choke point knows it: `CLUSTER/NAMESPACE/KIND/NAME`
    /// for Kubernetes. It is only for finding things again, and never judged.
    pub workload: Option<String>,
    /// The request as it came in, for forensics. Secrets in it are redacted before anything else happens.
    pub body: Option<Json>,
    /// The evidence that travels with the request.
    pub envelopes: Vec<Submitted>,
    /// Every object that was looked at to prepare the request. Secrets in them are redacted too.
    pub consulted: Vec<Consulted>,
    /// What the adapter proved about something that runs already. Never what a requester says of it.
    pub standing: Option<Standing>,
    /// The breakglass grant that the request names.
    pub grant: Option<Submitted>,
    /// Which of our own parts failed while the request was prepared.
    pub outage: Option<Outage>,
    /// The digest that a request without one should have named, where the adapter could find it out. It is only said to
    /// the requester, and never judged.
    pub suggestion: Option<Digest>,
    /// What of the request itself cannot be read: the rule `request-readable` refuses it, and says no more.
    pub unreadable: Vec<Unreadable>,
}

/// Something in a request that the choke point's adapter cannot read the one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong, in one line.
    pub what: String,
    /// Where in the request, as in `spec.containers[0].image`; empty for all of it.
    pub place: String,
    /// What would have been right.
    pub wanted: String,
    /// What stands there.
    pub found: String,
    /// How to mend it.
    pub fix: String,
}

/// One piece of evidence as it was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// What the requester calls it, for messages.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// An object that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consulted {
    /// Its name, as in `ReplicaSet shop/web-5d8f`.
    pub name: String,
    /// The object, as it was then.
    pub object: Json,
}

/// What an adapter proved about something that runs already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stays as it is: neither the image nor any guarded configuration changes.
    Unchanged,
    /// It is made again from the template it was made from, for the owner it was made for.
    Recreated {
        /// The owner, verified: kind, namespace, name and uid.
        owner: String,
        /// The template's digest.
        template: Digest,
        /// The record that admitted it. That record's own basis must not be standing: else it would never end.
        decided: u64,
        /// The time of that record.
        at: Timestamp,
    },
}

/// A part of ours that failed: a closed list, so that nothing of a requester's ever passes for our outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// The store that holds evidence did not answer.
    EvidenceStore,
    /// The cluster's API server did not answer: whose something is may be provable, and is not proven.
    ClusterApi,
    /// The decision log has no room: what is admitted could not be put on record.
    DecisionLog,
}

impl Standing {
    /// The word in JSON and messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Recreated { .. } => "recreated",
        }
    }

    fn to_json(&self) -> Json {
        let object = Object::new().with("kind", self.name());
        match self {
            Self::Unchanged => object.into(),
            Self::Recreated { owner, template, decided, at } => object
                .with("owner", owner.as_str())
                .with("template", template.to_string())
                .with("decided", i64::try_from(*decided).unwrap_or(MAX_INT).min(MAX_INT))
                .with("at", at.to_string())
                .into(),
        }
    }

    fn read(object: &Object) -> Result<Self, ShapeError> {
        match object.string("kind")? {
            "unchanged" => Ok(Self::Unchanged),
            "recreated" => {
                let negative = || ShapeError::new("decided", "a record's index", "a negative number");
                Ok(Self::Recreated {
                    owner: object.string("owner")?.to_owned(),
                    template: read_digest(object, "template")?,
                    decided: u64::try_from(object.int("decided")?).or(Err(negative()))?,
                    at: read_time(object, "at")?,
                })
            }
            other => Err(ShapeError::new("kind", "unchanged or recreated", other)),
        }
    }
}

impl Outage {
    /// The word in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EvidenceStore => "evidence-store",
            Self::ClusterApi => "cluster-api",
            Self::DecisionLog => "decision-log",
        }
    }

    /// The part, as messages call it.
    #[must_use]
    pub fn part(self) -> &'static str {
        match self {
            Self::EvidenceStore => "the evidence store",
            Self::ClusterApi => "the cluster's API server",
            Self::DecisionLog => "the decision log",
        }
    }

    /// Whether something that was submitted, or is kept for the request, may be out of reach because of it.
    pub(crate) fn hides_evidence(self) -> bool {
        self != Self::DecisionLog
    }

    fn read(word: &str) -> Result<Self, ShapeError> {
        match word {
            "evidence-store" => Ok(Self::EvidenceStore),
            "cluster-api" => Ok(Self::ClusterApi),
            "decision-log" => Ok(Self::DecisionLog),
            other => Err(ShapeError::new("outage", "evidence-store, cluster-api or decision-log", other)),
        }
    }
}

impl DeploymentRequest {
    /// A request with nothing but what every request has.
    #[must_use]
    pub fn new(artifact: Artifact, environment: &str, chokepoint: &str) -> Self {
        Self {
            artifact,
            environment: environment.to_owned(),
            requester: None,
            chokepoint: chokepoint.to_owned(),
            workload: None,
            body: None,
            envelopes: Vec::new(),
            consulted: Vec::new(),
            standing: None,
            grant: None,
            outage: None,
            suggestion: None,
            unreadable: Vec::new(),
        }
    }

    /// Takes out what must not be kept: secrets in the body, in what was consulted and in what cannot be read,
    /// credentials in the artifact's URI, and the same evidence a second time.
    pub(crate) fn freeze(&mut self) {
        // a `null` reads back as an absence
        self.body = self.body.take().filter(|body| *body != Json::Null);
        let consulted = self.consulted.iter_mut().map(|c| &mut c.object);
        self.body.iter_mut().chain(consulted).for_each(redact);
        let uri = without_credentials(self.artifact.uri());
        self.artifact = Artifact::new(&uri, self.artifact.digests().clone());
        if let Some(Standing::Recreated { decided, .. }) = &mut self.standing {
            *decided = (*decided).min(MAX_INT.unsigned_abs());
        }
        self.unreadable.iter_mut().for_each(Unreadable::clean);
        self.drop_repeated();
    }

    /// Compares the bytes themselves: a digest of each would cost more than all of this.
    fn drop_repeated(&mut self) {
        let mut seen = std::collections::BTreeSet::new();
        let is_first: Vec<bool> = self.envelopes.iter().map(|e| seen.insert(e.bytes.as_slice())).collect();
        let mut is_first = is_first.into_iter();
        self.envelopes.retain(|_| is_first.next().unwrap_or(true));
    }

    /// Writes what only some requests have: absent keys leave the JSON of other cases as it always was.
    pub(crate) fn write_more(&self, object: &mut Object) {
        let consulted = |c: &Consulted| {
            Json::from(Object::new().with("name", c.name.as_str()).with("object", c.object.clone()))
        };
        if !self.consulted.is_empty() {
            object.set("consulted", Json::Array(self.consulted.iter().map(consulted).collect()));
        }
        object.set_some("standing", self.standing.as_ref().map(Standing::to_json));
        object
            .set_some("grant", self.grant.as_ref().map(|grant| grant.to_json(&Digest::sha256(&grant.bytes))));
        object.set_some("outage", self.outage.map(Outage::name));
        object.set_some("workload", self.workload.as_deref());
        object.set_some("suggestion", self.suggestion.as_ref().map(Digest::to_string));
        if !self.unreadable.is_empty() {
            object.set("unreadable", Json::Array(self.unreadable.iter().map(Unreadable::to_json).collect()));
        }
    }

    /// Reads what only some requests have.
    pub(crate) fn read_more(
        &mut self,
        object: &Object,
        fetch: &mut impl FnMut(&Digest) -> Option<Vec<u8>>,
    ) -> Result<(), ShapeError> {
        self.consulted = each("consulted", object.optional_array("consulted")?, |item| {
            let item = item.as_object()?;
            let object = item.get("object").cloned().unwrap_or(Json::Null);
            Ok(Consulted { name: item.string("name")?.to_owned(), object })
        })?;
        let standing = object.optional_object("standing")?.map(Standing::read);
        self.standing = standing.transpose().map_err(|e| e.within("standing"))?;
        let grant = object.optional_object("grant")?.map(|grant| Submitted::read(grant, fetch));
        self.grant = grant.transpose().map_err(|e| e.within("grant"))?;
        self.outage = object.optional_string("outage")?.map(Outage::read).transpose()?;
        self.workload = object.optional_string("workload")?.map(str::to_owned);
        self.suggestion = object.get("suggestion").map(|_| read_digest(object, "suggestion")).transpose()?;
        self.unreadable = each("unreadable", object.optional_array("unreadable")?, Unreadable::read)?;
        Ok(())
    }
}

impl Unreadable {
    /// What a requester wrote may hold anything: it is made one visible line, without secrets.
    fn clean(&mut self) {
        for text in [&mut self.what, &mut self.place, &mut self.wanted, &mut self.found, &mut self.fix] {
            let mut value = Json::String(std::mem::take(text));
            redact(&mut value);
            let Json::String(kept) = value else { continue };
            *text = one_line(&kept);
        }
    }

    fn to_json(&self) -> Json {
        Object::new()
            .with("what", self.what.as_str())
            .with("place", self.place.as_str())
            .with("wanted", self.wanted.as_str())
            .with("found", self.found.as_str())
            .with("fix", self.fix.as_str())
            .into()
    }

    fn read(item: &Json) -> Result<Self, ShapeError> {
        let item = item.as_object()?;
        let text = |key: &str| item.string(key).map(str::to_owned);
        Ok(Self {
            what: text("what")?,
            place: text("place")?,
            wanted: text("wanted")?,
            found: text("found")?,
            fix: text("fix")?,
        })
    }
}

impl Submitted {
    /// By the digest of its bytes.
    pub(crate) fn to_json(&self, digest: &Digest) -> Json {
        Object::new().with("name", self.name.as_str()).with("digest", digest.to_string()).into()
    }

    /// Reads the name and fetches the bytes; other bytes than those of the digest are none.
    pub(crate) fn read(
        object: &Object,
        fetch: &mut impl FnMut(&Digest) -> Option<Vec<u8>>,
    ) -> Result<Self, ShapeError> {
        let digest = read_digest(object, "digest")?;
        let bytes = fetch(&digest).filter(|bytes| Digest::sha256(bytes) == digest);
        let missing = || ShapeError::new("digest", &format!("the bytes of {digest}"), "none, or others");
        Ok(Self { name: object.string("name")?.to_owned(), bytes: bytes.ok_or_else(missing)? })
    }
}
