//! An offline OSV dump, one record after the other: only what speaks of a wanted package stays in memory.

mod archive;
mod folder;

use std::fs;
use std::path::{Path, PathBuf};

use advisory::{Database, Record, Unread, Wanted};
use jiff::Timestamp;

use crate::failure::Failure;
use crate::input;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How many records.
    pub(super) records: usize,
    /// When the newest of them was changed.
    pub(super) newest: Option<Timestamp>,
}

/// One file's bytes with its name, or why there are none.
type File = Result<(String, Vec<u8>), Failure>;

/// Reads every record of every dump, and keeps those about wanted packages.
pub(super) fn load(paths: &[PathBuf], wanted: &Wanted) -> Result<(Database, Tally), Failure> {
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
    let database = loaded.map_err(|e| {
        Failure::new("the database is too large")
            .line("found", &e.to_string())
            .line("fix", "name the ecosystems that are used, one all.zip each")
    })?;
    if tally.records == 0 && database.unread().is_empty() {
        return Err(Failure::new("the database has no advisories")
            .line("wanted", "OSV records: *.json in a folder, or an ecosystem's all.zip")
            .line("fix", "download https://osv-vulnerabilities.storage.googleapis.com/ECOSYSTEM/all.zip"));
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

fn open(path: &Path) -> Result<Box<dyn Iterator<Item = File>>, Failure> {
    let metadata = fs::metadata(path).map_err(|e| Failure::io("read the database in", path, &e))?;
    if metadata.is_dir() {
        return Ok(Box::new(folder::Folder::open(path)?));
    }
    if path.extension().is_some_and(|end| end == "zip") {
        return Ok(Box::new(archive::Archive::open(path)?));
    }
    Ok(Box::new(std::iter::once(one(path))))
}

/// One record in a file of its own.
fn one(path: &Path) -> File {
    let limit = u64::try_from(Record::MAX_BYTES).unwrap_or(u64::MAX);
    Ok((path.display().to_string(), input::read("advisory", path, limit)?))
}
