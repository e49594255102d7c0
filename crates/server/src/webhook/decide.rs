//! The story of one review: what is asked → what of it is deployed → who owns it → what is known about it → the
//! decision, on record → the answer.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use attest::{Artifact, Digest, DigestSet, PublicKey, Role};
use chokepoint::{Answer, DecideError, NewEvent};
use evidence::{Attachment, Store, WriteError};
use jiff::Timestamp;
use kubernetes::evidence::Memory;
use kubernetes::{
    Context, Deployment, Refusal, Review, Subject, answer, answer_busy, answer_malformed, answer_nothing,
    answer_patch,
};
use policy::{DeploymentRequest, Outage, Submitted};

use crate::alarm::{AlarmMetrics, Desk};
use crate::webhook::after::After;
use crate::webhook::config::Config;
use crate::webhook::engine::{DecisionLog, Engine, Ruled};
use crate::webhook::files::Files;
use crate::webhook::gather;
use crate::webhook::governance::{self, Begun, Steward};
use crate::webhook::judge::{
    Ask, Brought, Deadline, Judge, Judged, Kept, Look, NoAnswer, NotKept, NotRuled, Purpose, Question,
    Reloaded, Stage, Stages, Told,
};
use crate::webhook::owners::{self, Cluster};
use crate::webhook::registries::{Looked, Registries, RegistryMetrics, Until, With};
use crate::webhook::ruling::Ruling;
use crate::webhook::standing::{Inherited, Standings};
use crate::webhook::summaries::{self, Summaries, SummaryMetrics};
use crate::webhook::tell::{heard, missing, told};

/// Decides about what an API server asks.
#[derive(Debug)]
pub struct Kubernetes {
    config: Config,
    engine: Arc<Engine>,
    pub(super) desk: OnceLock<Arc<Desk>>,
    pub(super) after: OnceLock<After>,
    pub(super) summaries: OnceLock<Summaries>,
    pub(super) summary_metrics: SummaryMetrics,
    /// Who puts files in force; nothing where they are taken without provenance.
    pub(super) steward: Option<Steward>,
    pub(super) store: Store,
    pub(super) registries: Registries,
    cluster: Option<Arc<dyn Cluster>>,
    standings: Standings,
    memory: Memory,
    secret_key: Option<SecretBytes>,
    loaded: Mutex<Loaded>,
}

/// The reviewed files.
#[derive(Debug)]
pub(super) struct Loaded {
    /// What was tried last.
    tried: Result<Files, String>,
    /// Since when what is on disk is not in force.
    pub(super) stale: Option<Instant>,
}

struct SecretBytes(Vec<u8>);

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretBytes")
    }
}

/// What a request deploys, and the requests to the engine that stand for it.
struct Prepared {
    deployments: Vec<Deployment>,
    requests: Vec<DeploymentRequest>,
    /// What registries said, one for each request.
    looked: Vec<Option<Arc<Looked>>>,
    /// Why what a controller made is not proven to be its owner's.
    unproven: Option<String>,
    /// Grants that an annotation names and that are nowhere.
    lost: Vec<Digest>,
}

/// An artifact that nobody deploys: the case whose answer is known.
const SELF_TEST: &str = "portcullis-self-test";
/// A key that binds Secrets holds at least so many bytes.
pub(super) const MIN_SECRET: usize = 32;

