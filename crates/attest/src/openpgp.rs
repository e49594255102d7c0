//! stub
use crate::key::PublicKey;
/// stub
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPgpError;
impl std::fmt::Display for OpenPgpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpenPGP signatures are not read yet")
    }
}
/// stub
pub struct Signature;
impl Signature {
    pub(crate) fn from_armor(_: &str) -> Result<Self, OpenPgpError> {
        Err(OpenPgpError)
    }
    pub(crate) fn check_expiry(&self, _: jiff::Timestamp) -> Result<(), OpenPgpError> {
        Err(OpenPgpError)
    }
    pub(crate) fn verify_detached(&self, _: &PublicKey, _: &[u8]) -> Result<(), OpenPgpError> {
        Err(OpenPgpError)
    }
}
