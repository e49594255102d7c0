//! Provenance under a certificate: what the predicate claims must be what the certificate says.
//!
//! A certificate is proven, a predicate is written by whoever holds it. Any workflow that may sign can write another
//! builder's name, or another repository's, into its own statement; so a contradiction refuses, and nothing of such
//! provenance is believed.

use super::{PYPI_PUBLISH, Producer, Provenance, Source, forge};
use crate::digest::{Algorithm, Digest};
use crate::open::Attestation;
use crate::sigstore::Certificate;
use crate::statement::{Predicate, Statement};
use crate::trust::Builder;

/// Where the workflows of slsa-github-generator are.
const GENERATOR: &str = "https://github.com/slsa-framework/slsa-github-generator/";
/// The workflows in which slsa-github-generator signs for other builders: they check which builder called them.
const DELEGATOR: &str =
    "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/delegator_";
/// The build type of what they sign.
const DELEGATED: &str = "https://github.com/slsa-framework/slsa-github-generator/delegator-";
/// GitHub's name for its own machines, as a builder; the kind of machine may follow.
const RUNNER: &str = "https://github.com/actions/runner";

/// Something that the predicate claims, and its certificate says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// What it is, in words.
    pub what: &'static str,
    /// What the predicate claims.
    pub claimed: String,
    /// What the certificate says.
    pub certified: String,
}

impl std::fmt::Display for Disagreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, claimed, certified } = self;
        write!(f, "{what} {claimed}, and its certificate says {certified}")
    }
}

impl Provenance {
    /// Where the predicate contradicts the certificate under which it is signed; the builder first. A certificate that
    /// says nothing of something contradicts nothing.
    #[must_use]
    pub fn disagreements(&self, certificate: &Certificate) -> Vec<Disagreement> {
        let mut found = Vec::new();
        let mut differ = |what, claimed: Option<&str>, certified: Option<&str>| {
            if let (Some(claimed), Some(certified)) = (claimed, certified)
                && claimed != certified
            {
                let (claimed, certified) = (claimed.to_owned(), certified.to_owned());
                found.push(Disagreement { what, claimed, certified });
            }
        };
        if !self.is_builder_of(certificate) {
            differ("builder", Some(&self.builder_id), signer(certificate));
        }
        if let Some(source) = &self.source {
            differ("source repository", Some(&source.repository), certificate.source_repository());
            differ("ref", source.reference.as_deref(), certificate.source_ref());
            // a tree alone, or one beside the commit, is nobody's word: it would borrow that tree's reviews
            let is_commit = |digest: &Digest| digest.algorithm() == Algorithm::GitCommit;
            let named = source.digests.iter().find(|d| !is_commit(d)).or(source.commit());
            let named = named.map(|d| if is_commit(&d) { d.hex() } else { d.to_string() });
            differ("commit", named.as_deref(), certificate.source_digest());
        }
        if self.names_its_workflow() {
            let certified = workflow_file(certificate).or(certificate.workflow());
            differ("workflow", self.target.as_deref(), certified);
        }
        differ("trigger", self.trigger.as_deref(), certificate.trigger());
        differ("runner", self.runner.as_deref(), certificate.runner());
        found
    }

    /// Whether its target is the path of the top-level workflow.
    fn names_its_workflow(&self) -> bool {
        match self.producer() {
            Producer::GitHub | Producer::Npm => !self.build_type.contains("/gitlab/"),
            // a container-based one names the file of its command
            Producer::SlsaGenerator => self.build_type.starts_with(GENERATOR),
            _ => false,
        }
    }

    /// The same without what only slsa-github-generator may say, where another workflow signed: a forge's event in the
    /// predicate names the branch of a tag, and the certificate names the tag alone.
    #[must_use]
    pub fn under(mut self, certificate: &Certificate) -> Self {
        let is_generator = signer(certificate).is_some_and(|signer| signer.starts_with(GENERATOR));
        if let Some(source) = self.source.as_mut().filter(|_| !is_generator) {
            source.tagged_branch = None;
        }
        self
    }