impl Kubernetes {
    /// Puts the reviewed files in force over a log: those on disk, or, where they are governed, those that the log and the
    /// evidence say. Without a cluster to ask, nobody inherits anything from an owner.
    ///
    /// # Errors
    /// What does not load, and why.
    pub fn open(config: &Config, log: DecisionLog, now: Timestamp) -> Result<Self, String> {
        let Begun { config, engine, steward, files } = governance::begin(config, log, now)?;
        let secret_key = config.webhook.secret_key.as_deref().map(|file| {
            let bytes = std::fs::read(file).map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
            if bytes.len() < MIN_SECRET {
                return Err(format!("{} holds less than {MIN_SECRET} bytes of key", file.display()));
            }
            Ok(SecretBytes(bytes))
        });
        let registries = Registries::open(&config.registries);
        let standings =
            engine.read_tree(|tree, _| Standings::open(&config.state, tree, &engine.checkpoint()?))?;
        Ok(Self {
            engine: Arc::new(engine),
            desk: OnceLock::new(),
            after: OnceLock::new(),
            summaries: OnceLock::new(),
            summary_metrics: SummaryMetrics::default(),
            steward,
            standings,
            memory: Memory::new(usize::try_from(config.cache / 4).unwrap_or(usize::MAX)),
            store: Store::new(&config.evidence),
            registries: registries.map_err(|all| unusable(&all))?,
            secret_key: secret_key.transpose()?,
            cluster: None,
            config,
            loaded: Mutex::new(Loaded { tried: files.ok_or_else(String::new), stale: None }),
        })
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The configuration in force: not the one on disk, where that was not admitted.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Looks owners up there.
    #[must_use]
    pub fn asking(self, cluster: Option<Arc<dyn Cluster>>) -> Self {
        Self { cluster, ..self }
    }

    pub(super) fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secret_key(&self) -> Option<&[u8]> {
        self.secret_key.as_ref().map(|key| key.0.as_slice())
    }

    /// Owners, evidence, and what the engine is told.
    fn prepare(
        &self,
        review: &Review,
        judged: &kubernetes::Judged,
        ask: &Ask,
        stages: &mut Stages,
    ) -> Prepared {
        let mapping = &self.config.webhook.mapping;
        let look = || owners::look(self.cluster.as_deref(), review, mapping, &ask.deadline);
        let owned = stages.measure(Stage::Owners, look);
        let began = Instant::now();
        let attached = kubernetes::attached(review, judged, &self.memory);
        let mut fetched = gather::Fetched::default();
        let (bundles, is_failing) = gather::bundles(&self.store, [&attached.0, &attached.1], &mut fetched);
        let inherited = self.standings.inherited(owned.ownership.as_ref(), ask.now);
        let context = Context {
            ownership: owned.ownership.as_ref(),
            heir: inherited.as_ref().and_then(Inherited::heir),
            bundles,
            secret_key: self.secret_key(),
            attached: Some(&attached),
            memory: Some(&self.memory),
        };
        let mut deployments = kubernetes::requests(review, judged, mapping, &context);
        // as the object itself, what was looked at stands in the case of a review's first part: a large owner is not kept
        // once for each of its images
        let mut consulted = owned.consulted.clone();
        let one = |deployment: &mut Deployment| {
            let cluster = &mapping.cluster;
            let mut request = gather::request(&self.store, deployment, cluster, is_failing, &mut fetched);
            request.consulted = std::mem::take(&mut consulted);
            request.outage = request.outage.or_else(|| owned.outage());
            request.standing = request.standing.or_else(|| inherited.as_ref().and_then(Inherited::recreated));
            request
        };
        let mut requests: Vec<DeploymentRequest> = deployments.iter_mut().map(one).collect();
        let until = Until::of(&ask.deadline);
        let look = |(deployment, request)| self.look_up(deployment, request, ask, until, &mut fetched);
        let looked = deployments.iter().zip(&mut requests).map(look).collect();
        if let Some(refusal) = fetched.excess() {
            for request in &mut requests {
                request.envelopes.clear();
                request.unreadable.push(refusal.unreadable());
            }
        }
        let is_lost = |request: &DeploymentRequest| request.grant.is_none() && request.outage.is_none();
        let named = deployments.iter().zip(&requests).filter(|(_, request)| is_lost(request));
        let lost = named.filter_map(|(deployment, _)| deployment.breakglass.clone()).collect();
        stages.add(Stage::Evidence, began);
        Prepared { deployments, requests, looked, unproven: owned.unproven(), lost }
    }

    /// Where the requester named no evidence and what the store has does not suffice, the image's registry is asked.
    fn look_up(
        &self,
        deployment: &Deployment,
        request: &mut DeploymentRequest,
        ask: &Ask,
        until: Until,
        fetched: &mut gather::Fetched,
    ) -> Option<Arc<Looked>> {
        let is_chosen = !(deployment.envelopes.is_empty() && deployment.missing.is_empty());
        let is_image = matches!(deployment.kind, kubernetes::DeploymentKind::Image(_));
        if self.config.registries.is_empty()
            || !is_image
            || is_chosen
            || !deployment.unreadable.is_empty()
            || request.outage.is_some()
            || fetched.excess().is_some()
        {
            return None;
        }
        let suffices = || self.engine.judge(request.clone(), ask.now).decision.verdict().is_met();
        if !request.envelopes.is_empty() && suffices() {
            return None;
        }
        let with = With { store: &self.store, engine: &self.engine, now: ask.now };
        let looked = self.registries.look(&request.artifact, &request.envelopes, until, &with)?;
        if looked.unknown.is_some() {
            request.outage = Some(Outage::EvidenceStore);
            return Some(looked);
        }
        let bytes = |all: &[Submitted]| all.iter().map(|one| one.bytes.len()).sum::<usize>();
        fetched.add(bytes(&looked.envelopes).saturating_sub(bytes(&request.envelopes)));
        request.envelopes.clone_from(&looked.envelopes);
        Some(looked)
    }

    /// What stands for a request of which nothing can be read: the engine refuses it, and puts it on record.
    fn prepare_unread(&self, review: &Review, refusal: &Refusal) -> Prepared {
        let mapping = &self.config.webhook.mapping;
        let context = Context { secret_key: self.secret_key(), ..Context::default() };
        let mut deployment = kubernetes::unread(review, refusal, mapping, &context);
        let requests = vec![deployment.request(&mapping.cluster)];
        let looked = vec![None];
        Prepared { deployments: vec![deployment], requests, looked, unproven: None, lost: Vec::new() }
    }

    /// Decides, and records; of a dry run, nothing is recorded.
    fn rule(
        &self,
        review: &Review,
        requests: Vec<DeploymentRequest>,
        ask: &Ask,
        stages: &mut Stages,
    ) -> Result<Vec<Ruled>, DecideError> {
        if review.dry_run {
            let judge = || requests.into_iter().map(|request| self.engine.judge(request, ask.now)).collect();
            return Ok(stages.measure(Stage::Judge, judge));
        }
        stages.measure(Stage::Record, || self.engine.decide_all(requests, ask.now))
    }

    /// Digests for tags that somebody who may attach has named. Decides nothing, and refuses nothing.
    fn pin(&self, review: Review, subject: &Subject) -> Judged {
        let pins = kubernetes::pin::pins(subject, |reference| gather::resolve(&self.store, reference));
        Judged { answer: answer_patch(&review, &pins), uid: review.uid, decisions: Vec::new() }
    }
}

impl Judge for Kubernetes {
    fn judge(&self, ask: &Ask, stages: &mut Stages) -> Result<Judged, NoAnswer> {
        let review = match stages.measure(Stage::Parse, || Review::parse(&ask.body)) {
            Ok(review) => review,
            Err(e) => return malformed(&e),
        };
        let subject = Subject::of(&review, &self.config.webhook.mapping, self.secret_key());
        if ask.purpose == Purpose::Mutate {
            return Ok(self.pin(review, &subject));
        }
        let prepared = match subject {
            Subject::Nothing(nothing) => {
                let answer = answer_nothing(&review, &nothing);
                return Ok(Judged { answer, uid: review.uid, decisions: Vec::new() });
            }
            Subject::Refused(refusal) => self.prepare_unread(&review, &refusal),
            Subject::Judged(judged) => self.prepare(&review, &judged, ask, stages),
        };
        // nothing is put on record for a caller that is gone
        ask.deadline.check()?;
        let ruled = match self.rule(&review, prepared.requests, ask, stages) {
            Ok(ruled) => ruled,
            Err(e @ DecideError::Busy { .. }) => {
                let answer = answer_busy(&review, &e.to_string(), 1);
                return Ok(Judged { answer, uid: review.uid, decisions: Vec::new() });
            }
            Err(e) => return Err(NoAnswer::Failed(review.uid, e.to_string())),
        };
        self.alarm(&ruled, ask.now);
        if let Some(summaries) = self.summaries.get() {
            summaries.offer(&ruled);
        }
        self.standings.learn(&review, &prepared.deployments, &ruled, ask.now);
        let began = Instant::now();
        let both = || prepared.deployments.iter().zip(&ruled).zip(&prepared.looked);
        let outcomes: Vec<_> =
            both().map(|((deployment, ruled), looked)| heard(deployment, ruled, looked.as_deref())).collect();
        let unproven = || prepared.unproven.clone();
        let one = |((deployment, ruled), looked): (_, &Option<Arc<Looked>>)| {
            let registry = looked.as_ref().map(|looked| looked.to_object());
            Told { unproven: unproven(), registry, ..told(deployment, ruled) }
        };
        let decisions = both().map(one).collect();
        let answer = answer(&review, &outcomes, &missing(&prepared.deployments, &prepared.lost, &ruled));
        stages.add(Stage::Answer, began);
        Ok(Judged { answer, uid: review.uid, decisions })
    }

