//! Keys that never leave a PKCS#11 token: an HSM, a smart card, SoftHSM in tests.
//!
//! Floor 2. [`Key`] keeps the contract that a key file and a signer process keep too: `attest::Signer`. A cloud KMS
//! would be another crate beside this one, behind the same contract: public half read once, `sign` gives what
//! `PublicKey::verify_der` takes. This is the only crate that loads a C library.

mod format;
mod key;
mod uri;

pub use key::{Key, OpenError};
pub use uri::{Uri, UriError};
