//! What is wrong with an OSV dump, in the words of this program.

use inventory::advisories::DumpError;

use crate::failure::Failure;

impl From<DumpError> for Failure {
    fn from(error: DumpError) -> Self {
        if let DumpError::Io(what, path, e) = &error {
            return Self::io(&format!("read the {what}"), path, e);
        }
        let mut failure = Self::new(&error.message());
        for (label, text) in [("wanted", error.wanted()), ("found", error.found())] {
            if let Some(text) = text {
                failure = failure.line(label, &text);
            }
        }
        failure.line("fix", error.fix())
    }
}
