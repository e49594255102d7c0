//! What was obtained last, in one file: it is replaced as a whole, after everything held, or not at all.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use attest::json::{Limits, ShapeError, parse_with};
use attest::time::parse_time;
use attest::{Digest, Json, Object};
use jiff::{SignedDuration, Timestamp};

use crate::error::StateError;

const MAX_BYTES: usize = 64 << 20;
const ROOTS: &str = "root_history/";

/// A folder with what is known of TUF repositories.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
    /// A digest: a name that a person gave never becomes a path.
    stem: String,
}

/// A trusted root as a repository gave it, and how fresh that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The trusted root's text.
    pub text: String,
    /// When a mirror last proved that this is the newest.
    pub checked: Timestamp,
    /// When the first of the signed metadata ends: nobody says after it that this is the newest.
    pub expires: Timestamp,
    /// The version of the root in the end.
    pub root: u64,
}

impl Held {
    /// How long ago a mirror proved that this is the newest.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.checked)
    }
}

/// Everything in the file.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    pub(crate) held: Held,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl State {
    /// The state of the instance of this name; nothing is made until something is held.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { folder: folder.to_owned(), stem: Digest::sha256(name.as_bytes()).hex() }
    }

    /// The file that holds it.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.state", self.stem))
    }

    /// What is held.
    ///
    /// # Errors
    /// [`StateError`]; nothing at all is no error.
    pub fn held(&self) -> Result<Option<Held>, StateError> {
        Ok(self.read()?.map(|contents| contents.held))
    }

    /// Takes the turn of the one who updates. It ends when the file is dropped, or the process dies.
    pub(crate) fn turn(&self) -> Result<File, StateError> {
        let path = self.folder.join(format!("{}.lock", self.stem));
        let failed = |e| StateError::Io(path.clone(), e);
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StateError::Busy(path)),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }

    pub(crate) fn read(&self) -> Result<Option<Contents>, StateError> {
        let path = self.file();
        let failed = |e| StateError::Io(path.clone(), e);
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let mut text = String::new();
        let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
        match file.take(limit).read_to_string(&mut text) {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(StateError::Changed(path)),
            other => drop(other.map_err(failed)?),
        }
        let body = text.split_once('\n').filter(|(sum, body)| *sum == Digest::sha256(body.as_bytes()).hex());
        match body.and_then(|(_, body)| parse(body)) {
            Some(contents) => Ok(Some(contents)),
            None => Err(StateError::Changed(path)),
        }
    }

    pub(crate) fn write(&self, contents: &Contents) -> Result<(), StateError> {
        let text = |bytes: &[u8]| Json::from(String::from_utf8_lossy(bytes).into_owned());
        let files = contents.files.iter().map(|(name, bytes)| (name.clone(), text(bytes)));
        let held = &contents.held;
        let body = Object::new()
            .with("checked", held.checked.to_string())
            .with("expires", held.expires.to_string())
            .with("root", i64::try_from(held.root).unwrap_or(i64::MAX))
            .with("text", held.text.as_str())
            .with("files", Object::from_unique(files))
            .to_string();
        let path = self.file();
        let whole = format!("{}\n{body}", Digest::sha256(body.as_bytes()).hex());
        tlog::write_durably(&path, whole.as_bytes()).map_err(|e| StateError::Io(path, e))
    }
}

impl Contents {
    /// Whether this root is one of those that the state came by.
    pub(crate) fn knows_root(&self, root: &[u8]) -> bool {
        self.files.iter().any(|(name, bytes)| name.starts_with(ROOTS) && bytes == root)
    }
}

fn parse(body: &str) -> Option<Contents> {
    let limits = Limits { bytes: MAX_BYTES, ..Limits::default() };
    let json = parse_with(body.as_bytes(), limits).ok()?;
    read(json.as_object().ok()?).ok().flatten()
}

fn read(object: &Object) -> Result<Option<Contents>, ShapeError> {
    let mut files = BTreeMap::new();
    for (name, value) in object.object("files")?.iter() {
        files.insert(name.to_owned(), value.as_str()?.as_bytes().to_vec());
    }
    let times = (parse_time(object.string("checked")?), parse_time(object.string("expires")?));
    let root = u64::try_from(object.int("root")?).ok();
    let ((Some(checked), Some(expires)), Some(root)) = (times, root) else { return Ok(None) };
    let held = Held { text: object.string("text")?.to_owned(), checked, expires, root };
    Ok(Some(Contents { held, files }))
}
