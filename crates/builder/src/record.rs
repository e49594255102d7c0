//! What the orchestrator saw: the only thing that the signer turns into provenance.

use std::collections::BTreeMap;

use attest::json::ShapeError;
use attest::provenance::{BUILD_TYPE, Provenance, SLSA_V1};
use attest::{Digest, DigestSet, Json, Object, Statement};
use jiff::Timestamp;

mod failure;
mod test;

pub(crate) use failure::MAX_REASON;
pub use failure::{BUILD_FAILURE, FailureRecord, one_line};
pub use test::TestRecord;

/// One output of one build, as the orchestrator observed it. It names no builder: the signer says who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRecord {
    /// The output's name.
    pub name: String,
    /// Its digest, taken after every process of the build was dead.
    pub digest: Digest,
    /// Everything else; the builder's id and version are empty.
    pub provenance: Provenance,
}

impl BuildRecord {
    /// The form in which it goes to the signer.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Object::new()
            .with("name", self.name.as_str())
            .with("digest", self.digest.to_string())
            .with("predicate", self.provenance.to_slsa_v1())
            .into()
    }

    /// Reads it back, strictly. The predicate is read into a record and written anew: nothing that this project does
    /// not know can be slipped into a signature.
    ///
    /// # Errors
    /// [`ShapeError`] for another shape, another build type, or a record that already names a builder.
    pub fn read(json: &Json) -> Result<Self, ShapeError> {
        let object = json.as_object()?;
        if let Some((unknown, _)) =
            object.iter().find(|(k, _)| !matches!(*k, "name" | "digest" | "predicate"))
        {
            return Err(ShapeError::new("", "name, digest and predicate alone", unknown));
        }
        let digest = object.string("digest")?;
        let provenance = Provenance::from_slsa_v1(object.object("predicate")?)?;
        if !provenance.is_ours() || !provenance.builder_id.is_empty() || provenance.builder_version.is_some()
        {
            return Err(ShapeError::new("predicate", &format!("{BUILD_TYPE}, without a builder"), "another"));
        }
        if provenance.source.as_ref().is_none_or(|s| s.commit().is_none()) || provenance.finished.is_none() {
            return Err(ShapeError::new("predicate", "a source commit and a time", "none"));
        }
        let bad = |e: attest::digest::DigestError| ShapeError::new("digest", "a digest", &e.to_string());
        Ok(Self {
            name: object.string("name")?.to_owned(),
            digest: Digest::parse(digest).map_err(bad)?,
            provenance,
        })
    }

    /// The statement that a signer of this id and version signs.
    pub(crate) fn statement(&self, builder_id: &str, version: &str) -> String {
        let digests = DigestSet::from(self.digest.clone());
        Statement::write(&self.name, &digests, SLSA_V1, self.provenance_of(builder_id, version).to_slsa_v1())
    }

    /// The provenance with the name of who signs it.
    pub(crate) fn provenance_of(&self, builder_id: &str, version: &str) -> Provenance {
        let builder = (builder_id.to_owned(), Some(version.to_owned()));
        let mut provenance = self.provenance.clone();
        (provenance.builder_id, provenance.builder_version) = builder;
        provenance
    }
}

/// The parts of a record that are the same for every output.
pub(crate) fn provenance(
    source: attest::provenance::Source,
    target: &str,
    command: &[String],
    times: (Timestamp, Timestamp),
) -> Provenance {
    Provenance {
        format: "1.0".to_owned(),
        build_type: BUILD_TYPE.to_owned(),
        builder_id: String::new(),
        builder_version: None,
        source: Some(source),
        target: Some(target.to_owned()),
        parameters: Object::new(),
        dependencies: Vec::new(),
        command: Some(command.to_vec()),
        environment: BTreeMap::new(),
        hermetic: true,
        started: Some(times.0),
        finished: Some(times.1),
        ..Provenance::default()
    }
}