    /// Whether whoever has this certificate may write this builder's name. A delegator's own list of builders is the trust
    /// root's: it must name both the delegator's identity and the builder's id.
    fn is_builder_of(&self, certificate: &Certificate) -> bool {
        let Some(signer) = signer(certificate) else { return true };
        let id = self.builder_id.as_str();
        if id == signer {
            return true;
        }
        match self.producer() {
            Producer::SlsaGenerator => {
                self.build_type.starts_with(DELEGATED) && signer.starts_with(DELEGATOR)
            }
            Producer::GitHub | Producer::Npm if self.build_type.contains("/gitlab/") => {
                let runners = |repository| format!("{repository}/-/runners/");
                certificate.source_repository().is_some_and(|r| id.starts_with(&runners(r)))
            }
            // a job of GitHub's own, not of a reusable workflow: then both name the same workflow
            Producer::GitHub | Producer::Npm => is_runner(id, certificate),
            _ => false,
        }
    }

    /// What the certificate says, for a statement that says nothing itself.
    fn of_certificate(certificate: &Certificate) -> Self {
        let text = |value: Option<&str>| value.map(str::to_owned);
        let commit = certificate.source_digest().map(|id| Digest::from_hex(Algorithm::GitCommit, id));
        let workflow = certificate.workflow().map(|uri| forge::repository(uri).0);
        let source = certificate.source_repository().map(|repository| Source {
            repository: repository.to_owned(),
            reference: text(certificate.source_ref()),
            digests: commit.and_then(Result::ok).map(Into::into).unwrap_or_default(),
            ..Source::default()
        });
        let target = workflow.as_deref().map(|uri| {
            let path = source.as_ref().and_then(|s| uri.strip_prefix(&s.repository));
            path.map_or(uri, |path| path.trim_start_matches('/')).to_owned()
        });
        Self {
            format: "1.0".to_owned(),
            build_type: PYPI_PUBLISH.to_owned(),
            builder_id: certificate.build_signer().unwrap_or_else(|| certificate.identity()).to_owned(),
            source,
            target,
            trigger: text(certificate.trigger()),
            runner: text(certificate.runner()),
            invocation: text(certificate.invocation()),
            ..Self::default()
        }
    }
}

/// The workflow that signed. The first certificates of builds name it in their identity alone; one that names no source
/// repository is no build's.
fn signer(certificate: &Certificate) -> Option<&str> {
    let identity = certificate.source_repository().map(|_| certificate.identity());
    certificate.build_signer().or(identity.filter(|identity| identity.contains("://")))
}

fn workflow_file(certificate: &Certificate) -> Option<&str> {
    let (repository, workflow) = (certificate.source_repository()?, certificate.workflow()?);
    // GitLab writes two slashes
    let path = workflow.strip_prefix(repository)?.strip_prefix('/')?;
    path.split_once('@').map(|(path, _)| path.trim_start_matches('/')).filter(|path| !path.is_empty())
}

/// Whether the id names GitHub's machines, of the kind that the certificate says.
fn is_runner(id: &str, certificate: &Certificate) -> bool {
    match id.strip_prefix(RUNNER) {
        Some("") => true,
        Some(kind) => kind.strip_prefix('/').is_some_and(|kind| certificate.runner() == Some(kind)),
        None => false,
    }
}

impl Statement {
    /// The statement with what only its certificate says, and without what contradicts that.
    pub(crate) fn under(mut self, certificate: &Certificate) -> Self {
        if let Predicate::Provenance(provenance) = &mut self.predicate {
            **provenance = match provenance.producer() {
                Producer::PyPi => Provenance::of_certificate(certificate),
                _ => std::mem::take(&mut **provenance).under(certificate),
            };
        }
        self
    }
}

impl Attestation {
    /// Where provenance contradicts the certificate under which it is signed.
    #[must_use]
    pub fn disagreements(&self) -> Vec<Disagreement> {
        match (&self.statement().predicate, self.certificate()) {
            (Predicate::Provenance(provenance), Some(certificate)) => provenance.disagreements(certificate),
            _ => Vec::new(),
        }
    }

    /// The path of the top-level workflow in its repository, as the certificate says.
    #[must_use]
    pub fn workflow_file(&self) -> Option<&str> {
        workflow_file(self.certificate()?)
    }

    /// Whether it is provenance that this builder may write: an id of its own, and no word against its certificate.
    #[must_use]
    pub fn may_be_said_by(&self, builder: &Builder) -> bool {
        let Predicate::Provenance(provenance) = &self.statement().predicate else { return false };
        builder.may_claim(&provenance.builder_id) && self.disagreements().is_empty()
    }
}
