//! C2SP signed notes, checkpoints and witness cosignatures.
//!
//! A note is text, an empty line, and lines `— name base64(id || signature)`. A checkpoint is a note whose text is
//! origin, size and root. A cosignature (`cosignature/v1`) says that a witness saw this checkpoint at a time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use crate::digest::Digest;
use crate::key::{PublicKey, Scheme};
use crate::merkle::Hash;
use crate::secret::{SignError, Signer};

const ED25519: u8 = 0x01;
const COSIGNATURE: u8 = 0x04;
/// A checkpoint is three lines and a few signatures; anything near this size is not one.
const MAX_NOTE: usize = 64 << 10;

/// The key of a log or a witness, with the name it signs under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteKey {
    /// The name: for a log its origin.
    pub name: String,
    /// An Ed25519 key.
    pub key: PublicKey,
}

impl NoteKey {
    /// Parses a verifier key: `name+hash+base64(type || key)`.
    #[must_use]
    pub fn parse(vkey: &str) -> Option<(Self, bool)> {
        let mut parts = vkey.trim().splitn(3, '+');
        let (name, id, data) = (parts.next()?, parts.next()?, STANDARD.decode(parts.next()?).ok()?);
        let (kind, raw) = data.split_first()?;
        let cosigner = match *kind {
            ED25519 => false,
            COSIGNATURE => true,
            _ => return None,
        };
        let key = PublicKey::from_raw(Scheme::Ed25519, raw).ok()?;
        let key = Self { name: is_name(name).then(|| name.to_owned())?, key };
        let expected = u32::from_be_bytes(key.id(*kind));
        (u32::from_str_radix(id, 16).ok()? == expected && id.len() == 8).then_some((key, cosigner))
    }

    /// The verifier key of a log as text.
    #[must_use]
    pub fn to_vkey(&self) -> String {
        self.vkey_of(ED25519)
    }

    /// The verifier key of a witness as text.
    #[must_use]
    pub fn to_witness_vkey(&self) -> String {
        self.vkey_of(COSIGNATURE)
    }

    fn vkey_of(&self, kind: u8) -> String {
        let id = u32::from_be_bytes(self.id(kind));
        let data = [&[kind], self.key.raw()].concat();
        format!("{}+{id:08x}+{}", self.name, STANDARD.encode(data))
    }

    /// The first four bytes of `SHA-256(name || LF || type || key)`.
    fn id(&self, kind: u8) -> [u8; 4] {
        let text = [self.name.as_bytes(), b"\n", &[kind], self.key.raw()].concat();
        let mut id = [0; 4];
        id.copy_from_slice(Digest::sha256(&text).bytes().get(..4).unwrap_or(&[0; 4]));
        id
    }
}

/// Whether `name` may stand in a note: not empty, no white space, no plus.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}

/// A parsed note. Nothing in it is proven until [`Note::is_signed_by`] says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<(String, Vec<u8>)>,
}

impl Note {
    /// Parses a note.
    #[must_use]
    pub fn parse(note: &str) -> Option<Self> {
        if note.len() > MAX_NOTE || note.contains(|c: char| c < ' ' && c != '\n') {
            return None;
        }
        let split = note.rfind("\n\n")?;
        let (text, lines) = (note.get(..=split)?, note.get(split + 2..)?);
        let mut signatures = Vec::new();
        for line in lines.strip_suffix('\n')?.split('\n') {
            let (name, value) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let value = STANDARD.decode(value).ok().filter(|v| v.len() > 4)?;
            signatures.push((is_name(name).then(|| name.to_owned())?, value));
        }
        Some(Self { text: text.to_owned(), signatures })
    }

    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn signatures_of(&self, key: &NoteKey, kind: u8) -> impl Iterator<Item = &[u8]> {
        let id = key.id(kind);
        let name = key.name.clone();
        self.signatures
            .iter()
            .filter(move |(n, value)| *n == name && value.starts_with(&id))
            .filter_map(|(_, value)| value.get(4..))
    }

    /// Whether the key signed this text.
    #[must_use]
    pub fn is_signed_by(&self, key: &NoteKey) -> bool {
        self.signatures_of(key, ED25519).any(|s| key.key.verify(self.text.as_bytes(), s).is_ok())
    }

    /// When the witness cosigned this text, if it did.
    #[must_use]
    pub fn cosigned_at(&self, witness: &NoteKey) -> Option<Timestamp> {
        self.cosignature(witness).map(|cosignature| cosignature.at)
    }

    /// The witness's cosignature of this text, if it gave one.
    #[must_use]
    pub fn cosignature(&self, witness: &NoteKey) -> Option<Cosignature> {
        self.signatures_of(witness, COSIGNATURE).find_map(|value| {
            let (time, signature) = value.split_at_checked(8)?;
            let seconds = u64::from_be_bytes(time.try_into().ok()?);
            let message = cosignature_message(seconds, &self.text);
            witness.key.verify(message.as_bytes(), signature).ok()?;
            let at = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
            Some(Cosignature { at, line: line(&witness.name, &[&witness.id(COSIGNATURE), value].concat()) })
        })
    }

    /// The note with the key's own signature, and without anybody else's; nothing where the key did not sign.
    #[must_use]
    pub fn signed_only_by(&self, key: &NoteKey) -> Option<String> {
        let mut signatures = self.signatures_of(key, ED25519);
        let value = signatures.find(|s| key.key.verify(self.text.as_bytes(), s).is_ok())?;
        Some(format!("{}\n{}", self.text, line(&key.name, &[&key.id(ED25519), value].concat())))
    }
}

/// A witness's word that it saw a checkpoint, and that it continues every one that it saw before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// When, to the second.
    pub at: Timestamp,
    /// The line of the note.
    pub line: String,
}

fn line(name: &str, value: &[u8]) -> String {
    format!("\u{2014} {name} {}\n", STANDARD.encode(value))
}

fn cosignature_message(seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

/// Signs `text` under `name`: the whole note.
///
/// # Errors
/// [`SignError`] where the key cannot sign.
pub fn sign(text: &str, name: &str, signer: &dyn Signer) -> Result<String, SignError> {
    let key = NoteKey { name: name.to_owned(), key: signer.public().clone() };
    let value = [key.id(ED25519).as_slice(), &signer.sign(text.as_bytes())?].concat();
    Ok(format!("{text}\n{}", line(name, &value)))
}

/// The line with which a witness cosigns a checkpoint's text at a time.
///
/// # Errors
/// [`SignError`] where the key cannot sign.
pub fn cosign(text: &str, name: &str, time: Timestamp, signer: &dyn Signer) -> Result<String, SignError> {
    let seconds = u64::try_from(time.as_second()).or(Err(SignError))?;
    let key = NoteKey { name: name.to_owned(), key: signer.public().clone() };
    let signature = signer.sign(cosignature_message(seconds, text).as_bytes())?;
    let value = [key.id(COSIGNATURE).as_slice(), &seconds.to_be_bytes(), &signature].concat();
    Ok(line(name, &value))
}

/// What a log says of itself at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text of the note.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Parses the text of a note. Extension lines are allowed and ignored, as the specification asks.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let canonical = size == "0" || !size.starts_with(['0', '+']);
        Some(Self {
            origin: (!origin.is_empty()).then(|| origin.to_owned())?,
            size: canonical.then(|| size.parse().ok())??,
            root: STANDARD.decode(root).ok()?.try_into().ok()?,
        })
    }
}
