//! Where each input came from: a digest says what a file is, and only this says that a URI ever gave it.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use attest::Digest;

use super::{INPUTS, Store, StoreError, Temporary};

/// What stands in place of a URI where the operator put the file there.
pub(super) const PUT: &str = "put";
/// How many URIs are remembered for one file; the oldest is forgotten first, and asked again.
const MAX_ORIGINS: usize = 64;
/// A longer URI is asked each time.
const MAX_URI: usize = 4096;

impl Store {
    /// Whether a URI gave the file of a digest, or the operator put it there. Every way into the store writes the
    /// origin down before the file has its name: a file without any was laid there by the store's owner.
    pub(crate) fn is_from(&self, digest: &Digest, uri: &str) -> bool {
        self.origins(digest).is_none_or(|known| known.iter().any(|k| k == PUT || *k == line(uri)))
    }

    /// Writes down where a file comes from, before it is there.
    pub(super) fn remember(&self, digest: &Digest, uri: &str) -> Result<(), StoreError> {
        let is_bare = self.path(digest).is_file();
        let mut known =
            self.origins(digest).unwrap_or_else(|| if is_bare { vec![PUT.to_owned()] } else { Vec::new() });
        let line = line(uri);
        if known.contains(&line) || line.len() > MAX_URI {
            return Ok(());
        }
        // the operator's word is not pushed out by anybody's URIs
        while known.len() >= MAX_ORIGINS {
            known.remove(usize::from(known.first().is_some_and(|k| k == PUT)));
        }
        known.insert(if line == PUT { 0 } else { known.len() }, line);
        let path = self.origin_path(digest);
        let failed = |e| StoreError::Io(path.clone(), e);
        let temporary = Temporary::create(&self.folder(INPUTS)).map_err(failed)?;
        let mut file = temporary.file.try_clone().map_err(failed)?;
        file.write_all((known.join("\n") + "\n").as_bytes()).map_err(failed)?;
        temporary.settle(&path).map_err(failed)
    }

    fn origins(&self, digest: &Digest) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.origin_path(digest)).ok()?;
        Some(text.lines().map(str::to_owned).collect())
    }

    fn origin_path(&self, digest: &Digest) -> PathBuf {
        self.folder(INPUTS).join(format!("{}.from", digest.hex()))
    }
}

/// A URI on one line.
fn line(uri: &str) -> String {
    uri.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_oldest_uri_is_forgotten_and_the_operators_word_never() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let digest = store.put_bytes("https://h.example/0", b"x").unwrap();
        let file = dir.path().join("x");
        fs::write(&file, "x").unwrap();
        store.put(&file).unwrap();
        for number in 1..=MAX_ORIGINS {
            store.put_bytes(&format!("https://h.example/{number}"), b"x").unwrap();
        }
        let known = store.origins(&digest).unwrap();
        assert_eq!((known.len(), known[0].as_str()), (MAX_ORIGINS, PUT));
        assert!(!known.contains(&"https://h.example/0".to_owned()));
    }

    #[test]
    fn a_uri_is_one_line_and_never_the_operators_word() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let digest = store.put_bytes("https://h.example/x\nput", b"x").unwrap();
        assert!(!store.is_from(&digest, "https://h.example/other"), "{:?}", store.origins(&digest));
        assert!(store.is_from(&digest, "https://h.example/x\nput"));
    }

    #[test]
    fn a_store_that_is_made_here_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        for (name, make) in [
            ("a", (&|root: &std::path::Path| drop(Store::private(root))) as &dyn Fn(&std::path::Path)),
            ("b", &|root| drop(Store::new(root).put_bytes("u:x", b"x").unwrap())),
        ] {
            let root = dir.path().join(name);
            make(&root);
            assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700, "{name}");
        }
    }
}
