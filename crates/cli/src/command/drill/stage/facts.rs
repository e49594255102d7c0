//! What people and machines say about a commit or an artifact, each signed with its own key.

use std::path::PathBuf;

use attest::bundle::Bundle;
use attest::claims::{RELEASE, REVIEW, Release, Review, Scan, Severity, VULNS, Vulnerability};
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Digest, Json, Object, Signer, Statement};
use jiff::Timestamp;

use super::{Built, Deployment, Stage};
use crate::failure::Failure;
use crate::input;
use crate::keys::write;

/// Who wrote what was reviewed, and who reviewed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct People<'p> {
    pub(crate) authors: &'p [&'p str],
    pub(crate) reviewers: &'p [&'p str],
}

impl Stage<'_> {
    /// The reviewed commit of `main`, built, tested, scanned and released.
    pub(crate) fn honest(&self) -> Result<Deployment, Failure> {
        let built = self.built("main")?;
        let people = People { authors: &["alice@drill.example"], reviewers: &["bob@drill.example"] };
        let review = self.review(&built.commit, None, people)?;
        Ok(self.deployment(&built)?.with("review", review))
    }

    /// What was built, with all its evidence but a review.
    pub(crate) fn deployment(&self, built: &Built) -> Result<Deployment, Failure> {
        let deployment = Deployment::new(&built.artifact, self.now()?);
        let digest = digest(&deployment.artifact)?;
        let (scan, release) = (self.scan(&digest, self.now()?, None)?, self.release(&digest, "1.4.2")?);
        Ok(deployment
            .with("provenance", built.provenance.clone())
            .with("test", built.test.clone())
            .with("scan", scan)
            .with("release", release))
    }

    /// What the forge saw: who wrote what since which commit, and who approved it.
    pub(crate) fn review(
        &self,
        commit: &Digest,
        base: Option<&Digest>,
        people: People<'_>,
    ) -> Result<PathBuf, Failure> {
        self.review_by(&["forge"], commit, base, people)
    }

    /// The same, signed by whoever says it.
    pub(crate) fn review_by(
        &self,
        keys: &[&str],
        commit: &Digest,
        base: Option<&Digest>,
        people: People<'_>,
    ) -> Result<PathBuf, Failure> {
        self.review_at(&self.repository()?.uri(), keys, (commit, base), people)
    }

    /// The same, of another repository.
    pub(crate) fn review_at(
        &self,
        repository: &str,
        keys: &[&str],
        (commit, base): (&Digest, Option<&Digest>),
        people: People<'_>,
    ) -> Result<PathBuf, Failure> {
        let owned = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        let review = Review {
            repository: repository.to_owned(),
            base: base.map(Digest::hex),
            authors: owned(people.authors),
            reviewers: owned(people.reviewers),
            reviewed: self.now()?,
        };
        self.fact(keys, commit, REVIEW, review.to_json())
    }

    pub(crate) fn scan(
        &self,
        artifact: &Digest,
        finished: Timestamp,
        found: Option<Severity>,
    ) -> Result<PathBuf, Failure> {
        let found = found.map(|severity| Vulnerability { id: "CVE-2026-1".to_owned(), severity });
        let scan = Scan {
            scanner: "https://scan.drill.example".to_owned(),
            version: None,
            finished,
            database_updated: Some(finished),
            vulnerabilities: found.into_iter().collect(),
        };
        self.fact(&["scanner"], artifact, VULNS, scan.to_json())
    }

    pub(crate) fn release(&self, artifact: &Digest, version: &str) -> Result<PathBuf, Failure> {
        let environments = vec!["drill".to_owned()];
        let release = Release { purl: format!("pkg:generic/shop@{version}"), environments };
        self.fact(&["release-desk"], artifact, RELEASE, release.to_json())
    }

    /// A statement about something, signed with keys.
    pub(crate) fn fact(
        &self,
        keys: &[&str],
        subject: &Digest,
        kind: &str,
        predicate: Object,
    ) -> Result<PathBuf, Failure> {
        self.sign(keys, &Statement::write("shop", &subject.clone().into(), kind, predicate))
    }

    /// Signs a statement, and gives the bundle.
    pub(crate) fn sign(&self, keys: &[&str], statement: &str) -> Result<PathBuf, Failure> {
        let keys = keys.iter().map(|key| self.key(key)).collect::<Result<Vec<_>, _>>()?;
        let signers: Vec<&dyn Signer> = keys.iter().map(|key| *key as &dyn Signer).collect();
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &signers)
            .map_err(|e| Failure::new("a fact cannot be signed").line("found", &e.to_string()))?;
        let id = keys.first().map(|key| key.public().id()).unwrap_or_default();
        let path = self.fresh("facts/fact")?.join("fact.json");
        write(&path, &format!("{}\n", Bundle::write(&dsse, &id, &[])))?;
        Ok(path)
    }
}

/// The same statement about another artifact.
pub(crate) fn about(artifact: &Digest, statement: &str) -> Result<String, Failure> {
    let json = attest::json::parse(statement.as_bytes());
    let object = json.ok().and_then(|json| json.as_object().ok().cloned());
    let mut object = object.ok_or_else(|| Failure::new("the drill's own statement cannot be read"))?;
    let digest = Object::new().with("sha256", artifact.hex());
    let subject = Object::new().with("name", "shop").with("digest", digest);
    object.set("subject", Json::Array(vec![subject.into()]));
    Ok(object.to_string())
}

/// The SHA-256 of a file.
pub(crate) fn digest(path: &std::path::Path) -> Result<Digest, Failure> {
    let digests = input::digests(&path.display().to_string(), &[])?;
    digests.first().ok_or_else(|| Failure::new("a file has no digest"))
}
