//! Strict JSON: the only way bytes become values in this project.
//!
//! Two readers of one signed document must never see two meanings. So duplicate keys (also `"\u0061"` beside
//! `"a"`), fractions, integers past 2^53, lone surrogates, a byte order mark, trailing data, and input that is
//! too big or too deep are errors, each with the byte offset where it was met. Refuses to guess and to repair.

mod exact;
mod parse;
mod read;
mod write;

pub use exact::Exact;
pub use parse::{JsonError, JsonErrorKind, Limits, parse, parse_with};
pub use read::ShapeError;
pub use read::each;

/// A JSON value. Objects keep the order in which their keys were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`; readers treat a `null` field as an absent one, as in-toto and SLSA do.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer of at most 53 bits, so that every language reads the same number.
    Int(i64),
    /// Any other number, as its exact text: only where [`Limits::exact`] asks for it.
    Number(Exact),
    /// A string of valid Unicode.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// A map without duplicate keys.
    Object(Object),
}

/// The largest integer that every JSON reader represents exactly (RFC 8259, section 6).
pub const MAX_INT: i64 = 9_007_199_254_740_991;

/// A JSON object: keys are unique and keep their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(Vec<(String, Json)>);

impl Object {
    /// An empty object.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An object of pairs whose keys the caller knows to be unique, in the order given.
    #[must_use]
    pub fn from_unique(pairs: impl IntoIterator<Item = (String, Json)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// The value under `key`. A `null` counts as absent.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v).filter(|v| !matches!(v, Json::Null))
    }

    /// Adds `key`, or replaces its value where it stands already.
    pub fn set(&mut self, key: &str, value: impl Into<Json>) {
        let value = value.into();
        match self.0.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Adds `key` only where there is a value.
    pub fn set_some(&mut self, key: &str, value: Option<impl Into<Json>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// The object with `key` set: for writing a literal in one expression.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.set(key, value);
        self
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: &str) -> Option<Json> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    /// The entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// The entries in their order, values mutable.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Json)> {
        self.0.iter_mut().map(|(k, v)| (k.as_str(), v))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a pair at the end; the parser has checked that the key is new.
    fn push(&mut self, key: String, value: Json) {
        self.0.push((key, value));
    }
}

impl FromIterator<(String, Json)> for Object {
    fn from_iter<T: IntoIterator<Item = (String, Json)>>(pairs: T) -> Self {
        let mut object = Self::new();
        for (key, value) in pairs {
            object.set(&key, value);
        }
        object
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}
impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}
impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}
impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}
