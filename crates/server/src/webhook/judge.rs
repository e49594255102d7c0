//! What the listener asks of whoever decides: a seam, so that the one can be tried with a slow or a broken other.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attest::{Digest, Json, Object, PublicKey};
use bytes::Bytes;
use chokepoint::NewEvent;
use jiff::Timestamp;
use policy::DeploymentRequest;

use crate::alarm::AlarmMetrics;
use crate::webhook::rate::Allowance;
use crate::webhook::registries::RegistryMetrics;
use crate::webhook::ruling::Ruling;
use crate::webhook::summaries::SummaryMetrics;

/// Decides about reviews. Called on threads of its own, many at once; it may wait for disks, and may panic: then what
/// was asked is refused.
pub trait Judge: Send + Sync + 'static {
    /// Answers one review.
    ///
    /// # Errors
    /// [`NoAnswer`] where there is no review to answer, or nobody left to answer it for.
    fn judge(&self, ask: &Ask, stages: &mut Stages) -> Result<Judged, NoAnswer>;

    /// Decides about one artifact for a choke point that is not Kubernetes', and answers once it is on record.
    ///
    /// # Errors
    /// [`NotRuled`] where there is no decision: then nobody may act.
    fn rule(&self, question: Question, deadline: &Deadline, now: Timestamp) -> Result<Ruling, NotRuled>;

    /// Keeps a piece of evidence or a grant, or puts a review or the closing of an alarm on record; gives its digest.
    ///
    /// # Errors
    /// [`NotKept`].
    fn keep(&self, kept: Kept, bytes: &[u8], by: &str, now: Timestamp) -> Result<String, NotKept>;

    /// Puts on record what was let in while the choke point could not be reached, and gives the digests in their order; nothing
    /// where more of it is nobody's word but the bringer's than he is allowed.
    ///
    /// # Errors
    /// [`NotKept`].
    fn bring(&self, _brought: &Brought<'_>) -> Result<Option<Vec<String>>, NotKept> {
        Err(NotKept::Store("nothing is brought here".to_owned()))
    }

    /// Whether it can decide now, and what it has in its hands. Judges a case that it knows the answer of.
    fn look(&self, now: Timestamp) -> Look;

    /// Looks at the files that are in force; gives what came of each that changed.
    fn reload(&self, now: Timestamp) -> Vec<Reloaded>;

    /// Digests of the files in force: an answer under others may be another one.
    fn files(&self) -> Vec<String> {
        Vec::new()
    }

    /// Puts an event on record, and comes back once it is.
    ///
    /// # Errors
    /// Why it is not.
    fn put_on_record(&self, event: NewEvent) -> Result<(), String> {
        Err(format!("nothing records the event {}", event.kind))
    }

    /// Whose key it is beside a release's, by the files in force; nothing where it is nobody else's.
    fn others(&self, _key: &PublicKey) -> Option<String> {
        Some("nobody can say whose".to_owned())
    }

    /// Numbers about alarms, where there are any.
    fn alarm_metrics(&self) -> Option<AlarmMetrics> {
        None
    }

    /// Numbers about questions to registries, where any may be asked.
    fn registry_metrics(&self) -> Option<RegistryMetrics> {
        None
    }

    /// Numbers about summaries, where any are made.
    fn summary_metrics(&self) -> Option<SummaryMetrics> {
        None
    }

    /// Writes what has yet to be written. Nothing is asked afterwards.
    fn close(&self, _now: Timestamp) {}
}

/// One review as it came in.
#[derive(Debug)]
pub struct Ask {
    /// The body.
    pub body: Bytes,
    /// What for.
    pub purpose: Purpose,
    /// Until when.
    pub deadline: Deadline,
    /// The time.
    pub now: Timestamp,
}

/// A question about one artifact, by a choke point that is not Kubernetes'.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is asked, with the evidence and the grant that came with it.
    pub request: DeploymentRequest,
    /// Evidence in the store that the requester names. Where nothing is named and nothing came along, what was attached to
    /// the artifact is judged.
    pub evidence: Vec<Digest>,
    /// The grant in the store that the requester names.
    pub grant: Option<Digest>,
    /// Nothing is put on record: then nobody may act on the answer.
    pub dry_run: bool,
}

/// Which of the two webhooks is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The one that decides.
    Validate,
    /// The one that may change an object before it is decided about.
    Mutate,
}

/// Until when an answer is worth anything.
#[derive(Clone, Debug)]
pub struct Deadline {
    at: Instant,
    gone: Arc<AtomicBool>,
}

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn after(span: Duration) -> Self {
        Self { at: Instant::now() + span, gone: Arc::new(AtomicBool::new(false)) }
    }

    /// The moment.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// How much is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Nobody waits any more.
    pub(crate) fn give_up(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Whether nobody waits any more: then nothing is begun.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.gone.load(Ordering::Acquire) || Instant::now() >= self.at
    }

    /// Goes on only while somebody waits.
    ///
    /// # Errors
    /// [`NoAnswer::Late`].
    pub fn check(&self) -> Result<(), NoAnswer> {
        if self.is_over() { Err(NoAnswer::Late) } else { Ok(()) }
    }
}

/// An answer, and what it says, for records and numbers.
#[derive(Debug)]
pub struct Judged {
    /// The `AdmissionReview` with the response.
    pub answer: Json,
    /// The request's uid.
    pub uid: String,
    /// What was decided, one for each image or guarded object.
    pub decisions: Vec<Told>,
}

