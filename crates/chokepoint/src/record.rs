//! What the log holds: digests of the case, the decision and the book, and a summary that people can list.

use std::fmt;

use attest::json::{Limits, ShapeError, parse_with};
use attest::{Algorithm, Digest, Json, Object};
use jiff::Timestamp;
use policy::{Book, Case, SourceFile};
use tlog::{BlobError, Blobs, Newest, Storage};

use crate::decision::Decision;
use crate::entry::{Entry, Position, count, digest, time};
use crate::event::EventKind;

/// Texts that a requester chose are cut at so many characters: a leaf is small.
const MAX_TEXT: usize = 1000;

pub(crate) const FORMAT: &str = "portcullis-record/v2";

/// One record: what can be known of a decision without opening its case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place among its writer's entries.
    pub position: Position,
    /// The time of the case.
    pub at: Timestamp,
    /// `admit`, `reject` or `cannot-decide`.
    pub decision: String,
    /// Why.
    pub basis: String,
    /// The verdict behind it: `met`, `unmet` or `cannot-decide`. Dry run, breakglass, outage and standing have one too.
    pub outcome: String,
    /// The environment.
    pub environment: String,
    /// The artifact, as people read it.
    pub artifact: String,
    /// Its SHA-256, where the request named one.
    pub digest: Option<Digest>,
    /// What a person wrote, and runs it: `CLUSTER/NAMESPACE/KIND/NAME` for Kubernetes.
    pub workload: Option<String>,
    /// Who asked.
    pub requester: Option<String>,
    /// Which choke point decided.
    pub chokepoint: String,
    /// The id of the breakglass grant that held.
    pub grant: Option<String>,
    /// The rules that refused.
    pub rules: Vec<String>,
    /// The version of the trust root in force: the log is where the floor is durable.
    pub trust_root_version: u64,
    /// The case.
    pub case: Digest,
    /// The decision.
    pub decided: Digest,
    /// The book's list of files.
    pub book: Digest,
}

/// Why a record cannot be read.
#[derive(Debug)]
pub enum RecordError {
    /// Not JSON, or of another shape.
    Shape(ShapeError),
    /// A part that it names cannot be had.
    Part(BlobError),
    /// A part is not what the record says.
    Book(String),
    /// The log itself cannot be read.
    Log(String),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(e) => write!(f, "the record is malformed: {e}"),
            Self::Part(e) => e.fmt(f),
            Self::Log(e) => write!(f, "the log cannot be read: {e}"),
            Self::Book(e) => write!(f, "the recorded book or trust root does not load: {e}"),
        }
    }
}
impl std::error::Error for RecordError {}

impl From<ShapeError> for RecordError {
    fn from(e: ShapeError) -> Self {
        Self::Shape(e)
    }
}
impl From<BlobError> for RecordError {
    fn from(e: BlobError) -> Self {
        Self::Part(e)
    }
}

impl Record {
    /// The record of a decision; the digests are of the case, the decision and the book's list of files.
    pub(crate) fn new(case: &Case, decision: &Decision, position: Position, digests: [Digest; 3]) -> Self {
        let [case_digest, decided, book] = digests;
        let mut rules: Vec<String> =
            decision.verdict().findings().iter().map(|f| f.rule.to_owned()).collect();
        rules.dedup();
        let request = case.request();
        let short = |text: &str| text.chars().take(MAX_TEXT).collect::<String>();
        Self {
            position,
            at: case.at(),
            decision: decision.word().to_owned(),
            basis: decision.basis().name().to_owned(),
            outcome: decision.verdict().outcome().name().to_owned(),
            environment: short(case.environment()),
            artifact: short(&case.artifact().short()),
            digest: case.artifact().digests().get(Algorithm::Sha256),
            workload: request.workload.as_deref().map(short),
            requester: request.requester.as_deref().map(short),
            chokepoint: short(&request.chokepoint),
            grant: decision.grant().map(|held| short(&held.grant().id)),
            rules,
            trust_root_version: case.frame().trust_root_version,
            case: case_digest,
            decided,
            book,
        }
    }

    /// The leaf.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut object = Object::new().with("format", FORMAT);
        self.position.write(&mut object);
        object.set("at", self.at.to_string());
        object.set("decision", self.decision.as_str());
        object.set("basis", self.basis.as_str());
        object.set("outcome", self.outcome.as_str());
        object.set("environment", self.environment.as_str());
        object.set("artifact", self.artifact.as_str());
        object.set_some("digest", self.digest.as_ref().map(Digest::to_string));
        object.set_some("workload", self.workload.as_deref());
        object.set_some("requester", self.requester.as_deref());
        object.set("chokepoint", self.chokepoint.as_str());
        object.set_some("grant", self.grant.as_deref());
        object.set("rules", self.rules.clone());
        object.set("trust_root_version", i64::try_from(self.trust_root_version).unwrap_or(i64::MAX));
        object.set("case", self.case.to_string());
        object.set("decided", self.decided.to_string());
        object.with("book", self.book.to_string()).into()
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// [`RecordError::Shape`].
    pub fn parse(leaf: &[u8]) -> Result<Self, RecordError> {
        let bad = |e: attest::json::JsonError| ShapeError::new("", "strict JSON", &e.to_string());
        Ok(Self::read(attest::json::parse(leaf).map_err(bad)?.as_object()?)?)
    }

