//! A witness of logs, as C2SP `tlog-witness` has it: it cosigns a checkpoint only where that continues the last one
//! that it cosigned, so that a log cannot show two histories.
//!
//! For every log it keeps one file: the last checkpoint, with the log's signature and its own. What it cosigns is
//! durable there before anybody sees the cosignature, and no two are compared with the same file at once.

mod request;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use attest::Digest;
use attest::merkle::{Hash, empty_root, is_consistent};
use attest::note::{self, Checkpoint, Note, NoteKey};
use jiff::Timestamp;

use crate::log::LogSigner;
use crate::storage::Storage;

pub use request::{MAX_REQUEST, Request};
pub(crate) use request::{hash, size, write};

/// Says whose state this is: without it, nobody could tell a new witness from one that forgot.
const OWNER: &str = "witness";

/// A witness. One process has it open at a time; the caller sees to that.
pub struct Witness<S> {
    storage: S,
    name: String,
    signer: Box<LogSigner>,
    logs: BTreeMap<String, Followed>,
}

/// A log that the witness follows.
struct Followed {
    key: NoteKey,
    file: String,
    last: Mutex<Last>,
}

/// What was cosigned last.
enum Last {
    /// This tree, at this time.
    Tree(u64, Hash, Timestamp),
    /// A write failed, so what the file holds is unknown.
    Unknown,
}

impl<S> fmt::Debug for Witness<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Witness({} of {} logs)", self.name, self.logs.len())
    }
}

/// Why a witness cannot begin.
#[derive(Debug)]
pub enum OpenWitnessError {
    /// There is no state.
    None,
    /// There is state, and a new witness was asked for.
    Exists,
    /// The name cannot stand in a note.
    Name,
    /// The state belongs to another name or key; the field is whose.
    Other(String),
    /// Two logs have this origin.
    Twice(String),
    /// The file of this log is not one that this witness wrote.
    Changed {
        /// The log.
        origin: String,
        /// Its file.
        file: String,
    },
    /// The store failed.
    Io(io::Error),
}

impl fmt::Display for OpenWitnessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no state of a witness"),
            Self::Exists => f.write_str("there is the state of a witness already"),
            Self::Name => f.write_str("the name of a witness has no blanks and no plus"),
            Self::Other(vkey) => write!(f, "the state belongs to another witness: {vkey}"),
            Self::Twice(origin) => write!(f, "{origin} is named twice"),
            Self::Changed { origin, file } => {
                write!(f, "{file} is not what this witness wrote of {origin}")
            }
            Self::Io(e) => write!(f, "the state cannot be read or written: {e}"),
        }
    }
}
impl std::error::Error for OpenWitnessError {}

/// What a witness says yes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// What it cosigned.
    pub checkpoint: Checkpoint,
    /// The size of the tree that it had cosigned before.
    pub before: u64,
    /// The line of the note: the answer's body.
    pub line: String,
}

/// Why a witness does not cosign.
#[derive(Debug)]
pub enum Refused {
    /// The body is none of the protocol; the field is what was wanted.
    Malformed(&'static str),
    /// The witness does not follow this log.
    UnknownLog(String),
    /// The log's key did not sign the checkpoint.
    Signature(String),
    /// The old size is larger than the new one.
    Backwards {
        /// The old size.
        old: u64,
        /// The new one.
        size: u64,
    },
    /// The witness saw another size last.
    Size {
        /// What it saw.
        seen: u64,
        /// What the log believes that it saw.
        old: u64,
    },
    /// The witness saw another tree of the same size: the log has two histories.
    OtherRoot {
        /// The size.
        size: u64,
    },
    /// The proof does not lead from the tree that was seen to this one.
    Proof {
        /// What the witness saw.
        seen: u64,
        /// The new size.
        size: u64,
    },
    /// The clock is behind the last cosignature.
    Clock(Timestamp),
    /// The key could not sign.
    Sign,
    /// The store failed; nothing more is cosigned of this log until the witness is opened anew.
    Io(io::Error),
    /// The store failed earlier.
    Stopped,
}

impl Refused {
    /// The status of HTTP that the protocol gives it.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Backwards { .. } => 400,
            Self::UnknownLog(_) => 404,
            Self::Signature(_) => 403,
            Self::Size { .. } | Self::OtherRoot { .. } => 409,
            Self::Proof { .. } => 422,
            Self::Sign | Self::Io(_) | Self::Stopped | Self::Clock(_) => 500,
        }
    }

    /// The type and the bytes of the answer.
    #[must_use]
    pub fn body(&self) -> (&'static str, String) {
        match self {
            Self::Size { seen, .. } => ("text/x.tlog.size", format!("{seen}\n")),
            // what failed on this machine is nobody else's business
            Self::Io(_) => ("text/plain; charset=utf-8", "the witness's store failed\n".to_owned()),
            other => ("text/plain; charset=utf-8", format!("{other}\n")),
        }
    }

    /// Whether the log signed two histories, or somebody with its key did.
    #[must_use]
    pub fn is_misbehaviour(&self) -> bool {
        matches!(self, Self::OtherRoot { .. } | Self::Proof { .. })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(wanted) => write!(f, "the body is malformed, wanted {wanted}"),
            Self::UnknownLog(origin) => write!(f, "this witness does not follow {}", origin.escape_debug()),
            Self::Signature(origin) => write!(f, "the checkpoint is not signed by the key of {origin}"),
            Self::Backwards { old, size } => {
                write!(f, "the old size {old} is larger than the checkpoint's {size}")
            }
            Self::Size { seen, old } => write!(f, "this witness saw {seen} records last, and not {old}"),
            Self::OtherRoot { size } => write!(f, "this witness saw another tree of {size} records"),
            Self::Proof { seen, size } => {
                write!(f, "the proof does not lead from the {seen} records that were seen to {size}")
            }
            Self::Clock(last) => write!(f, "the witness's clock is behind its last cosignature, of {last}"),
            Self::Sign => f.write_str("the witness's key could not sign"),
            Self::Io(e) => write!(f, "the witness's store failed: {e}"),
            Self::Stopped => f.write_str("the witness stopped after a failed write"),
        }
    }
}
impl std::error::Error for Refused {}

