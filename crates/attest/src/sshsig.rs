//! stub
use crate::key::PublicKey;
/// stub
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshError;
impl std::fmt::Display for SshError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SSH signatures are not read yet")
    }
}
/// stub
pub struct SshSignature;
impl SshSignature {
    pub(crate) fn from_armor(_: &str) -> Result<Self, SshError> {
        Err(SshError)
    }
    pub(crate) fn verify(&self, _: &PublicKey, _: &str, _: &[u8]) -> Result<(), SshError> {
        Err(SshError)
    }
}
