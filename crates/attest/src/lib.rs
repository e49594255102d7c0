//! Bytes to facts: digests, statements and what they say, every form of envelope, keys and certificates, signed commits, the
//! trust root, opening.
//!
//! Floor 0. Does no I/O, reads no clock, knows of no policy. The three steps of the chapter begin here:
//! [`Envelope`] → [`TrustRoot::open`] → [`Attestation`] → [`Attestation::about`] → [`Evidence`].

pub mod artifact;
pub mod breakglass;
pub mod buildinfo;
pub mod bundle;
pub mod claims;
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
pub use open::{Attestation, Directly, Evidence, NotAbout, OpenError, Opener, Unopened, Verified};
pub use provenance::Provenance;
pub use secret::{SecretKey, Signer};
pub use statement::{Predicate, Statement, StatementError};
pub use trust::{Role, TrustRoot};
pub use yaml::{LoadError, Place};
