//! Private keys, and what unlocks them.

use std::path::{Path, PathBuf};

use attest::SecretKey;
use tlog::LogSigner;
use zeroize::Zeroizing;

use super::text;
use crate::failure::Failure;

/// How a passphrase is given; never on the command line, where every user could read it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Passphrase {
    /// Read the key's passphrase, or the PIN of its token, from the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[arg(long, env = "PORTCULLIS_PASSPHRASE", hide = true, hide_env_values = true)]
    passphrase: Option<String>,
}

impl Passphrase {
    /// The passphrase, if one was given.
    pub(crate) fn read(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        if let Some(path) = &self.passphrase_file {
            return first_line("passphrase file", path).map(Some);
        }
        Ok(self.passphrase.clone().filter(|p| !p.is_empty()).map(Zeroizing::new))
    }
}

/// How a key that signs is unlocked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Unlock {
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
    /// The PKCS#11 module of a key in a token, where its URI has no module-path
    #[arg(long = "pkcs11-module", value_name = "FILE")]
    module: Option<PathBuf>,
}

/// A private key, for any thread: in a file, or in a token that a `pkcs11:` URI names.
pub(crate) fn secret_key(key: &Path, unlock: &Unlock) -> Result<Box<LogSigner>, Failure> {
    match key.to_str().filter(|text| pkcs11::Uri::is_meant(text)) {
        Some(uri) => Ok(Box::new(token_key(uri, unlock)?)),
        None => Ok(Box::new(key_file(key, unlock)?)),
    }
}

/// The file on whose secrecy the use of a key depends: the key's own, or the one with the token's PIN.
pub(crate) fn secret_file(key: &Path, unlock: &Unlock) -> Result<PathBuf, Failure> {
    let Some(uri) = key.to_str().filter(|text| pkcs11::Uri::is_meant(text)) else {
        return Ok(key.to_owned());
    };
    let uri = token_uri(uri)?;
    uri.pin_source().or(unlock.passphrase.passphrase_file.as_deref()).map(Path::to_owned).ok_or_else(no_pin)
}

fn key_file(path: &Path, unlock: &Unlock) -> Result<SecretKey, Failure> {
    let pem = Zeroizing::new(text("private key", path)?);
    let passphrase = unlock.passphrase.read()?;
    SecretKey::from_pem(&pem, passphrase.as_ref().map(|p| p.as_bytes())).map_err(|e| {
        let failure = Failure::new(&format!("the private key {} cannot be used", path.display()))
            .line("found", &e.to_string());
        match e {
            attest::secret::SecretKeyError::PassphraseMissing
            | attest::secret::SecretKeyError::PassphraseWrong => failure.line(
                "fix",
                "give its passphrase: --passphrase-file FILE, or the variable PORTCULLIS_PASSPHRASE",
            ),
            _ => failure.line("fix", "make one with: portcullis keygen NAME"),
        }
    })
}

fn token_uri(text: &str) -> Result<pkcs11::Uri, Failure> {
    pkcs11::Uri::parse(text).map_err(|e| {
        Failure::new("the pkcs11: URI names no key")
            .line("found", &e.to_string())
            .line("wanted", "pkcs11:token=NAME;object=NAME?module-path=/PATH.so&pin-source=file:/PATH")
    })
}

fn token_key(text: &str, unlock: &Unlock) -> Result<pkcs11::Key, Failure> {
    let uri = token_uri(text)?;
    let pin = match uri.pin_source() {
        Some(path) => first_line("PIN file", path)?,
        None => unlock.passphrase.read()?.ok_or_else(no_pin)?,
    };
    pkcs11::Key::open(&uri, unlock.module.as_deref(), pin).map_err(|e| {
        let failure = Failure::new("the key in the token cannot be used").line("found", &e.to_string());
        match e {
            pkcs11::OpenError::Pin(_) => {
                failure.line("fix", "correct the PIN; a token locks itself after a few wrong ones")
            }
            pkcs11::OpenError::NoModule => {
                failure.line("fix", "add ?module-path=/PATH.so to the URI, or give --pkcs11-module FILE")
            }
            pkcs11::OpenError::Module(..) => failure.line(
                "fix",
                "install the token's PKCS#11 module; with Debian's softhsm2: /usr/lib/softhsm/libsofthsm2.so",
            ),
            _ => failure.line("fix", "list what there is: pkcs11-tool --module FILE --login --list-objects"),
        }
    })
}

fn no_pin() -> Failure {
    Failure::new("nothing says where the token's PIN is")
        .line("fix", "add pin-source=file:/PATH to the URI")
        .line("or", "give --passphrase-file FILE")
}

fn first_line(what: &str, path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = Zeroizing::new(text(what, path)?);
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    if line.is_empty() {
        return Err(Failure::new(&format!("the {what} {} is empty", path.display())));
    }
    Ok(line)
}
