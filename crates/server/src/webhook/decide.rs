//! The story of one review: what is asked → who owns it → what is known about it → is it decided → the answer.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use attest::{Artifact, Digest, DigestSet, Json, Object};
use chokepoint::DecideError;
use evidence::Store;
use jiff::Timestamp;
use kubernetes::images::CustomImages;
use kubernetes::{ImageUse, Operation, Reference, Review, images};
use policy::{DeploymentRequest, Diagnostic, Severity, Style, Submitted};

use crate::webhook::config::Config;
use crate::webhook::engine::{DecisionLog, Engine, Ruled};
use crate::webhook::files::Files;
use crate::webhook::judge::{
    Ask, Judge, Judged, Kept, Look, NoAnswer, NotKept, Purpose, Reloaded, Stage, Stages, Told,
};

/// Decides about what an API server asks.
#[derive(Debug)]
pub struct Kubernetes {
    config: Config,
    engine: Engine,
    store: Store,
    custom: Vec<CustomImages>,
    loaded: Mutex<Loaded>,
}

/// The reviewed files.
#[derive(Debug)]
struct Loaded {
    /// What was tried last.
    tried: Result<Files, String>,
    /// Since when what is on disk is not in force.
    stale: Option<Instant>,
}

/// An artifact that nobody deploys: the case whose answer is known.
const SELF_TEST: &str = "portcullis-self-test:nothing";
const UNCLAIMED: &str = "unclaimed";

