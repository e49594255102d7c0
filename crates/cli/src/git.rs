//! Questions to git about a repository, each bounded in time and in length, none of which runs what a repository says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use attest::commit::Commit;
use attest::{Algorithm, Digest};

use crate::bounded::{self, Ended, Stopped};
use crate::failure::Failure;

/// As long an answer as any question of ours has.
const MAX_ANSWER: usize = 64 << 20;
/// As many commits as one push or change may have.
pub(crate) const MAX_COMMITS: usize = 10_000;

/// A repository.
#[derive(Debug)]
pub(crate) struct Git {
    dir: PathBuf,
    /// Whether git itself started us, and says in our environment where the repository and the pushed objects are.
    is_hook: bool,
    /// Whether a clone that lacks old commits may say so, and seem to begin where it was cut.
    may_be_shallow: bool,
    deadline: Instant,
}

impl Git {
    /// A repository that a person names.
    pub(crate) fn at(dir: &Path, deadline: Instant) -> Self {
        Self { dir: dir.to_owned(), is_hook: false, may_be_shallow: false, deadline }
    }

    /// The work tree in which a person or a CI system works.
    pub(crate) fn of_work_tree(dir: &Path, deadline: Instant) -> Self {
        Self { may_be_shallow: true, ..Self::at(dir, deadline) }
    }

