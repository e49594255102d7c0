//! Commits that the people who made them signed.

use attest::commit::Commit;
use attest::{Place, TrustRoot};
use jiff::Timestamp;

use super::push::Update;
use super::refusal::Refusal;

/// As many commits as are told by their names.
const MOST: usize = 5;

/// The commits that nobody signed who the trust root knows, or somebody else than who made them.
pub(super) fn refused(
    update: &Update,
    commits: &[Commit],
    place: &Place,
    root: &TrustRoot,
    at: Timestamp,
) -> Option<Refusal> {
    let wrong: Vec<String> = commits.iter().filter_map(|commit| wrong(commit, root, at)).collect();
    if wrong.is_empty() {
        return None;
    }
    let refusal = Refusal::new("commit-signed", update, "a commit is not signed by the person who made it")
        .wanted_at("a signature by the committer, a person of the trust root, on every commit", place);
    let refusal = wrong.iter().take(MOST).fold(refusal, |refusal, found| refusal.found(found));
    let more = wrong.len().saturating_sub(MOST);
    let refusal = if more > 0 { refusal.found(&format!("and {more} more")) } else { refusal };
    Some(
        refusal.fix(
            "sign them: git rebase --exec 'git commit --amend --no-edit -S' BASE, and have that reviewed",
        ),
    )
}

fn wrong(commit: &Commit, root: &TrustRoot, at: Timestamp) -> Option<String> {
    let id = commit.id().short();
    let committer = &commit.committer().address;
    match root.who_signed(commit, at) {
        Err(e) => Some(format!("{id}: {e}")),
        Ok(signer) if !root.is_person(&signer.name) => {
            Some(format!("{id}: signed by {}, who is no person", signer.name))
        }
        Ok(signer) if root.person(committer) != Some(&signer.name) => {
            Some(format!("{id}: signed by {}, and committed by {committer}", signer.name))
        }
        Ok(_) => None,
    }
}
