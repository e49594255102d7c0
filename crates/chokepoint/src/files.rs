//! The reviewed files on this machine, bounded: a book's folder, and single texts. The same for whoever serves a book, checks
//! it, or judges by it on a node, since the files' names are in its digest.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use policy::SourceFile;

/// Files that people write are pages, not volumes.
const MAX_TEXT: u64 = 4 << 20;
const MAX_FILES: usize = 4096;
const MAX_DEPTH: usize = 8;

/// The policy files of a book's folder, named as the command line names them: the names are in the book's digest.
///
/// # Errors
/// Which cannot be read, and why.
pub fn book_files(folder: &Path) -> Result<Vec<SourceFile>, String> {
    let failed = |e: io::Error| format!("the book {} cannot be read: {e}", folder.display());
    // the folder behind a link may be swapped for another as a whole: all files come from one of them
    let real = folder.canonicalize().map_err(failed)?;
    let name = real.file_name().map_or_else(|| "book".to_owned(), |n| n.to_string_lossy().into_owned());
    let mut files = Vec::new();
    for path in policy_paths(&real).map_err(failed)? {
        let below = path.strip_prefix(&real).unwrap_or(&path).display().to_string();
        files.push(SourceFile { name: format!("{name}/{below}"), text: reviewed_text(&path)? });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The files that are a book's policies: the same for whoever serves a book and whoever checks it, since their names are in
/// its digest. Tests are no policies.
///
/// # Errors
/// A folder that cannot be read, or holds more than a book does.
pub fn policy_paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    collect(folder, &mut paths, 0)?;
    Ok(paths)
}

/// Whether a file of this name is a policy.
#[must_use]
pub fn is_policy(name: &str) -> bool {
    (name.ends_with(".yaml") || name.ends_with(".yml")) && !name.ends_with(".test.yaml")
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>, depth: usize) -> io::Result<()> {
    if depth > MAX_DEPTH || paths.len() > MAX_FILES {
        return Err(io::Error::other("it is deeper than 8 folders, or has more than 4096 files"));
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, paths, depth + 1)?;
        } else if is_policy(&name) {
            paths.push(path);
        }
    }
    Ok(())
}

/// The text of a reviewed file.
///
/// # Errors
/// That it cannot be read, is too large, or is no text.
pub fn reviewed_text(path: &Path) -> Result<String, String> {
    let failed = |e: &io::Error| format!("{} cannot be read: {e}", path.display());
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|e| failed(&e))?;
    file.take(MAX_TEXT + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_TEXT) {
        return Err(format!("{} is too large: at most {MAX_TEXT} bytes", path.display()));
    }
    String::from_utf8(bytes).map_err(|_| format!("{} is no text", path.display()))
}
