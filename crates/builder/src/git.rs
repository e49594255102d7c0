//! The source, fetched by the orchestrator itself: a ref is resolved here, and never taken from the requester.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use attest::Digest;
use attest::provenance::Source;

mod repository;

use repository::{Git, Listed, MAX_BYTES, MAX_FILES, SNAPSHOTS};

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
    /// The commit is not part of a branch that it must be part of.
    NotProtected {
        /// The commit.
        commit: String,
        /// The branches.
        branches: String,
    },
    /// The commit has submodules, which are not fetched.
    Submodule(String),
    /// The commit is too large to be checked out.
    TooLarge,
}

impl fmt::Display for GitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}` cannot be the name of a repository or ref"),
            Self::Start(e) => write!(f, "git cannot be started: {e}"),
            Self::Failed { what, said } => write!(f, "git could not {what}: {said}"),
            Self::Output(what) => write!(f, "git gave no {what}"),
            Self::NotProtected { commit, branches } => write!(
                f,
                "the commit {commit} is not part of {branches}; merge it there after review, and build it then"
            ),
            Self::Submodule(path) => {
                write!(f, "the commit has a submodule at {path}, which is not fetched; vendor it")
            }
            Self::TooLarge => {
                write!(
                    f,
                    "the commit has more than {MAX_FILES} files, or more than {} GiB in them",
                    MAX_BYTES >> 30
                )
            }
        }
    }
}
impl std::error::Error for GitError {}

/// Where commits are kept: one bare repository for each repository, in which every commit that was built has a ref of
/// its own, so that a snapshot outlives what its forge does to it.
#[derive(Clone, Debug)]
pub(crate) struct Sources<'a> {
    /// The store's folder for them.
    pub(crate) folder: PathBuf,
    /// The branches of which a commit must be part; any commit of any ref without.
    pub(crate) protected: &'a [String],
}

/// What a ref stood for when it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    git: Git,
    source: Source,
    epoch: i64,
}

impl Sources<'_> {
    /// Resolves a ref, and has its commit in a snapshot.
    pub(crate) fn resolve(&self, repository: &str, reference: &str) -> Result<Resolved, GitError> {
        check_name(repository)?;
        check_name(reference)?;
        let (git, _lock) = self.open(repository)?;
        let listed = git.list(repository)?;
        let (full, id) = listed.full_ref(reference)?;
        if !git.has_snapshot(&id) {
            git.fetch(repository, &full, &id)?;
        }
        let commit = git.line("commit", &["rev-parse", "--verify", &format!("{id}^{{commit}}")])?;
        self.check_protected(&git, &listed, repository, &commit)?;
        git.keep(&commit, &full)?;
        git.read(repository, Some(full), &commit)
    }

    /// The snapshot of a commit, for building it again: from the store, else from the ref at which it was found.
    pub(crate) fn again(&self, source: &Source) -> Result<Resolved, GitError> {
        check_name(&source.repository)?;
        let commit = source.commit().ok_or(GitError::Output("commit in the provenance"))?.hex();
        let (git, _lock) = self.open(&source.repository)?;
        let reference = source.reference.as_deref().ok_or(GitError::Output("ref in the provenance"))?;
        check_name(reference)?;
        // what somebody else's provenance says of a ref is believed where this orchestrator saw it itself
        if !git.saw(&commit, reference) || !self.protected.is_empty() {
            let listed = git.list(&source.repository)?;
            let (full, id) = listed.full_ref(reference)?;
            if !git.has_snapshot(&id) {
                git.fetch(&source.repository, &full, &id)?;
            }
            if !git.contains(&id, &commit) {
                return Err(GitError::NotProtected { commit: short(&commit), branches: full });
            }
            self.check_protected(&git, &listed, &source.repository, &commit)?;
            git.keep(&commit, &full)?;
        }
        git.read(&source.repository, source.reference.clone(), &commit)
    }

    /// The bare repository of a repository, locked: two builds at once do not write one.
    fn open(&self, repository: &str) -> Result<(Git, std::fs::File), GitError> {
        let dir = self.folder.join(format!("{}.git", Digest::sha256(repository.as_bytes()).hex()));
        std::fs::create_dir_all(&self.folder).map_err(GitError::Start)?;
        let lock = std::fs::File::create(dir.with_extension("lock")).map_err(GitError::Start)?;
        lock.lock().map_err(GitError::Start)?;
        let git = Git { dir };
        if !git.dir.join("portcullis").exists() {
            git.run("make a repository", &["init", "--quiet", "--bare", &git.dir.to_string_lossy()])?;
            git.ignore_attributes()?;
            // for people, and the sign that all of this happened
            std::fs::write(git.dir.join("portcullis"), repository).map_err(GitError::Start)?;
        }
        Ok((git, lock))
    }

    fn check_protected(
        &self,
        git: &Git,
        listed: &Listed,
        repository: &str,
        commit: &str,
    ) -> Result<(), GitError> {
        for branch in self.protected {
            let (full, id) = listed.full_ref(branch)?;
            if id != commit && !git.has_snapshot(&id) {
                git.fetch(repository, &full, &id)?;
            }
            if git.contains(&id, commit) {
                return Ok(());
            }
        }
        match self.protected {
            [] => Ok(()),
            branches => Err(GitError::NotProtected { commit: short(commit), branches: branches.join(", ") }),
        }
    }
}

impl Resolved {
    /// The source as provenance names it.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// When it was committed, in seconds since 1970: the build's fixed time.
    pub(crate) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// A file of the commit, unless it is not there or is no plain file.
    pub(crate) fn file(&self, name: &str, limit: u64) -> Result<Option<String>, GitError> {
        let commit = self.commit();
        let listed = self.git.run("look for a file", &["ls-tree", "-z", "--long", &commit, "--", name])?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let fields: Vec<&str> = listed.split_whitespace().collect();
        let [mode, "blob", id, size, ..] = fields.as_slice() else { return Ok(None) };
        if !mode.starts_with("100") {
            return Ok(None);
        }
        if size.parse::<u64>().map_or(true, |size| size > limit) {
            return Err(GitError::Output("definition of a size that can be read"));
        }
        let text = self.git.run("read a file", &["cat-file", "blob", id])?;
        String::from_utf8(text).map(Some).map_err(|_| GitError::Output("definition that is text"))
    }

    /// Writes the commit's files to a new folder.
    pub(crate) fn check_out(&self, tree: &Path) -> Result<(), GitError> {
        std::fs::create_dir_all(tree).map_err(GitError::Start)?;
        let index = tree.with_extension("index");
        let run = |what, args: &[&str]| {
            let mut command = self.git.command(args);
            command.env("GIT_WORK_TREE", tree).env("GIT_INDEX_FILE", &index);
            Git::finish(what, command)
        };
        run("read the tree", &["read-tree", &self.commit()])?;
        run("check the files out", &["checkout-index", "--all", "--force"])?;
        std::fs::remove_file(&index).map_err(GitError::Start)
    }

    fn commit(&self) -> String {
        self.source.commit().map(|c| c.hex()).unwrap_or_default()
    }
}

fn short(commit: &str) -> String {
    commit.get(..12).unwrap_or(commit).to_owned()
}

/// Nothing that git would take for an option, a helper or several lines, and no credentials: a URL is published with
/// the provenance.
fn check_name(name: &str) -> Result<(), GitError> {
    let has_user = name
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|authority| authority.contains('@')));
    if has_user {
        return Err(GitError::Name("a URL with a user in it".to_owned()));
    }
    if attest::redact::is_secret("", name) || name.contains('?') {
        return Err(GitError::Name("a URL with a secret or a query in it".to_owned()));
    }
    if name.is_empty() || name.starts_with('-') || name.contains(char::is_control) {
        return Err(GitError::Name(name.escape_debug().to_string()));
    }
    Ok(())
}

/// The commits that a bare repository keeps, each with a file that was touched when it was last asked for.
pub(crate) fn snapshots(dir: &Path) -> Result<Vec<(String, PathBuf)>, GitError> {
    let git = Git { dir: dir.to_owned() };
    let listed = git.run("list the snapshots", &["for-each-ref", "--format=%(refname)", SNAPSHOTS])?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let commits = listed.lines().filter_map(|l| l.strip_prefix(SNAPSHOTS));
    Ok(commits.map(|c| (c.to_owned(), dir.join("portcullis-used").join(c))).collect())
}

/// Forgets a snapshot; its objects go with the next collection.
pub(crate) fn forget(dir: &Path, commit: &str) -> Result<(), GitError> {
    let git = Git { dir: dir.to_owned() };
    git.run("forget a snapshot", &["update-ref", "-d", &format!("{SNAPSHOTS}{commit}")])?;
    std::fs::remove_file(dir.join("portcullis-used").join(commit)).ok();
    Ok(())
}

/// Deletes what no snapshot holds.
pub(crate) fn collect(dir: &Path) -> Result<(), GitError> {
    let git = Git { dir: dir.to_owned() };
    let lock = std::fs::File::create(dir.with_extension("lock")).map_err(GitError::Start)?;
    lock.lock().map_err(GitError::Start)?;
    git.run("collect what nobody needs", &["gc", "--quiet", "--prune=now"]).map(drop)
}
