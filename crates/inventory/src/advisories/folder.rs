//! The JSON files of a folder and of those below it.

use std::fs;
use std::path::{Path, PathBuf};

use super::DumpError;

/// Dumps have an ecosystem's folder, and in some of them a year's.
pub(super) const MAX_DEPTH: usize = 8;

/// What is still to be read, the next one last.
pub(super) struct Folder(Vec<(usize, PathBuf)>);

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, DumpError> {
        let mut folder = Self(Vec::new());
        folder.list(path, 0)?;
        Ok(folder)
    }

    fn list(&mut self, path: &Path, depth: usize) -> Result<(), DumpError> {
        let failed = |e: std::io::Error| DumpError::Io("database in", path.to_owned(), e);
        if depth > MAX_DEPTH {
            return Err(DumpError::Nested(path.to_owned()));
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            let path = entry.path();
            if is_folder || path.extension().is_some_and(|end| end == "json") {
                paths.push((depth.saturating_add(1), path));
            }
        }
        paths.sort();
        self.0.extend(paths.into_iter().rev());
        Ok(())
    }
}

impl Iterator for Folder {
    type Item = Result<PathBuf, DumpError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (depth, path) = self.0.pop()?;
            // a link to a folder could lead in a circle, and is read as the file that it is not
            if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                if let Err(e) = self.list(&path, depth) {
                    return Some(Err(e));
                }
                continue;
            }
            return Some(Ok(path));
        }
    }
}