    fn rule(&self, question: Question, deadline: &Deadline, now: Timestamp) -> Result<Ruling, NotRuled> {
        self.rule_on(question, deadline, now)
    }

    fn keep(&self, kept: Kept, bytes: &[u8], by: &str, now: Timestamp) -> Result<String, NotKept> {
        let malformed = |e: &dyn std::fmt::Display| NotKept::Malformed(e.to_string());
        let failed = |e: WriteError| match e {
            WriteError::Io(..) | WriteError::Unknown(_) => NotKept::Store(e.to_string()),
            _ => malformed(&e),
        };
        match kept {
            Kept::Evidence => {
                let attachment = Attachment::read(bytes).map_err(|e| malformed(&e))?;
                let digests = self.store.keep_attachment(&attachment, now).map_err(failed)?;
                Ok(digests.iter().map(Digest::to_string).collect::<Vec<_>>().join(","))
            }
            Kept::Review => self.review(bytes, now),
            Kept::Closing => self.close_alarm(bytes, by, now),
            Kept::Grant => {
                let grant = evidence::compact(bytes).map_err(|e| malformed(&e))?;
                self.store.put_grant(&grant).map(|digest| digest.to_string()).map_err(failed)
            }
        }
    }

    fn bring(&self, brought: &Brought<'_>) -> Result<Option<Vec<String>>, NotKept> {
        self.spooled(brought)
    }

