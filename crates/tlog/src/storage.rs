//! Where a log's files are kept.

use std::io;

/// A place for a log's files, named by relative paths such as `tile/0/000.p/5`.
///
/// The contract, which `Files` and the fault-injecting store of the tests both keep:
/// - `write` returns only when the bytes *and the name* survive a power cut. It replaces a file as a whole: a
///   reader sees the old bytes or the new ones.
/// - An error from `write` means that nothing is known: the bytes may be there, or not. The caller must not retry.
/// - One writer of a file at a time; any number of readers.
pub trait Storage {
    /// The bytes of a file; nothing where there is none.
    ///
    /// # Errors
    /// Any I/O error but "not found".
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// How long a file is; nothing where there is none.
    ///
    /// # Errors
    /// Any I/O error but "not found".
    fn length(&self, path: &str) -> io::Result<Option<usize>> {
        Ok(self.read(path)?.map(|bytes| bytes.len()))
    }

    /// A part of a file, shorter where the file ends; nothing where there is none.
    ///
    /// # Errors
    /// Any I/O error but "not found".
    fn read_at(&self, path: &str, position: usize, length: usize) -> io::Result<Option<Vec<u8>>> {
        let part = |bytes: Vec<u8>| bytes.into_iter().skip(position).take(length).collect();
        Ok(self.read(path)?.map(part))
    }

    /// Writes a file durably.
    ///
    /// # Errors
    /// Any I/O error; see the contract.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes many files, and returns when all of them are durable. After an error any of them may be there, each
    /// as a whole. A store that can share the cost of making them durable does better than this.
    ///
    /// # Errors
    /// Any I/O error; see the contract.
    fn write_many(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        files.iter().try_for_each(|(path, bytes)| self.write(path, bytes))
    }

    /// Makes a file of `length` zeros durably; one that is there and as long stays as it is.
    ///
    /// # Errors
    /// Any I/O error; see the contract.
    fn preallocate(&self, path: &str, length: usize) -> io::Result<()> {
        match self.read(path)? {
            Some(bytes) if bytes.len() >= length => Ok(()),
            _ => self.write(path, &vec![0; length]),
        }
    }

    /// Overwrites a part of a file that is there, or continues it, and returns when that is durable: the
    /// journal's and the packs' one write and one sync. Where it fails or the power is cut, any sectors of the new bytes may be there and any
    /// others not; what lies outside of them is untouched.
    ///
    /// # Errors
    /// Any I/O error; see the contract.
    fn write_at(&self, path: &str, position: usize, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.read(path)?.unwrap_or_default();
        let end = position.saturating_add(bytes.len());
        all.resize(all.len().max(end), 0);
        if let Some(part) = all.get_mut(position..end) {
            part.copy_from_slice(bytes);
        }
        self.write(path, &all)
    }

    /// Removes a file that nobody needs any more. Need not be durable.
    ///
    /// # Errors
    /// Any I/O error.
    fn remove(&self, path: &str) -> io::Result<()>;
}

impl<S: Storage> Storage for &S {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        (**self).read(path)
    }

    fn length(&self, path: &str) -> io::Result<Option<usize>> {
        (**self).length(path)
    }

    fn read_at(&self, path: &str, position: usize, length: usize) -> io::Result<Option<Vec<u8>>> {
        (**self).read_at(path, position, length)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        (**self).write(path, bytes)
    }

    fn write_many(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        (**self).write_many(files)
    }

    fn preallocate(&self, path: &str, length: usize) -> io::Result<()> {
        (**self).preallocate(path, length)
    }

    fn write_at(&self, path: &str, position: usize, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(path, position, bytes)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        (**self).remove(path)
    }
}