impl Kubernetes {
    /// Loads the reviewed files, and puts them in force over a log.
    ///
    /// # Errors
    /// What does not load, and why.
    pub fn open(config: &Config, log: DecisionLog) -> Result<Self, String> {
        let files = Files::read(config)?;
        let mut custom = Vec::new();
        for entry in &config.webhook.images {
            let paths = entry.paths.iter().map(|path| kubernetes::Path::parse(path));
            let paths = paths.collect::<Result<_, _>>().map_err(|e| format!("`images`: {e}"))?;
            custom.push(CustomImages { kind: entry.kind.clone(), paths });
        }
        Ok(Self {
            engine: Engine::open(&files, log)?,
            store: Store::new(&config.evidence),
            config: config.clone(),
            custom,
            loaded: Mutex::new(Loaded { tried: Ok(files), stale: None }),
        })
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The environment of what is asked about. Nobody's namespace is an environment that no policy claims.
    fn environment(&self, review: &Review) -> String {
        let workload = format!("{}/{}", review.kind.name(), review.display_name());
        let of_namespace = |e: &&crate::webhook::config::Environment| e.namespaces.contains(&review.namespace);
        let entries: Vec<_> = self.config.webhook.environments.iter().filter(of_namespace).collect();
        let by_workload = entries.iter().find(|e| e.workloads.contains(&workload));
        let found = by_workload.or_else(|| entries.iter().find(|e| e.workloads.is_empty()));
        found.map_or_else(|| format!("{UNCLAIMED}/{}", review.namespace), |e| e.environment.clone())
    }

    /// One request for each image.
    fn requests(&self, review: &Review, uses: &[ImageUse]) -> Vec<DeploymentRequest> {
        let environment = self.environment(review);
        let body = review.object.clone().map(Json::from);
        let one = |used: &ImageUse| {
            let reference = Reference::parse(&used.reference).ok();
            let digests = reference.as_ref().and_then(|r| r.digest().cloned()).map(DigestSet::from);
            let name = reference.as_ref().map_or(used.reference.as_str(), Reference::repository);
            let artifact = Artifact::new(name, digests.unwrap_or_default());
            let mut request = DeploymentRequest::new(artifact, &environment, "kubernetes");
            request.requester = Some(review.user.username.clone());
            request.body.clone_from(&body);
            request
        };
        uses.iter().map(one).collect()
    }

    /// Puts beside each request what the store has for it. A store that does not answer is an outage of ours.
    fn gather(&self, requests: &mut [DeploymentRequest]) {
        for request in requests {
            let digests: Vec<Digest> = request.artifact.digests().iter().collect();
            for digest in digests {
                match self.attached(&digest) {
                    Ok(found) => request.envelopes.extend(found),
                    Err(_) => request.outage = Some(policy::Outage::EvidenceStore),
                }
            }
        }
    }

    fn attached(&self, artifact: &Digest) -> Result<Vec<Submitted>, evidence::ReadError> {
        let mut found = Vec::new();
        for digest in self.store.attached(artifact)?.unwrap_or_default() {
            if let Some(bytes) = self.store.get(&digest)? {
                found.push(Submitted { name: format!("{digest} of the evidence store"), bytes });
            }
        }
        Ok(found)
    }

    fn rule(
        &self,
        review: &Review,
        requests: Vec<DeploymentRequest>,
        ask: &Ask,
        stages: &mut Stages,
    ) -> Result<Vec<Ruled>, NoAnswer> {
        if review.dry_run {
            let judge = || requests.into_iter().map(|request| self.engine.judge(request, ask.now)).collect();
            return Ok(stages.measure(Stage::Judge, judge));
        }
        let failed = |e: DecideError| NoAnswer::Failed(review.uid.clone(), e.to_string());
        stages.measure(Stage::Record, || self.engine.decide_all(requests, ask.now)).map_err(failed)
    }

    /// What is asked about, where anything in it is deployed.
    fn subject(&self, review: &Review) -> Result<Vec<ImageUse>, NoAnswer> {
        let failed = |why: String| NoAnswer::Failed(review.uid.clone(), why);
        if !matches!(review.operation, Operation::Create | Operation::Update) {
            return Ok(Vec::new());
        }
        let Some(object) = &review.object else { return Ok(Vec::new()) };
        let kind = review.kind.name();
        let is_guarded = |guard: &crate::webhook::config::Guard| {
            guard.kinds.contains(&kind)
                && (guard.namespaces.is_empty() || guard.namespaces.contains(&review.namespace))
        };
        if self.config.webhook.guard.iter().any(is_guarded) {
            return Err(failed(format!("{} is guarded, and guarded objects are not judged yet", review.title())));
        }
        images(&review.kind, object, &self.custom).map_err(|e| failed(e.to_string()))
    }
}

impl Judge for Kubernetes {
    fn judge(&self, ask: &Ask, stages: &mut Stages) -> Result<Judged, NoAnswer> {
        let review = stages.measure(Stage::Parse, || Review::parse(&ask.body)).map_err(|e| match &e.uid {
            Some(uid) => NoAnswer::Failed(uid.clone(), e.to_string()),
            None => NoAnswer::Malformed(e.to_string()),
        })?;
        if ask.purpose == Purpose::Mutate {
            return Ok(Judged { answer: answer(&review, &[]), uid: review.uid, decisions: Vec::new() });
        }
        let uses = self.subject(&review)?;
        ask.deadline.check()?;
        let mut requests = stages.measure(Stage::Owners, || self.requests(&review, &uses));
        ask.deadline.check()?;
        stages.measure(Stage::Evidence, || self.gather(&mut requests));
        ask.deadline.check()?;
        let ruled = if requests.is_empty() { Vec::new() } else { self.rule(&review, requests, ask, stages)? };
        let answer = stages.measure(Stage::Answer, || answer(&review, &ruled));
        Ok(Judged { answer, uid: review.uid, decisions: ruled.iter().map(told).collect() })
    }

    fn keep(&self, kept: Kept, bytes: &[u8], _by: &str, _now: Timestamp) -> Result<String, NotKept> {
        let put = match kept {
            Kept::Evidence => self.store.put(bytes),
            Kept::Grant => self.store.put_grant(bytes),
        };
        put.map(|digest| digest.to_string()).map_err(|e| match e {
            evidence::WriteError::Io(..) | evidence::WriteError::Unknown(_) => NotKept::Store(e.to_string()),
            _ => NotKept::Malformed(e.to_string()),
        })
    }

