//! Which builds a recall covers: one answer, for the rule `built-by` and for the list of what must be built again.

use super::{Builder, Recall};
use crate::provenance::Provenance;

impl Builder {
    /// The first recall that covers a build of this builder.
    #[must_use]
    pub fn recall_of(&self, provenance: &Provenance) -> Option<&Recall> {
        self.recalls.iter().find(|recall| recall.covers(provenance))
    }
}

impl Recall {
    /// Whether it covers a build. A recall that names several things recalls what matches all of them. What cannot be
    /// known counts as recalled: a build must not escape by saying less.
    #[must_use]
    pub fn covers(&self, provenance: &Provenance) -> bool {
        let version = self.version.as_ref().is_none_or(|range| {
            let version = provenance.builder_version.as_deref().and_then(|v| semver::Version::parse(v).ok());
            version.is_none_or(|v| range.matches(&v))
        });
        let tool = self.tool.as_ref().is_none_or(|tool| {
            provenance.dependencies.iter().any(|d| d.digests.get(tool.algorithm()).as_ref() == Some(tool))
        });
        let window = self.window.is_none_or(|(from, until)| {
            provenance.finished.is_none_or(|finished| finished >= from && finished <= until)
        });
        version && tool && window
    }
}
