//! Files of an export, each known by its shape.

use attest::json::{Limits, ShapeError, parse_with};
use attest::{Algorithm, Digest, Json, Object};
use jiff::Timestamp;

use crate::error::ExportError;

/// A file as a forge's tool wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// A file that was read.
#[derive(Clone, Debug)]
pub(crate) struct Read<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Json,
}

/// What Gerrit puts before its JSON, so that no browser takes it for a script.
const GERRIT_PREFIX: &[u8] = b")]}'";

impl<'a> Document<'a> {
    /// Fractions and large numbers are of no interest here, and must not hinder the reading.
    pub(crate) fn read(&self) -> Result<Read<'a>, ExportError> {
        let bytes = self.bytes.strip_prefix(GERRIT_PREFIX).unwrap_or(self.bytes);
        let value = parse_with(bytes, Limits::default().exact());
        let value = value.map_err(|error| ExportError::Json { file: self.name.to_owned(), error })?;
        Ok(Read { name: self.name, value: flatten(value) })
    }

    /// Every line of a file with one document a line.
    pub(crate) fn read_lines(&self) -> Result<Vec<Read<'a>>, ExportError> {
        let lines = self.bytes.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines.map(|bytes| Document { name: self.name, bytes }.read()).collect()
    }
}

/// Pages that a tool collected (`--paginate --slurp`) are one list.
fn flatten(value: Json) -> Json {
    match value {
        Json::Array(pages) if !pages.is_empty() && pages.iter().all(|p| matches!(p, Json::Array(_))) => {
            let items = pages.into_iter().flat_map(|page| match page {
                Json::Array(items) => items,
                other => vec![other],
            });
            Json::Array(items.collect())
        }
        other => other,
    }
}

impl Read<'_> {
    /// The error of this file.
    pub(crate) fn shape(&self, command: &str) -> impl Fn(ShapeError) -> ExportError {
        let (file, command) = (self.name.to_owned(), command.to_owned());
        move |error| ExportError::Shape { file: file.clone(), error, command: command.clone() }
    }

    pub(crate) fn object(&self) -> Option<&Object> {
        self.value.as_object().ok()
    }

    /// The list in it, where its first entry looks as asked.
    pub(crate) fn list(&self, looks: impl Fn(&Object) -> bool) -> Option<&[Json]> {
        let items = self.value.as_array().ok()?;
        items.first()?.as_object().ok().filter(|first| looks(first)).map(|_| items)
    }
}

/// The id of a commit under a key.
pub(crate) fn commit(object: &Object, key: &str) -> Result<Digest, ShapeError> {
    let id = object.string(key)?;
    read_commit(id).map_err(|e| e.within(key))
}

/// The same where it may be absent; empty text is absence to Gerrit and GitLab.
pub(crate) fn optional_commit(object: &Object, key: &str) -> Result<Option<Digest>, ShapeError> {
    match object.optional_string(key)? {
        None | Some("") => Ok(None),
        Some(id) => read_commit(id).map(Some).map_err(|e| e.within(key)),
    }
}

pub(crate) fn read_commit(id: &str) -> Result<Digest, ShapeError> {
    Digest::from_hex(Algorithm::GitCommit, id).map_err(|_| ShapeError::new("", "the id of a commit", id))
}

/// A time as forges write it: RFC 3339, whatever the zone.
pub(crate) fn time(object: &Object, key: &str) -> Result<Timestamp, ShapeError> {
    let text = object.string(key)?;
    text.parse().map_err(|_| ShapeError::new(key, "a time as in RFC 3339", text))
}

/// The same where it may be absent.
pub(crate) fn optional_time(object: &Object, key: &str) -> Result<Option<Timestamp>, ShapeError> {
    if object.get(key).is_some() { time(object, key).map(Some) } else { Ok(None) }
}
