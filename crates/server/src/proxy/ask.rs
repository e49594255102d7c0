//! From what a request deploys to a ruling.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use attest::{Artifact, Digest, DigestSet, Json, Object};
use axum::http::HeaderMap;
use jiff::Timestamp;
use kubernetes::mapping::UNCLAIMED;
use policy::{DeploymentRequest, Submitted, Unreadable};

use crate::proxy::adapter::With;
use crate::proxy::metrics::End;
use crate::webhook::{Deadline, Judge, NotRuled, Question, Ruling, Told};

/// Names evidence in the store, by digests behind commas.
pub(crate) const EVIDENCE: &str = "portcullis-evidence";
/// Names a grant in the store, by its digest.
pub(crate) const BREAKGLASS: &str = "portcullis-breakglass";
const PATIENCE: Duration = Duration::from_secs(30);

/// What a request deploys, as its adapter found out.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    /// What the protocol calls it: by this the route, and so the environment, is found.
    pub(crate) name: String,
    /// The artifact's URI.
    pub(crate) uri: String,
    /// Its digests.
    pub(crate) digests: DigestSet,
    /// What of the request may help who looks into it later.
    pub(crate) body: Option<Json>,
    /// Evidence that came with the request.
    pub(crate) envelopes: Vec<Submitted>,
    /// What of the request cannot be read the one way: the engine refuses it for that, on record.
    pub(crate) unreadable: Vec<Unreadable>,
}

impl With {
    /// Decides about it, on record. `headers` are those of the request.
    pub(crate) async fn ask(&self, subject: Subject, headers: &HeaderMap) -> Result<Ruling, NotRuled> {
        let config = self.proxy.config();
        let environment = config
            .environment(&subject.name)
            .map_or_else(|| format!("{UNCLAIMED}{}", subject.name), str::to_owned);
        let artifact = Artifact::new(&subject.uri, subject.digests);
        let mut request = DeploymentRequest::new(artifact, &environment, &format!("proxy/{}", config.name));
        request.requester = self.requester.clone();
        request.workload = Some(format!("{}/{}", config.name, subject.name));
        request.body = subject.body;
        request.envelopes = subject.envelopes;
        request.unreadable = subject.unreadable;
        let (evidence, grants) =
            (named(headers, EVIDENCE, &mut request), named(headers, BREAKGLASS, &mut request));
        let question = Question { request, evidence, grant: grants.into_iter().next(), dry_run: false };
        let about = About::of(&question.request);
        let ruled = self.rule(question).await;
        self.record(&about, &ruled);
        ruled
    }

    async fn rule(&self, question: Question) -> Result<Ruling, NotRuled> {
        self.aside(move |judge, deadline, now| judge.rule(question, deadline, now)).await
    }

    /// Has the judge do something on a thread of its own, one of those that all decisions share.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Judge, &Deadline, Timestamp) -> Result<T, NotRuled> + Send + 'static,
    ) -> Result<T, NotRuled> {
        let busy = || NotRuled::Busy("too much is asked at once".to_owned());
        let caller = Caller(Deadline::after(PATIENCE));
        let until = tokio::time::Instant::from_std(caller.0.at());
        let waited = tokio::time::timeout_at(until, self.proxy.front().door.thread()).await;
        let thread = waited.ok().flatten().ok_or_else(busy)?;
        let (proxy, own) = (Arc::clone(&self.proxy), caller.0.clone());
        let work = tokio::task::spawn_blocking(move || {
            let now = proxy.now();
            let ruled = catch_unwind(AssertUnwindSafe(|| work(proxy.judge(), &own, now)));
            drop(thread);
            ruled.unwrap_or_else(|_| Err(NotRuled::Failed("judging it failed".to_owned())))
        });
        let ruled = tokio::time::timeout_at(until, work).await.or(Err(NotRuled::Late))?;
        ruled.unwrap_or_else(|e| Err(NotRuled::Failed(e.to_string())))
    }

    /// One line for each decision, as reviews have them, and the numbers.
    fn record(&self, about: &About, ruled: &Result<Ruling, NotRuled>) {
        let mut line = Object::new()
            .with("environment", about.environment.as_str())
            .with("artifact", about.artifact.as_str())
            .with("workload", about.workload.as_str());
        line.set_some("requester", self.requester.clone());
        let end = match ruled {
            Err(e) => {
                line.set("decision", "cannot-decide");
                line.set("found", e.to_string());
                End::Undecided
            }
            Ok(ruling) => {
                let decision = ruling.decision();
                let told = Told {
                    environment: about.environment.clone(),
                    artifact: about.artifact.clone(),
                    decision: decision.word().to_owned(),
                    basis: decision.basis().name().to_owned(),
                    rules: decision.verdict().findings().iter().map(|f| f.rule.to_owned()).collect(),
                    ..Told::default()
                };
                self.proxy.front().metrics.decided(&told);
                line.set("decision", told.decision);
                line.set("basis", told.basis);
                line.set("rules", told.rules);
                line.set_some("receipt", ruling.receipt());
                if let Some(record) = ruling.receipt().filter(|_| ruling.is_admitted()) {
                    self.course.admitted(record);
                }
                match (ruling.is_admitted(), decision.word()) {
                    (true, _) => End::Admitted,
                    (false, "cannot-decide") => End::Undecided,
                    (false, _) => End::Rejected,
                }
            }
        };
        self.course.set(end);
        self.proxy.tell("proxied", line);
    }
}

/// What a question was about, for records.
struct About {
    environment: String,
    artifact: String,
    workload: String,
}

impl About {
    fn of(request: &DeploymentRequest) -> Self {
        Self {
            environment: request.environment.clone(),
            artifact: request.artifact.short(),
            workload: request.workload.clone().unwrap_or_default(),
        }
    }
}

/// Somebody who waits. Where nobody does any more, what was not begun is not: nothing goes on record for a caller that is
/// gone.
struct Caller(Deadline);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// The digests that a header names; what is no digest is refused on record, like all that cannot be read.
fn named(headers: &HeaderMap, name: &'static str, request: &mut DeploymentRequest) -> Vec<Digest> {
    let mut digests = Vec::new();
    let values = headers.get_all(name).iter();
    let texts =
        values.flat_map(|value| value.to_str().unwrap_or("?").split(',').map(str::trim).map(str::to_owned));
    for text in texts {
        match Digest::parse(&text) {
            Ok(digest) => digests.push(digest),
            Err(_) => request.unreadable.push(Unreadable {
                what: format!("the header {name} names no digest"),
                place: name.to_owned(),
                wanted: "sha256:HEX, as `portcullis attach` or `portcullis breakglass open` printed it"
                    .to_owned(),
                found: text,
                fix: "name what was printed".to_owned(),
            }),
        }
    }
    digests
}
