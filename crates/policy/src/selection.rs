//! Which of the evidence that lies beside an artifact is submitted, where nobody chose it.
//!
//! A registry keeps whatever anybody with push rights ever attached. Submitting all of it would let any of them refuse the
//! artifact (one envelope that does not open refuses), and judging whichever comes first would let them choose. So, before the
//! case is frozen: what does not open under the trust root is left out, what is about something else is left out, and of
//! several claims of one kind by one signer the newest is taken. "Newest" is by trusted time alone, never by what the
//! evidence or the registry says of itself; where that does not decide, all of them are submitted, and the rule
//! `evidence-unambiguous` refuses and says so. A requester who names digests is never second-guessed: nothing is selected
//! then.

use std::collections::BTreeMap;

use attest::{Artifact, Attestation, Opener, Predicate, TrustRoot};
use jiff::Timestamp;

use crate::facts::only_rebuilds;
use crate::request::Submitted;
use crate::rules::evidence::claims;

/// What was found and not submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What it is called.
    pub name: String,
    /// Why it was left out, in one line.
    pub why: String,
}

/// The evidence to submit, and what was left out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// What is submitted, in the order in which it was found.
    pub submitted: Vec<Submitted>,
    /// What is not.
    pub left_out: Vec<LeftOut>,
}

/// Each costs a signature check.
const MOST: usize = 64;

/// Selects what is submitted for an artifact. More than 64 pieces are not looked at, and named as left out.
#[must_use]
pub fn select(
    found: Vec<Submitted>,
    artifact: &Artifact,
    root: &TrustRoot,
    opener: &dyn Opener,
    at: Timestamp,
) -> Selection {
    let mut selection = Selection::default();
    let mut opened: Vec<(Submitted, Attestation)> = Vec::new();
    for (number, piece) in found.into_iter().enumerate() {
        if number >= MOST {
            selection.leave(piece.name, format!("only the first {MOST} are looked at"));
            continue;
        }
        match opener.open(root, &piece.bytes, at) {
            Ok(attestation) if is_of(&attestation, artifact) => opened.push((piece, attestation)),
            Ok(_) => selection.leave(piece.name, "it is about another artifact".to_owned()),
            Err(why) => selection.leave(piece.name, why.to_string()),
        }
    }
    let opened = of_its_source(opened, artifact, &mut selection);
    let newest = newest_of_each(&opened);
    for (piece, attestation) in opened {
        let kinds = kinds(&attestation);
        let is_newest =
            |kind: &String| newest.get(kind).copied().flatten().is_none_or(|t| attestation.time() == Some(t));
        if kinds.is_empty() || kinds.iter().any(is_newest) {
            selection.submitted.push(piece);
        } else {
            selection.leave(piece.name, "the same signer has said the same kind of thing later".to_owned());
        }
    }
    selection
}

impl Selection {
    fn leave(&mut self, name: String, why: String) {
        self.left_out.push(LeftOut { name, why });
    }
}

/// About the artifact, or about a commit: whether that is the artifact's, only provenance says.
fn is_of(attestation: &Attestation, artifact: &Artifact) -> bool {
    is_of_commit(attestation) || attestation.about(artifact).is_ok()
}

fn is_of_commit(attestation: &Attestation) -> bool {
    let subjects = attestation.statement().subjects.iter();
    subjects.flat_map(|s| s.digests.iter()).all(|d| d.algorithm().name().starts_with("git"))
}

/// Leaves out what is about another commit than those that provenance of the artifact names: somebody's word about another
/// project would take the place of what the same one said of this one.
fn of_its_source(
    opened: Vec<(Submitted, Attestation)>,
    artifact: &Artifact,
    selection: &mut Selection,
) -> Vec<(Submitted, Attestation)> {
    let sources: Vec<Artifact> =
        opened.iter().filter_map(|(_, a)| a.about(artifact).ok()?.source_artifact()).collect();
    let is_source = |attestation: &Attestation| {
        sources.is_empty() || sources.iter().any(|source| attestation.about(source).is_ok())
    };
    let (kept, other): (Vec<_>, Vec<_>) =
        opened.into_iter().partition(|(_, a)| !is_of_commit(a) || is_source(a));
    for (piece, _) in other {
        selection.leave(piece.name, "it is about another commit".to_owned());
    }
    kept
}

/// What several of may not be submitted: as the rule `evidence-unambiguous` counts them, but what is said of the source is
/// never newer than what is said of the artifact, nor the other way round. Both are submitted then.
fn kinds(attestation: &Attestation) -> Vec<String> {
    match &attestation.statement().predicate {
        Predicate::Provenance(_) if !only_rebuilds(attestation) => vec!["provenance".to_owned()],
        _ if is_of_commit(attestation) => {
            claims(attestation).into_iter().map(|claim| format!("of the source: {claim}")).collect()
        }
        _ => claims(attestation),
    }
}

/// The latest trusted time of each kind; nothing where one of them has none, or two are of the same moment.
fn newest_of_each(opened: &[(Submitted, Attestation)]) -> BTreeMap<String, Option<Timestamp>> {
    let mut times: BTreeMap<String, Vec<Option<Timestamp>>> = BTreeMap::new();
    for (_, attestation) in opened {
        for kind in kinds(attestation) {
            times.entry(kind).or_default().push(attestation.time());
        }
    }
    times.into_iter().map(|(kind, times)| (kind, newest(&times))).collect()
}

fn newest(times: &[Option<Timestamp>]) -> Option<Timestamp> {
    let all: Vec<Timestamp> = times.iter().copied().collect::<Option<_>>()?;
    let latest = all.iter().max().copied()?;
    (all.iter().filter(|t| **t == latest).count() == 1).then_some(latest)
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn only_a_trusted_time_makes_one_the_newest() {
        let at = |second: i64| jiff::Timestamp::from_second(second).ok();
        assert_eq!(newest(&[at(1), at(3), at(2)]), at(3));
        assert_eq!(newest(&[at(1)]), at(1));
        assert_eq!(newest(&[at(3), at(3), at(1)]), None, "of the same moment");
        assert_eq!(newest(&[at(3), None]), None, "nothing says when the other one was signed");
        assert_eq!(newest(&[]), None);
    }
}
