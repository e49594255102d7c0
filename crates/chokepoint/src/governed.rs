//! What the reviewed files were before: on record with what is in force, so that nothing old comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use attest::json::{ShapeError, each};
use attest::{Digest, Json, Object};
use policy::Book;

use crate::chokepoint::read_digest;

/// The choke point in records about the reviewed files themselves: what they let in is in force, and runs nowhere.
pub const OF_FILES: &str = "portcullis/files";

/// What governs the reviewed files themselves.
#[derive(Clone, Debug)]
pub struct Governed {
    /// The policies under which another of them comes into force.
    pub policies: Arc<Book>,
    /// What was in force before.
    pub history: History,
}

/// What was in force before, for each kind of file by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(BTreeMap<String, Past>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Past {
    replaced: BTreeSet<Digest>,
    /// The highest version that was ever admitted.
    version: Option<String>,
}

impl History {
    /// Whether these very bytes were in force once, and were replaced.
    #[must_use]
    pub fn was_replaced(&self, what: &str, digest: &Digest) -> bool {
        self.0.get(what).is_some_and(|past| past.replaced.contains(digest))
    }

    /// The highest version that was ever admitted.
    #[must_use]
    pub fn floor(&self, what: &str) -> Option<&str> {
        self.0.get(what)?.version.as_deref()
    }

    /// Another one takes the place of `old`. Whoever calls has seen that the version is above the floor.
    pub fn replace(&mut self, what: &str, old: Option<Digest>, version: Option<String>) {
        let past = self.0.entry(what.to_owned()).or_default();
        past.replaced.extend(old);
        past.version = version.or(past.version.take());
    }

    pub(crate) fn to_json(&self) -> Json {
        let past = |(what, past): (&String, &Past)| {
            let replaced: Vec<String> = past.replaced.iter().map(Digest::to_string).collect();
            let mut object = Object::new().with("what", what.as_str()).with("replaced", replaced);
            object.set_some("version", past.version.as_deref());
            Json::from(object)
        };
        Object::new().with("files", Json::Array(self.0.iter().map(past).collect())).into()
    }

    pub(crate) fn read(json: &Json) -> Result<Self, ShapeError> {
        let files = each("files", json.as_object()?.array("files")?, |item| {
            let item = item.as_object()?;
            let replaced = each("replaced", item.array("replaced")?, |digest| {
                let text = digest.as_str()?;
                read_digest(text).ok_or_else(|| ShapeError::new("", "a digest", text))
            })?;
            let version = item.optional_string("version")?.map(str::to_owned);
            Ok((item.string("what")?.to_owned(), Past { replaced: replaced.into_iter().collect(), version }))
        })?;
        Ok(Self(files.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_replaced_is_known_after_it_was_written_and_read() {
        let (one, two) = (Digest::sha256(b"one"), Digest::sha256(b"two"));
        let mut history = History::default();
        history.replace("book", Some(one.clone()), Some("1.2.0".to_owned()));
        history.replace("book", Some(two.clone()), None);
        history.replace("guardrails", None, None);
        let history = History::read(&history.to_json()).unwrap();
        assert!(history.was_replaced("book", &one) && history.was_replaced("book", &two));
        assert!(!history.was_replaced("guardrails", &one) && !history.was_replaced("trust root", &one));
        assert_eq!((history.floor("book"), history.floor("guardrails")), (Some("1.2.0"), None));
    }
}
