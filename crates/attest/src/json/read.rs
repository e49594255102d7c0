//! Typed reading with a path for everything that has another shape than wanted.

use std::fmt;

use super::{Json, Object};

/// A document whose JSON is well formed and whose shape is not what the format asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError {
    /// Where, as in `predicate.runDetails.builder.id`.
    pub path: String,
    /// What the format asks for there.
    pub wanted: String,
    /// What stands there.
    pub found: String,
}

impl ShapeError {
    /// An error at `path`.
    #[must_use]
    pub fn new(path: &str, wanted: &str, found: &str) -> Self {
        Self { path: path.to_owned(), wanted: wanted.to_owned(), found: found.to_owned() }
    }

    /// The same error seen from one level further out.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => outer.to_owned(),
            path if path.starts_with('[') => format!("{outer}{path}"),
            path => format!("{outer}.{path}"),
        };
        self
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        write!(f, "{path}: wanted {}, found {}", self.wanted, self.found)
    }
}

impl std::error::Error for ShapeError {}

impl Json {
    /// The kind of value, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a number",
            Self::Number(_) => "a fraction, or a number past 2^53",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The object, if it is one.
    ///
    /// # Errors
    /// [`ShapeError`] otherwise.
    pub fn as_object(&self) -> Result<&Object, ShapeError> {
        match self {
            Self::Object(object) => Ok(object),
            other => Err(ShapeError::new("", "an object", other.kind())),
        }
    }

    /// The string, if it is one.
    ///
    /// # Errors
    /// [`ShapeError`] otherwise.
    pub fn as_str(&self) -> Result<&str, ShapeError> {
        match self {
            Self::String(text) => Ok(text),
            other => Err(ShapeError::new("", "a string", other.kind())),
        }
    }

    /// The list, if it is one.
    ///
    /// # Errors
    /// [`ShapeError`] otherwise.
    pub fn as_array(&self) -> Result<&[Json], ShapeError> {
        match self {
            Self::Array(items) => Ok(items),
            other => Err(ShapeError::new("", "a list", other.kind())),
        }
    }

    /// The number, if it is one.
    ///
    /// # Errors
    /// [`ShapeError`] otherwise.
    pub fn as_int(&self) -> Result<i64, ShapeError> {
        match self {
            Self::Int(number) => Ok(*number),
            other => Err(ShapeError::new("", "a number", other.kind())),
        }
    }

    /// The boolean, if it is one.
    ///
    /// # Errors
    /// [`ShapeError`] otherwise.
    pub fn as_bool(&self) -> Result<bool, ShapeError> {
        match self {
            Self::Bool(value) => Ok(*value),
            other => Err(ShapeError::new("", "a boolean", other.kind())),
        }
    }
}

impl Object {
    fn read<'a, T>(
        &'a self,
        key: &str,
        as_type: impl FnOnce(&'a Json) -> Result<T, ShapeError>,
    ) -> Result<Option<T>, ShapeError> {
        self.get(key).map(as_type).transpose().map_err(|e| e.within(key))
    }

    fn need<T>(&self, key: &str, kind: &str, value: Option<T>) -> Result<T, ShapeError> {
        value.ok_or_else(|| ShapeError::new(key, kind, "nothing"))
    }

    /// A string that must be there.
    ///
    /// # Errors
    /// [`ShapeError`] where it is absent or something else.
    pub fn string(&self, key: &str) -> Result<&str, ShapeError> {
        self.need(key, "a string", self.optional_string(key)?)
    }

    /// A string that may be there.
    ///
    /// # Errors
    /// [`ShapeError`] where it is something else.
    pub fn optional_string(&self, key: &str) -> Result<Option<&str>, ShapeError> {
        self.read(key, Json::as_str)
    }

    /// An object that must be there.
    ///
    /// # Errors
    /// [`ShapeError`] where it is absent or something else.
    pub fn object(&self, key: &str) -> Result<&Object, ShapeError> {
        self.need(key, "an object", self.optional_object(key)?)
    }

    /// An object that may be there.
    ///
    /// # Errors
    /// [`ShapeError`] where it is something else.
    pub fn optional_object(&self, key: &str) -> Result<Option<&Object>, ShapeError> {
        self.read(key, Json::as_object)
    }

    /// A list that must be there.
    ///
    /// # Errors
    /// [`ShapeError`] where it is absent or something else.
    pub fn array(&self, key: &str) -> Result<&[Json], ShapeError> {
        self.need(key, "a list", self.read(key, Json::as_array)?)
    }

    /// A list that may be there; absent reads as empty.
    ///
    /// # Errors
    /// [`ShapeError`] where it is something else.
    pub fn optional_array(&self, key: &str) -> Result<&[Json], ShapeError> {
        Ok(self.read(key, Json::as_array)?.unwrap_or_default())
    }

    /// A number that must be there.
    ///
    /// # Errors
    /// [`ShapeError`] where it is absent or something else.
    pub fn int(&self, key: &str) -> Result<i64, ShapeError> {
        self.need(key, "a number", self.read(key, Json::as_int)?)
    }

    /// A boolean that may be there; absent reads as false.
    ///
    /// # Errors
    /// [`ShapeError`] where it is something else.
    pub fn flag(&self, key: &str) -> Result<bool, ShapeError> {
        Ok(self.read(key, Json::as_bool)?.unwrap_or(false))
    }
}

/// Reads every item of a list, with its index in the path of an error.
///
/// # Errors
/// The first item's error.
pub fn each<'a, T>(
    key: &str,
    items: &'a [Json],
    read: impl Fn(&'a Json) -> Result<T, ShapeError>,
) -> Result<Vec<T>, ShapeError> {
    let at = |index: usize| format!("{key}[{index}]");
    items.iter().enumerate().map(|(i, item)| read(item).map_err(|e| e.within(&at(i)))).collect()
}