impl<S: Storage> Witness<S> {
    /// Makes the state of a witness that never cosigned anything.
    ///
    /// # Errors
    /// [`OpenWitnessError::Exists`] where there is one: it must not forget.
    pub fn create(storage: &S, name: &str, signer: &LogSigner) -> Result<(), OpenWitnessError> {
        if !note::is_name(name) {
            return Err(OpenWitnessError::Name);
        }
        if storage.read(OWNER).map_err(OpenWitnessError::Io)?.is_some() {
            return Err(OpenWitnessError::Exists);
        }
        let vkey = key(name, signer).to_witness_vkey();
        storage.write(OWNER, format!("{vkey}\n").as_bytes()).map_err(OpenWitnessError::Io)
    }

    /// Opens a witness of these logs.
    ///
    /// # Errors
    /// [`OpenWitnessError`]: a witness that cannot know what it cosigned must not begin.
    pub fn open(
        storage: S,
        name: &str,
        signer: Box<LogSigner>,
        logs: Vec<NoteKey>,
    ) -> Result<Self, OpenWitnessError> {
        let own = key(name, signer.as_ref());
        let owner = storage.read(OWNER).map_err(OpenWitnessError::Io)?.ok_or(OpenWitnessError::None)?;
        let owner = String::from_utf8_lossy(&owner).trim().to_owned();
        if owner != own.to_witness_vkey() {
            return Err(OpenWitnessError::Other(owner));
        }
        let mut followed = BTreeMap::new();
        for log in logs {
            let file = format!("logs/{}", Digest::sha256(log.name.as_bytes()).hex());
            let last = Mutex::new(read_last(&storage, &file, &log.name, &own)?);
            let origin = log.name.clone();
            if followed.insert(origin.clone(), Followed { key: log, file, last }).is_some() {
                return Err(OpenWitnessError::Twice(origin));
            }
        }
        Ok(Self { storage, name: name.to_owned(), signer, logs: followed })
    }

    /// The key under which its cosignatures are believed.
    #[must_use]
    pub fn key(&self) -> NoteKey {
        key(&self.name, self.signer.as_ref())
    }

    /// Answers `add-checkpoint`: cosigns what continues the last checkpoint of its log, and remembers it durably first.
    ///
    /// # Errors
    /// [`Refused`]; nothing was cosigned then.
    pub fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> Result<Cosigned, Refused> {
        let request = Request::parse(body).map_err(Refused::Malformed)?;
        let origin = &request.checkpoint.origin;
        let log = self.logs.get(origin).ok_or_else(|| Refused::UnknownLog(origin.clone()))?;
        let signed = request.note.signed_only_by(&log.key);
        let signed = signed.ok_or_else(|| Refused::Signature(origin.clone()))?;
        let (old, size) = (request.old, request.checkpoint.size);
        if old > size {
            return Err(Refused::Backwards { old, size });
        }
        // from here to the write nobody else may compare: two forks would both continue what is there
        let mut last = log.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Last::Tree(seen, root, at) = *last else { return Err(Refused::Stopped) };
        compare(seen, &root, &request)?;
        if now.as_second() < at.as_second() {
            return Err(Refused::Clock(at));
        }
        let line = note::cosign(request.note.text(), &self.name, now, self.signer.as_ref());
        let line = line.or(Err(Refused::Sign))?;
        // whether a write that failed, or that panicked, is there after all is unknown
        *last = Last::Unknown;
        self.storage.write(&log.file, format!("{signed}{line}").as_bytes()).map_err(Refused::Io)?;
        *last = Last::Tree(size, request.checkpoint.root, now);
        Ok(Cosigned { checkpoint: request.checkpoint, before: seen, line })
    }
}

/// Whether what is asked for continues what was seen.
fn compare(seen: u64, root: &Hash, request: &Request) -> Result<(), Refused> {
    let (old, size) = (request.old, request.checkpoint.size);
    if old != seen {
        return Err(Refused::Size { seen, old });
    }
    if old == size && *root != request.checkpoint.root {
        return Err(Refused::OtherRoot { size });
    }
    let continues = is_consistent(seen, root, size, &request.checkpoint.root, &request.proof);
    if continues { Ok(()) } else { Err(Refused::Proof { seen, size }) }
}

fn key(name: &str, signer: &LogSigner) -> NoteKey {
    NoteKey { name: name.to_owned(), key: signer.public().clone() }
}

/// What this witness cosigned last of a log: its own signature says that nobody changed it.
fn read_last(
    storage: &impl Storage,
    file: &str,
    origin: &str,
    own: &NoteKey,
) -> Result<Last, OpenWitnessError> {
    let Some(bytes) = storage.read(file).map_err(OpenWitnessError::Io)? else {
        return Ok(Last::Tree(0, empty_root(), Timestamp::UNIX_EPOCH));
    };
    let note = std::str::from_utf8(&bytes).ok().and_then(Note::parse);
    let last = note.and_then(|note| {
        let checkpoint = Checkpoint::parse(note.text()).filter(|c| c.origin == origin)?;
        Some(Last::Tree(checkpoint.size, checkpoint.root, note.cosigned_at(own)?))
    });
    last.ok_or_else(|| OpenWitnessError::Changed { origin: origin.to_owned(), file: file.to_owned() })
}
