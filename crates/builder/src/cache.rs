//! Finished builds by the digest of everything that could influence them. Only the orchestrator writes here, and only
//! after the provenance was signed: every entry names the provenance of the build that made it.

use std::fs;
use std::path::{Path, PathBuf};

use attest::json::{ShapeError, each};
use attest::provenance::Provenance;
use attest::{Digest, Json, Object};

use crate::collect::{Output, make_executable};
use crate::orchestrate::BuildError;
use crate::store::{Store, hash_file};

/// A build that was done before.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The outputs by name.
    pub(crate) outputs: Vec<(String, Digest)>,
    /// What its orchestrator saw.
    pub(crate) provenance: Provenance,
    /// The digest of its first output's bundle.
    pub(crate) bundle: Digest,
}

/// The entry of a key; nothing where there is none or it cannot be read: a cache that fails costs a build.
pub(crate) fn find(store: &Store, key: &Digest) -> Option<Entry> {
    let bytes = fs::read(path(store, key)).ok()?;
    let json = attest::json::parse(&bytes).ok()?;
    read(&json, key).ok()
}

/// The outputs of an entry, copied to `own` and hashed again; nothing where one is gone or damaged.
pub(crate) fn take(store: &Store, entry: &Entry, own: &Path) -> Result<Option<Vec<Output>>, BuildError> {
    fs::create_dir_all(own).map_err(|e| BuildError::Io(own.to_owned(), e))?;
    let mut outputs = Vec::new();
    for (name, digest) in &entry.outputs {
        let file = own.join(name);
        if fs::copy(store.output(digest), &file).is_err() {
            return Ok(None);
        }
        // as what is built anew: else a test that passed after the build fails after the cache
        make_executable(&file).map_err(|e| BuildError::Io(file.clone(), e))?;
        if hash_file(&file).map_err(BuildError::Input)? != *digest {
            return Ok(None);
        }
        outputs.push(Output { name: name.clone(), digest: digest.clone(), file });
    }
    Ok(Some(outputs))
}

/// Writes an entry for a build whose provenance is signed.
pub(crate) fn write(store: &Store, key: &Digest, entry: &Entry) -> Result<(), BuildError> {
    let outputs = entry.outputs.iter().map(|(name, digest)| {
        Json::from(Object::new().with("name", name.as_str()).with("digest", digest.to_string()))
    });
    let object = Object::new()
        .with("key", key.to_string())
        .with("outputs", Json::Array(outputs.collect()))
        .with("bundle", entry.bundle.to_string())
        .with("predicate", entry.provenance.to_slsa_v1());
    let path = path(store, key);
    let failed = |e| BuildError::Io(path.clone(), e);
    fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(failed)?;
    tlog::write_durably(&path, Json::from(object).to_string().as_bytes()).map_err(failed)
}

/// Takes an entry away that another build contradicts, for somebody to look at: no request is answered from it again.
pub(crate) fn quarantine(store: &Store, key: &Digest) -> Result<(), BuildError> {
    let (entry, folder) = (path(store, key), store.folder("cache").join("quarantine"));
    let moved = fs::create_dir_all(&folder)
        .and_then(|()| fs::rename(&entry, folder.join(format!("{}.json", key.hex()))));
    moved.map_err(|e| BuildError::Io(entry.clone(), e))
}

fn path(store: &Store, key: &Digest) -> PathBuf {
    store.folder("cache").join(format!("{}.json", key.hex()))
}

fn read(json: &Json, key: &Digest) -> Result<Entry, ShapeError> {
    let object = json.as_object()?;
    let digest = |object: &Object, field: &str| {
        let text = object.string(field)?;
        Digest::parse(text).map_err(|e| ShapeError::new(field, "a digest", &e.to_string()))
    };
    if digest(object, "key")? != *key {
        return Err(ShapeError::new("key", "the key that it is filed under", "another"));
    }
    let outputs = each("outputs", object.array("outputs")?, |item| {
        let item = item.as_object()?;
        Ok((item.string("name")?.to_owned(), digest(item, "digest")?))
    })?;
    Ok(Entry {
        outputs,
        provenance: Provenance::from_slsa_v1(object.object("predicate")?)?,
        bundle: digest(object, "bundle")?,
    })
}
