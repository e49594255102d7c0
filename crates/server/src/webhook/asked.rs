//! The story of one question that is not Kubernetes': what is known about the artifact → the decision, on record.

use std::sync::Arc;

use attest::{Artifact, Digest, Envelope};
use chokepoint::{Answer, Basis, DecideError};
use jiff::Timestamp;
use kubernetes::evidence::MAX_ROUTED;
use policy::{Outage, Submitted};

use crate::webhook::decide::Kubernetes;
use crate::webhook::gather::{self, Fetched};
use crate::webhook::judge::{Deadline, NotRuled, Question};
use crate::webhook::registries::{Looked, Until, With};
use crate::webhook::ruling::Ruling;
use crate::webhook::tell::stored;

/// Grants in the store that are looked through for one that fits.
const MAX_GRANTS: usize = 1024;

impl Kubernetes {
    pub(super) fn rule_on(
        &self,
        question: Question,
        deadline: &Deadline,
        now: Timestamp,
    ) -> Result<Ruling, NotRuled> {
        let Question { mut request, evidence, grant, dry_run } = question;
        let mut fetched = Fetched::default();
        let mut lost = self.named(&evidence, grant.as_ref(), &mut request, &mut fetched);
        let is_chosen = !(request.envelopes.is_empty() && evidence.is_empty());
        let mut looked = None;
        if !is_chosen && request.unreadable.is_empty() {
            self.attached(&mut request, &mut fetched);
            looked = self.ask_registry(&mut request, deadline, now, &mut fetched);
        }
        if let Some(refusal) = fetched.excess() {
            request.envelopes.clear();
            request.unreadable.push(refusal.unreadable());
        }
        if grant.is_none() {
            self.seek_grant(&mut request, now);
        }
        // nothing is put on record for a caller that is gone
        deadline.check().or(Err(NotRuled::Late))?;
        let has_evidence = !request.envelopes.is_empty();
        let (environment, artifact) = (request.environment.clone(), request.artifact.clone());
        let ruled = if dry_run {
            self.engine().judge(request, now)
        } else {
            let failed = |e: DecideError| match e {
                DecideError::Busy { .. } => NotRuled::Busy(e.to_string()),
                e => NotRuled::Failed(e.to_string()),
            };
            let ruled = self.engine().decide_all(vec![request], now).map_err(failed)?;
            self.alarm(&ruled, now);
            if let Some(summaries) = self.summaries.get() {
                summaries.offer(&ruled);
            }
            let none = || NotRuled::Failed("there is no decision".to_owned());
            ruled.into_iter().next().ok_or_else(none)?
        };
        lost.sort();
        let unknown = looked.as_ref().and_then(|looked| looked.unknown.as_ref()).map(ToString::to_string);
        Ok(Ruling::of(ruled, (&environment, &artifact), has_evidence, &lost, unknown))
    }

    /// What the requester named. Gives what is named and is nowhere: the likeliest reason of a refusal.
    fn named(
        &self,
        evidence: &[Digest],
        grant: Option<&Digest>,
        request: &mut policy::DeploymentRequest,
        fetched: &mut Fetched,
    ) -> Vec<Digest> {
        let mut lost = Vec::new();
        for digest in evidence {
            match fetched.bundle(&self.store, digest) {
                Ok(Some(bytes)) => request.envelopes.push(Submitted { name: stored(digest), bytes }),
                Ok(None) => lost.push(digest.clone()),
                Err(_) => request.outage = Some(Outage::EvidenceStore),
            }
        }
        if let Some(digest) = grant {
            match fetched.grant(&self.store, digest) {
                Ok(Some(bytes)) => request.grant = Some(Submitted { name: stored(digest), bytes }),
                Ok(None) => lost.push(digest.clone()),
                Err(_) => request.outage = Some(Outage::EvidenceStore),
            }
        }
        lost
    }

    /// What was attached to the artifact.
    fn attached(&self, request: &mut policy::DeploymentRequest, fetched: &mut Fetched) {
        let digests: Vec<Digest> = request.artifact.digests().iter().collect();
        for digest in digests {
            match gather::attached(&self.store, &digest, fetched) {
                Ok(found) => request.envelopes.extend(found),
                Err(_) => request.outage = Some(Outage::EvidenceStore),
            }
        }
    }

    /// Many clients cannot say that they have a grant. One in the store that names exactly this artifact speaks for itself,
    /// and is used only where nothing else lets the deployment through.
    fn seek_grant(&self, request: &mut policy::DeploymentRequest, now: Timestamp) {
        let grants = self.store.grants().unwrap_or_default();
        let answer = |request: &policy::DeploymentRequest| {
            let decision = self.engine().judge(request.clone(), now).decision;
            (decision.answer(), decision.basis())
        };
        if grants.is_empty() || answer(request).0 == Answer::Admit {
            return;
        }
        let mut read = 0;
        for digest in grants.into_iter().take(MAX_GRANTS) {
            let Ok(Some(bytes)) = self.store.grant(&digest) else { continue };
            read += bytes.len();
            if read > MAX_ROUTED {
                return;
            }
            if !is_about(&bytes, &request.artifact) {
                continue;
            }
            let mut under = request.clone();
            under.grant = Some(Submitted { name: stored(&digest), bytes });
            if answer(&under) == (Answer::Admit, Basis::Breakglass) {
                *request = under;
                return;
            }
        }
    }

    /// Where what the store has does not suffice, the artifact's registry is asked, if it is one that may be asked.
    fn ask_registry(
        &self,
        request: &mut policy::DeploymentRequest,
        deadline: &Deadline,
        now: Timestamp,
        fetched: &mut Fetched,
    ) -> Option<Arc<Looked>> {
        if self.config().registries.is_empty() || request.outage.is_some() || fetched.excess().is_some() {
            return None;
        }
        let suffices = || self.engine().judge(request.clone(), now).decision.verdict().is_met();
        if !request.envelopes.is_empty() && suffices() {
            return None;
        }
        let with = With { store: &self.store, engine: self.engine(), now };
        let looked =
            self.registries.look(&request.artifact, &request.envelopes, Until::of(deadline), &with)?;
        if looked.unknown.is_some() {
            request.outage = Some(Outage::EvidenceStore);
            return Some(looked);
        }
        fetched.add(looked.envelopes.iter().map(|one| one.bytes.len()).sum());
        request.envelopes.clone_from(&looked.envelopes);
        Some(looked)
    }
}

/// Whether a grant says that it is for this artifact and no other. The engine finds out whether that is true.
fn is_about(grant: &[u8], artifact: &Artifact) -> bool {
    let subjects = Envelope::parse(grant).map(|envelope| envelope.unproven_subjects()).unwrap_or_default();
    let is_named = |digest: Digest| subjects.iter().any(|subject| subject.iter().any(|one| one == digest));
    artifact.digests().iter().any(is_named)
}
