//! The JSON files of a folder and of those below it.

use std::fs;
use std::path::{Path, PathBuf};

use super::File;
use crate::failure::Failure;

/// Dumps have an ecosystem's folder, and in some of them a year's.
const MAX_DEPTH: usize = 8;

/// What is still to be read, the next one last.
pub(super) struct Folder(Vec<(usize, PathBuf)>);

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let mut folder = Self(Vec::new());
        folder.list(path, 0)?;
        Ok(folder)
    }

    fn list(&mut self, path: &Path, depth: usize) -> Result<(), Failure> {
        let failed = |e: std::io::Error| Failure::io("read the database in", path, &e);
        if depth > MAX_DEPTH {
            return Err(Failure::new(&format!("{} is nested too deep for a database", path.display()))
                .line("wanted", &format!("at most {MAX_DEPTH} folders within each other")));
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
    type Item = File;

    fn next(&mut self) -> Option<File> {
        loop {
            let (depth, path) = self.0.pop()?;
            // a link to a folder could lead in a circle, and is read as the file that it is not
            if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                if let Err(e) = self.list(&path, depth) {
                    return Some(Err(e));
                }
                continue;
            }
            return Some(super::one(&path));
        }
    }
}
