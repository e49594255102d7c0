//! What git knows of a work tree: where it came from, which commit it is, and whether it is still that commit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attest::provenance::{Commit, Source};
use attest::{Algorithm, Digest};
use jiff::Timestamp;

use crate::failure::Failure;
use crate::git::{Git, unreadable};

mod revision;

pub(crate) use revision::{book_files_at, file_at};

/// How far back the history goes, as in builds of our own.
const HISTORY: &str = "--max-count=64";

/// Longer than git takes to compare a large work tree with its commit.
const WITHIN: Duration = Duration::from_secs(600);

/// A work tree, read.
#[derive(Debug)]
pub(crate) struct WorkTree {
    /// The source.
    pub(crate) source: Source,
    /// The files that are not as in the commit.
    pub(crate) changed: Vec<String>,
}

impl WorkTree {
    /// Reads the work tree in `dir`. What is given of repository and ref is taken as it is; `ours` are files that the
    /// caller made and attests, and no change of the source.
    pub(crate) fn read(
        dir: &Path,
        repository: Option<&str>,
        reference: Option<&str>,
        ours: &[&Path],
    ) -> Result<Self, Failure> {
        let git = git(dir);
        let top = PathBuf::from(git.line("find the work tree", &["rev-parse", "--show-toplevel"])?);
        let commit = git.line("find the commit", &["rev-parse", "--verify", "HEAD^{commit}"])?;
        let tree = git.line("find the tree", &["rev-parse", "--verify", "HEAD^{tree}"])?;
        let seconds = git.line("read the commit", &["show", "-s", "--format=%ct", "HEAD"])?;
        let reference = match reference {
            Some(reference) => reference.to_owned(),
            None => git.line("find the ref", &["symbolic-ref", "--quiet", "HEAD"]).map_err(|e| {
                e.line(
                    "fix",
                    "the work tree is on no branch, as CI systems leave it: give --ref refs/heads/NAME",
                )
            })?,
        };
        let digests = [(Algorithm::GitCommit, &commit), (Algorithm::GitTree, &tree)];
        let digests = digests.into_iter().map(|(algorithm, hex)| {
            Digest::from_hex(algorithm, hex).map_err(|e| unreadable("an object id", &e.to_string()))
        });
        let source = Source {
            repository: repository.map_or_else(|| origin(&git), |given| Ok(given.to_owned()))?,
            reference: Some(reference),
            digests: digests.collect::<Result<_, _>>()?,
            committed: seconds.parse().ok().and_then(|s| Timestamp::from_second(s).ok()),
            history: history(&git)?,
            tagged_branch: None,
            kept_until: None,
        };
        Ok(Self { source, changed: changed(&git, &top, ours)? })
    }
}

fn git(dir: &Path) -> Git {
    Git::of_work_tree(dir, Instant::now() + WITHIN)
}

/// Where the work tree came from. CI systems put their tokens into the URL: who may fetch is nobody's business.
fn origin(git: &Git) -> Result<String, Failure> {
    let fix = "say where the source came from, as policies name it: --repository URL";
    let url = git.line("find where it came from", &["config", "--get", "remote.origin.url"]);
    let url = url.map_err(|e| e.line("fix", fix))?;
    let http = ["https://", "http://"].into_iter().find(|scheme| url.starts_with(scheme));
    let rest = http.and_then(|scheme| url.strip_prefix(scheme));
    let Some((scheme, rest)) = http.zip(rest) else { return Ok(url) };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Ok(format!("{scheme}{host}/{path}"))
}

/// Every file that is not as in the commit, and every one beside it that is not ignored.
fn changed(git: &Git, top: &Path, ours: &[&Path]) -> Result<Vec<String>, Failure> {
    let ours: Vec<PathBuf> = ours.iter().filter_map(|path| real(path)).collect();
    let args = [
        "status",
        "--porcelain=v1",
        "-z",
        "--untracked-files=all",
        "--no-renames",
        "--ignore-submodules=none",
    ];
    let listed = git.text("compare the files with the commit", &args)?;
    let paths = listed.split('\0').filter_map(|entry| entry.get(3..)).filter(|path| !path.is_empty());
    let others = paths.filter(|path| !real(&top.join(path)).is_some_and(|real| ours.contains(&real)));
    Ok(others.map(policy::one_line).collect())
}

/// The latest commits with everybody who wrote them. Fields end with NUL, which no field can hold. A shallow clone
/// shows its oldest commit as one without parents: nothing older would seem to need a review, so it tells nothing.
fn history(git: &Git) -> Result<Vec<Commit>, Failure> {
    if git.line("tell how deep the clone is", &["rev-parse", "--is-shallow-repository"])? != "false" {
        return Ok(Vec::new());
    }
    let format = "--format=%H%x00%P%x00%ae%x00%ce%x00%(trailers:key=Co-authored-by,valueonly,separator=%x01)";
    let out = git.text("read the history", &["log", "-z", HISTORY, format, "HEAD"])?;
    let fields: Vec<&str> = out.strip_suffix('\0').unwrap_or(&out).split('\0').collect();
    fields
        .chunks(5)
        .map(|fields| read_commit(fields).ok_or_else(|| unreadable("the history", &out)))
        .collect()
}

fn read_commit(fields: &[&str]) -> Option<Commit> {
    let [id, parents, author, committer, others] = fields else { return None };
    let mut people = vec![(*author).to_owned(), (*committer).to_owned()];
    people.extend(others.split('\u{1}').filter(|other| !other.trim().is_empty()).map(address));
    people.sort();
    people.dedup();
    let parents: Vec<String> = parents.split_whitespace().map(str::to_owned).collect();
    let is_id = |id: &str| Digest::from_hex(Algorithm::GitCommit, id).is_ok();
    let is_plain = |person: &String| !person.contains(char::is_control);
    let is_commit = is_id(id) && parents.iter().all(|p| is_id(p)) && people.iter().all(is_plain);
    is_commit.then(|| Commit { id: (*id).to_owned(), parents, people })
}

/// The address in `Name <address>`, or the whole text.
fn address(text: &str) -> String {
    let inner = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address);
    inner.unwrap_or(text).trim().to_owned()
}

/// The one name of a file that may not be there yet.
fn real(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(parent.canonicalize().ok()?.join(name))
}
