//! One bare repository, and git's words for it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use attest::provenance::{Commit, Source};
use attest::{Algorithm, Digest};
use jiff::Timestamp;

use super::{GitError, Resolved};

/// How far back the history in provenance goes.
const HISTORY: usize = 64;
/// A repository that is larger is refused.
const MAX_PACK: u64 = 8 << 30;
/// A commit with more files, or with longer ones, is refused before any of it is written: folders that name one another
/// make ten thousand million files of a few hundred bytes.
pub(super) const MAX_FILES: usize = 1_000_000;
pub(super) const MAX_BYTES: u64 = 32 << 30;
/// A fetch that takes longer has lost its way.
const TIMEOUT_SECONDS: &str = "600";
/// Where every commit that is kept has a ref of its own.
pub(super) const SNAPSHOTS: &str = "refs/portcullis/snapshots/";

/// The refs that a remote lists.
pub(super) struct Listed(Vec<(String, String)>);

impl Listed {
    /// The full name of a ref and the object that the remote lists for it. Only an exact name counts: `git fetch`
    /// would guess, and take the branch `refs/tags/v9` for a tag.
    pub(super) fn full_ref(&self, reference: &str) -> Result<(String, String), GitError> {
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
pub(super) struct Git {
    pub(super) dir: PathBuf,
}

impl Git {
    /// The files are checked out byte for byte: attributes in the repository could make the compiler see another text
    /// than reviewers and the tree's digest do.
    pub(super) fn ignore_attributes(&self) -> Result<(), GitError> {
        let info = self.dir.join("info");
        let text = "* -text !eol -ident !filter !working-tree-encoding\n";
        std::fs::create_dir_all(&info)
            .and_then(|()| std::fs::write(info.join("attributes"), text))
            .map_err(GitError::Start)
    }

    /// git with no configuration but this: no hooks, no helpers that a repository could name, no prompt.
    pub(super) fn command(&self, args: &[&str]) -> Command {
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

    pub(super) fn run(&self, what: &'static str, args: &[&str]) -> Result<Vec<u8>, GitError> {
        Self::finish(what, self.command(args))
    }

    pub(super) fn finish(what: &'static str, mut command: Command) -> Result<Vec<u8>, GitError> {
        let output = command.output().map_err(GitError::Start)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
        Err(GitError::Failed { what, said })
    }

    pub(super) fn line(&self, what: &'static str, args: &[&str]) -> Result<String, GitError> {
        let out = String::from_utf8(self.run(what, args)?).or(Err(GitError::Output(what)))?;
        let line = out.trim();
        if line.is_empty() || line.contains('\n') { Err(GitError::Output(what)) } else { Ok(line.to_owned()) }
    }

    pub(super) fn list(&self, repository: &str) -> Result<Listed, GitError> {
        let listed = self.run("list the refs", &["ls-remote", "--", repository])?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let pairs = listed.lines().filter_map(|l| l.split_once('\t'));
        Ok(Listed(pairs.map(|(id, name)| (id.to_owned(), name.to_owned())).collect()))
    }

    pub(super) fn has_snapshot(&self, id: &str) -> bool {
        let name = format!("{SNAPSHOTS}{id}");
        self.run("look for a snapshot", &["rev-parse", "--verify", "--quiet", &name]).is_ok()
    }

    /// Fetches a ref, which must still be what was listed for it.
    pub(super) fn fetch(&self, repository: &str, full: &str, listed: &str) -> Result<(), GitError> {
        let refspec = format!("+{full}:refs/portcullis/fetched");
        self.run("fetch the ref", &["fetch", "--quiet", "--no-tags", "--", repository, &refspec])?;
        let found = self.line("object", &["rev-parse", "--verify", "refs/portcullis/fetched"])?;
        if !listed.is_empty() && found != listed {
            return Err(GitError::Output("object that it lists for the ref; it moved, so build again"));
        }
        Ok(())
    }

    /// Gives a commit a ref of its own.
    pub(super) fn keep(&self, commit: &str, reference: &str) -> Result<(), GitError> {
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
    pub(super) fn saw(&self, commit: &str, reference: &str) -> bool {
        let seen = std::fs::read_to_string(self.dir.join("portcullis-used").join(commit)).unwrap_or_default();
        self.has_snapshot(commit) && seen.lines().any(|line| line == reference)
    }

    /// Whether a ref's object is a commit or one of its descendants.
    pub(super) fn contains(&self, id: &str, commit: &str) -> bool {
        id == commit || self.run("compare commits", &["merge-base", "--is-ancestor", commit, id]).is_ok()
    }

    /// Everything that provenance says of a commit.
    pub(super) fn read(
        self,
        repository: &str,
        reference: Option<String>,
        commit: &str,
    ) -> Result<Resolved, GitError> {
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
            tagged_branch: None,
            kept_until: None,
        };
        Ok(Resolved { git: self, source, epoch })
    }

    /// Looks at every file that a check-out would write, while git lists them: a list may have no end.
    pub(super) fn survey(&self, commit: &str) -> Result<(), GitError> {
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
    pub(super) fn history(&self, commit: &str) -> Result<Vec<Commit>, GitError> {
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
