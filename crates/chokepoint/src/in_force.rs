//! The reviewed files under which cases are judged, and how they come on record.

use std::sync::Arc;

use attest::json::MAX_INT;
use attest::{Digest, Object, TrustRoot};
use jiff::Timestamp;
use policy::{Beside, Book, Case, DeploymentRequest, Frame, Outage, evaluate_with};
use tlog::{AppendError, Purpose};

use crate::cache::{CacheLimits, EvidenceCache};
use crate::chokepoint::{ENGINE, decide_in_mode};
use crate::decision::{Answer, Decision};
use crate::error::DecideError;
use crate::event::{EventKind, NewEvent};
use crate::governed::Governed;
use crate::prepared::Prepared;
use crate::record;

/// Everything that governs decisions.
#[derive(Debug)]
pub struct Governing {
    /// The policies.
    pub book: Book,
    /// Whose signatures count.
    pub root: TrustRoot,
    /// The text of the guardrails under which the book was loaded.
    pub guardrails: Option<Vec<u8>>,
    /// The text of the configuration. It is named on record by its digest only.
    pub configuration: Option<Vec<u8>>,
    /// What governs all of these, where anything does.
    pub governance: Option<Governed>,
}

impl Governing {
    /// A book and a trust root alone.
    #[must_use]
    pub fn new(book: Book, root: TrustRoot) -> Self {
        Self { book, root, guardrails: None, configuration: None, governance: None }
    }
}

impl Governing {
    /// What would be decided under them before anything is in force. Nothing is recorded, so nobody may act on it.
    #[must_use]
    pub fn judge(self, request: DeploymentRequest, at: Timestamp) -> Decision {
        let cache = EvidenceCache::new(CacheLimits::default());
        let moment = Moment { at, last_seen: None, cache: &cache, is_full: false };
        InForce::new(self).judge(request, &moment).1
    }
}

/// What is in force.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) book: Arc<Book>,
    pub(crate) root: Arc<TrustRoot>,
    /// The list of the book's files, as a blob.
    manifest: Vec<u8>,
    /// The text, and its digest.
    pub(crate) guardrails: Option<(Vec<u8>, Digest)>,
    pub(crate) configuration: Option<Digest>,
    pub(crate) governance: Option<Governed>,
    /// Digests of these three, for every case.
    beside: Beside,
}

/// The time and what else comes with a request.
pub(crate) struct Moment<'a> {
    pub(crate) at: Timestamp,
    pub(crate) last_seen: Option<Timestamp>,
    pub(crate) cache: &'a EvidenceCache,
    /// The spool has no room: only what its reserve takes is admitted.
    pub(crate) is_full: bool,
}

impl InForce {
    pub(crate) fn new(governing: Governing) -> Self {
        let Governing { book, root, guardrails, configuration, governance } = governing;
        let manifest = record::book_manifest(&book).to_string().into_bytes();
        let configuration = configuration.map(|bytes| Digest::sha256(&bytes));
        let guardrails = guardrails.map(|bytes| {
            let digest = Digest::sha256(&bytes);
            (bytes, digest)
        });
        let beside = Beside {
            guardrails: guardrails.as_ref().map(|(_, digest)| digest.clone()),
            configuration: configuration.clone(),
            governance: governance.as_ref().map(|governed| governed.policies.digest().clone()),
        };
        let (book, root) = (Arc::new(book), Arc::new(root));
        Self { book, root, manifest, guardrails, configuration, governance, beside }
    }

    /// The same files, and another book: the one that judges files.
    pub(crate) fn under(&self, policies: &Arc<Book>) -> Self {
        Self {
            book: Arc::clone(policies),
            root: Arc::clone(&self.root),
            manifest: record::book_manifest(policies).to_string().into_bytes(),
            guardrails: self.guardrails.clone(),
            configuration: self.configuration.clone(),
            governance: self.governance.clone(),
            beside: self.beside.clone(),
        }
    }

