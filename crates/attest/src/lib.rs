//! Bytes to facts: digests, statements and what they say, every form of envelope, keys and certificates, signed commits, the
//! trust root, opening.
//!
//! Floor 0. Does no I/O, reads no clock, knows of no policy. The three steps of the chapter begin here:
//! [`Envelope`] → [`TrustRoot::open`] → [`Attestation`] → [`Attestation::about`] → [`Evidence`].
//!
//! For embedding: bytes come in as an argument, and so does the time. What does not open, or is about something else, is an
//! error that says what was wanted and found; there is no way from bytes to [`Evidence`] around the two steps.
//!
//! ```
//! use attest::{Artifact, Digest, Envelope, Json, Object, Scheme, SecretKey, Signer, Statement, TrustRoot, dsse};
//!
//! // somebody signs that the tests of an artifact passed
//! let key = SecretKey::generate(Scheme::P256)?;
//! let artifact = Artifact::new("registry.example/shop", Digest::sha256(b"the artifact").into());
//! let unit = Json::from(Object::new().with("name", "unit"));
//! let predicate = Object::new().with("result", "PASSED").with("configuration", vec![unit]);
//! let kind = attest::claims::TEST_RESULT;
//! let statement = Statement::write("shop", artifact.digests(), kind, predicate);
//! let signed = dsse::Dsse::sign(dsse::IN_TOTO, statement.as_bytes(), &[&key])?;
//! let bytes = Json::from(signed.to_json()).to_string();
//!
//! // whoever receives the bytes: 1. authentic, by the trust root, now
//! let pem: String = key.public().to_pem().lines().map(|line| format!("          {line}\n")).collect();
//! let root = format!("version: 1\ntesters:\n  ci-tests:\n    keys:\n      - key: |\n{pem}");
//! let root = TrustRoot::parse("trust-root.yaml", &root).map_err(|all| format!("{all:?}"))?;
//! let now = "2026-11-22T09:00:00Z".parse()?;
//! let attestation = root.open(&Envelope::parse(bytes.as_bytes())?, now)?;
//! // 2. about this artifact, and not about another
//! let evidence = attestation.about(&artifact).map_err(|why| format!("{why:?}"))?;
//! assert!(evidence.is_signed_by("ci-tests"));
//! let other = Artifact::new("registry.example/shop", Digest::sha256(b"another").into());
//! assert!(attestation.about(&other).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod artifact;
pub mod breakglass;
pub mod buildinfo;
pub mod bundle;
pub mod claims;
mod cms;
pub mod commit;
mod der;
pub mod digest;
pub mod dsse;
pub mod envelope;
pub mod json;
pub mod jwt;
pub mod key;
pub mod merkle;
pub mod minisign;
pub mod ni;
pub mod note;
pub mod open;
pub mod openpgp;
pub mod parts;
pub mod pem;
mod pkcs8;
pub mod provenance;
pub mod redact;
pub mod release;
pub mod secret;
pub mod sigstore;
pub mod simple_signing;
pub mod sshsig;
pub mod statement;
pub mod time;
pub mod trust;
pub mod yaml;

pub use artifact::Artifact;
pub use digest::{Agreement, Algorithm, Digest, DigestSet};
pub use envelope::{Envelope, EnvelopeError};
pub use json::{Json, Object};
pub use key::{PublicKey, Scheme};
pub use open::{
    Attestation, Directly, Evidence, NotAbout, OpenError, Opener, SignedGrant, Unopened, Verified,
};
pub use provenance::Provenance;
pub use secret::{SecretKey, Signer};
pub use statement::{Predicate, Statement, StatementError};
pub use trust::{Role, TrustRoot};
pub use yaml::{LoadError, Place};