    fn look(&self, now: Timestamp) -> Look {
        let stopped = || "a record may not be durable; nothing is decided until the choke point is started anew";
        let log = if self.engine.is_stopped() { Err(stopped().to_owned()) } else { Ok(()) };
        let store = self.store.attached(&Digest::sha256(b"portcullis")).map(drop).map_err(|e| e.to_string());
        let [book, root] = self.engine.digests();
        Look {
            parts: vec![("log", log), ("evidence store", store), ("self-test", self.self_test(now))],
            digests: vec![("book", book), ("trust root", root)],
            book_stale: self.loaded().stale.map(|since| since.elapsed()).unwrap_or_default(),
            log_size: self.engine.log_size(),
            journal_pending: 0,
            cache: self.engine.cache(),
            environments: self.environments(),
            rules: policy::rules::all().map(|rule| rule.name.to_owned()).collect(),
        }
    }

    fn reload(&self, _now: Timestamp) -> Vec<Reloaded> {
        let files = Files::read(&self.config);
        let mut loaded = self.loaded();
        if files == loaded.tried {
            return Vec::new();
        }
        loaded.tried.clone_from(&files);
        match files.and_then(|files| self.engine.replace(&files)) {
            Ok(()) => {
                loaded.stale = None;
                let [book, root] = self.engine.digests();
                [("book", book), ("trust root", root)]
                    .map(|(what, digest)| Reloaded { what, result: Ok(digest) })
                    .into()
            }
            Err(why) => {
                loaded.stale.get_or_insert_with(Instant::now);
                vec![Reloaded { what: "book", result: Err(why) }]
            }
        }
    }

    fn close(&self) {
        self.engine.settle();
    }
}

impl Kubernetes {
    /// Judges what no policy can admit: who admits that admits everything.
    fn self_test(&self, now: Timestamp) -> Result<(), String> {
        let request = DeploymentRequest::new(Artifact::new(SELF_TEST, DigestSet::default()), UNCLAIMED, "self-test");
        let ruled = self.engine.judge(request, now);
        if ruled.is_admitted || ruled.findings.is_empty() {
            return Err("a case that no policy claims was not refused".to_owned());
        }
        Ok(())
    }

    /// Environments that have a name in metrics.
    fn environments(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> =
            self.config.webhook.environments.iter().map(|e| e.environment.clone()).collect();
        names.extend(self.engine.book().policies().iter().map(|p| p.environment().text.clone()));
        names
    }
}

fn told(ruled: &Ruled) -> Told {
    let mut rules: Vec<String> = ruled.findings.iter().map(|f| f.rule.to_owned()).collect();
    rules.dedup();
    Told {
        record: ruled.record.clone(),
        environment: ruled.environment.clone(),
        artifact: ruled.artifact.clone(),
        decision: ruled.decision.to_owned(),
        basis: ruled.basis.to_owned(),
        rules,
    }
}

/// STAND-IN for `kubernetes::answer`.
fn answer(review: &Review, ruled: &[Ruled]) -> Json {
    let is_allowed = ruled.iter().all(|one| one.is_admitted);
    let mut response = Object::new().with("uid", review.uid.as_str()).with("allowed", is_allowed);
    if !is_allowed {
        let refused = ruled.iter().filter(|one| !one.is_admitted);
        let texts = refused.flat_map(|one| {
            one.findings.iter().map(|finding| {
                Diagnostic::of_finding(finding, &one.artifact, Severity::Error).to_text(Style::Plain)
            })
        });
        let message = texts.collect::<Vec<_>>().join("\n");
        response.set("status", Object::new().with("code", 403).with("reason", "Forbidden").with("message", message));
    }
    Object::new()
        .with("apiVersion", "admission.k8s.io/v1")
        .with("kind", "AdmissionReview")
        .with("response", response)
        .into()
}