    /// What a replay of a decision under them needs.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Vec<u8>> {
        let own = [self.manifest.clone(), self.root.text().as_bytes().to_vec()];
        own.into_iter().chain(texts(&self.book))
    }

    /// What is on record of it.
    pub(crate) fn body(&self) -> Object {
        let version = i64::try_from(self.root.version()).unwrap_or(MAX_INT).min(MAX_INT);
        let mut body = Object::new()
            .with("book", self.book.digest().to_string())
            .with("manifest", Digest::sha256(&self.manifest).to_string())
            .with("trust_root", self.root.digest().to_string())
            .with("trust_root_version", version);
        body.set_some("guardrails", self.guardrails.as_ref().map(|(_, digest)| digest.to_string()));
        body.set_some("configuration", self.configuration.as_ref().map(Digest::to_string));
        if let Some(governed) = &self.governance {
            let [manifest, history] = written(governed);
            body.set("governance", governed.policies.digest().to_string());
            body.set("governance_manifest", Digest::sha256(&manifest).to_string());
            body.set("history", Digest::sha256(&history).to_string());
        }
        body
    }

    /// The event that puts it on record, with everything that a replay needs.
    ///
    /// # Errors
    /// The length of an event that no log can hold.
    pub(crate) fn event(&self) -> Result<Prepared, usize> {
        let mut parts = vec![self.manifest.clone(), self.root.text().as_bytes().to_vec()];
        parts.extend(self.guardrails.as_ref().map(|(text, _)| text.clone()));
        parts.extend(self.governance.iter().flat_map(written));
        let at = Timestamp::UNIX_EPOCH;
        let event = NewEvent { at, kind: EventKind::FilesInForce, body: self.body(), parts };
        // the manifests name them, however many they are
        let policies = self.governance.iter().flat_map(|governed| texts(&governed.policies));
        Ok(Prepared::event(event, self.root.version())?.with(texts(&self.book).chain(policies)))
    }

    /// Opens the case, judges it, and lays out what will be recorded: nothing of what is refused for want of room.
    pub(crate) fn prepare(
        &self,
        request: DeploymentRequest,
        moment: &Moment<'_>,
    ) -> Result<(Case, Decision, Option<Prepared>), DecideError> {
        let (case, decision) = self.judge_for_record(request, moment);
        let prepared = Prepared::decision(&case, &decision, Digest::sha256(&self.manifest))
            .map_err(|long| DecideError::Append(Arc::new(AppendError::TooLong(long))))?;
        let is_recorded = !moment.is_full || prepared.purpose > Purpose::Ordinary;
        if !is_recorded && decision.answer() == Answer::Admit {
            return Err(DecideError::Full);
        }
        Ok((case, decision, is_recorded.then_some(prepared)))
    }

    /// Where there is no room, what is admitted is only what the reserve takes: another outage of ours comes first, since
    /// it says what may be missing, and must then be why it is admitted.
    fn judge_for_record(&self, mut request: DeploymentRequest, moment: &Moment<'_>) -> (Case, Decision) {
        if moment.is_full {
            request.outage = request.outage.or(Some(Outage::DecisionLog));
        }
        let (case, decision) = self.judge(request, moment);
        let is_kept = Prepared::purpose_of(&decision) > Purpose::Ordinary;
        if !moment.is_full || is_kept || decision.answer() == Answer::Reject {
            return (case, decision);
        }
        let request = DeploymentRequest { outage: Some(Outage::DecisionLog), ..case.request().clone() };
        self.judge(request, moment)
    }

    pub(crate) fn judge(&self, request: DeploymentRequest, moment: &Moment<'_>) -> (Case, Decision) {
        let case = self.open_case(request, moment);
        let verdict = evaluate_with(&case, &self.book, &self.root, moment.cache);
        let decision = decide_in_mode(verdict, &case, &self.book);
        (case, decision)
    }

    /// Freezes everything that the verdict may look at.
    fn open_case(&self, request: DeploymentRequest, moment: &Moment<'_>) -> Case {
        let frame = Frame {
            at: moment.at,
            last_seen: moment.last_seen,
            book: self.book.digest().clone(),
            trust_root: self.root.digest().clone(),
            trust_root_version: self.root.version(),
            beside: self.beside.clone(),
            engine: ENGINE.to_owned(),
        };
        Case::open(request, frame)
    }
}

/// The list of the policies' files, and what was in force before them.
fn written(governed: &Governed) -> [Vec<u8>; 2] {
    let manifest = record::book_manifest(&governed.policies).to_string().into_bytes();
    [manifest, governed.history.to_json().to_string().into_bytes()]
}

fn texts(book: &Book) -> impl Iterator<Item = Vec<u8>> {
    book.files().iter().map(|file| file.text.clone().into_bytes())
}
