//! Where a log's files are kept.

use std::io;

/// A place for a log's files, named by relative paths such as `tile/0/000.p/5`.
///
/// The contract, which `Files` and the fault-injecting store of the tests both keep:
/// - `write` returns only when the bytes *and the name* survive a power cut. It replaces a file as a whole: a
///   reader sees the old bytes or the new ones.
/// - An error from `write` means that nothing is known: the bytes may be there, or not. The caller must not retry.
/// - One writer at a time; any number of readers.
pub trait Storage {
    /// The bytes of a file; nothing where there is none.
    ///
    /// # Errors
    /// Any I/O error but "not found".
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// Writes a file durably.
    ///
    /// # Errors
    /// Any I/O error; see the contract.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file that nobody needs any more. Need not be durable.
    ///
    /// # Errors
    /// Any I/O error.
    fn remove(&self, path: &str) -> io::Result<()>;
}