    fn look(&self, now: Timestamp) -> Look {
        let stopped = || {
            let why = self.engine.failure().unwrap_or_else(|| "a record may not be durable".to_owned());
            format!("{why}; nothing is decided until the choke point is started anew")
        };
        let log = if self.engine.is_stopped() { Err(stopped()) } else { Ok(()) };
        let store = self.store.attached(&Digest::sha256(b"portcullis")).map(drop).map_err(|e| e.to_string());
        let [book, root] = self.engine.digests();
        Look {
            parts: vec![("log", log), ("self-test", self.self_test(now))],
            // without it, what policies say of an outage is decided: taking every replica away would decide nothing
            warnings: store
                .err()
                .map(|e| format!("the evidence store does not answer: {e}"))
                .into_iter()
                .chain(self.steward.iter().flat_map(Steward::warnings))
                .chain(self.standings.warning())
                .chain(self.after.get().into_iter().flat_map(After::warnings))
                .collect(),
            digests: vec![("book", book), ("trust root", root)],
            book_stale: self.loaded().stale.map(|since| since.elapsed()).unwrap_or_default(),
            log_size: self.engine.log_size(),
            journal_pending: self.engine.pending(),
            cache: self.engine.cache(),
            environments: self.environments(),
            rules: policy::rules::all().map(|rule| rule.name.to_owned()).collect(),
            after: self.look_after(now),
        }
    }

    fn reload(&self, now: Timestamp) -> Vec<Reloaded> {
        self.standings.keep(&self.engine, false, now);
        let told = self.look_at_files(now);
        self.alarm_files(&told, now);
        told
    }

    fn files(&self) -> Vec<String> {
        self.engine.digests().to_vec()
    }

    fn put_on_record(&self, event: NewEvent) -> Result<(), String> {
        self.engine.record(event).map_err(|e| e.to_string())
    }

