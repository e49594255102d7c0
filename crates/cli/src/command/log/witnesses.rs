//! Whose cosignatures must be on a checkpoint, and what is on it.

use std::path::Path;

use attest::note::{Checkpoint, NoteKey, is_name};
use attest::{Json, Object, PublicKey};
use jiff::Timestamp;
use tlog::ProofError;
use tlog::witnessing::WITNESSED;

use crate::failure::Failure;
use crate::input;

/// Which witnesses are believed.
#[derive(Debug, clap::Args)]
pub(crate) struct Witnesses {
    /// A witness that must have cosigned: its name, and the file with its key; again for more
    #[arg(long = "witness", value_name = "NAME=FILE")]
    witnesses: Vec<String>,
    /// How many of the witnesses must have cosigned; all of them without
    #[arg(long, value_name = "N", requires = "witnesses")]
    quorum: Option<usize>,
}

/// What somebody saw of a log before: it must be the beginning of what there is now.
#[derive(Debug)]
pub(crate) struct Seen {
    /// What the log must continue, where anybody saw anything.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The witnesses that saw it, and when.
    pub(crate) witnesses: Vec<(String, Timestamp)>,
}

impl Seen {
    /// What a person reads of it.
    pub(crate) fn line(&self) -> String {
        match &self.checkpoint {
            Some(checkpoint) if !self.witnesses.is_empty() => {
                format!("the first {} of them were seen by {}\n", checkpoint.size, list(&self.witnesses))
            }
            _ => String::new(),
        }
    }
}

/// `w1.example at 2026-11-22T09:00:00Z, …`.
pub(crate) fn list(witnesses: &[(String, Timestamp)]) -> String {
    witnesses.iter().map(|(name, at)| format!("{name} at {at}")).collect::<Vec<_>>().join(", ")
}

/// The same for programs.
pub(crate) fn to_json(witnesses: &[(String, Timestamp)]) -> Json {
    let one = |(name, at): &(String, Timestamp)| {
        Json::from(Object::new().with("name", name.as_str()).with("at", at.to_string()))
    };
    Json::Array(witnesses.iter().map(one).collect())
}

impl Witnesses {
    /// The keys, and how many must have cosigned.
    pub(crate) fn read(&self) -> Result<(Vec<NoteKey>, usize), Failure> {
        let mut keys: Vec<NoteKey> = Vec::new();
        for text in &self.witnesses {
            let key = named_key(text, "witness")?;
            if let Some(other) = keys.iter().find(|other| other.key == key.key) {
                return Err(Failure::new("two witnesses have the same key, so they are one")
                    .line("found", &format!("{} and {}", other.name, key.name))
                    .line("fix", "name each witness once"));
            }
            keys.push(key);
        }
        let quorum = self.quorum.unwrap_or(keys.len());
        if quorum > keys.len() || (quorum == 0 && !keys.is_empty()) {
            return Err(Failure::new(&format!("a quorum of {quorum} can never mean anything"))
                .line("wanted", &format!("from 1 to {}, the number of witnesses", keys.len()))
                .line("fix", "correct --quorum, or name more witnesses"));
        }
        Ok((keys, quorum))
    }

    /// What the witnesses saw of a log, where any are named.
    pub(crate) fn read_seen(
        &self,
        dir: &Path,
        cosigned: Option<&Path>,
        log: &NoteKey,
    ) -> Result<Seen, Failure> {
        let (keys, quorum) = self.read()?;
        if keys.is_empty() {
            return Ok(Seen { checkpoint: None, witnesses: Vec::new() });
        }
        let path = cosigned.map_or_else(|| dir.join(WITNESSED), Path::to_owned);
        let text = input::text("checkpoint that witnesses cosigned", &path)?;
        let proven = tlog::read_witnessed(&text, log, &keys, quorum).map_err(|e| not_cosigned(&path, &e))?;
        Ok(Seen { checkpoint: Some(proven.checkpoint), witnesses: proven.witnesses })
    }
}

fn not_cosigned(path: &Path, error: &ProofError) -> Failure {
    Failure::new(&format!("{} does not prove that anybody saw this log", path.display()))
        .line("found", &error.to_string())
        .line("fix", "ask the witnesses what they saw, and keep this copy for the investigation")
        .found()
}

/// A key with the name that it signs under, as `NAME=FILE`; the file has a public key or a verifier key.
pub(crate) fn named_key(text: &str, what: &str) -> Result<NoteKey, Failure> {
    let wanted = || {
        Failure::new(&format!("the {what} {text} cannot be read"))
            .line("wanted", "NAME=FILE, with a name without blanks and plus")
    };
    // the name of a log may be anything but blank; the name of a file seldom has this sign
    let (name, file) = text.rsplit_once('=').filter(|(name, _)| is_name(name)).ok_or_else(wanted)?;
    let file = Path::new(file);
    let content = input::text("key", file)?;
    let no_key = |found: &str| {
        Failure::new(&format!("{} is no key of the {what} {name}", file.display()))
            .line("wanted", "an Ed25519 public key, or a verifier key of this name: name+1a2b3c4d+base64")
            .line("found", found)
    };
    if content.trim_start().starts_with("-----") {
        let key = PublicKey::from_pem(&content).map_err(|e| no_key(&e.to_string()))?;
        let is_fit = key.scheme() == attest::Scheme::Ed25519;
        return if is_fit {
            Ok(NoteKey { name: name.to_owned(), key })
        } else {
            Err(no_key(&format!("a key for {}", key.scheme().name())))
        };
    }
    let (key, _) = NoteKey::parse(&content).ok_or_else(|| no_key("something else"))?;
    if key.name != name {
        return Err(no_key(&format!("the key of {}", policy::one_line(&key.name))));
    }
    Ok(key)
}
