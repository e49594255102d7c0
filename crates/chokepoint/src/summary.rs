//! Verification summaries (SLSA VSA v1): a choke point's signed word that an artifact met its policy in an environment.
//!
//! A [`Passed`] is made of a decision that is on record, by [`crate::Admission::passed`] or [`crate::Replayer::passed`], and
//! only where the policy was met and nothing else let it in. Nobody makes one by hand (`tests/forbidden`).

use std::collections::BTreeSet;

use attest::bundle::Bundle;
use attest::claims::{Summary, VSA};
use attest::dsse::{Dsse, IN_TOTO};
use attest::secret::SignError;
use attest::time::Span;
use attest::{Algorithm, Digest, DigestSet, Json, Object, Signer, Statement, TrustRoot};
use jiff::{SignedDuration, Timestamp};
use policy::{Book, Case, Outcome, PolicyName, Submitted};

use crate::chokepoint::Admission;
use crate::decision::{Answer, Basis, Decision};

/// The version of SLSA whose levels are meant.
const SLSA: &str = "1.2";

/// What met its policy, on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    uri: String,
    digest: Digest,
    environment: String,
    at: Timestamp,
    policy: PolicyName,
    book: Digest,
    inputs: Vec<Digest>,
    levels: Vec<String>,
    record: Digest,
}

/// As whom a choke point speaks, and for how long its word counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// The `verifier.id`: a URI.
    pub id: String,
    /// From the time of the case on.
    pub expires: Span,
}

impl Admission {
    /// What may be signed of it: nothing, unless it is on record that the policy was met.
    #[must_use]
    pub fn passed(&self) -> Option<Passed> {
        let leaf = Digest::from_bytes(Algorithm::Sha256, self.receipt()?.leaf().to_vec()).ok()?;
        let (book, root) = &self.files;
        Passed::of(&self.decision, &self.case, book, root, leaf)
    }
}

impl Passed {
    /// What may be signed of a decision that is on record as this leaf.
    ///
    /// - Nothing but what the policy itself admits: not what a dry run, a grant, an outage or its standing let in.
    /// - Only of an artifact with one digest, a SHA-256. Of several, the requester may have added one that no evidence
    ///   names, and a summary would vouch for it.
    /// - Nothing that rests on a summary: two choke points that accept each other's would vouch for ever, with no
    ///   evidence left.
    pub(crate) fn of(
        decision: &Decision,
        case: &Case,
        book: &Book,
        root: &TrustRoot,
        record: Digest,
    ) -> Option<Self> {
        let verdict = decision.verdict();
        let is_met = *verdict.outcome() == Outcome::Met
            && (decision.answer(), decision.basis()) == (Answer::Admit, Basis::Policy);
        let artifact = case.artifact();
        let digest = artifact.digests().get(Algorithm::Sha256);
        let digest = digest.filter(|_| is_met && artifact.digests().iter().count() == 1)?;
        let policy = book.select(case.environment(), artifact.uri())?;
        if policy.counts_summaries(root, case.at()) {
            return None;
        }
        let word = |rule: &str| format!("PORTCULLIS_{}", rule.to_ascii_uppercase().replace('-', "_"));
        let rules: BTreeSet<String> = policy.required_at(case.at()).map(|r| word(r.rule.name)).collect();
        let slsa = policy.build_level(root).map(|level| format!("SLSA_BUILD_LEVEL_{level}"));
        let mut inputs: Vec<Digest> = case
            .request()
            .envelopes
            .iter()
            .map(|envelope: &Submitted| Digest::sha256(&envelope.bytes))
            .collect();
        inputs.sort();
        inputs.dedup();
        Some(Self {
            uri: artifact.uri().to_owned(),
            digest,
            environment: case.environment().to_owned(),
            at: case.at(),
            policy: verdict.policy()?.clone(),
            book: case.frame().book.clone(),
            inputs,
            levels: slsa.into_iter().chain(rules).collect(),
            record,
        })
    }

    /// The artifact's digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Where it was admitted.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The time of the case.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The digests of the policy and of its book.
    #[must_use]
    pub fn files(&self) -> [&Digest; 2] {
        [&self.policy.digest, &self.book]
    }

    /// When a summary of it ends.
    #[must_use]
    pub fn expires(&self, verifier: &Verifier) -> Timestamp {
        let span = SignedDuration::from_secs(verifier.expires.as_seconds());
        self.at.checked_add(span).unwrap_or(Timestamp::MAX)
    }

    /// Signs the summary: a Sigstore bundle around a DSSE envelope.
    ///
    /// # Errors
    /// [`SignError`] where the key cannot sign.
    pub fn sign(&self, verifier: &Verifier, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        let statement = self.statement(verifier);
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[signer])?;
        Ok(Bundle::write(&dsse, &signer.public().id(), &[]).to_string().into_bytes())
    }

    fn statement(&self, verifier: &Verifier) -> String {
        let set = |digest: &Digest| DigestSet::from(digest.clone()).to_json();
        let version = Object::new().with("portcullis", env!("CARGO_PKG_VERSION"));
        let policy = Object::new()
            .with("uri", Summary::policy_in(&verifier.id, &self.policy.name))
            .with("digest", set(&self.policy.digest));
        let inputs = self.inputs.iter().map(|digest| Json::from(Object::new().with("digest", set(digest))));
        let predicate = Object::new()
            .with("verifier", Object::new().with("id", verifier.id.as_str()).with("version", version))
            .with("timeVerified", self.at.to_string())
            .with("resourceUri", Summary::resource_in(&self.uri, &self.environment))
            .with("policy", policy)
            .with("inputAttestations", Json::Array(inputs.collect()))
            .with("verificationResult", "PASSED")
            .with("verifiedLevels", self.levels.clone())
            .with("slsaVersion", SLSA)
            .with("portcullis_environment", self.environment.as_str())
            .with("portcullis_expires", self.expires(verifier).to_string())
            .with("portcullis_book", self.book.to_string())
            .with("portcullis_record", self.record.to_string());
        Statement::write(&self.uri, &self.digest.clone().into(), VSA, predicate)
    }
}
