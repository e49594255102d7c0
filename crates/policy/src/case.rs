//! What a verdict may look at, frozen: the request, the unopened envelopes, the digests of book and trust root, the
//! time. Anything that is not in the case cannot influence the verdict, so a recorded case can be replayed.

use attest::json::ShapeError;
use attest::time::parse_time;
use attest::{Artifact, Digest, Json, Object};
use jiff::Timestamp;

use crate::request::{DeploymentRequest, Submitted};

/// The format of a case's JSON.
pub const CASE_FORMAT: &str = "portcullis-case/v1";

/// The moment and the reviewed files under which a case is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The time of the case.
    pub at: Timestamp,
    /// The time of the newest record or witness that the choke point knows of.
    pub last_seen: Option<Timestamp>,
    /// The book's digest.
    pub book: Digest,
    /// The trust root's digest.
    pub trust_root: Digest,
    /// The trust root's version.
    pub trust_root_version: u64,
    /// The other reviewed files in force.
    pub beside: Beside,
    /// The engine that judges.
    pub engine: String,
}

/// Digests of the reviewed files that bound or name what is judged, and are not asked by any rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// The guardrails under which the book was loaded.
    pub guardrails: Option<Digest>,
    /// The choke point's configuration.
    pub configuration: Option<Digest>,
    /// The policies under which all of these files come into force.
    pub governance: Option<Digest>,
}

/// A frozen case. Only [`Case::open`] and [`Case::read`] make one, and both redact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    request: DeploymentRequest,
    frame: Frame,
    /// Of [`Case::parts`], in their order: each is hashed once, and opened, named and kept under that.
    digests: Vec<Digest>,
}

impl Case {
    /// Freezes a request. Secrets in its body and in the objects that were consulted, and credentials in its artifact's
    /// URI, are redacted here, before anything can be logged or judged.
    #[must_use]
    pub fn open(mut request: DeploymentRequest, frame: Frame) -> Self {
        request.freeze();
        let parts = request.envelopes.iter().chain(&request.grant);
        let digests = parts.map(|part| Digest::sha256(&part.bytes)).collect();
        Self { request, frame, digests }
    }

    /// The request, taken out to ask another question with the same evidence.
    #[must_use]
    pub fn into_request(self) -> DeploymentRequest {
        self.request
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> &DeploymentRequest {
        &self.request
    }

    /// The moment and the files.
    #[must_use]
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The artifact.
    #[must_use]
    pub fn artifact(&self) -> &Artifact {
        &self.request.artifact
    }

    /// The environment.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.request.environment
    }

    /// Everything that the case names by digest, and its digest: the envelopes, and the grant.
    pub fn parts(&self) -> impl Iterator<Item = (&Submitted, &Digest)> {
        self.request.envelopes.iter().chain(&self.request.grant).zip(&self.digests)
    }

    /// The envelopes of [`Case::parts`].
    pub(crate) fn envelopes(&self) -> impl Iterator<Item = (&Submitted, &Digest)> {
        self.request.envelopes.iter().zip(&self.digests)
    }

