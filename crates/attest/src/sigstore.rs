//! Signatures under certificates: Sigstore instances, what their certificates say, and whose identities count.
//!
//! The cryptography of Fulcio, certificate transparency, Rekor and timestamps is the crate `sigstore-verify`'s, and all of it
//! stays behind [`Instance`]. What comes before it (strict JSON) and after it (who that identity is, and what may be
//! said under it) is ours.

mod certificate;
mod contents;
mod identity;
mod instance;
pub mod legacy;
mod pattern;
mod pep740;
mod promise;

pub use certificate::Certificate;
pub use contents::{Difference, Part, contents, differences};
pub use identity::{CertificateIdentity, Mismatch, Subject, TrustedIdentity};
pub use instance::{EMBEDDED, Instance, InstanceError, SigstoreError};
pub use pattern::{Pattern, PatternError};

pub(crate) use instance::{Certified, Foreign};
pub(crate) use pep740::{is_pep740, read_pep740};
