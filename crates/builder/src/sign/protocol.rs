//! How one asks a signer: one line of JSON each way over a Unix socket.
//!
//! `{"kind":"build","record":{…}}`, or `token`, `test`, `failure`; the answer is `{"bundle":{…}}` or
//! `{"error":"…"}`.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use attest::json::ShapeError;
use attest::{Digest, Json, Object};

use super::SignError;
use super::ledger::Slot;
use crate::record::{BuildRecord, FailureRecord, TestRecord};

const MAX_RECORD: usize = 4 << 20;

/// What may be asked for. Each kind becomes a statement of a type of its own, written by the signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// An output of a build that succeeded.
    Build(Box<BuildRecord>),
    /// The same as a token: the chapter's form.
    Token(Box<BuildRecord>),
    /// A test's result.
    Test(Box<TestRecord>),
    /// A build that failed.
    Failure(Box<FailureRecord>),
}

impl Record {
    /// Reads a request, strictly: nothing in it is left unread.
    pub(crate) fn read(request: &Json) -> Result<Self, ShapeError> {
        let object = request.as_object()?;
        if let Some((unknown, _)) = object.iter().find(|(k, _)| !matches!(*k, "kind" | "record")) {
            return Err(ShapeError::new("", "kind and record alone", unknown));
        }
        let record = Json::from(object.object("record")?.clone());
        match object.string("kind")? {
            "build" => BuildRecord::read(&record).map(|r| Self::Build(Box::new(r))),
            "token" => BuildRecord::read(&record).map(|r| Self::Token(Box::new(r))),
            "test" => TestRecord::read(&record).map(|r| Self::Test(Box::new(r))),
            "failure" => FailureRecord::read(&record).map(|r| Self::Failure(Box::new(r))),
            other => return Err(ShapeError::new("kind", "build, token, test or failure", other)),
        }
        .map_err(|e| e.within("record"))
    }

    fn to_json(&self) -> Json {
        let (kind, record) = match self {
            Self::Build(record) => ("build", record.to_json()),
            Self::Token(record) => ("token", record.to_json()),
            Self::Test(record) => ("test", record.to_json()),
            Self::Failure(record) => ("failure", record.to_json()),
        };
        Object::new().with("kind", kind).with("record", record).into()
    }

    /// What makes two records the same: everything in them, written in one way.
    pub(crate) fn digest(&self) -> Digest {
        Digest::sha256(self.to_json().to_string().as_bytes())
    }

    /// What may be signed only once.
    pub(crate) fn slot(&self) -> Slot {
        match self {
            Self::Build(record) => Slot {
                invocation: record.provenance.invocation.clone().unwrap_or_default(),
                output: Some(record.name.clone()),
            },
            Self::Token(record) => Slot {
                invocation: record.provenance.invocation.clone().unwrap_or_default(),
                output: Some(format!("{}/", record.name)),
            },
            Self::Test(record) => Slot {
                invocation: record.invocation.clone(),
                // no file has such a name: a test cannot take an output's place
                output: Some(format!("{}/{}", record.artifact, record.test)),
            },
            Self::Failure(record) => Slot { invocation: record.invocation.clone(), output: None },
        }
    }

    /// The statement that is signed.
    pub(crate) fn statement(&self, builder_id: &str, version: &str) -> String {
        match self {
            Self::Build(record) | Self::Token(record) => record.statement(builder_id, version),
            Self::Test(record) => record.statement(builder_id, version),
            Self::Failure(record) => record.statement(builder_id, version),
        }
    }
}

/// One line, within a size and one deadline for all of it: a requester that sends a byte now and then holds nobody up.
pub(super) fn read_request(mut stream: &UnixStream) -> io::Result<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    while !bytes.ends_with(b"\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > MAX_RECORD {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer)? {
            0 => break,
            n => bytes.extend(buffer.get(..n).unwrap_or_default()),
        }
    }
    String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// Asks the signer at a socket for the bundle of an output. The same record may be asked for again, after a crash of
/// either side: the bundle is the same, byte for byte.
///
/// # Errors
/// [`SignError`] with what the signer said.
pub fn request_signature(socket: &Path, record: &BuildRecord) -> Result<Json, SignError> {
    ask(socket, &Record::Build(Box::new(record.clone())))
}

/// Asks the signer at a socket for the same record as a token: the chapter's JWT.
///
/// # Errors
/// [`SignError`] with what the signer said.
pub fn request_token(socket: &Path, record: &BuildRecord) -> Result<String, SignError> {
    let answer = ask(socket, &Record::Token(Box::new(record.clone())))?;
    answer.as_str().map(str::to_owned).or(Err(SignError::Answer))
}

/// Asks the signer at a socket for the bundle of a test's result.
///
/// # Errors
/// [`SignError`] with what the signer said.
pub fn request_test(socket: &Path, record: &TestRecord) -> Result<Json, SignError> {
    ask(socket, &Record::Test(Box::new(record.clone())))
}

/// Asks the signer at a socket for the bundle that says that a build failed.
///
/// # Errors
/// [`SignError`] with what the signer said.
pub fn request_failure(socket: &Path, record: &FailureRecord) -> Result<Json, SignError> {
    ask(socket, &Record::Failure(Box::new(record.clone())))
}

fn ask(socket: &Path, record: &Record) -> Result<Json, SignError> {
    let mut stream = UnixStream::connect(socket).map_err(SignError::Io)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(SignError::Io)?;
    // a signer that refuses its peer answers at once and reads nothing: its answer counts more than our broken pipe
    let sent = writeln!(stream, "{}", record.to_json());
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line);
    if line.is_empty() {
        sent.and(read.map(drop)).map_err(SignError::Io)?;
    }
    let json = attest::json::parse(line.trim_end().as_bytes()).or(Err(SignError::Answer))?;
    let object = json.as_object().or(Err(SignError::Answer))?;
    if let Ok(Some(why)) = object.optional_string("error") {
        // it says itself that it refused
        let why = why.strip_prefix("the signer refused: ").unwrap_or(why);
        return Err(SignError::Refused(why.to_owned()));
    }
    object.get("bundle").cloned().ok_or(SignError::Answer)
}
