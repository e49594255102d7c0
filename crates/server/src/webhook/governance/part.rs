//! The reviewed files as artifacts.

use std::fmt;

use attest::{Artifact, Digest, DigestSet};

/// One of the reviewed files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The policies for all of these.
    Governance,
    /// Whose signatures count.
    TrustRoot,
    /// What the book may say.
    Guardrails,
    /// The policies.
    Book,
    /// The choke point's configuration.
    Configuration,
}

impl Part {
    /// The word in messages, metrics and on record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TrustRoot => "trust root",
            _ => self.key(),
        }
    }

    /// The word in configuration and policies.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::TrustRoot => "trust-root",
            Self::Guardrails => "guardrails",
            Self::Book => "book",
            Self::Configuration => "configuration",
        }
    }

    /// What the policies call it.
    #[must_use]
    pub fn uri(self) -> String {
        format!("portcullis:{}", self.key())
    }

    pub(crate) fn artifact(self, digest: &Digest) -> Artifact {
        Artifact::new(&self.uri(), DigestSet::from(digest.clone()))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
