//! What must be true of a branch: a protected one moves forward, to what others than its authors approved.

use std::collections::BTreeSet;

use attest::provenance::{Commit, Source};
use attest::{Artifact, Digest, DigestSet};
use policy::rules::SourceReviewed;

use super::config::{Config, Protected};
use super::push::{REVIEWS, Update};
use super::refusal::Refusal;
use super::reviews::Reviews;
use super::signed;
use crate::failure::Failure;
use crate::git::people;

/// What is wrong with an update of a branch.
pub(super) fn refused(
    update: &Update,
    name: &str,
    config: &Config,
    reviews: &Reviews<'_>,
) -> Result<Vec<Refusal>, Failure> {
    let entries: Vec<&Protected> = config.protecting(name).collect();
    let wrong = reviews.repository.at_commit(update)?;
    if entries.is_empty() || !wrong.is_empty() {
        return Ok(wrong);
    }
    let Some(new) = &update.new else {
        return Ok(vec![
            Refusal::new("branch-kept", update, "a protected branch is never deleted")
                .wanted("the branch as it is")
                .found("its deletion")
                .fix("make another branch, and leave this one"),
        ]);
    };
    if let Some(refusal) = is_tag(update, new, reviews)? {
        return Ok(vec![refusal]);
    }
    if let Some(old) = &update.old
        && !reviews.repository.git.is_ancestor(old, new)?
    {
        return Ok(vec![
            Refusal::new("branch-forward", update, "a protected branch only moves forward")
                .wanted(&format!("a commit that continues {}", old.hex()))
                .found(&format!("{}, which does not", new.hex()))
                .fix("merge or rebase onto the branch as it is, and have that reviewed"),
        ]);
    }
    let mut refusals = Vec::new();
    for entry in entries {
        refusals.extend(unreviewed(update, new, entry, config, reviews)?);
    }
    Ok(refusals)
}

/// A branch at a tag has two ids, and a review is of one.
fn is_tag(update: &Update, new: &Digest, reviews: &Reviews<'_>) -> Result<Option<Refusal>, Failure> {
    let commit = reviews.repository.git.peel(&new.hex())?;
    Ok((commit.as_ref() != Some(new)).then(|| {
        Refusal::new("ref-commit", update, "a branch is at a commit")
            .wanted("a commit")
            .found("a tag")
            .fix("push the commit that the tag is of")
    }))
}

/// What one entry of the configuration finds wrong.
fn unreviewed(
    update: &Update,
    new: &Digest,
    entry: &Protected,
    config: &Config,
    reviews: &Reviews<'_>,
) -> Result<Vec<Refusal>, Failure> {
    let git = &reviews.repository.git;
    let known: BTreeSet<Digest> = match &update.old {
        Some(old) => [old.clone()].into(),
        None => reviewed_behind(new, entry, config, reviews)?,
    };
    let range: Vec<String> =
        [new.hex()].into_iter().chain(known.iter().map(|k| format!("^{}", k.hex()))).collect();
    let commits = git.commits(&range.iter().map(String::as_str).collect::<Vec<_>>())?;
    let tip = git.commit(new)?;
    let mut refusals = Vec::new();
    if let Some(place) = &entry.signed {
        refusals.extend(signed::refused(update, &commits, place, reviews.root, reviews.at));
    }
    let digests: DigestSet = [new.clone(), tip.tree().clone()].into_iter().collect();
    let history = commits.iter().map(|commit| Commit {
        id: commit.id().hex(),
        parents: commit.parents().iter().map(Digest::hex).collect(),
        people: people(commit),
    });
    let source = Source {
        repository: config.repository.clone(),
        reference: Some(update.name.clone()),
        digests: digests.clone(),
        history: history.collect(),
        ..Source::default()
    };
    let bases: BTreeSet<String> = known.iter().map(Digest::hex).collect();
    let found = reviews.about(new, &Artifact::new(&config.repository, digests), &bases, config)?;
    let asked = SourceReviewed::new(entry.approvals.0, &entry.approvals.1);
    for finding in asked.findings(&source, &found.counted, &bases, reviews.root) {
        let refusal =
            found.left_out.iter().fold(Refusal::of_finding(&finding, update), |r, why| r.found(why));
        refusals.push(refusal.fix(&how(new, &bases, &config.repository)));
    }
    Ok(refusals)
}

/// For a new branch: the tips of protected branches from which it goes on.
fn reviewed_behind(
    new: &Digest,
    entry: &Protected,
    config: &Config,
    reviews: &Reviews<'_>,
) -> Result<BTreeSet<Digest>, Failure> {
    let mut behind = BTreeSet::new();
    for tip in reviews.repository.reviewed_tips(config, entry) {
        if reviews.repository.git.is_ancestor(tip, new)? {
            behind.insert(tip.clone());
        }
    }
    Ok(behind)
}

fn how(new: &Digest, bases: &BTreeSet<String>, repository: &str) -> String {
    let base = bases.first().map(|base| format!("--base {base} ")).unwrap_or_default();
    let id = new.hex();
    format!(
        "have somebody else review it: portcullis attest review gitCommit:{id} {base}--repository {repository} \
         --author AUTHOR --key REVIEWER.key --out review.json; then git push origin \
         $(git hash-object -w review.json):{REVIEWS}{id}/NAME"
    )
}