/// One decision, in words.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The record's index and leaf hash; nothing where nothing was recorded (a dry run).
    pub record: Option<(u64, String)>,
    /// The environment.
    pub environment: String,
    /// The artifact, short.
    pub artifact: String,
    /// `admit`, `reject` or `cannot-decide`.
    pub decision: String,
    /// Why.
    pub basis: String,
    /// The rules that refused.
    pub rules: Vec<String>,
    /// Why what a controller made is not proven to be its owner's.
    pub unproven: Option<String>,
    /// What a registry was asked for it, and said.
    pub registry: Option<Object>,
}

/// Why a review has no answer.
#[derive(Clone, Debug)]
pub enum NoAnswer {
    /// The body is no review; the field says why.
    Malformed(String),
    /// The caller is gone.
    Late,
    /// Our own part failed; the first field is the uid, the second says what.
    Failed(String, String),
}

/// Why a question has no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRuled {
    /// The caller is gone.
    Late,
    /// Too much is asked at once; the field says of what.
    Busy(String),
    /// Our own part failed; the field says what.
    Failed(String),
}

impl fmt::Display for NotRuled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("cannot decide: no time was left"),
            Self::Busy(why) | Self::Failed(why) => write!(f, "cannot decide: {why}"),
        }
    }
}
impl std::error::Error for NotRuled {}

/// What can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A bundle, or a list of them.
    Evidence,
    /// A breakglass grant.
    Grant,
    /// A signed review of what a grant let in, for the log.
    Review,
    /// That somebody has seen an alarm, for the log.
    Closing,
}

/// Records of what was let in while the choke point could not be reached.
#[derive(Debug)]
pub struct Brought<'b> {
    /// Each as it came.
    pub records: &'b [Json],
    /// Who brings them.
    pub by: &'b str,
    /// The time.
    pub now: Timestamp,
    /// How many may be nothing but their bringer's word.
    pub allowance: Allowance<'b>,
}

/// Why something was not kept.
#[derive(Clone, Debug)]
pub enum NotKept {
    /// It is not what it should be; the field says why.
    Malformed(String),
    /// It is what it should be, and does not count; the field says why.
    Refused(String),
    /// The store failed; the field says how.
    Store(String),
}

/// What is in a judge's hands.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Parts that must be well, and why one is not.
    pub parts: Vec<(&'static str, Result<(), String>)>,
    /// What is not well, and keeps nobody from deciding.
    pub warnings: Vec<String>,
    /// Digests of the files in force, by what they are.
    pub digests: Vec<(&'static str, String)>,
    /// For how long the book on disk has not been the one in force.
    pub book_stale: Duration,
    /// Records in the log.
    pub log_size: u64,
    /// Records that are durable, and not yet in the log's tree.
    pub journal_pending: u64,
    /// Successes of verification that were found in the cache, were not, and bytes in it.
    pub cache: (u64, u64, u64),
    /// Environments that have a name: others are counted together.
    pub environments: BTreeSet<String>,
    /// Rules that have a name.
    pub rules: BTreeSet<String>,
    /// What happens after the answers.
    pub after: AfterLook,
}

/// How what happens after the answers is.
#[derive(Clone, Debug, Default)]
pub struct AfterLook {
    /// Seconds since everything that runs was judged again; nothing where it never was.
    pub verified: Option<i64>,
    /// Running deployments at that time, by how they turn; and those that nobody decided.
    pub running: Vec<(&'static str, u64)>,
    /// Entries of the log that the inventory has.
    pub followed: u64,
    /// Percent of the spool that is used.
    pub spool: u64,
    /// Whether the log's store is out of reach.
    pub is_cut_off: bool,
    /// The size under the newest checkpoint that enough witnesses cosigned.
    pub witnessed: Option<u64>,
    /// Seconds since what runs was joined whole with what was decided; nothing where nobody watches, or it never was.
    pub joined: Option<i64>,
    /// Places that should hear of alarms, and do not, and why.
    pub untold: Vec<(String, String)>,
}

/// What came of looking at a file that changed.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// The book, the trust root, …
    pub what: &'static str,
    /// Its digest, or why it is not in force.
    pub result: Result<String, String>,
}

/// A step of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The body comes in.
    Read,
    /// Waiting for a thread.
    Wait,
    /// From bytes to a review.
    Parse,
    /// Who owns what is asked about.
    Owners,
    /// Reading evidence.
    Evidence,
    /// Judging.
    Judge,
    /// Writing the record.
    Record,
    /// From decisions to an answer.
    Answer,
    /// All of it.
    Total,
}

impl Stage {
    /// The word in metrics and traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Wait => "wait",
            Self::Parse => "parse",
            Self::Owners => "owners",
            Self::Evidence => "evidence",
            Self::Judge => "judge",
            Self::Record => "record",
            Self::Answer => "answer",
            Self::Total => "total",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long each step took.
#[derive(Clone, Debug, Default)]
pub struct Stages(Vec<(Stage, Instant, Duration)>);

impl Stages {
    /// Does a step, and keeps how long it took.
    pub fn measure<T>(&mut self, stage: Stage, step: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = step();
        self.add(stage, begin);
        result
    }

    /// A step that began then ends now.
    pub fn add(&mut self, stage: Stage, begin: Instant) {
        self.0.push((stage, begin, begin.elapsed()));
    }

    /// Takes what another measured.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Stage, Instant, Duration)> {
        self.0.iter()
    }
}
