//! Whether what is on the branch is what was approved: the commit is the approved one, or a merge of it that comes out
//! the same when it is made again.

use std::collections::BTreeSet;
use std::path::Path;

use attest::Digest;
use attest::commit::Commit;
use source::Reviewed;

use crate::failure::Failure;
use crate::git::{Git, people};

/// As many commits as are merged again one by one.
const MOST_REBASED: usize = 250;

/// A commit that holds what was approved, and nothing else.
pub(super) struct Landed {
    pub(super) subject: Digest,
    /// The commit of the branch on which it was made.
    pub(super) base: Digest,
    /// Everybody who wrote something since.
    pub(super) authors: BTreeSet<String>,
}

/// What the export alone shows.
pub(super) fn by_export(reviewed: &Reviewed, subject: &Digest) -> Result<Landed, Failure> {
    let fix = "give a clone that has both commits: --repository-dir DIR";
    if *subject != reviewed.head {
        return Err(Failure::new("nothing shows that what was merged is what was approved")
            .code("merge-unproven")
            .line("wanted", &format!("{}, the revision that was approved", reviewed.head))
            .line("found", &subject.to_string())
            .line("fix", fix)
            .line("or", &format!("have the review of the revision alone: {}", reviewed.head))
            .found());
    }
    if !reviewed.shows_everybody {
        return Err(Failure::new("the export does not show who committed each commit of the change")
            .code("authors-unknown")
            .line("wanted", "author and committer of every commit since the change began")
            .line("fix", fix)
            .line("or", "export the commits too; see `portcullis attest review --help`")
            .found());
    }
    Ok(Landed { subject: subject.clone(), base: reviewed.base.clone(), authors: reviewed.authors.clone() })
}

/// What a clone shows beside it.
pub(super) fn in_clone(reviewed: &Reviewed, subject: &Digest, git: &Git) -> Result<Landed, Failure> {
    let head = &reviewed.head;
    let Some(fork) = git.merge_base(head, &reviewed.base)? else {
        return Err(Failure::new("nothing says since which commit the change was reviewed")
            .line("wanted", &format!("one commit at which {} left {}", head.short(), reviewed.base.short()))
            .line("found", "none, or several")
            .line("fix", "fetch the branch into the clone; or rebase the change, and have it approved again")
            .found());
    };
    let mut authors = reviewed.authors.clone();
    authors.extend(written(git, &fork, head)?);
    if subject == head {
        return Ok(Landed { subject: subject.clone(), base: fork, authors });
    }
    if let Some(merged) = reviewed.merged.as_ref().filter(|merged| *merged != subject) {
        return Err(Failure::new("the change was merged as another commit")
            .code("merge-unproven")
            .line("wanted", &merged.to_string())
            .line("found", &subject.to_string())
            .found());
    }
    let landed = git.commit(subject)?;
    let base = merged_on(reviewed, &fork, &landed, git)?;
    authors.extend(written(git, &base, subject)?);
    Ok(Landed { subject: subject.clone(), base, authors })
}

/// Everybody who wrote a commit that the one has and the other has not.
fn written(git: &Git, base: &Digest, tip: &Digest) -> Result<Vec<String>, Failure> {
    let commits = git.commits(&[&tip.hex(), &format!("^{}", base.hex())])?;
    Ok(commits.iter().flat_map(people).collect())
}

/// The commit of the branch onto which the approved revision came: the merge, made again, gives the tree that is there.
fn merged_on(reviewed: &Reviewed, fork: &Digest, landed: &Commit, git: &Git) -> Result<Digest, Failure> {
    let scratch = tempfile::tempdir().map_err(|e| {
        Failure::new("no temporary folder can be made")
            .line("found", &e.to_string())
            .line("fix", "make room in TMPDIR")
    })?;
    if let Some(base) = rebased_on(reviewed, fork, landed, git, scratch.path())? {
        return Ok(base);
    }
    // a squash and a merge have the commit of the branch as their first parent
    let found = match landed.parents().first() {
        None => "a commit without a parent".to_owned(),
        Some(base) => match git.merge(base, &reviewed.head, scratch.path())? {
            Some(tree) if tree == *landed.tree() => return Ok(base.clone()),
            Some(tree) => format!("{tree} from a merge into {}", base.short()),
            None => format!("a conflict with {}, which somebody resolved by hand", base.short()),
        },
    };
    Err(Failure::new("what is on the branch is not what was approved")
        .code("merge-differs")
        .line("wanted", &format!("{}, the tree of {}", landed.tree(), landed.id()))
        .line("found", &found)
        .line("fix", &format!("have {} itself reviewed", landed.id()))
        .found())
}

/// The same of a rebase, which leaves a commit for each one of the change: every one of them must come out the same, or
/// something else may stand between.
fn rebased_on(
    reviewed: &Reviewed,
    fork: &Digest,
    landed: &Commit,
    git: &Git,
    scratch: &Path,
) -> Result<Option<Digest>, Failure> {
    let originals = git.commits(&[&reviewed.head.hex(), &format!("^{}", fork.hex())])?;
    if !(2..=MOST_REBASED).contains(&originals.len()) {
        return Ok(None);
    }
    let mut chain = vec![landed.clone()];
    while chain.len() < originals.len() {
        match chain.last().map(Commit::parents) {
            Some([parent]) => chain.push(git.commit(parent)?),
            _ => return Ok(None),
        }
    }
    let Some([base]) = chain.last().map(Commit::parents) else { return Ok(None) };
    for (original, landed) in originals.iter().zip(&chain) {
        if git.merge(base, original.id(), scratch)?.as_ref() != Some(landed.tree()) {
            return Ok(None);
        }
    }
    Ok(Some(base.clone()))
}
