//! A decision by the engine, in this process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attest::note::NoteKey;
use attest::{Algorithm, Digest, Envelope, TrustRoot};
use chokepoint::{Admission, Chokepoint, Governing, Limits};
use jiff::Timestamp;
use policy::{Book, DeploymentRequest, Submitted};
use server::webhook::Ruling;
use tlog::{Files as LogFiles, Journaled, Room};

use super::GateRuling;
use crate::failure::Failure;
use crate::input;
use crate::keys;

/// How long another process may write to the log before this one gives up.
const PATIENCE: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(20);
/// The spool before the log: it lives as long as one decision.
const ROOM: usize = 16 << 20;

/// What governs.
pub(crate) struct Files {
    pub(super) book: Book,
    pub(super) root: TrustRoot,
    guardrails: Option<Vec<u8>>,
}

/// A decision log of this machine.
pub(crate) struct Log {
    pub(super) dir: PathBuf,
    pub(super) key: PathBuf,
    pub(super) origin: String,
    pub(super) requester: Option<String>,
}

/// The engine over a log that nobody else writes to as long as this lives.
pub(super) struct Engine {
    pub(super) point: Chokepoint<LogFiles>,
    pub(super) key: NoteKey,
    _lock: File,
}

impl Files {
    pub(super) fn read(book: &Path, root: &Path, guardrails: Option<&Path>) -> Result<Self, Failure> {
        let text = guardrails.map(|file| input::text("guardrail file", file)).transpose()?;
        Ok(Self {
            book: input::book(book, guardrails)?,
            root: input::trust_root(root)?,
            guardrails: text.map(String::into_bytes),
        })
    }
}

impl Log {
    pub(super) fn open(&self, files: Files) -> Result<Engine, Failure> {
        let lock = self.lock()?;
        let failed = |e: &dyn std::fmt::Display| {
            Failure::new("the choke point does not open").line("found", &e.to_string())
        };
        let limits = Limits { room: Room::of(ROOM), writer: "deploy".to_owned(), ..Limits::default() };
        let log = keys::log(&self.dir, &self.origin, &self.key)?;
        let key = log.key();
        let log = Journaled::start_with(log, limits.room).map_err(|e| failed(&e))?;
        let governing = Governing { guardrails: files.guardrails, ..Governing::new(files.book, files.root) };
        let point = Chokepoint::start(governing, log, limits).map_err(|e| failed(&e))?;
        Ok(Engine { point, key, _lock: lock })
    }

    fn lock(&self) -> Result<File, Failure> {
        let began = Instant::now();
        loop {
            match LogFiles::new(&self.dir).lock() {
                Ok(lock) => return Ok(lock),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock && began.elapsed() < PATIENCE => {
                    std::thread::sleep(AGAIN);
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    return Err(Failure::new(&format!(
                        "another process writes to the log in {}",
                        self.dir.display()
                    ))
                    .line(
                        "fix",
                        "wait for it, or give each its own log: --log DIR; or ask it: --server URL",
                    ));
                }
                Err(e) => return Err(Failure::io("take the lock of the log in", &self.dir, &e)),
            }
        }
    }

    pub(super) fn decide(
        &self,
        files: Files,
        request: DeploymentRequest,
        is_dry_run: bool,
        now: Timestamp,
    ) -> Result<GateRuling, Failure> {
        let engine = self.open(files)?;
        let (environment, artifact) = (request.environment.clone(), request.artifact.clone());
        let about = (environment.as_str(), &artifact);
        if is_dry_run {
            return read(&Ruling::of_decision(engine.point.judge(request, now), None, about));
        }
        let admission = engine.decide(request, now)?;
        read(&Ruling::of_decision(admission.decision().clone(), receipt(&admission), about))
    }
}

impl Engine {
    /// On record, and in the log's tree where that can be had: what is not is in the spool, and gets there.
    pub(super) fn decide(&self, request: DeploymentRequest, now: Timestamp) -> Result<Admission, Failure> {
        let admission = self
            .point
            .decide(request, now)
            .map_err(|e| Failure::new("cannot decide").code("cannot-decide").line("found", &e.to_string()))?;
        self.point.settle().ok();
        Ok(admission)
    }
}

pub(super) fn read(ruling: &Ruling) -> Result<GateRuling, Failure> {
    GateRuling::read(&ruling.to_json())
        .map_err(|e| Failure::new("cannot decide").code("cannot-decide").line("found", &e.to_string()))
}

/// The record's name, as the webhook names it.
pub(super) fn receipt(admission: &Admission) -> Option<String> {
    let promise = admission.receipt()?;
    let leaf = Digest::from_bytes(Algorithm::Sha256, promise.leaf().to_vec()).ok()?;
    Some(format!("{}:{leaf}", promise.index()))
}

/// A grant that is a file: a digest names nothing here.
pub(super) fn grant(named: &str) -> Result<Submitted, Failure> {
    if Digest::parse(named).is_ok() && !Path::new(named).exists() {
        return Err(Failure::new("a digest names a grant in a choke point's store")
            .code("usage")
            .line("fix", "give the grant's file, as `portcullis breakglass open --out FILE` wrote it"));
    }
    let limit = u64::try_from(Envelope::MAX_BYTES).unwrap_or(u64::MAX);
    Ok(Submitted { name: named.to_owned(), bytes: input::read("grant", Path::new(named), limit)? })
}

/// The user of this process, as this machine calls him.
pub(super) fn user() -> String {
    let id = rustix::process::getuid().as_raw();
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid:{id}"))
}

/// This machine's name.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
