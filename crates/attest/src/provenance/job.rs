//! Provenance of a job in any CI system: honest, and worth what such a job is worth.
//!
//! Nothing keeps the steps of the job away from the key or from the record (the chapter, "Untrusted inputs"), so the
//! record claims no isolation, is never hermetic, and its builder's id says what it is.

use crate::digest::DigestSet;
use crate::json::{Object, ShapeError};
use crate::statement::Statement;

use super::{Provenance, SLSA_V1};

/// The build type of jobs that were attested and not run by Portcullis: a source, a target, parameters.
pub const JOB_BUILD_TYPE: &str = "https://portcullis.dev/build/job/v1";
/// How the id of a builder ends that keeps its steps from nothing.
pub const NON_ISOLATED: &str = "/non-isolated";

impl Provenance {
    /// The record of a job, without anything that only a sandbox could claim.
    #[must_use]
    pub fn of_job(builder_id: &str, version: &str) -> Self {
        Self {
            format: "1.0".to_owned(),
            build_type: JOB_BUILD_TYPE.to_owned(),
            builder_id: builder_id.to_owned(),
            builder_version: Some(version.to_owned()),
            ..Self::default()
        }
    }

    /// The SLSA v1 statement that says this of one artifact, once it reads back as the same record: what would be lost
    /// or changed on the way is refused and never signed.
    ///
    /// # Errors
    /// [`ShapeError`] where the record cannot be said in this form.
    pub fn statement(&self, name: &str, digests: &DigestSet) -> Result<String, ShapeError> {
        let predicate: Object = self.to_slsa_v1();
        if Self::from_slsa_v1(&predicate)? != *self {
            return Err(ShapeError::new("predicate", "what reads back as it was given", "another record"));
        }
        Ok(Statement::write(name, digests, SLSA_V1, predicate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn digests() -> DigestSet {
        Digest::sha256(b"shop").into()
    }

    #[test]
    fn a_job_claims_nothing_that_only_a_sandbox_could() {
        let record = Provenance::of_job("https://ci.example/non-isolated", "1.0.0");
        assert!(!record.hermetic && !record.is_ours());
        assert!(record.environment.is_empty() && record.command.is_none());
        let text = record.statement("shop", &digests()).unwrap();
        assert!(!text.contains("portcullis_hermetic"), "{text}");
    }

    #[test]
    fn what_would_not_read_back_is_not_written() {
        let mut record = Provenance::of_job("https://ci.example/non-isolated", "1.0.0");
        // the reader would take it for the target
        record.parameters.set("target", "shop");
        record.target = None;
        assert!(record.statement("shop", &digests()).is_ok(), "unfolded, it is a parameter still");
        record.command = Some(Vec::new());
        assert!(record.statement("shop", &digests()).is_err(), "no words read back as no command");
    }
}
