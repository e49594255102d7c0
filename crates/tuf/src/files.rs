//! The two ends of `sigstore-tuf`: where files come from, and where verified ones are kept until all of them hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, MetadataStore, Repository};

use crate::keys;

/// A mirror of a TUF repository.
pub trait Source: Send + Sync {
    /// The file at a path below the repository, at most `limit` bytes; nothing where there is none.
    ///
    /// # Errors
    /// Why nobody knows, in one line.
    fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, String>;
}

/// A mirror behind the library's trait. It answers at once, so its futures never wait.
pub(crate) struct Mirror<S>(pub(crate) S);

impl<S: Source> Mirror<S> {
    fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        // role names and hashes out of metadata are part of it
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~%/".contains(c);
        if !path.chars().all(is_plain) || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Error::transport(format!("{path:?} is no name of a file in a repository")));
        }
        let bytes = self.0.get(path, limit).map_err(Error::transport)?;
        if bytes.as_ref().is_some_and(|b| u64::try_from(b.len()).unwrap_or(u64::MAX) > limit) {
            return Err(Error::transport(format!("{path} is larger than {limit} bytes")));
        }
        Ok(bytes)
    }
}

impl<S: Source> Repository for Mirror<S> {
    fn fetch_metadata<'a>(&'a self, name: &'a str, limit: u64) -> FetchFuture<'a> {
        let found = self.get(name, limit).and_then(|bytes| match &bytes {
            Some(found) => keys::check(name, found).map_err(Error::Malformed).map(|()| bytes),
            None => Ok(None),
        });
        Box::pin(std::future::ready(found))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, limit: u64) -> FetchFuture<'a> {
        Box::pin(std::future::ready(self.get(&format!("targets/{path}"), limit)))
    }
}

/// Verified files by their names, in memory: a name out of metadata never becomes a path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Kept {
    pub(crate) fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self(Arc::new(Mutex::new(files)))
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl MetadataStore for Kept {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }
}
