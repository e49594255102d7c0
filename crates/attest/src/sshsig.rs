//! SSH signatures (OpenSSH's `PROTOCOL.sshsig`): what `ssh-keygen -Y sign` writes, armored or raw.
//!
//! A signature is for one namespace (`git`, `file`), which is part of what is signed: what somebody signed as a file is
//! no commit. Refused by name: SHA-1 (`ssh-rsa` as an algorithm of signatures), keys in security keys (`sk-`), whose
//! signatures are over more than the text, DSA, certificates.

use std::fmt;

use aws_lc_rs::digest as hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::der;
use crate::key::{KeyError, KeyForm, PublicKey, Scheme};

mod wire;

use wire::Reader;

const MAGIC: &[u8; 6] = b"SSHSIG";
/// The largest signature or key that is read, in bytes.
const MAX_BYTES: usize = 16 << 10;

/// Why something is no SSH key or signature that is accepted, or does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshError {
    /// Not as the format asks; the field says what was wanted.
    Malformed(&'static str),
    /// A kind of key, signature or hash that is not accepted; the field is its name.
    Refused(String),
    /// The signature is for another namespace; the field is its name.
    Namespace(String),
    /// The signature is not the key's over this message.
    NotByKey,
}

impl fmt::Display for SshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(wanted) => write!(f, "malformed SSH key or signature: wanted {wanted}"),
            Self::Refused(what) => write!(
                f,
                "{what} is not accepted in SSH signatures (wanted ssh-ed25519, ecdsa-sha2-nistp256, \
                 ecdsa-sha2-nistp384, or RSA with rsa-sha2-256 or rsa-sha2-512)"
            ),
            Self::Namespace(found) => write!(f, "an SSH signature for the namespace `{found}`"),
            Self::NotByKey => f.write_str("the SSH signature does not verify under the key"),
        }
    }
}
impl std::error::Error for SshError {}

/// An SSH signature, parsed. It proves nothing until a key verifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSignature {
    key: PublicKey,
    namespace: String,
    hash: Hash,
    /// Which hash the key itself uses, and the signature as a key verifies it.
    value: (Option<Hash>, Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(self, bytes: &[u8]) -> hash::Digest {
        let algorithm = match self {
            Self::Sha256 => &hash::SHA256,
            Self::Sha384 => &hash::SHA384,
            Self::Sha512 => &hash::SHA512,
        };
        hash::digest(algorithm, bytes)
    }
}

impl SshSignature {
    /// Reads one armored signature.
    ///
    /// # Errors
    /// [`SshError`] for anything else, and for what is refused by name.
    pub fn from_armor(text: &str) -> Result<Self, SshError> {
        let wanted = SshError::Malformed("one armored SSH SIGNATURE of 16 KiB at most");
        let lines = || {
            let body =
                text.strip_suffix('\n').unwrap_or(text).strip_prefix("-----BEGIN SSH SIGNATURE-----\n")?;
            body.strip_suffix("\n-----END SSH SIGNATURE-----").filter(|_| text.len() <= 2 * MAX_BYTES)
        };
        let body = lines().ok_or(wanted.clone())?;
        Self::from_binary(&STANDARD.decode(body.replace('\n', "")).or(Err(wanted))?)
    }

    /// Reads the bytes of a signature.
    ///
    /// # Errors
    /// [`SshError`] for anything else, and for what is refused by name.
    pub fn from_binary(bytes: &[u8]) -> Result<Self, SshError> {
        if bytes.len() > MAX_BYTES {
            return Err(SshError::Malformed("a signature of 16 KiB at most"));
        }
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len())? != MAGIC || reader.u32()? != 1 {
            return Err(SshError::Malformed("an SSH signature of version 1"));
        }
        let key = read_key_blob(reader.string()?).map_err(|e| match e {
            KeyError::Ssh(e) => e,
            _ => SshError::Malformed("a key that is not weak"),
        })?;
        let namespace = reader.text()?;
        if namespace.is_empty() || !reader.string()?.is_empty() {
            return Err(SshError::Malformed("a namespace, and nothing in the reserved field"));
        }
        let hash = match reader.text()? {
            "sha256" => Hash::Sha256,
            "sha512" => Hash::Sha512,
            other => return Err(SshError::Refused(format!("the hash `{}`", other.escape_default()))),
        };
        let value = read_value(&key, reader.string()?)?;
        reader.finish()?;
        Ok(Self { key, namespace: namespace.to_owned(), hash, value })
    }

    /// What the signature is for.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Verifies it over a message, for a namespace, under a listed key. The key that the signature carries must be that
    /// one, and proves nothing.
    ///
    /// # Errors
    /// [`SshError`] with the reason.
    pub fn verify(&self, key: &PublicKey, namespace: &str, message: &[u8]) -> Result<(), SshError> {
        if self.namespace != namespace {
            return Err(SshError::Namespace(self.namespace.clone()));
        }
        // a key that is listed in another form is not equal
        if self.key != *key {
            return Err(SshError::NotByKey);
        }
        let name: &[u8] = if self.hash == Hash::Sha512 { b"sha512" } else { b"sha256" };
        let digest = self.hash.of(message);
        let fields = [self.namespace.as_bytes(), b"", name, digest.as_ref()].map(wire::string);
        let signed = [MAGIC.as_slice(), &fields.concat()].concat();
        let (own, value) = &self.value;
        match own {
            Some(own) => key.verify_hashed(&own.of(&signed), value),
            None => key.verify_whole(&signed, value),
        }
        .or(Err(SshError::NotByKey))
    }
}

