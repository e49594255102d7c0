//! Files as they were at a commit of the repository in which they lie.

use std::path::{Path, PathBuf};

use policy::SourceFile;

use crate::failure::Failure;
use crate::git::{Git, unreadable};
use crate::input;

/// A file in git's listing of a commit.
struct Listed {
    is_file: bool,
    object: String,
    size: u64,
    path: String,
}

/// The policy files that a book's folder had at a commit, branch or tag, named as the folder's own are now.
pub(crate) fn book_files_at(folder: &Path, reference: &str) -> Result<Vec<SourceFile>, Failure> {
    let git = super::git(folder);
    let real = folder.canonicalize().map_err(|e| Failure::io("read the book", folder, &e))?;
    let name = real.file_name().map_or_else(|| "book".to_owned(), |n| n.to_string_lossy().into_owned());
    let mut files = Vec::new();
    for listed in list(&git, reference, ".")? {
        if listed.path.split('/').any(|part| part.starts_with('.')) || !chokepoint::is_policy(&listed.path) {
            continue;
        }
        let text = text(&git, reference, &listed)?;
        files.push(SourceFile { name: format!("{name}/{}", listed.path), text });
    }
    if files.is_empty() {
        return Err(Failure::new(&format!("{} had no policies at {reference}", folder.display()))
            .line("wanted", "at least one file that ends in .yaml")
            .line(
                "fix",
                "name another commit; or, where the folder had another name, check it out and name it as OLD",
            ));
    }
    Ok(files)
}

/// The text of a file at a commit, branch or tag; nothing where it was not there.
pub(crate) fn file_at(path: &Path, reference: &str) -> Result<Option<String>, Failure> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(PathBuf::from).unwrap_or_default().display().to_string();
    let git = super::git(folder);
    let listed = list(&git, reference, &name)?.into_iter().find(|listed| listed.path == name);
    listed.map(|listed| text(&git, reference, &listed)).transpose()
}

fn list(git: &Git, reference: &str, path: &str) -> Result<Vec<Listed>, Failure> {
    let commit = format!("{reference}^{{commit}}");
    let commit = git.line("find the commit", &["rev-parse", "--verify", "--end-of-options", &commit]);
    let commit = commit.map_err(|e| {
        e.line("wanted", &policy::one_line(reference))
            .line("fix", "name a commit, branch or tag that is here; CI systems often fetch one commit alone")
    })?;
    let args = ["--literal-pathspecs", "ls-tree", "-r", "-z", "--long", &commit, "--", path];
    let out = git.text("list the files of the commit", &args)?;
    let entries = out.split('\0').filter(|entry| !entry.is_empty());
    entries.map(|entry| read_listed(entry).ok_or_else(|| unreadable("a list of files", &out))).collect()
}

/// `MODE TYPE OBJECT SIZE<tab>PATH`; whatever has no bytes of its own has no size.
fn read_listed(entry: &str) -> Option<Listed> {
    let (about, path) = entry.split_once('\t')?;
    let mut about = about.split_whitespace();
    let (mode, _kind, object, size) = (about.next()?, about.next()?, about.next()?, about.next()?);
    Some(Listed {
        is_file: mode.starts_with("100"),
        object: object.to_owned(),
        size: size.parse().unwrap_or(0),
        path: path.to_owned(),
    })
}

fn text(git: &Git, reference: &str, listed: &Listed) -> Result<String, Failure> {
    let name = policy::one_line(&listed.path);
    if !listed.is_file {
        return Err(Failure::new(&format!("{name} was no file at {reference}"))
            .line("found", "a link or another repository, which may have meant anything")
            .line("fix", "check the commit out, and name its folder as OLD"));
    }
    if listed.size > input::MAX_TEXT {
        return Err(Failure::new(&format!("{name} was too large at {reference}"))
            .line("wanted", &format!("at most {} bytes", input::MAX_TEXT)));
    }
    let read = git.text("read a file of the commit", &["cat-file", "blob", &listed.object]);
    read.map_err(|e| {
        e.line("place", &format!("{name} at {reference}")).line("fix", "name a commit where it is text")
    })
}
