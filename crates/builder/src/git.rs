//! The source, fetched by the orchestrator itself: a ref is resolved here, and never taken from the requester.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attest::provenance::{Commit, Source};
use attest::{Algorithm, Digest};
use jiff::Timestamp;

/// How far back the history in provenance goes.
const HISTORY: usize = 64;

/// A commit, checked out.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// Where it came from, which commit it is, and who wrote the latest commits.
    pub source: Source,
    /// Its files.
    pub tree: PathBuf,
    /// When it was committed, in seconds since 1970: the build's fixed time.
    pub epoch: i64,
}

/// Why a commit cannot be had.
#[derive(Debug)]
pub enum GitError {
    /// The repository or ref is not one that may be passed to git.
    Name(String),
    /// git cannot be started.
    Start(io::Error),
    /// git failed; the field is what it said.
    Failed {
        /// What it was to do.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// git gave something else than expected.
    Output(&'static str),
    /// The commit has submodules, which are not fetched.
    Submodule(String),
}

impl fmt::Display for GitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}` cannot be the name of a repository or ref"),
            Self::Start(e) => write!(f, "git cannot be started: {e}"),
            Self::Failed { what, said } => write!(f, "git could not {what}: {said}"),
            Self::Output(what) => write!(f, "git gave no {what}"),
            Self::Submodule(path) => {
                write!(f, "the commit has a submodule at {path}, which is not fetched; vendor it")
            }
        }
    }
}
impl std::error::Error for GitError {}

/// Fetches a ref of a repository into `work` and checks its commit out.
///
/// # Errors
/// [`GitError`].
pub(crate) fn fetch(repository: &str, reference: &str, work: &Path) -> Result<Checkout, GitError> {
    for name in [repository, reference] {
        if name.is_empty() || name.starts_with('-') || name.contains(char::is_control) {
            return Err(GitError::Name(name.to_owned()));
        }
    }
    let git = Git { dir: work.join("git"), tree: work.join("src") };
    std::fs::create_dir_all(&git.tree).map_err(GitError::Start)?;
    git.run("make a repository", &["init", "--quiet", "--bare", &git.dir.to_string_lossy()])?;
    let full = git.full_ref(repository, reference)?;
    let refspec = format!("{full}:refs/portcullis/source");
    git.run("fetch the ref", &["fetch", "--quiet", "--no-tags", "--", repository, &refspec])?;
    let commit = git.line("commit", &["rev-parse", "--verify", "refs/portcullis/source^{commit}"])?;
    let tree = git.line("tree", &["rev-parse", "--verify", &format!("{commit}^{{tree}}")])?;
    let epoch: i64 = git
        .line("time", &["show", "-s", "--format=%ct", &commit])?
        .parse()
        .or(Err(GitError::Output("time")))?;
    git.refuse_submodules(&commit)?;
    git.run("read the tree", &["read-tree", &commit])?;
    git.run("check the files out", &["checkout-index", "--all", "--force"])?;
    let digest = |algorithm, id: &str| Digest::from_hex(algorithm, id).or(Err(GitError::Output("object id")));
    let digests = [digest(Algorithm::GitCommit, &commit)?, digest(Algorithm::GitTree, &tree)?];
    let source = Source {
        repository: repository.to_owned(),
        reference: Some(full),
        digests: digests.into_iter().collect(),
        committed: Timestamp::from_second(epoch).ok(),
        history: git.history(&commit)?,
    };
    Ok(Checkout { source, tree: git.tree, epoch })
}

struct Git {
    dir: PathBuf,
    tree: PathBuf,
}

impl Git {
    /// git with no configuration but this: no hooks, no helpers that a repository could name, no prompt.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "protocol.ext.allow=never",
                "-c",
                "core.bare=false",
            ])
            .args(["-c", "core.autocrlf=false", "-c", "fetch.fsckObjects=true", "-c", "safe.directory=*"])
            .args(args)
            .stdin(Stdio::null());
        // `git init` takes its folder as an argument and refuses a work tree
        if args.first() != Some(&"init") {
            command.env("GIT_DIR", &self.dir).env("GIT_WORK_TREE", &self.tree);
        }
        command
    }

    fn run(&self, what: &'static str, args: &[&str]) -> Result<Vec<u8>, GitError> {
        let output = self.command(args).output().map_err(GitError::Start)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
        Err(GitError::Failed { what, said })
    }

    fn line(&self, what: &'static str, args: &[&str]) -> Result<String, GitError> {
        let out = String::from_utf8(self.run(what, args)?).or(Err(GitError::Output(what)))?;
        let line = out.trim();
        if line.is_empty() || line.contains('\n') { Err(GitError::Output(what)) } else { Ok(line.to_owned()) }
    }

    /// The full name of a ref at the remote: as given, else the branch, else the tag. A commit id stays one.
    fn full_ref(&self, repository: &str, reference: &str) -> Result<String, GitError> {
        if reference.starts_with("refs/") {
            return Ok(reference.to_owned());
        }
        let listed = self.run("list the refs", &["ls-remote", "--", repository])?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let has = |full: &str| listed.lines().any(|l| l.split('\t').nth(1) == Some(full));
        for full in [format!("refs/heads/{reference}"), format!("refs/tags/{reference}")] {
            if has(&full) {
                return Ok(full);
            }
        }
        let is_id = reference.len() >= 40 && reference.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id {
            return Ok(reference.to_owned());
        }
        let branches =
            listed.lines().filter_map(|l| l.split("\trefs/heads/").nth(1)).take(10).collect::<Vec<_>>();
        let said = format!("no branch or tag `{reference}`; branches: {}", branches.join(", "));
        Err(GitError::Failed { what: "find the ref", said })
    }

    fn refuse_submodules(&self, commit: &str) -> Result<(), GitError> {
        let listing = self.run("list the files", &["ls-tree", "-r", "-z", commit])?;
        let mut entries = listing.split(|b| *b == 0);
        if let Some(entry) = entries.find(|e| e.starts_with(b"160000 ")) {
            let path = entry.split(|b| *b == b'\t').nth(1).unwrap_or_default();
            return Err(GitError::Submodule(String::from_utf8_lossy(path).into_owned()));
        }
        Ok(())
    }

    /// The latest commits with everybody who wrote them: author, committer and co-authors.
    fn history(&self, commit: &str) -> Result<Vec<Commit>, GitError> {
        let format =
            "--format=%H%x1f%P%x1f%ae%x1f%ce%x1f%(trailers:key=Co-authored-by,valueonly,separator=%x1d)%x1e";
        let count = format!("--max-count={HISTORY}");
        let out = self.run("read the history", &["log", &count, format, commit])?;
        let out = String::from_utf8_lossy(&out).into_owned();
        let mut history = Vec::new();
        for entry in out.split('\u{1e}').map(str::trim).filter(|e| !e.is_empty()) {
            let fields: Vec<&str> = entry.split('\u{1f}').collect();
            let [id, parents, author, committer, others] = fields.as_slice() else {
                return Err(GitError::Output("history"));
            };
            let mut people = vec![(*author).to_owned(), (*committer).to_owned()];
            people.extend(others.split('\u{1d}').filter(|o| !o.trim().is_empty()).map(address));
            people.sort();
            people.dedup();
            let parents = parents.split_whitespace().map(str::to_owned).collect();
            history.push(Commit { id: (*id).to_owned(), parents, people });
        }
        Ok(history)
    }
}

/// The address in `Name <address>`, or the whole text.
fn address(text: &str) -> String {
    let inner = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address);
    inner.unwrap_or(text).trim().to_owned()
}
