//! OSV's `all.zip`: bounded in count, size and ratio before and while it is unpacked.

use std::fs::File as DiskFile;
use std::io::{BufReader, Read as _};
use std::path::Path;

use advisory::Record;
use zip::ZipArchive;

use super::{DumpError, File};

/// All of OSV is some hundred thousand records.
const MAX_ENTRIES: usize = 2_000_000;
/// All of OSV is some gigabytes.
const MAX_TOTAL: u64 = 32 << 30;
/// JSON packs to a tenth, and repeated lists of versions to a hundredth.
const MAX_RATIO: u64 = 1_000;
/// Below this, a ratio says nothing.
const SMALL: u64 = 1 << 20;

/// An archive that is read entry by entry.
pub(super) struct Archive {
    name: String,
    archive: ZipArchive<BufReader<DiskFile>>,
    next: usize,
    total: u64,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, DumpError> {
        let name = path.display().to_string();
        let file = DiskFile::open(path).map_err(|e| DumpError::Io("database", path.to_owned(), e))?;
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|e| broken(&name, &e.to_string()))?;
        if archive.len() > MAX_ENTRIES {
            return Err(broken(&name, &format!("more than {MAX_ENTRIES} files")));
        }
        Ok(Self { name, archive, next: 0, total: 0 })
    }

    /// One entry; nothing for what is no record.
    fn read(&mut self, index: usize) -> Result<Option<(String, Vec<u8>)>, DumpError> {
        let limit = u64::try_from(Record::MAX_BYTES).unwrap_or(u64::MAX);
        let name = &self.name;
        let entry = self.archive.by_index(index).map_err(|e| broken(name, &e.to_string()))?;
        let inner = entry.name().map_err(|e| broken(name, &e.to_string()))?.into_owned();
        if !entry.is_file() || !inner.ends_with(".json") {
            return Ok(None);
        }
        let file = format!("{name}, {}", policy::one_line(&inner));
        let most = entry.compressed_size().saturating_mul(MAX_RATIO).max(SMALL).min(limit);
        let mut bytes = Vec::new();
        // what the archive says of sizes is not believed: one byte more than allowed is enough to know
        entry
            .take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|e| broken(&file, &e.to_string()))?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.total = self.total.saturating_add(length);
        if length > most || self.total > MAX_TOTAL {
            return Err(broken(&file, "it unpacks to more than a dump of OSV does"));
        }
        Ok(Some((file, bytes)))
    }
}

impl Iterator for Archive {
    type Item = File;

    fn next(&mut self) -> Option<File> {
        while self.next < self.archive.len() {
            let index = self.next;
            self.next = self.next.saturating_add(1);
            if let Some(read) = self.read(index).transpose() {
                return Some(read);
            }
        }
        None
    }
}

fn broken(name: &str, why: &str) -> DumpError {
    DumpError::Broken { file: name.to_owned(), why: why.to_owned() }
}
