//! What the log holds: digests of the case, the decision and the book, and a summary that people can list.

use std::fmt;

use attest::json::{Limits, ShapeError, parse_with};
use attest::time::parse_time;
use attest::{Digest, Json, Object};
use jiff::Timestamp;
use policy::{Book, Case, SourceFile};
use tlog::{BlobError, Blobs, Storage};

use crate::chokepoint::read_digest;
use crate::decision::Decision;

const FORMAT: &str = "portcullis-record/v1";

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place among this writer's records.
    pub sequence: u64,
    /// The time of the case.
    pub at: Timestamp,
    /// `admit`, `reject` or `cannot-decide`.
    pub decision: String,
    /// Why.
    pub basis: String,
    /// The environment.
    pub environment: String,
    /// The artifact, as people read it.
    pub artifact: String,
    /// The rules that refused.
    pub rules: Vec<String>,
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
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(e) => write!(f, "the record is malformed: {e}"),
            Self::Part(e) => e.fmt(f),
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
    pub(crate) fn new(case: &Case, decision: &Decision, sequence: u64, digests: [Digest; 3]) -> Self {
        let [case_digest, decided, book] = digests;
        let mut rules: Vec<String> =
            decision.verdict().findings().iter().map(|f| f.rule.to_owned()).collect();
        rules.dedup();
        Self {
            sequence,
            at: case.at(),
            decision: decision.word().to_owned(),
            basis: decision.basis().name().to_owned(),
            environment: case.environment().chars().take(1000).collect(),
            artifact: case.artifact().short().chars().take(1000).collect(),
            rules,
            case: case_digest,
            decided,
            book,
        }
    }

    /// The leaf.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Object::new()
            .with("format", FORMAT)
            .with("sequence", i64::try_from(self.sequence).unwrap_or(i64::MAX))
            .with("at", self.at.to_string())
            .with("decision", self.decision.as_str())
            .with("basis", self.basis.as_str())
            .with("environment", self.environment.as_str())
            .with("artifact", self.artifact.as_str())
            .with("rules", self.rules.clone())
            .with("case", self.case.to_string())
            .with("decided", self.decided.to_string())
            .with("book", self.book.to_string())
            .into()
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// [`RecordError::Shape`].
    pub fn parse(leaf: &[u8]) -> Result<Self, RecordError> {
        let bad = |e: attest::json::JsonError| ShapeError::new("", "strict JSON", &e.to_string());
        let value = attest::json::parse(leaf).map_err(bad)?;
        let object = value.as_object()?;
        if object.string("format")? != FORMAT {
            return Err(ShapeError::new("format", FORMAT, object.string("format")?).into());
        }
        let digest = |key: &str| {
            let text = object.string(key)?;
            read_digest(text).ok_or_else(|| ShapeError::new(key, "a digest", text))
        };
        let text = |key: &str| object.string(key).map(str::to_owned);
        let time = text("at")?;
        let bad_time = || ShapeError::new("at", "a time in UTC", &time);
        let rules =
            object.array("rules")?.iter().map(|r| r.as_str().map(str::to_owned)).collect::<Result<_, _>>()?;
        let negative = || ShapeError::new("sequence", "a number from 0", "a negative one");
        Ok(Self {
            sequence: u64::try_from(object.int("sequence")?).or(Err(negative()))?,
            at: parse_time(&time).ok_or_else(bad_time)?,
            decision: text("decision")?,
            basis: text("basis")?,
            environment: text("environment")?,
            artifact: text("artifact")?,
            rules,
            case: digest("case")?,
            decided: digest("decided")?,
            book: digest("book")?,
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
        let value = parse_blob(&blobs.get(&self.book)?)?;
        let mut files = Vec::new();
        for item in value.as_object()?.array("files")? {
            let item = item.as_object()?;
            let digest = item.string("digest")?;
            let digest = read_digest(digest).ok_or_else(|| ShapeError::new("digest", "a digest", digest))?;
            let text = String::from_utf8_lossy(&blobs.get(&digest)?).into_owned();
            files.push(SourceFile { name: item.string("name")?.to_owned(), text });
        }
        Ok(files)
    }
}

/// What we wrote is read back, whatever a request held: its objects with their exact numbers, a little deeper and larger
/// than they were in the request.
fn parse_blob(bytes: &[u8]) -> Result<Json, ShapeError> {
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The time of the newest record.
    pub last_seen: Option<Timestamp>,
    /// The version of the trust root in the newest record: the log is where the floor is durable.
    pub trust_root_floor: u64,
}

/// Reads what the newest records of a log say: the trust root from the newest one, the time from the newest 256 at
/// least, because records are in the order of their commits and their times need not be.
///
/// # Errors
/// [`RecordError`] where the newest record, or its case, cannot be read: then nobody knows the floor.
pub fn recorded<S: Storage>(log: &tlog::Log<S>) -> Result<Recorded, RecordError> {
    let Some(last) = log.size().checked_sub(1) else { return Ok(Recorded::default()) };
    let unreadable = |e: tlog::ReadError| ShapeError::new("", "the newest record", &e.to_string());
    let reader = tlog::Reader::new(log.storage(), log.size());
    let record = Record::parse(&reader.entry(last).map_err(unreadable)?)?;
    let frame = record.case(&Blobs::new(log.storage()))?.frame().clone();
    let bundle = last / 256;
    let mut last_seen = frame.last_seen.max(Some(record.at));
    for number in bundle.saturating_sub(1)..=bundle {
        for leaf in reader.entries(number).map_err(unreadable)? {
            last_seen = last_seen.max(Some(Record::parse(&leaf)?.at));
        }
    }
    Ok(Recorded { last_seen, trust_root_floor: frame.trust_root_version })
}