    fn others(&self, key: &PublicKey) -> Option<String> {
        summaries::key::shared(key, self.config(), &self.engine.in_force().1, Role::Signer)
    }

    fn alarm_metrics(&self) -> Option<AlarmMetrics> {
        self.desk.get().map(|desk| desk.metrics().clone())
    }

    fn registry_metrics(&self) -> Option<RegistryMetrics> {
        self.registries.metrics()
    }

    fn summary_metrics(&self) -> Option<SummaryMetrics> {
        self.config.summaries.as_ref().map(|_| self.summary_metrics.clone())
    }

    fn close(&self, now: Timestamp) {
        if let Some(summaries) = self.summaries.get() {
            summaries.end();
        }
        if let Some(after) = self.after.get() {
            after.end();
        }
        if self.engine.is_shared() {
            // what others decided is learnt from the tree
            self.engine.settle();
        }
        self.standings.keep(&self.engine, true, now);
        self.engine.settle();
    }
}

impl Kubernetes {
    /// Puts in force what changed on disk, where it may come into force.
    fn look_at_files(&self, now: Timestamp) -> Vec<Reloaded> {
        if let Some(steward) = &self.steward {
            let told = steward.reload(&self.config, &self.engine, now);
            let mut loaded = self.loaded();
            let since = loaded.stale.unwrap_or_else(Instant::now);
            loaded.stale = (!steward.warnings().is_empty()).then_some(since);
            return told;
        }
        let files = Files::read(&self.config);
        let mut loaded = self.loaded();
        if files == loaded.tried {
            return Vec::new();
        }
        // what was tried last may be what did not load: a file that was mended counts as changed as well
        let changed = match (&files, &loaded.tried) {
            (Ok(new), Ok(old)) => new.changed(old),
            (Ok(_), Err(_)) => vec!["book", "trust root"],
            (Err(_), _) => vec!["files"],
        };
        loaded.tried.clone_from(&files);
        let text = Some(self.config.text.clone().into_bytes());
        match files.and_then(|files| self.engine.replace(files.governing(text)?)) {
            Ok(()) => {
                loaded.stale = None;
                let [book, root] = self.engine.digests();
                let digest = |what: &str| match what {
                    "book" => book.clone(),
                    "trust root" => root.clone(),
                    // no record names the guardrails: the book that they let through is what counts
                    _ => format!("over {book}"),
                };
                changed.into_iter().map(|what| Reloaded { what, result: Ok(digest(what)) }).collect()
            }
            Err(why) => {
                loaded.stale.get_or_insert_with(Instant::now);
                changed.into_iter().map(|what| Reloaded { what, result: Err(why.clone()) }).collect()
            }
        }
    }

    /// Judges what no policy can admit: who admits that admits everything.
    fn self_test(&self, now: Timestamp) -> Result<(), String> {
        let artifact = Artifact::new(SELF_TEST, DigestSet::default());
        let environment = format!("{}(self-test)", kubernetes::mapping::UNCLAIMED);
        let ruled = self.engine.judge(DeploymentRequest::new(artifact, &environment, SELF_TEST), now);
        if ruled.decision.answer() == Answer::Admit || ruled.decision.verdict().findings().is_empty() {
            return Err("a case that no policy claims was not refused for that".to_owned());
        }
        Ok(())
    }

    /// Environments that have a name in metrics.
    fn environments(&self) -> BTreeSet<String> {
        let mapped = self.config.webhook.mapping.environments.iter().map(|e| e.name.clone());
        mapped.chain(self.engine.book().policies().iter().map(|p| p.environment().text.clone())).collect()
    }
}

fn unusable(all: &[(std::path::PathBuf, String)]) -> String {
    let one = |(file, why): &(std::path::PathBuf, String)| format!("{}: {why}", file.display());
    all.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn malformed(error: &kubernetes::ReviewError) -> Result<Judged, NoAnswer> {
    match (answer_malformed(error), &error.uid) {
        (Some(answer), Some(uid)) => Ok(Judged { answer, uid: uid.clone(), decisions: Vec::new() }),
        _ => Err(NoAnswer::Malformed(error.to_string())),
    }
}
