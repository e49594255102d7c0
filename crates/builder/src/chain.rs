//! Inputs that are other builds' artifacts: taken only where their provenance verifies.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;
use std::time::SystemTime;

use attest::statement::Predicate;
use attest::{Artifact, Digest, DigestSet, Envelope, TrustRoot};
use jiff::Timestamp;

use crate::definition::Input;
use crate::orchestrate::BuildError;
use crate::store::Store;

/// A bundle is a page.
const MAX_BUNDLE: u64 = 4 << 20;
/// How many are tried for one artifact.
const MAX_BUNDLES: usize = 16;

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
    /// Builds of the same bytes have a bundle each: the first that proves it is taken.
    pub(crate) fn prove(self, input: &Input, builder: &str, store: &Store) -> Result<Proven, BuildError> {
        let refuse = |why: String| {
            let (input, builder) = (input.name.clone(), builder.to_owned());
            BuildError::Chain(ChainError { input, builder, why })
        };
        let trust = self.trust.ok_or_else(|| refuse("no --trust-root says whom to believe".to_owned()))?;
        let mut first = None;
        for path in bundles(store, &input.digest) {
            let mut bytes = Vec::new();
            if File::open(&path).and_then(|f| f.take(MAX_BUNDLE).read_to_end(&mut bytes)).is_err() {
                continue;
            }
            match self.check(trust, &bytes, input, builder) {
                Ok(()) => {
                    return Ok(Proven { artifact: input.digest.clone(), bundle: Digest::sha256(&bytes) });
                }
                Err(why) => first = first.or(Some(why)),
            }
        }
        Err(refuse(first.unwrap_or_else(|| {
            "the store has no provenance for it; add it with `portcullis builder put FILE --bundle BUNDLE`".to_owned()
        })))
    }

    /// Whether one bundle proves it.
    fn check(self, trust: &TrustRoot, bundle: &[u8], input: &Input, builder: &str) -> Result<(), String> {
        let envelope = Envelope::parse(bundle).map_err(|e| e.to_string())?;
        let attestation = trust.open(&envelope, self.now).map_err(|e| e.to_string())?;
        let artifact = Artifact::new(&input.name, DigestSet::from(input.digest.clone()));
        let evidence = attestation
            .about(&artifact)
            .map_err(|_| "the provenance in the store is about another file".to_owned())?;
        let Predicate::Provenance(provenance) = evidence.predicate() else {
            return Err("what the store has for it is not provenance".to_owned());
        };
        let signers = attestation.signers();
        let is_named = signers.iter().any(|s| s.name == builder);
        if !is_named {
            let names: Vec<&str> = signers.iter().map(|s| s.name.as_str()).collect();
            return Err(format!("{} signed its provenance", names.join(", ")));
        }
        let claims = trust.principal(builder).and_then(|p| p.builder.as_ref());
        let may_claim = claims.is_some_and(|b| attestation.may_be_said_by(b));
        if !may_claim {
            return Err(format!("the key may not claim the builder id {}", provenance.builder_id));
        }
        match claims.and_then(|b| b.recall_of(provenance)) {
            Some(recall) => Err(format!("builds like it are recalled: {}", recall.reason)),
            None => Ok(()),
        }
    }
}

/// Where the store keeps the provenance of an artifact that it had first.
pub(crate) fn bundle_path(store: &Store, artifact: &Digest) -> PathBuf {
    store.folder("provenance").join(format!("{}.sigstore.json", artifact.hex()))
}

/// Where the store keeps all provenance of an artifact.
pub(crate) fn bundle_folder(store: &Store, artifact: &Digest) -> PathBuf {
    store.folder("provenance").join(artifact.hex())
}

/// The first, and then the newest of the others: many builds of the same bytes must not hide the one just made.
fn bundles(store: &Store, artifact: &Digest) -> Vec<PathBuf> {
    let entries = fs::read_dir(bundle_folder(store, artifact)).into_iter().flatten().flatten();
    let mut others: Vec<(Option<SystemTime>, PathBuf)> = entries
        .map(|e| (e.metadata().and_then(|m| m.modified()).ok(), e.path()))
        .filter(|(_, path)| path.extension().is_some_and(|e| e == "json"))
        .collect();
    others.sort_by(|a, b| b.cmp(a));
    let others = others.into_iter().map(|(_, path)| path).take(MAX_BUNDLES - 1);
    std::iter::once(bundle_path(store, artifact)).chain(others).collect()
}