    pub(crate) fn read(object: &Object) -> Result<Self, ShapeError> {
        if object.string("format")? != FORMAT {
            return Err(ShapeError::new("format", FORMAT, object.string("format")?));
        }
        let text = |key: &str| object.string(key).map(str::to_owned);
        let some = |key: &str| Ok::<_, ShapeError>(object.optional_string(key)?.map(str::to_owned));
        let rules =
            object.array("rules")?.iter().map(|r| r.as_str().map(str::to_owned)).collect::<Result<_, _>>()?;
        Ok(Self {
            position: Position::read(object)?,
            at: time(object, "at")?,
            decision: text("decision")?,
            basis: text("basis")?,
            outcome: text("outcome")?,
            environment: text("environment")?,
            artifact: text("artifact")?,
            digest: object.get("digest").map(|_| digest(object, "digest")).transpose()?,
            workload: some("workload")?,
            requester: some("requester")?,
            chokepoint: text("chokepoint")?,
            grant: some("grant")?,
            rules,
            trust_root_version: count(object, "trust_root_version")?,
            case: digest(object, "case")?,
            decided: digest(object, "decided")?,
            book: digest(object, "book")?,
        })
    }

    /// The case, with its envelopes.
    ///
    /// # Errors
    /// [`RecordError`] where a part is missing or changed.
    pub fn case<S: Storage>(&self, blobs: &Blobs<S>) -> Result<Case, RecordError> {
        let value = parse_blob(&blobs.get(&self.case)?)?;
        Ok(Case::read(&value, |digest| blobs.get(digest).ok())?)
    }

    /// The files of the book that was in force.
    ///
    /// # Errors
    /// [`RecordError`] where a part is missing or changed.
    pub fn book_files<S: Storage>(&self, blobs: &Blobs<S>) -> Result<Vec<SourceFile>, RecordError> {
        read_manifest(&self.book, blobs)
    }
}

/// The files of a book, by the digest of their list.
pub(crate) fn read_manifest<S: Storage>(
    manifest: &Digest,
    blobs: &Blobs<S>,
) -> Result<Vec<SourceFile>, RecordError> {
    let value = parse_blob(&blobs.get(manifest)?)?;
    let mut files = Vec::new();
    for item in value.as_object()?.array("files")? {
        let item = item.as_object()?;
        let text = String::from_utf8_lossy(&blobs.get(&digest(item, "digest")?)?).into_owned();
        files.push(SourceFile { name: item.string("name")?.to_owned(), text });
    }
    Ok(files)
}

/// What we wrote is read back, whatever a request held: its objects with their exact numbers, a little deeper and larger
/// than they were in the request.
pub(crate) fn parse_blob(bytes: &[u8]) -> Result<Json, ShapeError> {
    let limits = Limits { bytes: 64 << 20, depth: 128, values: 4_000_000, ..Limits::default().exact() };
    parse_with(bytes, limits).map_err(|e| ShapeError::new("", "strict JSON", &e.to_string()))
}

/// The list of a book's files, by name and digest.
pub(crate) fn book_manifest(book: &Book) -> Json {
    let file = |f: &SourceFile| {
        let digest = Digest::sha256(f.text.as_bytes()).to_string();
        Json::from(Object::new().with("name", f.name.as_str()).with("digest", digest))
    };
    Object::new().with("files", Json::Array(book.files().iter().map(file).collect())).into()
}

/// What the log says about what was in force: the clock must not be behind it, nor the trust root older.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The time of the newest entry.
    pub last_seen: Option<Timestamp>,
    /// The version of the trust root in the newest entry: the log is where the floor is durable.
    pub trust_root_floor: u64,
    /// Where the entry stands that the next one continues, and its leaf hash.
    pub own: Option<(Position, Digest)>,
    /// What the newest `files-in-force` says, of those that were looked at and of that writer.
    pub files: Option<Object>,
}

impl Recorded {
    /// Reads what the newest entries of a log say: the highest version and the latest time of the newest 256 at least,
    /// because entries are in the order of their commits and their times need not be.
    ///
    /// # Errors
    /// [`RecordError`] where one of them cannot be read: then nobody knows the floor.
    pub fn of(newest: &Newest) -> Result<Self, RecordError> {
        let mut recorded = Self::default();
        if let Some(leaf) = &newest.own {
            let position = Entry::parse(leaf)?.position().clone();
            recorded.own = leaf_digest(leaf).map(|hash| (position, hash));
        }
        let writer = recorded.own.as_ref().map(|(position, _)| position.writer.as_str());
        let mut files = None;
        for leaf in newest.all.iter().chain(&newest.own) {
            let entry = Entry::parse(leaf)?;
            recorded.last_seen = recorded.last_seen.max(Some(entry.at()));
            recorded.trust_root_floor = recorded.trust_root_floor.max(entry.trust_root_version());
            match entry {
                Entry::Event(event)
                    if event.kind == EventKind::FilesInForce
                        && writer == Some(event.position.writer.as_str()) =>
                {
                    files = Some(event.body);
                }
                _ => {}
            }
        }
        recorded.files = files;
        Ok(recorded)
    }
}

/// The hash by which the next entry names this one.
pub(crate) fn leaf_digest(leaf: &[u8]) -> Option<Digest> {
    Digest::from_bytes(Algorithm::Sha256, attest::merkle::leaf_hash(leaf).to_vec()).ok()
}