    /// The time.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.frame.at
    }

    /// The case in JSON; envelopes by digest. The same case always gives the same bytes.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut object = self.before_request();
        object.set_some("request", self.request.body.clone());
        self.after_request().iter().for_each(|(key, value)| object.set(key, value.clone()));
        object.into()
    }

    /// The text of [`Case::to_json`], for which the request, the largest part, is not copied.
    #[must_use]
    pub fn to_text(&self) -> String {
        // INVARIANT: both objects have keys, so a brace ends the first and begins the second
        let mut text = self.before_request().to_string();
        text.pop();
        if let Some(body) = &self.request.body {
            text.push_str(",\"request\":");
            text.push_str(&body.to_string());
        }
        text.push(',');
        text.push_str(self.after_request().to_string().trim_start_matches('{'));
        text
    }

    fn before_request(&self) -> Object {
        let (request, frame) = (&self.request, &self.frame);
        let mut object = Object::new()
            .with("format", CASE_FORMAT)
            .with("at", frame.at.to_string())
            .with("engine", frame.engine.as_str());
        object.set_some("last_seen", frame.last_seen.map(|t| t.to_string()));
        object.set("book", frame.book.to_string());
        object.set("trust_root", frame.trust_root.to_string());
        object.set("trust_root_version", i64::try_from(frame.trust_root_version).unwrap_or(i64::MAX));
        frame.beside.write(&mut object);
        object.set("chokepoint", request.chokepoint.as_str());
        object.set("environment", request.environment.as_str());
        object.set("artifact", request.artifact.to_json());
        object.set_some("requester", request.requester.as_deref());
        object
    }

    fn after_request(&self) -> Object {
        let envelopes = self.envelopes().map(|(envelope, digest)| envelope.to_json(digest));
        let mut object = Object::new().with("envelopes", Json::Array(envelopes.collect()));
        self.request.write_more(&mut object);
        object
    }

    /// Reads a case back; `fetch` gives the bytes of an envelope by digest.
    ///
    /// # Errors
    /// [`ShapeError`] for another shape, and for an envelope that `fetch` does not have or that has another digest.
    pub fn read(json: &Json, mut fetch: impl FnMut(&Digest) -> Option<Vec<u8>>) -> Result<Self, ShapeError> {
        let object = json.as_object()?;
        if object.string("format")? != CASE_FORMAT {
            return Err(ShapeError::new("format", CASE_FORMAT, object.string("format")?));
        }
        let mut envelopes = Vec::new();
        for item in object.array("envelopes")? {
            let submitted = Submitted::read(item.as_object()?, &mut fetch);
            envelopes.push(submitted.map_err(|e| e.within("envelopes"))?);
        }
        let artifact = object.get("artifact").unwrap_or(&Json::Null);
        let artifact = Artifact::read(artifact).map_err(|e| e.within("artifact"))?;
        let chokepoint = object.string("chokepoint")?;
        let mut request = DeploymentRequest::new(artifact, object.string("environment")?, chokepoint);
        request.requester = object.optional_string("requester")?.map(str::to_owned);
        request.body = object.get("request").cloned();
        request.envelopes = envelopes;
        request.read_more(object, &mut fetch)?;
        let version = object.int("trust_root_version")?;
        let negative = || ShapeError::new("trust_root_version", "a version", "a negative number");
        let frame = Frame {
            at: read_time(object, "at")?,
            last_seen: object.get("last_seen").map(|_| read_time(object, "last_seen")).transpose()?,
            book: read_digest(object, "book")?,
            trust_root: read_digest(object, "trust_root")?,
            trust_root_version: u64::try_from(version).or(Err(negative()))?,
            beside: Beside::read(object)?,
            engine: object.string("engine")?.to_owned(),
        };
        Ok(Self::open(request, frame))
    }
}

impl Beside {
    /// Absent keys leave the JSON of other cases as it always was.
    fn write(&self, object: &mut Object) {
        object.set_some("guardrails", self.guardrails.as_ref().map(Digest::to_string));
        object.set_some("configuration", self.configuration.as_ref().map(Digest::to_string));
        object.set_some("governance", self.governance.as_ref().map(Digest::to_string));
    }

    fn read(object: &Object) -> Result<Self, ShapeError> {
        let digest = |key: &str| object.get(key).map(|_| read_digest(object, key)).transpose();
        Ok(Self {
            guardrails: digest("guardrails")?,
            configuration: digest("configuration")?,
            governance: digest("governance")?,
        })
    }
}

pub(crate) fn read_digest(object: &Object, key: &str) -> Result<Digest, ShapeError> {
    let text = object.string(key)?;
    Digest::parse(text).map_err(|e| ShapeError::new(key, "a digest", &e.to_string()))
}

pub(crate) fn read_time(object: &Object, key: &str) -> Result<Timestamp, ShapeError> {
    let text = object.string(key)?;
    parse_time(text).ok_or_else(|| ShapeError::new(key, "a time in UTC", text))
}