    /// The repository whose hook runs.
    pub(crate) fn of_hook(deadline: Instant) -> Self {
        Self { dir: PathBuf::from("."), is_hook: true, may_be_shallow: true, deadline }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        // not by `current_dir`: of a folder that is not there git itself says so
        command.arg("-C").arg(&self.dir).args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "log.showSignature=false",
        ]);
        if !self.is_hook {
            // another hook or a job may have pointed git elsewhere
            for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
                command.env_remove(variable);
            }
        }
        if !self.may_be_shallow {
            // who a commit's parents are is in the commit: a shallow clone, a graft or an index of commits beside it would
            // hide who wrote a part of the change
            command.env("GIT_SHALLOW_FILE", "").env("GIT_GRAFT_FILE", "/dev/null");
            command.args(["-c", "core.commitGraph=false"]);
        }
        // replaced objects are not what the commit's id says; a partial clone names the program that fetches what is
        // missing in it
        command
            .args(args)
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// What git answers, whatever its exit code.
    pub(crate) fn ask(&self, what: &str, args: &[&str], input: Vec<u8>) -> Result<Ended, Failure> {
        self.finish(what, self.command(args), input)
    }

    /// The same of a command that was made ready.
    fn finish(&self, what: &str, mut command: Command, input: Vec<u8>) -> Result<Ended, Failure> {
        bounded::run(&mut command, input, self.deadline, MAX_ANSWER).map_err(|stopped| {
            let fix = match stopped {
                Stopped::Start(_) => "install git",
                Stopped::TooLong => "give it more time, or fewer commits at once",
                Stopped::TooMuch(_) | Stopped::Read(_) => "give it fewer commits at once",
            };
            Failure::new(&format!("git could not {what}"))
                .line("found", &stopped.to_string())
                .line("fix", fix)
        })
    }

    fn refused(&self, what: &str, ended: &Ended) -> Failure {
        let said = String::from_utf8_lossy(&ended.stderr);
        let said = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ");
        let said = if said.is_empty() { "git said nothing" } else { &said };
        let place = if self.is_hook { String::new() } else { format!(" in {}", self.dir.display()) };
        Failure::new(&format!("git could not {what}{place}")).line("found", &policy::one_line(said))
    }

    /// What git answers where it succeeds.
    pub(crate) fn text(&self, what: &str, args: &[&str]) -> Result<String, Failure> {
        let ended = self.ask(what, args, Vec::new())?;
        if ended.code != Some(0) {
            return Err(self.refused(what, &ended));
        }
        String::from_utf8(ended.stdout).map_err(|_| unreadable("text in UTF-8", "other bytes"))
    }

    /// The same where it is one line.
    pub(crate) fn line(&self, what: &str, args: &[&str]) -> Result<String, Failure> {
        let out = self.text(what, args)?;
        let line = out.trim_end_matches('\n');
        if line.is_empty() || line.contains('\n') {
            Err(unreadable("one line", &out))
        } else {
            Ok(line.to_owned())
        }
    }

    /// The commits of a range, at most [`MAX_COMMITS`] of them, each read from the bytes that its id names.
    pub(crate) fn commits(&self, range: &[&str]) -> Result<Vec<Commit>, Failure> {
        let count = format!("--max-count={}", MAX_COMMITS + 1);
        let args: Vec<&str> =
            ["rev-list", &count].into_iter().chain(range.iter().copied()).chain(["--"]).collect();
        let listed = self.text("list the commits", &args)?;
        let ids: Vec<&str> = listed.lines().collect();
        if ids.len() > MAX_COMMITS {
            return Err(Failure::new("there are more commits than are read at once")
                .line("wanted", &format!("at most {MAX_COMMITS} commits since the last reviewed one"))
                .line("fix", "have a part of them reviewed first"));
        }
        let objects = self.objects(&ids)?;
        ids.iter().map(|id| read_commit(id, objects.get(*id))).collect()
    }

    /// One commit.
    pub(crate) fn commit(&self, id: &Digest) -> Result<Commit, Failure> {
        let id = id.hex();
        read_commit(&id, self.objects(&[&id])?.get(&id))
    }

    /// Objects by their ids, where they are there: the kind and the bytes of each.
    fn objects(&self, ids: &[&str]) -> Result<BTreeMap<String, (String, Vec<u8>)>, Failure> {
        let ended = self.ask("read objects", &["cat-file", "--batch"], ids.join("\n").into_bytes())?;
        if ended.code != Some(0) {
            return Err(self.refused("read objects", &ended));
        }
        let mut found = BTreeMap::new();
        let mut rest = ended.stdout.as_slice();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let head = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
            rest = rest.get(end + 1..).unwrap_or_default();
            let fields: Vec<&str> = head.split(' ').collect();
            let [id, kind, size] = fields.as_slice() else { continue };
            let size: usize = size.parse().map_err(|_| unreadable("the size of an object", size))?;
            let bytes = rest.get(..size).ok_or_else(|| unreadable("a whole object", "a part of it"))?;
            found.insert((*id).to_owned(), ((*kind).to_owned(), bytes.to_vec()));
            rest = rest.get(size + 1..).unwrap_or_default();
        }
        Ok(found)
    }

    /// The kind and size of an object: asked before it is read.
    pub(crate) fn kind(&self, id: &str) -> Result<Option<(String, u64)>, Failure> {
        let ended =
            self.ask("look at an object", &["cat-file", "--batch-check"], format!("{id}\n").into_bytes())?;
        let answer = String::from_utf8_lossy(&ended.stdout).into_owned();
        let fields: Vec<&str> = answer.split_whitespace().collect();
        match (ended.code, fields.as_slice()) {
            (Some(0), [_, kind, size]) => {
                let size = size.parse().map_err(|_| unreadable("the size of an object", size))?;
                Ok(Some(((*kind).to_owned(), size)))
            }
            (Some(0), _) => Ok(None),
            _ => Err(self.refused("look at an object", &ended)),
        }
    }

    /// The bytes of a blob of at most `limit` bytes; nothing where it is no such blob.
    pub(crate) fn blob(&self, id: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self.kind(id)? {
            Some((kind, size)) if kind == "blob" && size <= limit => {}
            _ => return Ok(None),
        }
        Ok(self.objects(&[id])?.remove(id).map(|(_, bytes)| bytes))
    }

    /// The commit behind an object: itself, or what a tag is of.
    pub(crate) fn peel(&self, id: &str) -> Result<Option<Digest>, Failure> {
        let name = format!("{id}^{{commit}}");
        let ended = self.ask("find a commit", &["rev-parse", "--verify", "--quiet", &name], Vec::new())?;
        let text = String::from_utf8_lossy(&ended.stdout).trim_end().to_owned();
        Ok((ended.code == Some(0)).then(|| Digest::from_hex(Algorithm::GitCommit, &text).ok()).flatten())
    }

    /// Whether one commit is an ancestor of another, or the same.
    pub(crate) fn is_ancestor(&self, one: &Digest, other: &Digest) -> Result<bool, Failure> {
        let what = "compare two commits";
        let ended = self.ask(what, &["merge-base", "--is-ancestor", &one.hex(), &other.hex()], Vec::new())?;
        match ended.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(self.refused(what, &ended)),
        }
    }

    /// Where two commits parted; nothing where they have no history in common, or more than one such commit.
    pub(crate) fn merge_base(&self, one: &Digest, other: &Digest) -> Result<Option<Digest>, Failure> {
        let what = "find where two commits parted";
        let ended = self.ask(what, &["merge-base", "--all", &one.hex(), &other.hex()], Vec::new())?;
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        match (ended.code, text.lines().collect::<Vec<_>>().as_slice()) {
            (Some(0), [id]) => Ok(Digest::from_hex(Algorithm::GitCommit, id).ok()),
            (Some(0 | 1), _) => Ok(None),
            _ => Err(self.refused(what, &ended)),
        }
    }

    /// The tree that a merge of `theirs` into `ours` gives, computed anew without any setting of the repository or of a
    /// person; nothing where they conflict. `scratch` is an empty folder.
    pub(crate) fn merge(
        &self,
        ours: &Digest,
        theirs: &Digest,
        scratch: &Path,
    ) -> Result<Option<Digest>, Failure> {
        let what = "merge the change again";
        let objects =
            self.text("find its objects", &["rev-parse", "--path-format=absolute", "--git-path", "objects"])?;
        let bare =
            Self { dir: scratch.to_owned(), is_hook: false, may_be_shallow: false, deadline: self.deadline };
        if !scratch.join("HEAD").exists() {
            bare.text("make a repository", &["init", "--quiet", "--bare", "."])?;
            let alternates = scratch.join("objects/info/alternates");
            std::fs::write(&alternates, objects).map_err(|e| Failure::io("write", &alternates, &e))?;
        }
        let mut command =
            bare.command(&["merge-tree", "--write-tree", "--no-messages", &ours.hex(), &theirs.hex()]);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        let ended = bare.finish(what, command, Vec::new())?;
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        match (ended.code, text.lines().next()) {
            (Some(0), Some(id)) => Digest::from_hex(Algorithm::GitTree, id)
                .map(Some)
                .map_err(|_| unreadable("the id of a tree", id)),
            (Some(1), _) => Ok(None),
            _ => Err(self.refused(what, &ended)),
        }
    }
}

