//! The key that signs summaries: where it is, and that it is nobody else's.

use std::path::Path;

use attest::note::NoteKey;
use attest::{PublicKey, Role, SecretKey, Signer as _, TrustRoot};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tlog::LogSigner;
use zeroize::Zeroizing;

use crate::certificate;
use crate::webhook::config::{Config, SummaryKey};

/// Opens the key.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn open(key: &SummaryKey) -> Result<Box<LogSigner>, String> {
    match key {
        SummaryKey::File(file) => {
            let key = SecretKey::from_pem(&secret(file)?, None);
            Ok(Box::new(key.map_err(|e| format!("the key {} cannot be used: {e}", file.display()))?))
        }
        SummaryKey::Token(uri) => {
            let file = uri.pin_source().ok_or("nothing says where the token's PIN is")?;
            let pin = Zeroizing::new(secret(file)?.lines().next().unwrap_or_default().to_owned());
            let key = pkcs11::Key::open(uri, None, pin);
            Ok(Box::new(key.map_err(|e| format!("the key in the token cannot be used: {e}"))?))
        }
    }
}

fn secret(file: &Path) -> Result<Zeroizing<String>, String> {
    let text = std::fs::read_to_string(file);
    text.map(Zeroizing::new).map_err(|e| format!("{} cannot be read: {e}", file.display()))
}

/// Who else's key it is. Whoever has the log's key could else vouch for what was never decided, and whoever may sign
/// summaries could promise records, or build.
pub(crate) fn shared(key: &PublicKey, config: &Config, root: &TrustRoot, own: Role) -> Option<String> {
    in_trust_root(key, root, own).or_else(|| in_configuration(key, config))
}

/// Who else's key it is, by the trust root. It may be listed in one role, and in nothing more.
#[must_use]
pub fn in_trust_root(key: &PublicKey, root: &TrustRoot, own: Role) -> Option<String> {
    let is_it = |other: &PublicKey| other.spki() == key.spki();
    for principal in root.principals().filter(|p| p.keys.iter().any(|trusted| is_it(&trusted.key))) {
        let other = principal.roles.iter().find(|role| **role != own);
        if let Some(role) = other {
            return Some(format!("of {}, a {} of the trust root", principal.name, role.name()));
        }
        if root.is_person(&principal.name) {
            return Some(format!("of {}, a person of the trust root", principal.name));
        }
    }
    let logs = root.logs().map(|(name, log)| ("log", name, log));
    let witnesses = root.witnesses().map(|(name, witness)| ("witness", name, witness));
    let mut notes = logs.chain(witnesses);
    notes
        .find(|(.., note)| is_it(&note.key))
        .map(|(what, name, _)| format!("of {name}, a {what} of the trust root"))
}

/// Who else's key it is, by the configuration's files. What cannot be read is refused where it is used.
fn in_configuration(key: &PublicKey, config: &Config) -> Option<String> {
    let secret_of = |file: &Path| SecretKey::from_pem(&secret(file).ok()?, None).ok();
    let is_log = secret_of(&config.log.key).is_some_and(|log| log.public().spki() == key.spki());
    if is_log {
        return Some(format!("the log's, in {}", config.log.key.display()));
    }
    let tls = &config.webhook.tls;
    let certificate = CertificateDer::from_pem_file(&tls.certificate).ok();
    let of_tls = certificate.and_then(|der| certificate::public_key(&der));
    if of_tls.is_some_and(|spki| spki == key.spki()) {
        return Some(format!("the webhook's own, of {}", tls.certificate.display()));
    }
    let witnesses = config.after.witnesses.iter().flat_map(|witnesses| &witnesses.of);
    let mut of = witnesses.filter_map(|(name, _, file)| {
        let text = std::fs::read_to_string(file).ok()?;
        Some((name, NoteKey::parse(text.trim())?.0))
    });
    of.find(|(_, note)| note.key.spki() == key.spki()).map(|(name, _)| format!("of {name}, a witness"))
}
