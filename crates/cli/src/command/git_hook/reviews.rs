//! Reviews in the repository: a blob with one bundle, at `refs/portcullis/reviews/COMMIT/NAME`.
//!
//! A ref for each review: two people push theirs without a merge, and one push can bring a commit with its reviews. Only
//! what the trust root proves to be a review of that commit is taken, so that nobody can fill the place with noise.

use std::collections::BTreeSet;

use attest::claims::Review;
use attest::{Algorithm, Artifact, Attestation, Digest, Envelope, Evidence, Predicate, Role, TrustRoot};
use jiff::Timestamp;

use super::config::Config;
use super::push::{Kind, REVIEWS, Update};
use super::refusal::Refusal;
use super::repository::Repository;
use crate::failure::Failure;

/// A review is some hundred bytes, with a long list of authors some thousand.
const MAX_REVIEW: u64 = 256 << 10;
/// As many reviews as one commit may have.
const MOST: usize = 64;

/// What is needed to judge reviews.
pub(super) struct Reviews<'a> {
    pub(super) repository: &'a Repository,
    pub(super) root: &'a TrustRoot,
    pub(super) at: Timestamp,
    /// All that is pushed: reviews may come with what they are about.
    pub(super) updates: &'a [Update],
}

/// The reviews of a commit.
pub(super) struct Found {
    pub(super) counted: Vec<Evidence>,
    /// Why others do not count.
    pub(super) left_out: Vec<String>,
}

impl Reviews<'_> {
    /// What is wrong with a review that is pushed.
    pub(super) fn refused(&self, update: &Update, commit: Digest) -> Result<Vec<Refusal>, Failure> {
        let Some(new) = update.new.as_ref().filter(|_| update.old.is_none()) else {
            return Ok(vec![
                Refusal::new("review-kept", update, "a review is never changed, and never deleted")
                    .wanted("a ref of a new name")
                    .found(if update.new.is_some() { "a change" } else { "a deletion" })
                    .fix(&format!("push the new review to {REVIEWS}{}/ANOTHER", commit.hex())),
            ]);
        };
        let refuse = |found: &str| {
            vec![
                Refusal::new("review-readable", update, "what is pushed is no review of this commit")
                    .wanted(
                        "a blob with one bundle: a review of the commit, by a reviewer or a review authority",
                    )
                    .found(found)
                    .fix("push what `portcullis attest review` wrote: git hash-object -w review.json"),
            ]
        };
        if self.names(&commit)?.len() > MOST {
            return Ok(refuse(&format!("more than {MOST} reviews of one commit")));
        }
        Ok(match self.open(new)? {
            Ok(attestation) => match self.is_about(&attestation, &commit) {
                true => Vec::new(),
                false => refuse("a review of another commit"),
            },
            Err(why) => refuse(&why),
        })
    }

    /// A tree may be reviewed before there is a commit of it: then only the tree is named.
    fn is_about(&self, attestation: &Attestation, commit: &Digest) -> bool {
        let is_it = |digest: Digest| digest == *commit || digest.algorithm() == Algorithm::GitTree;
        let subjects = &attestation.statement().subjects;
        subjects.iter().any(|s| !s.digests.is_empty() && s.digests.iter().all(is_it))
    }

    /// The reviews that count for a commit: about it, or about its tree, and since a commit that was reviewed.
    pub(super) fn about(
        &self,
        commit: &Digest,
        artifact: &Artifact,
        bases: &BTreeSet<String>,
        config: &Config,
    ) -> Result<Found, Failure> {
        let mut found = Found { counted: Vec::new(), left_out: Vec::new() };
        for (name, id) in self.names(commit)?.into_iter().take(MOST) {
            let attestation = match self.open(&id)? {
                Ok(attestation) => attestation,
                Err(why) => {
                    found.left_out.push(format!("{name}: {why}"));
                    continue;
                }
            };
            let Predicate::Review(review) = &attestation.statement().predicate else { continue };
            match (attestation.about(artifact), why_not(review, &attestation, commit, bases, config)) {
                (Err(_), _) => found.left_out.push(format!("{name}: it is of another commit")),
                (Ok(_), Some(why)) => found.left_out.push(format!("{name}: {why}")),
                (Ok(evidence), None) => found.counted.push(evidence),
            }
        }
        Ok(found)
    }

    /// The reviews of a commit by name: those that are there, and those that come with the push.
    fn names(&self, commit: &Digest) -> Result<Vec<(String, Digest)>, Failure> {
        let folder = format!("{REVIEWS}{}/", commit.hex());
        let args = ["for-each-ref", "--format=%(objectname) %(refname)", &folder];
        let listed = self.repository.git.text("list the reviews", &args)?;
        let here = listed.lines().filter_map(|line| line.split_once(' '));
        let here = here.filter_map(|(id, name)| {
            Some((name.strip_prefix(&folder)?.to_owned(), Digest::from_hex(Algorithm::GitCommit, id).ok()?))
        });
        let pushed = self.updates.iter().filter(|u| u.kind() == Kind::Review(commit.clone()));
        let pushed = pushed.filter_map(|u| Some((u.name.strip_prefix(&folder)?.to_owned(), u.new.clone()?)));
        Ok(here.chain(pushed).collect())
    }

    /// Opens a blob. Inner error: why it is no review.
    fn open(&self, id: &Digest) -> Result<Result<Attestation, String>, Failure> {
        let Some(bytes) = self.repository.git.blob(&id.hex(), MAX_REVIEW)? else {
            return Ok(Err(format!("it is no blob of at most {MAX_REVIEW} bytes")));
        };
        let envelope = match Envelope::parse(&bytes) {
            Ok(envelope) => envelope,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let attestation = match self.root.open(&envelope, self.at) {
            Ok(attestation) => attestation,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let may_review = |role| role == Role::Reviewer || role == Role::ReviewAuthority;
        if !matches!(attestation.statement().predicate, Predicate::Review(_)) {
            return Ok(Err(format!("it is a {}", attestation.statement().predicate.kind())));
        }
        if !attestation.signers().iter().any(|s| s.roles.iter().copied().any(may_review)) {
            let names: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
            return Ok(Err(format!("it is signed by {}, who is no reviewer", names.join(", "))));
        }
        Ok(Ok(attestation))
    }
}

/// Why a review of the commit does not count here.
fn why_not(
    review: &Review,
    attestation: &Attestation,
    commit: &Digest,
    bases: &BTreeSet<String>,
    config: &Config,
) -> Option<String> {
    if review.repository != config.repository {
        return Some(format!("it is for {}, and this is {}", review.repository, config.repository));
    }
    let names_commit =
        attestation.statement().subjects.iter().any(|s| s.digests.iter().any(|digest| digest == *commit));
    match &review.base {
        Some(base) if bases.contains(base) => None,
        Some(base) => {
            let now = bases.iter().cloned().collect::<Vec<_>>().join(" or ");
            let now = if now.is_empty() {
                "nothing was reviewed before".to_owned()
            } else {
                format!("the branch is at {now}")
            };
            Some(format!("it is since {base}, and {now}"))
        }
        None if names_commit => None,
        // a tree that was reviewed once may come back later, and take away what was mended since
        None => Some("it is of a tree alone, and does not say since which commit".to_owned()),
    }
}
