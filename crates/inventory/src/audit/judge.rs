//! The same function again, over everything that runs.

use std::cell::RefCell;
use std::sync::Arc;

use attest::{Digest, Opener, TrustRoot, Unopened, Verified};
use chokepoint::{Decision, what_if};
use jiff::Timestamp;
use policy::{Book, Case, DeploymentRequest, Frame, Submitted};

use super::fleet::{EvidenceId, Fleet, Question, QuestionId};

/// The files and the moment under which everything is judged.
#[derive(Clone, Copy, Debug)]
pub struct Frozen<'a> {
    /// The book.
    pub book: &'a Book,
    /// The trust root.
    pub root: &'a TrustRoot,
    /// The time.
    pub at: Timestamp,
    /// The engine that judges.
    pub engine: &'a str,
}

impl Frozen<'_> {
    /// The frame of a case that is judged under these files at a time.
    pub(super) fn frame(&self, at: Timestamp) -> Frame {
        Frame {
            at,
            last_seen: None,
            book: self.book.digest().clone(),
            trust_root: self.root.digest().clone(),
            trust_root_version: self.root.version(),
            engine: self.engine.to_owned(),
            beside: policy::Beside::default(),
        }
    }
}

/// What came of one question.
#[derive(Debug)]
pub struct Judged<'f> {
    /// Which.
    pub id: QuestionId,
    /// The question.
    pub question: Question<'f>,
    /// What would be decided; or evidence on record that cannot be had any more, so that nothing can be said.
    pub decision: Result<Decision, Missing>,
}

/// Evidence that a record names, and that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub Digest);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the evidence {} is on record, and its bytes are not there: restore them from a backup",
            self.0
        )
    }
}
impl std::error::Error for Missing {}

/// Judges every question of a fleet on so many threads. `fetch` gives the bytes of evidence by digest; `each` is told every
/// verdict, in no order, from several threads.
pub fn judge(
    fleet: &Fleet,
    frozen: Frozen<'_>,
    threads: usize,
    opener: &(dyn Opener + Sync),
    fetch: &(dyn Fn(&Digest) -> Option<Vec<u8>> + Sync),
    each: &(dyn Fn(Judged<'_>) + Sync),
) {
    in_parts(fleet, threads, &|part| judge_part(fleet, part, frozen, opener, fetch, each));
}

/// Gives each of so many threads a part of all questions, those with the same evidence together.
pub(super) fn in_parts(fleet: &Fleet, threads: usize, work: &(dyn Fn(&[QuestionId]) + Sync)) {
    let order = fleet.in_order();
    let share = order.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        for part in order.chunks(share) {
            scope.spawn(move || work(part));
        }
    });
}

fn judge_part(
    fleet: &Fleet,
    part: &[QuestionId],
    frozen: Frozen<'_>,
    opener: &(dyn Opener + Sync),
    fetch: &(dyn Fn(&Digest) -> Option<Vec<u8>> + Sync),
    each: &(dyn Fn(Judged<'_>) + Sync),
) {
    let mut held: Option<(EvidenceId, Result<Vec<Submitted>, Missing>, Kept<'_>)> = None;
    for id in part {
        let Some(question) = fleet.question(*id).filter(|question| question.running > 0) else { continue };
        if held.as_ref().is_none_or(|(set, _, _)| *set != question.evidence) {
            held = Some((question.evidence, load(fleet, question.evidence, fetch), Kept::new(opener)));
        }
        let Some((_, evidence, kept)) = &mut held else { continue };
        let decision = match evidence {
            Err(missing) => Err(missing.clone()),
            Ok(envelopes) => Ok(ask(&question, envelopes, frozen, kept)),
        };
        each(Judged { id: *id, question, decision });
    }
}

pub(super) fn load(
    fleet: &Fleet,
    set: EvidenceId,
    fetch: &(dyn Fn(&Digest) -> Option<Vec<u8>> + Sync),
) -> Result<Vec<Submitted>, Missing> {
    let one = |(name, digest): &(String, Digest)| {
        let bytes = fetch(digest).filter(|bytes| Digest::sha256(bytes) == *digest);
        Ok(Submitted { name: name.clone(), bytes: bytes.ok_or_else(|| Missing(digest.clone()))? })
    };
    fleet.evidence(set).iter().map(one).collect()
}

/// Asks one question. The envelopes are lent to the case, and come back.
fn ask(
    question: &Question<'_>,
    envelopes: &mut Vec<Submitted>,
    frozen: Frozen<'_>,
    kept: &Kept<'_>,
) -> Decision {
    let mut request =
        DeploymentRequest::new(question.artifact.clone(), question.environment, question.chokepoint);
    request.requester = question.requester.map(str::to_owned);
    request.envelopes = std::mem::take(envelopes);
    let frame = frozen.frame(frozen.at);
    let case = Case::open(request, frame);
    let decision = what_if(&case, frozen.book, frozen.root, kept);
    *envelopes = case.into_request().envelopes;
    decision
}

type Outcome = Result<Arc<Verified>, Unopened>;

/// Holds what was verified of one set of evidence, for one thread.
struct Kept<'o> {
    opener: &'o (dyn Opener + Sync),
    verified: RefCell<Vec<(Digest, Outcome)>>,
}

impl<'o> Kept<'o> {
    fn new(opener: &'o (dyn Opener + Sync)) -> Self {
        Self { opener, verified: RefCell::default() }
    }
}

impl Opener for Kept<'_> {
    fn verify(&self, root: &TrustRoot, bytes: &[u8], digest: &Digest) -> Outcome {
        let found =
            self.verified.borrow().iter().find(|(held, _)| held == digest).map(|(_, end)| end.clone());
        found.unwrap_or_else(|| {
            let end = self.opener.verify(root, bytes, digest);
            self.verified.borrow_mut().push((digest.clone(), end.clone()));
            end
        })
    }
}
