//! Who writes provenance, by its build type: what the parameters mean, and whose silence it is where something is missing.

use super::pypi::PYPI_PUBLISH;
use super::{JOB_BUILD_TYPE, Provenance};
use crate::provenance::BUILD_TYPE;

/// A tool that writes provenance in a way of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Producer {
    /// Ours.
    Portcullis,
    /// GitHub artifact attestations, Bazel Central Registry's among them.
    GitHub,
    /// slsa-github-generator, delegated builders too.
    SlsaGenerator,
    /// The npm command line, on GitHub or GitLab.
    Npm,
    /// Google Cloud Build.
    CloudBuild,
    /// Tekton Chains.
    Tekton,
    /// PyPI's publish attestation, in which the certificate says everything.
    PyPi,
    /// Another, read as SLSA says.
    Other,
}

impl Producer {
    /// The producer of a build type. It says how to read, and never whom to believe.
    #[must_use]
    pub fn of(build_type: &str) -> Self {
        let is = |prefix: &str| build_type.starts_with(prefix);
        match build_type {
            BUILD_TYPE | JOB_BUILD_TYPE => Self::Portcullis,
            PYPI_PUBLISH => Self::PyPi,
            "https://actions.github.io/buildtypes/workflow/v1" => Self::GitHub,
            "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1" => Self::Npm,
            _ if is("https://github.com/npm/cli/") => Self::Npm,
            _ if is("https://github.com/slsa-framework/slsa-github-generator/") => Self::SlsaGenerator,
            _ if is("https://slsa.dev/container-based-build/") => Self::SlsaGenerator,
            _ if is("https://cloudbuild.googleapis.com/") => Self::CloudBuild,
            _ if is("https://cloud.google.com/build/gcb-buildtypes/") => Self::CloudBuild,
            _ if is("tekton.dev/") || is("https://tekton.dev/") => Self::Tekton,
            _ => Self::Other,
        }
    }

    /// Whose provenance it is, as a sentence begins that says what it does not say.
    #[must_use]
    pub fn whose(self) -> &'static str {
        match self {
            Self::Portcullis | Self::Other => "the provenance",
            Self::GitHub => "the provenance of GitHub",
            Self::SlsaGenerator => "the provenance of slsa-github-generator",
            Self::Npm => "the provenance of npm",
            Self::CloudBuild => "the provenance of Google Cloud Build",
            Self::Tekton => "the provenance of Tekton Chains",
            Self::PyPi => "the publish attestation of PyPI",
        }
    }
}

impl Provenance {
    /// Who wrote it, as its build type says.
    #[must_use]
    pub fn producer(&self) -> Producer {
        Producer::of(&self.build_type)
    }

    /// Whether a producer wrote it whose builds are begun elsewhere, and not with a command of ours.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        !matches!(self.producer(), Producer::Portcullis | Producer::Other)
    }

    /// A builder that says its version behind its id, as in `@refs/tags/v2.1.0`, has that version: recalls go by it.
    pub(super) fn settle_builder_version(&mut self) {
        if matches!(self.producer(), Producer::Portcullis | Producer::Other) || self.builder_version.is_some()
        {
            return;
        }
        let Some((_, reference)) = self.builder_id.rsplit_once('@') else { return };
        let version = reference.strip_prefix("refs/tags/").unwrap_or(reference);
        let version = version.strip_prefix('v').filter(|v| v.starts_with(|c: char| c.is_ascii_digit()));
        self.builder_version = version.map(str::to_owned);
    }
}
