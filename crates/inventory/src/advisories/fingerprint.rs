//! Whether a dump is still the one that was read: without reading it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use attest::DigestSet;
use attest::digest::Hasher;

use super::{DumpError, folder};

/// Stands for the names of a dump's files, their sizes and when each was changed last. That is the kernel's time of change
/// and not the file's own: an archive that is unpacked sets its files' times to whatever it says.
///
/// # Errors
/// [`DumpError`] where they cannot be listed.
pub fn fingerprint(paths: &[PathBuf]) -> Result<DigestSet, DumpError> {
    let mut hasher = Hasher::new(&[]);
    for path in paths {
        let metadata = fs::metadata(path).map_err(|e| DumpError::Io("database in", path.clone(), e))?;
        if !metadata.is_dir() {
            add(&mut hasher, path)?;
            continue;
        }
        for file in folder::Folder::open(path)? {
            add(&mut hasher, &file?)?;
        }
    }
    Ok(hasher.finish())
}

fn add(hasher: &mut Hasher, path: &Path) -> Result<(), DumpError> {
    let metadata = fs::metadata(path).map_err(|e| DumpError::Io("advisory", path.to_owned(), e))?;
    let name = path.as_os_str().as_encoded_bytes();
    let numbers = [metadata.ino(), metadata.size(), metadata.ctime().unsigned_abs()];
    hasher.update(&u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes());
    hasher.update(name);
    numbers.iter().for_each(|number| hasher.update(&number.to_be_bytes()));
    hasher.update(&metadata.ctime_nsec().to_be_bytes());
    Ok(())
}
