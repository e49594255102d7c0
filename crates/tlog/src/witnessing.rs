//! Asking witnesses to cosign a log's newest checkpoint, and keeping what enough of them said.
//!
//! A witness is believed about one thing without its signature: that it saw more than we have, or something else. Then
//! this log was rolled back or has two histories, or somebody lies; either way a person must look, and nothing is
//! published meanwhile.

mod edge;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use attest::note::{Checkpoint, Cosignature, Note, NoteKey};

use crate::proof::{self, ProofError};
use crate::reader::ReadError;
use crate::storage::Storage;
use crate::witness;
use edge::Edge;

/// The newest checkpoint with enough cosignatures, beside `checkpoint`.
pub const WITNESSED: &str = "witnessed";
/// The longest answer that is read: some cosignatures.
pub const MAX_REPLY: usize = 16 << 10;
/// How often a witness may name another size in one round.
const TRIES: usize = 4;

/// A witness that a log asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// What the configuration calls it.
    pub name: String,
    /// Its address, to which `/add-checkpoint` is added.
    pub url: String,
    /// The key, and the name that it signs under.
    pub key: NoteKey,
}

/// Which witnesses a log asks, and how many must say yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnesses {
    quorum: usize,
    of: Vec<Asking>,
}

/// Why witnesses cannot be asked like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessesError {
    /// The quorum is none, or more than there are.
    Quorum {
        /// The quorum.
        quorum: usize,
        /// How many there are.
        of: usize,
    },
    /// Two have this name.
    Name(String),
    /// These two have the same key: they are one.
    Key(String, String),
}

impl fmt::Display for WitnessesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quorum { quorum, of } => write!(f, "a quorum of {quorum} among {of} witnesses"),
            Self::Name(name) => write!(f, "two witnesses are called {name}"),
            Self::Key(one, other) => {
                write!(f, "{one} and {other} have the same key, so they are one witness")
            }
        }
    }
}
impl std::error::Error for WitnessesError {}

impl Witnesses {
    /// So many of these.
    ///
    /// # Errors
    /// [`WitnessesError`] where that can never be met, or one would count twice.
    pub fn new(quorum: usize, of: Vec<Asking>) -> Result<Self, WitnessesError> {
        if quorum == 0 || quorum > of.len() {
            return Err(WitnessesError::Quorum { quorum, of: of.len() });
        }
        let mut names = BTreeSet::new();
        let mut keys = BTreeMap::new();
        for one in &of {
            if !names.insert(&one.name) {
                return Err(WitnessesError::Name(one.name.clone()));
            }
            if let Some(other) = keys.insert(one.key.key.raw(), &one.name) {
                return Err(WitnessesError::Key(other.clone(), one.name.clone()));
            }
        }
        Ok(Self { quorum, of })
    }

    /// How many must say yes.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// Those that are asked.
    #[must_use]
    pub fn of(&self) -> &[Asking] {
        &self.of
    }
}

/// What a witness's address answered. Nothing in it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status of HTTP.
    pub status: u16,
    /// The body's type.
    pub content_type: String,
    /// The body, of at most [`MAX_REPLY`] bytes.
    pub body: Vec<u8>,
}

/// Brings a body to an address, and what it answers back, in bounded time.
pub trait Transport: Sync {
    /// `POST`s a body.
    ///
    /// # Errors
    /// Why there is no answer.
    fn post(&self, url: &str, body: &str) -> Result<Reply, String>;
}

/// The log and somebody's memory of it do not fit together: it was rolled back, or it has two histories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// More records were seen than there are.
    Larger {
        /// What was seen.
        seen: u64,
        /// What there is.
        size: u64,
    },
    /// What was seen is not the beginning of what there is.
    Other {
        /// The size of what was seen.
        seen: u64,
        /// The size of what there is.
        size: u64,
    },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Larger { seen, size } => {
                write!(f, "{seen} records were seen, and the log has {size}: it was rolled back")
            }
            Self::Other { seen, size } => {
                write!(
                    f,
                    "the log of {size} records does not continue the {seen} that were seen: it was rewritten"
                )
            }
        }
    }
}

/// Why a witness's cosignature is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCosigned {
    /// No answer.
    Unreachable(String),
    /// It said no; the fields are the status and the first line.
    Refused(u16, String),
    /// What it sent is not its cosignature of this checkpoint.
    Invalid,
    /// It went on naming other sizes.
    Unsteady,
    /// The proof could not be made: the log's own files.
    Unreadable(String),
    /// It saw another log under our name.
    Contradicts(Contradiction),
}

