//! Whether what is on the branch is what was approved: the commit is the approved one, or a merge of it that comes out
//! the same when it is made again.

use std::collections::BTreeSet;

use attest::Digest;
use attest::commit::Commit;
use source::Reviewed;

use crate::failure::Failure;
use crate::git::{Git, people};

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
    let base = merged_on(reviewed, &landed, git)?;
    authors.extend(written(git, &base, subject)?);
    Ok(Landed { subject: subject.clone(), base, authors })
}

/// Everybody who wrote a commit that the one has and the other has not.
fn written(git: &Git, base: &Digest, tip: &Digest) -> Result<Vec<String>, Failure> {
    let commits = git.commits(&[&tip.hex(), &format!("^{}", base.hex())])?;
    Ok(commits.iter().flat_map(people).collect())
}

/// The commit of the branch into which the approved revision was merged: the merge, made again, gives the tree that is
/// there. A squash and a merge have that commit as their first parent; a rebase has as many commits between as the
/// change has.
fn merged_on(reviewed: &Reviewed, landed: &Commit, git: &Git) -> Result<Digest, Failure> {
    let scratch = tempfile::tempdir().map_err(|e| {
        Failure::new("no temporary folder can be made")
            .line("found", &e.to_string())
            .line("fix", "make room in TMPDIR")
    })?;
    let mut found = Vec::new();
    let mut parent = landed.clone();
    for back in 1..=reviewed.commits.max(1) {
        let Some(base) = parent.parents().first().cloned() else { break };
        if back == 1 || back == reviewed.commits {
            match git.merge(&base, &reviewed.head, scratch.path())? {
                Some(tree) if tree == *landed.tree() => return Ok(base),
                Some(tree) => found.push(format!("{} from a merge into {}", tree, base.short())),
                None => {
                    found.push(format!("a conflict with {}, which somebody resolved by hand", base.short()))
                }
            }
        }
        // only a rebase leaves a line of commits
        if parent.parents().len() != 1 {
            break;
        }
        parent = git.commit(&base)?;
    }
    Err(Failure::new("what is on the branch is not what was approved")
        .code("merge-differs")
        .line("wanted", &format!("{}, the tree of {}", landed.tree(), landed.id()))
        .line("found", &found.join("; "))
        .line(
            "fix",
            &format!("have {} reviewed as it is: by a change that reverts it, or by hand", landed.id()),
        )
        .found())
}
