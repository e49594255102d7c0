//! The source, fetched by the orchestrator itself: a ref is resolved here, and never taken from the requester.

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attest::provenance::{Commit, Source};
use attest::{Algorithm, Digest};
use jiff::Timestamp;

/// How far back the history in provenance goes.
const HISTORY: usize = 64;
/// A repository that is larger is refused.
const MAX_PACK: u64 = 8 << 30;
/// A commit with more files, or with longer ones, is refused before any of it is written: folders that name one another
/// make ten thousand million files of a few hundred bytes.
const MAX_FILES: usize = 1_000_000;
const MAX_BYTES: u64 = 32 << 30;
/// A fetch that takes longer has lost its way.
const TIMEOUT_SECONDS: &str = "600";

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

const SNAPSHOTS: &str = "refs/portcullis/snapshots/";

/// The refs that a remote lists.
struct Listed(Vec<(String, String)>);

impl Listed {
    /// The full name of a ref and the object that the remote lists for it. Only an exact name counts: `git fetch`
    /// would guess, and take the branch `refs/tags/v9` for a tag.
    fn full_ref(&self, reference: &str) -> Result<(String, String), GitError> {
        let candidates = if reference.starts_with("refs/heads/") || reference.starts_with("refs/tags/") {
            vec![reference.to_owned()]
        } else {
            vec![format!("refs/heads/{reference}"), format!("refs/tags/{reference}")]
        };
        for full in candidates {
            if let Some((id, _)) = self.0.iter().find(|(_, name)| *name == full) {
                return Ok((full, id.clone()));
            }
        }
        let branches = self.0.iter().filter_map(|(_, name)| name.strip_prefix("refs/heads/")).take(10);
        let said =
            format!("no branch or tag `{reference}`; branches: {}", branches.collect::<Vec<_>>().join(", "));
        Err(GitError::Failed { what: "find the ref", said })
    }
}

#[derive(Clone, Debug)]
struct Git {
    dir: PathBuf,
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
        let mut command = Command::new("prlimit");
        command
            .args([&format!("--fsize={MAX_PACK}"), "--core=0", "--", "timeout"])
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
            .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
            .args(args)
            .stdin(Stdio::null());
        // `git init` takes its folder as an argument and refuses a work tree
        if args.first() != Some(&"init") {
            command.env("GIT_DIR", &self.dir);
        }
        command
    }

    fn run(&self, what: &'static str, args: &[&str]) -> Result<Vec<u8>, GitError> {
        Self::finish(what, self.command(args))
    }

    fn finish(what: &'static str, mut command: Command) -> Result<Vec<u8>, GitError> {
        let output = command.output().map_err(GitError::Start)?;
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

    fn list(&self, repository: &str) -> Result<Listed, GitError> {
        let listed = self.run("list the refs", &["ls-remote", "--", repository])?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let pairs = listed.lines().filter_map(|l| l.split_once('\t'));
        Ok(Listed(pairs.map(|(id, name)| (id.to_owned(), name.to_owned())).collect()))
    }

    fn has_snapshot(&self, id: &str) -> bool {
        let name = format!("{SNAPSHOTS}{id}");
        self.run("look for a snapshot", &["rev-parse", "--verify", "--quiet", &name]).is_ok()
    }

    /// Fetches a ref, which must still be what was listed for it.
    fn fetch(&self, repository: &str, full: &str, listed: &str) -> Result<(), GitError> {
        let refspec = format!("+{full}:refs/portcullis/fetched");
        self.run("fetch the ref", &["fetch", "--quiet", "--no-tags", "--", repository, &refspec])?;
        let found = self.line("object", &["rev-parse", "--verify", "refs/portcullis/fetched"])?;
        if !listed.is_empty() && found != listed {
            return Err(GitError::Output("object that it lists for the ref; it moved, so build again"));
        }
        Ok(())
    }

    /// Gives a commit a ref of its own.
    fn keep(&self, commit: &str, reference: &str) -> Result<(), GitError> {
        let name = format!("{SNAPSHOTS}{commit}");
        self.run("keep the commit", &["update-ref", &name, commit])?;
        let used = self.dir.join("portcullis-used");
        std::fs::create_dir_all(&used).map_err(GitError::Start)?;
        let mut seen = std::fs::read_to_string(used.join(commit)).unwrap_or_default();
        if !self.saw(commit, reference) {
            seen.push_str(&format!("{reference}\n"));
        }
        // written in any case: when it was touched says when it was last used
        std::fs::write(used.join(commit), seen).map_err(GitError::Start)
    }

    /// Whether this orchestrator found the commit at this ref before.
    fn saw(&self, commit: &str, reference: &str) -> bool {
        let seen = std::fs::read_to_string(self.dir.join("portcullis-used").join(commit)).unwrap_or_default();
        self.has_snapshot(commit) && seen.lines().any(|line| line == reference)
    }

    /// Whether a ref's object is a commit or one of its descendants.
    fn contains(&self, id: &str, commit: &str) -> bool {
        id == commit || self.run("compare commits", &["merge-base", "--is-ancestor", commit, id]).is_ok()
    }

    /// Everything that provenance says of a commit.
    fn read(self, repository: &str, reference: Option<String>, commit: &str) -> Result<Resolved, GitError> {
        self.survey(commit)?;
        let shown = self.line("tree", &["show", "-s", "--format=%T %ct", commit])?;
        let (tree, epoch) = shown.split_once(' ').ok_or(GitError::Output("tree"))?;
        let epoch: i64 = epoch.parse().or(Err(GitError::Output("time")))?;
        let digest =
            |algorithm, id: &str| Digest::from_hex(algorithm, id).or(Err(GitError::Output("object id")));
        let digests = [digest(Algorithm::GitCommit, commit)?, digest(Algorithm::GitTree, tree)?];
        let source = Source {
            repository: repository.to_owned(),
            reference,
            digests: digests.into_iter().collect(),
            committed: Timestamp::from_second(epoch).ok(),
            history: self.history(commit)?,
            kept_until: None,
        };
        Ok(Resolved { git: self, source, epoch })
    }

    /// Looks at every file that a check-out would write, while git lists them: a list may have no end.
    fn survey(&self, commit: &str) -> Result<(), GitError> {
        let mut command = self.command(&["ls-tree", "-r", "-t", "-z", "--long", commit]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(GitError::Start)?;
        let listed = child.stdout.take().map_or(Ok(()), |listing| count(BufReader::new(listing)));
        // where the list was not read to its end, its pipe is closed now, and git ends with it
        let status = child.wait().map_err(GitError::Start)?;
        listed?;
        if status.success() { Ok(()) } else { Err(GitError::Output("list of the commit's files")) }
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

/// One entry: mode, type, object and size, a tab, and the path.
fn count(listing: impl BufRead) -> Result<(), GitError> {
    let (mut files, mut bytes) = (0, 0_u64);
    for entry in listing.split(0) {
        let entry = entry.map_err(GitError::Start)?;
        let entry = String::from_utf8_lossy(&entry);
        let (about, path) = entry.split_once('\t').unwrap_or((&entry, ""));
        if about.starts_with("160000 ") {
            return Err(GitError::Submodule(path.to_owned()));
        }
        let size = about.rsplit(' ').next().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
        files += 1;
        bytes = bytes.saturating_add(size);
        if files > MAX_FILES || bytes > MAX_BYTES {
            return Err(GitError::TooLarge);
        }
    }
    Ok(())
}

/// The address in `Name <address>`, or the whole text.
fn address(text: &str) -> String {
    let inner = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address);
    inner.unwrap_or(text).trim().to_owned()
}