impl fmt::Display for NotCosigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "no answer: {why}"),
            Self::Refused(status, why) => write!(f, "it refused with {status}: {why}"),
            Self::Invalid => f.write_str("what it sent is not its cosignature of this checkpoint"),
            Self::Unsteady => f.write_str("it names another size each time"),
            Self::Unreadable(why) => write!(f, "the proof for it cannot be made: {why}"),
            Self::Contradicts(contradiction) => contradiction.fmt(f),
        }
    }
}
impl std::error::Error for NotCosigned {}

/// What one witness said.
pub type Word = Result<Cosignature, NotCosigned>;

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What was asked about.
    pub checkpoint: Checkpoint,
    /// What each witness said, by its name in the configuration.
    pub words: Vec<(String, Word)>,
    /// Whether the checkpoint is now the one in `witnessed`.
    pub is_witnessed: bool,
}

impl Asked {
    /// Who contradicts the log: nothing more may be published, and a person must look.
    pub fn contradictions(&self) -> impl Iterator<Item = (&str, &Contradiction)> {
        self.words.iter().filter_map(|(name, word)| match word {
            Err(NotCosigned::Contradicts(contradiction)) => Some((name.as_str(), contradiction)),
            _ => None,
        })
    }
}

/// Why witnesses were not asked, or what they said was not kept.
#[derive(Debug)]
pub enum AskError {
    /// The log cannot be read.
    Read(ReadError),
    /// The file `witnessed` is not one that this log's witnesses cosigned.
    Witnessed(ProofError),
    /// The file `witnessed` proves that the log is not what it was.
    Contradiction(Contradiction),
    /// The store failed.
    Io(io::Error),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(e) => e.fmt(f),
            Self::Witnessed(e) => write!(f, "the file `{WITNESSED}` is not what witnesses cosigned: {e}"),
            Self::Contradiction(e) => write!(f, "the file `{WITNESSED}` contradicts the log: {e}"),
            Self::Io(e) => write!(f, "the log's store failed: {e}"),
        }
    }
}
impl std::error::Error for AskError {}

/// What each witness cosigned last, as far as is known: saves one answer a round. Nothing depends on it.
#[derive(Debug, Default)]
pub struct Sizes(Mutex<BTreeMap<String, u64>>);

impl Sizes {
    fn get(&self, name: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or(0)
    }

    fn set(&self, name: &str, size: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), size);
    }
}

/// Asks every witness about the log's newest checkpoint, at the same time; writes `witnessed` durably once enough of
/// them cosigned it, and nobody contradicts.
///
/// # Errors
/// [`AskError`] where the log cannot be asked about, or the answer cannot be kept.
pub fn ask<S: Storage + Sync>(
    storage: &S,
    key: &NoteKey,
    witnesses: &Witnesses,
    sizes: &Sizes,
    transport: &dyn Transport,
) -> Result<Asked, AskError> {
    let edge = Edge::read(storage, key).map_err(AskError::Read)?;
    let is_kept = check_kept(storage, key, witnesses, &edge)?;
    let words = std::thread::scope(|scope| {
        let started: Vec<_> = witnesses
            .of
            .iter()
            .map(|one| (one, scope.spawn(|| ask_one(storage, key, &edge, one, sizes, transport))))
            .collect();
        let joined = started.into_iter().map(|(one, thread)| {
            let word = thread.join().unwrap_or(Err(NotCosigned::Unreachable("the asking failed".to_owned())));
            (one.name.clone(), word)
        });
        joined.collect::<Vec<(String, Word)>>()
    });
    let mut asked = Asked { checkpoint: edge.checkpoint.clone(), words, is_witnessed: false };
    let lines: String =
        asked.words.iter().filter_map(|(_, word)| Some(word.as_ref().ok()?.line.as_str())).collect();
    let count = asked.words.iter().filter(|(_, word)| word.is_ok()).count();
    if count < witnesses.quorum || asked.contradictions().next().is_some() {
        return Ok(asked);
    }
    // with a checkpoint that is there already only newer times would be written, again and again
    if !is_kept {
        let text = Note::parse(&edge.text).and_then(|note| note.signed_only_by(key)).unwrap_or_default();
        storage.write(WITNESSED, format!("{text}{lines}").as_bytes()).map_err(AskError::Io)?;
    }
    asked.is_witnessed = true;
    Ok(asked)
}

