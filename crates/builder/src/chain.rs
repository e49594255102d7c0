//! Inputs that are other builds' artifacts: taken only where their provenance verifies.

use std::fmt;
use std::fs::File;
use std::io::Read as _;

use attest::statement::Predicate;
use attest::{Artifact, Digest, DigestSet, Envelope, TrustRoot};
use jiff::Timestamp;

use crate::definition::Input;
use crate::orchestrate::BuildError;
use crate::store::Store;

/// A bundle is a page.
const MAX_BUNDLE: u64 = 4 << 20;

/// Whom to believe about other builds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain<'a> {
    /// The trust root; without one, no input that needs a proof is taken.
    pub(crate) trust: Option<&'a TrustRoot>,
    /// When.
    pub(crate) now: Timestamp,
}

/// An input with what proved it.
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    /// The artifact.
    pub(crate) artifact: Digest,
    /// Its provenance's bundle.
    pub(crate) bundle: Digest,
}

/// Why an input is not taken for another build's artifact.
#[derive(Debug)]
pub struct ChainError {
    /// The input.
    pub input: String,
    /// The builder that it must be from.
    pub builder: String,
    /// Why.
    pub why: String,
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, builder, why } = self;
        write!(f, "the input {input} is not proven to be built by {builder}: {why}")
    }
}

impl Chain<'_> {
    pub(crate) fn prove(self, input: &Input, builder: &str, store: &Store) -> Result<Proven, BuildError> {
        let refuse = |why: String| {
            let (input, builder) = (input.name.clone(), builder.to_owned());
            BuildError::Chain(ChainError { input, builder, why })
        };
        let trust = self.trust.ok_or_else(|| refuse("no --trust-root says whom to believe".to_owned()))?;
        let path = bundle_path(store, &input.digest);
        let mut bytes = Vec::new();
        File::open(&path).and_then(|f| f.take(MAX_BUNDLE).read_to_end(&mut bytes)).map_err(|_| {
            refuse("the store has no provenance for it; add it with `portcullis builder put FILE --bundle BUNDLE`".to_owned())
        })?;
        let envelope = Envelope::parse(&bytes).map_err(|e| refuse(e.to_string()))?;
        let attestation = trust.open(&envelope, self.now).map_err(|e| refuse(e.to_string()))?;
        let artifact = Artifact::new(&input.name, DigestSet::from(input.digest.clone()));
        let evidence = attestation
            .about(&artifact)
            .map_err(|_| refuse("the provenance in the store is about another file".to_owned()))?;
        let Predicate::Provenance(provenance) = evidence.predicate() else {
            return Err(refuse("what the store has for it is not provenance".to_owned()));
        };
        let signers = attestation.signers();
        let is_named = signers.iter().any(|s| s.name == builder);
        if !is_named {
            let names: Vec<&str> = signers.iter().map(|s| s.name.as_str()).collect();
            return Err(refuse(format!("{} signed its provenance", names.join(", "))));
        }
        let claims = trust.principal(builder).and_then(|p| p.builder.as_ref());
        let may_claim = claims.is_some_and(|b| b.ids.contains(&provenance.builder_id));
        if !may_claim {
            return Err(refuse(format!("the key may not claim the builder id {}", provenance.builder_id)));
        }
        if let Some(recall) = claims.and_then(|b| b.recall_of(provenance)) {
            return Err(refuse(format!("builds like it are recalled: {}", recall.reason)));
        }
        Ok(Proven { artifact: input.digest.clone(), bundle: Digest::sha256(&bytes) })
    }
}

/// Where the store keeps an artifact's provenance.
pub(crate) fn bundle_path(store: &Store, artifact: &Digest) -> std::path::PathBuf {
    store.folder("provenance").join(format!("{}.sigstore.json", artifact.hex()))
}
