//! PyPI's publish attestation: a statement without a predicate. That it was published, by whom, and from where: all of it is
//! in the certificate.

use super::Provenance;

/// The type of the statement.
pub const PYPI_PUBLISH: &str = "https://docs.pypi.org/attestations/publish/v1";

impl Provenance {
    /// What the statement says before the certificate is looked at: that it is one.
    #[must_use]
    pub(crate) fn of_pypi() -> Self {
        Self { format: "1.0".to_owned(), build_type: PYPI_PUBLISH.to_owned(), ..Self::default() }
    }
}
