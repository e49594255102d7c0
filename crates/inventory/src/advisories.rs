//! An offline OSV dump, one record after the other: only what speaks of a wanted package stays in memory.

mod archive;
mod error;
mod fingerprint;
mod folder;

use std::fs::{self, File as DiskFile};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use advisory::{Database, Record, Unread, Wanted};
use jiff::Timestamp;

pub use error::DumpError;
pub use fingerprint::fingerprint;

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many records.
    pub records: usize,
    /// When the newest of them was changed.
    pub newest: Option<Timestamp>,
}

/// One file's bytes with its name, or why there are none.
type File = Result<(String, Vec<u8>), DumpError>;

/// Reads every record of every dump, a folder of JSON, an archive or one record each, and keeps those about wanted packages.
///
/// # Errors
/// [`DumpError`] where any part of it cannot be read: half a database would hide advisories.
pub fn load(paths: &[PathBuf], wanted: &Wanted) -> Result<(Database, Tally), DumpError> {
    let mut tally = Tally::default();
    let mut failure = None;
    let files =
        paths.iter().flat_map(|path| open(path).unwrap_or_else(|e| Box::new(std::iter::once(Err(e)))));
    let records = files.map_while(|file| file.map_err(|e| failure = Some(e)).ok());
    let records = records.filter_map(|(name, bytes)| keep(&name, &bytes, wanted, &mut tally));
    let loaded = Database::load(records);
    if let Some(failure) = failure {
        return Err(failure);
    }
    let database = loaded.map_err(DumpError::TooLarge)?;
    if tally.records == 0 && database.unread().is_empty() {
        return Err(DumpError::Empty);
    }
    Ok((database, tally))
}

fn keep(name: &str, bytes: &[u8], wanted: &Wanted, tally: &mut Tally) -> Option<Result<Record, Box<Unread>>> {
    tally.records += 1;
    match Record::parse(bytes) {
        Ok(record) => {
            tally.newest = tally.newest.max(Some(record.modified));
            wanted.holds(&record).then_some(Ok(record))
        }
        Err(mut unread) => {
            unread.id.get_or_insert_with(|| name.to_owned());
            Some(Err(unread))
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn Iterator<Item = File>>, DumpError> {
    let metadata = fs::metadata(path).map_err(|e| DumpError::Io("database in", path.to_owned(), e))?;
    if metadata.is_dir() {
        return Ok(Box::new(folder::Folder::open(path)?.map(|path| one(&path?))));
    }
    if path.extension().is_some_and(|end| end == "zip") {
        return Ok(Box::new(archive::Archive::open(path)?));
    }
    Ok(Box::new(std::iter::once(one(path))))
}

/// One record in a file of its own.
fn one(path: &Path) -> File {
    let failed = |e| DumpError::Io("advisory", path.to_owned(), e);
    let limit = u64::try_from(Record::MAX_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // one byte more than allowed is enough to know
    let file = DiskFile::open(path).map_err(failed)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > Record::MAX_BYTES {
        return Err(DumpError::TooLong(path.to_owned()));
    }
    Ok((path.display().to_string(), bytes))
}