/// A line as in `id_ed25519.pub`: type, base64, and a comment for people.
pub(crate) fn read_key(line: &str) -> Result<PublicKey, KeyError> {
    let mut words = line.split(' ');
    let (kind, encoded) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if line.contains(char::is_control) || line.len() > MAX_BYTES || !is_kind(kind) {
        return Err(KeyError::NotListed);
    }
    let blob =
        STANDARD.decode(encoded).map_err(|_| SshError::Malformed("base64 after the type of the key"))?;
    if Reader::new(&blob).text()? != kind {
        return Err(SshError::Malformed("the same type before the key and in it").into());
    }
    read_key_blob(&blob)
}

/// Whether a word is what OpenSSH would call a kind of key.
fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start))
}

fn read_key_blob(blob: &[u8]) -> Result<PublicKey, KeyError> {
    let mut reader = Reader::new(blob);
    let kind = reader.text()?;
    let (scheme, raw) = match kind {
        "ssh-ed25519" => (Scheme::Ed25519, reader.string()?.to_vec()),
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" => {
            let curve = reader.text()?;
            if !kind.ends_with(curve) || curve.len() != 8 {
                return Err(SshError::Malformed("the same curve twice").into());
            }
            let scheme = if curve == "nistp256" { Scheme::P256 } else { Scheme::P384 };
            (scheme, reader.string()?.to_vec())
        }
        "ssh-rsa" => {
            let (exponent, modulus) = (reader.number()?, reader.number()?);
            let raw = der::sequence(&[der::unsigned(modulus), der::unsigned(exponent)]);
            (Scheme::RsaPkcs1, raw)
        }
        other if other.starts_with("sk-") => {
            return Err(
                SshError::Refused(format!("`{}`, a key in a security key,", other.escape_default())).into()
            );
        }
        other => return Err(SshError::Refused(format!("`{}`", other.escape_default())).into()),
    };
    reader.finish()?;
    Ok(PublicKey::from_raw(scheme, &raw)?.listed_as(KeyForm::Ssh))
}

fn read_value(key: &PublicKey, blob: &[u8]) -> Result<(Option<Hash>, Vec<u8>), SshError> {
    let mut reader = Reader::new(blob);
    let name = reader.text()?;
    let value = reader.string()?;
    reader.finish()?;
    let own = match (key.scheme(), name) {
        (Scheme::Ed25519, "ssh-ed25519") => None,
        (Scheme::P256, "ecdsa-sha2-nistp256") => Some(Hash::Sha256),
        (Scheme::P384, "ecdsa-sha2-nistp384") => Some(Hash::Sha384),
        (Scheme::RsaPkcs1, "rsa-sha2-256") => Some(Hash::Sha256),
        (Scheme::RsaPkcs1, "rsa-sha2-512") => Some(Hash::Sha512),
        (Scheme::RsaPkcs1, "ssh-rsa") => {
            return Err(SshError::Refused("`ssh-rsa`, which is SHA-1,".to_owned()));
        }
        _ => return Err(SshError::Malformed("a signature of the kind that its key makes")),
    };
    if !matches!(key.scheme(), Scheme::P256 | Scheme::P384) {
        return Ok((own, value.to_vec()));
    }
    let mut reader = Reader::new(value);
    let (r, s) = (reader.number()?, reader.number()?);
    reader.finish()?;
    Ok((own, der::sequence(&[der::unsigned(r), der::unsigned(s)])))
}
