//! From what a request deploys to a ruling.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use attest::{Artifact, Digest, DigestSet, Json};
use axum::http::HeaderMap;
use kubernetes::mapping::UNCLAIMED;
use policy::{DeploymentRequest, Submitted, Unreadable};

use crate::proxy::adapter::With;
use crate::webhook::{Deadline, NotRuled, Question, Ruling};

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
        let (proxy, deadline) = (self.proxy.clone(), Deadline::after(PATIENCE));
        let own = deadline.clone();
        let work = tokio::task::spawn_blocking(move || {
            let now = proxy.now();
            let ruled = catch_unwind(AssertUnwindSafe(|| proxy.judge().rule(question, &own, now)));
            ruled.unwrap_or_else(|_| Err(NotRuled::Failed("judging it failed".to_owned())))
        });
        let ruled = tokio::time::timeout(PATIENCE, work).await.or(Err(NotRuled::Late))?;
        ruled.unwrap_or_else(|e| Err(NotRuled::Failed(e.to_string())))
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