fn read_commit(id: &str, object: Option<&(String, Vec<u8>)>) -> Result<Commit, Failure> {
    let fail = |found: &str| {
        Failure::new(&format!("the commit {id} cannot be read"))
            .line("wanted", "a commit as git writes it")
            .line("found", &policy::one_line(found))
            .line("fix", "make the commit again; where it is missing, fetch it first")
            .found()
    };
    let Some((kind, bytes)) = object else { return Err(fail("nothing of that name in the repository")) };
    if kind != "commit" {
        return Err(fail(&format!("a {kind}")));
    }
    let commit = Commit::parse(bytes).map_err(|e| fail(&e.to_string()))?;
    if commit.id().hex() == id { Ok(commit) } else { Err(fail("other bytes than its id names")) }
}

/// Everybody whom a commit names.
pub(crate) fn people(commit: &Commit) -> Vec<String> {
    let named = [commit.author(), commit.committer()].into_iter().chain(commit.co_authors());
    let mut people: Vec<String> = named.map(|person| person.address.clone()).collect();
    people.sort();
    people.dedup();
    people
}

pub(crate) fn unreadable(wanted: &str, found: &str) -> Failure {
    Failure::new("git's answer cannot be read").line("wanted", wanted).line("found", &policy::one_line(found))
}