/// Whether `witnessed` is as new as the checkpoint and has enough cosignatures. The log must continue it: a rollback
/// shows before anybody is asked.
fn check_kept<S: Storage>(
    storage: &S,
    key: &NoteKey,
    witnesses: &Witnesses,
    edge: &Edge<'_, S>,
) -> Result<bool, AskError> {
    let Some(bytes) = storage.read(WITNESSED).map_err(AskError::Io)? else { return Ok(false) };
    let text = String::from_utf8_lossy(&bytes);
    let (kept, note) = proof::signed(&text, key).ok_or(AskError::Witnessed(ProofError::Checkpoint))?;
    let size = edge.checkpoint.size;
    if kept.size > size {
        return Err(AskError::Contradiction(Contradiction::Larger { seen: kept.size, size }));
    }
    if edge.root_at(kept.size).map_err(AskError::Read)? != kept.root {
        return Err(AskError::Contradiction(Contradiction::Other { seen: kept.size, size }));
    }
    let count = witnesses.of.iter().filter(|one| note.cosigned_at(&one.key).is_some()).count();
    Ok(kept.size == size && count >= witnesses.quorum)
}

/// Asks one witness, again where it names the size that it saw last.
fn ask_one<S: Storage>(
    storage: &S,
    key: &NoteKey,
    edge: &Edge<'_, S>,
    one: &Asking,
    sizes: &Sizes,
    transport: &dyn Transport,
) -> Word {
    let size = edge.checkpoint.size;
    let url = format!("{}/add-checkpoint", one.url.trim_end_matches('/'));
    // a size that we remember and do not have is not sent: the witness itself must say so
    let mut old = Some(sizes.get(&one.name)).filter(|old| *old <= size).unwrap_or(0);
    for _ in 0..TRIES {
        let proof = edge.consistency(old).map_err(|e| NotCosigned::Unreadable(e.to_string()))?;
        let body = witness::write(old, &proof, &edge.text);
        let reply = transport.post(&url, &body).map_err(NotCosigned::Unreachable)?;
        let named = match reply.status {
            200 => {
                let cosignature = read_cosignature(&edge.text, &reply.body, &one.key)?;
                sizes.set(&one.name, size);
                return Ok(cosignature);
            }
            409 => named_size(&reply),
            _ => None,
        };
        match (reply.status, named) {
            (409, Some(seen)) if seen > size => {
                sizes.set(&one.name, 0);
                return Err(larger(storage, key, seen, size));
            }
            // the same size again is no news: it is another tree
            (409, Some(seen)) if seen != old => old = seen,
            (409, _) | (422, _) => {
                sizes.set(&one.name, 0);
                return Err(differs(old, size, &reply));
            }
            (status, _) => return Err(NotCosigned::Refused(status, first_line(&reply.body))),
        }
    }
    Err(NotCosigned::Unsteady)
}

/// A witness saw more than the checkpoint says. That is no contradiction where the log has as much by now.
fn larger(storage: &impl Storage, key: &NoteKey, seen: u64, size: u64) -> NotCosigned {
    match Edge::read(storage, key) {
        Ok(now) if now.checkpoint.size >= seen => NotCosigned::Unsteady,
        _ => NotCosigned::Contradicts(Contradiction::Larger { seen, size }),
    }
}

/// A witness saw `old` records, and what there is does not continue them. From nothing everything continues.
fn differs(old: u64, size: u64, reply: &Reply) -> NotCosigned {
    if old == 0 && size != 0 {
        return NotCosigned::Refused(reply.status, first_line(&reply.body));
    }
    NotCosigned::Contradicts(Contradiction::Other { seen: old, size })
}

fn named_size(reply: &Reply) -> Option<u64> {
    let is_size = reply.content_type.split(';').next().is_some_and(|t| t.trim() == "text/x.tlog.size");
    let text = std::str::from_utf8(&reply.body).ok().filter(|_| is_size)?;
    witness::size(text.strip_suffix('\n').unwrap_or(text))
}

fn read_cosignature(text: &str, body: &[u8], key: &NoteKey) -> Word {
    let lines = std::str::from_utf8(body).ok().filter(|lines| lines.len() <= MAX_REPLY);
    let note = lines.and_then(|lines| Note::parse(&format!("{text}{lines}")));
    let ours = Note::parse(text).map(|note| note.text().to_owned());
    // lines with an empty one among them would make another text of ours
    let note = note.filter(|note| ours.as_deref() == Some(note.text()));
    note.and_then(|note| note.cosignature(key)).ok_or(NotCosigned::Invalid)
}

/// The first line of what somebody else wrote, fit to be shown.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
