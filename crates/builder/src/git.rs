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
/// A fetch that takes longer has lost its way.
const TIMEOUT_SECONDS: &str = "600";

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
    // credentials in the URL would be published with the provenance
    let has_user = repository
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|authority| authority.contains('@')));
    if has_user {
        return Err(GitError::Name("a URL with a user in it".to_owned()));
    }
    for name in [repository, reference] {
        if name.is_empty() || name.starts_with('-') || name.contains(char::is_control) {
            return Err(GitError::Name(name.to_owned()));
        }
    }
    let git = Git { dir: work.join("git"), tree: work.join("src") };
    std::fs::create_dir_all(&git.tree).map_err(GitError::Start)?;
    git.run("make a repository", &["init", "--quiet", "--bare", &git.dir.to_string_lossy()])?;
    let (full, listed) = git.full_ref(repository, reference)?;
    let refspec = format!("{full}:refs/portcullis/source");
    git.run("fetch the ref", &["fetch", "--quiet", "--no-tags", "--", repository, &refspec])?;
    if git.line("object", &["rev-parse", "--verify", "refs/portcullis/source"])? != listed {
        return Err(GitError::Output("object that it lists for the ref; it moved, so build again"));
    }
    git.ignore_attributes()?;
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
    /// The files are checked out byte for byte: attributes in the repository could make the compiler see another text
    /// than reviewers and the tree's digest do.
    fn ignore_attributes(&self) -> Result<(), GitError> {
        let info = self.dir.join("info");
        let text = "* -text !eol -ident !filter !working-tree-encoding\n";
        std::fs::create_dir_all(&info)
            .and_then(|()| std::fs::write(info.join("attributes"), text))
            .map_err(GitError::Start)
    }

    /// git with no configuration but this: no hooks, no helpers that a repository could name, no prompt.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", TIMEOUT_SECONDS, "git"])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            // no ssh: it would fetch with this user's own identity; no other helper that happens to be installed
            .env("GIT_ALLOW_PROTOCOL", "file:https")
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

    /// The full name of a ref and the commit or tag object that the remote lists for it. Only an exact name counts:
    /// `git fetch` would guess, and take the branch `refs/tags/v9` for a tag.
    fn full_ref(&self, repository: &str, reference: &str) -> Result<(String, String), GitError> {
        let listed = self.run("list the refs", &["ls-remote", "--", repository])?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let pairs: Vec<(&str, &str)> = listed.lines().filter_map(|l| l.split_once('\t')).collect();
        let candidates = if reference.starts_with("refs/heads/") || reference.starts_with("refs/tags/") {
            vec![reference.to_owned()]
        } else {
            vec![format!("refs/heads/{reference}"), format!("refs/tags/{reference}")]
        };
        for full in candidates {
            if let Some((id, _)) = pairs.iter().find(|(_, name)| *name == full) {
                return Ok((full, (*id).to_owned()));
            }
        }
        let branches = pairs.iter().filter_map(|(_, name)| name.strip_prefix("refs/heads/")).take(10);
        let said =
            format!("no branch or tag `{reference}`; branches: {}", branches.collect::<Vec<_>>().join(", "));
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

    /// The latest commits with everybody who wrote them: author, committer and co-authors. Fields end with NUL, which
    /// no field can hold: anything else an author could write into a name of their own.
    fn history(&self, commit: &str) -> Result<Vec<Commit>, GitError> {
        let format =
            "--format=%H%x00%P%x00%ae%x00%ce%x00%(trailers:key=Co-authored-by,valueonly,separator=%x01)";
        let count = format!("--max-count={HISTORY}");
        let out = self.run("read the history", &["log", "-z", &count, format, commit])?;
        let out = String::from_utf8_lossy(&out).into_owned();
        let fields: Vec<&str> = out.strip_suffix('\0').unwrap_or(&out).split('\0').collect();
        let mut history = Vec::new();
        for entry in fields.chunks(5) {
            let [id, parents, author, committer, others] = entry else {
                return Err(GitError::Output("history"));
            };
            let mut people = vec![(*author).to_owned(), (*committer).to_owned()];
            people.extend(others.split('\u{1}').filter(|o| !o.trim().is_empty()).map(address));
            people.sort();
            people.dedup();
            let parents: Vec<String> = parents.split_whitespace().map(str::to_owned).collect();
            let is_id = |id: &str| Digest::from_hex(Algorithm::GitCommit, id).is_ok();
            let is_plain = |p: &String| !p.contains(char::is_control);
            if !is_id(id) || !parents.iter().all(|p| is_id(p)) || !people.iter().all(is_plain) {
                return Err(GitError::Output(
                    "history that can be read: an identity has control characters in it",
                ));
            }
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
