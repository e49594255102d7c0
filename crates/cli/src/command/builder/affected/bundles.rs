//! Bundles in files and folders, one after the other: only one is in memory at a time.

use std::fs;
use std::path::{Path, PathBuf};

use super::Found;
use crate::failure::Failure;
use crate::input;

/// What the name of a bundle ends with.
const SUFFIX: &str = ".sigstore.json";
/// The record of a build that failed is about no artifact.
const FAILED: &str = ".failed.sigstore.json";
/// Folders nested deeper hold no bundles of ours.
const MAX_DEPTH: usize = 16;

/// Hands over every bundle of a file or folder, in the order of names. What cannot be read is handed over too.
pub(super) fn each(
    path: &Path,
    mut judge: impl FnMut(Found<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let metadata = fs::metadata(path).map_err(|e| Failure::io("read the bundles in", path, &e))?;
    if metadata.is_dir() { folder(path, 0, &mut judge) } else { one(path, &mut judge) }
}

fn one(path: &Path, judge: &mut impl FnMut(Found<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
    judge((path, input::bundle(path).map_err(|e| e.reason())))
}

fn folder(
    dir: &Path,
    depth: usize,
    judge: &mut impl FnMut(Found<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if depth > MAX_DEPTH {
        return judge((dir, Err(format!("folders nested deeper than {MAX_DEPTH} are not searched"))));
    }
    let listed = fs::read_dir(dir).and_then(|entries| {
        entries.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<Vec<PathBuf>>>()
    });
    let mut paths = match listed {
        Ok(paths) => paths,
        Err(e) => return judge((dir, Err(e.to_string()))),
    };
    paths.sort();
    for path in paths {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let name = path.to_string_lossy();
        let is_bundle = name.ends_with(SUFFIX) && !name.ends_with(FAILED);
        if metadata.is_dir() {
            folder(&path, depth + 1, judge)?;
        } else if metadata.is_symlink() && path.is_dir() {
            // a link could lead in a circle, or to other people's files
            judge((&path, Err("a link to a folder, which is not followed".to_owned())))?;
        } else if is_bundle {
            one(&path, judge)?;
        }
    }
    Ok(())
}
