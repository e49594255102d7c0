//! What lies in the folder and is not built: a build takes a commit.

use std::path::Path;
use std::process::{Command, Stdio};

/// Says which commit of a repository on this machine is built, and how many files differ from it. It decides nothing:
/// where git does not answer, nothing is said.
pub(super) fn tell(folder: &Path, reference: &str, say: &mut impl FnMut(&str)) {
    let names = match reference.starts_with("refs/") {
        true => vec![reference.to_owned()],
        false => vec![format!("refs/heads/{reference}"), format!("refs/tags/{reference}")],
    };
    let find = |name: &String| {
        git(folder, &["rev-parse", "--verify", "--quiet", "--short=12", &format!("{name}^{{commit}}")])
    };
    if !folder.is_dir() {
        return;
    }
    let Some(commit) = names.iter().find_map(find) else { return };
    let commit = commit.trim();
    say(&format!("  the commit {commit}"));
    // a bare repository has no files beside its commits
    let changed = git(folder, &["status", "--porcelain", "--untracked-files=all"]).unwrap_or_default();
    match changed.lines().count() {
        0 => {}
        1 => say(&format!("note: 1 changed file is not in commit {commit} and is not built")),
        many => say(&format!("note: {many} changed files are not in commit {commit} and are not built")),
    }
}

fn git(folder: &Path, words: &[&str]) -> Option<String> {
    // a note is worth three seconds and a gigabyte: a hostile commit can make a list of any length
    let mut command = Command::new("timeout");
    command.args(["--kill-after=1", "3", "prlimit", "--as=1073741824", "--", "git"]);
    // looking at files must start no program that the repository names
    command.args(["-c", "core.fsmonitor=false", "-C"]).arg(folder).args(words);
    let done = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}
