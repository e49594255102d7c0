//! What an export does not say.

use std::fmt;

use attest::json::{JsonError, ShapeError};

use crate::votes::Voided;

/// Why an export is no review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportError {
    /// A file is not strict JSON.
    Json {
        /// The file.
        file: String,
        /// What is wrong.
        error: JsonError,
    },
    /// A file has another shape than the forge's tools give.
    Shape {
        /// The file.
        file: String,
        /// What is wrong.
        error: ShapeError,
        /// The command that exports it as it is wanted.
        command: String,
    },
    /// A part of the export was not given.
    Missing {
        /// Which.
        what: String,
        /// The command that exports it.
        command: String,
    },
    /// The parts do not fit together.
    Contradiction {
        /// What the one says.
        wanted: String,
        /// What the other says.
        found: String,
    },
    /// The change was given up.
    GivenUp(String),
    /// Nobody's approval counts.
    NotApproved(Vec<Voided>),
}

impl ExportError {
    /// How to mend it.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::Json { .. } => "give the file as the forge's tool wrote it".to_owned(),
            Self::Shape { command, .. } | Self::Missing { command, .. } => {
                format!("export it, and give it too: {command}")
            }
            Self::Contradiction { .. } => "export all parts again, of one change and at one time".to_owned(),
            Self::GivenUp(_) => "open the change again, and have it approved".to_owned(),
            Self::NotApproved(_) => "have somebody else approve the last revision".to_owned(),
        }
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { file, error } => write!(f, "{file}: {error}"),
            Self::Shape { file, error, .. } => write!(f, "{file}: {error}"),
            Self::Missing { what, .. } => write!(f, "the export does not have {what}"),
            Self::Contradiction { wanted, found } => write!(f, "wanted {wanted}, found {found}"),
            Self::GivenUp(state) => write!(f, "the change is {state}"),
            Self::NotApproved(voided) if voided.is_empty() => {
                f.write_str("nobody approved the last revision")
            }
            Self::NotApproved(voided) => {
                let reasons: Vec<String> = voided.iter().map(Voided::to_string).collect();
                write!(f, "nobody's approval of the last revision counts: {}", reasons.join("; "))
            }
        }
    }
}
impl std::error::Error for ExportError {}
