//! The choke point that is shared by all threads.
//!
//! STAND-IN until `Chokepoint` takes `&self`: one thread owns it, and decides one request after another. What is seen
//! from outside stays: `decide_all`, `judge`, `replace`, `is_stopped`.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use attest::TrustRoot;
use chokepoint::{Admission, Answer, Chokepoint, DecideError};
use jiff::Timestamp;
use policy::{Book, DeploymentRequest, Finding};
use tlog::{Files as LogFiles, Log};

use crate::webhook::files::Files;

/// Opens the log; the key is read where keys are read.
pub type OpenLog = Arc<dyn Fn() -> Result<Log<LogFiles>, String> + Send + Sync>;

/// A decision as the adapter needs it.
#[derive(Clone, Debug)]
pub(crate) struct Ruled {
    pub(crate) artifact: String,
    pub(crate) environment: String,
    pub(crate) is_admitted: bool,
    pub(crate) decision: &'static str,
    pub(crate) basis: &'static str,
    pub(crate) findings: Vec<Finding>,
    /// Index and leaf; nothing where nothing was recorded.
    pub(crate) record: Option<(u64, String)>,
}

/// What the engine says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) log_size: u64,
    pub(crate) cache: (u64, u64, u64),
}

enum Command {
    Decide(Vec<DeploymentRequest>, Timestamp, Sender<Result<Vec<Ruled>, String>>),
    Replace(Files, Sender<Result<(), String>>),
}

/// The engine.
#[derive(Debug)]
pub(crate) struct Engine {
    commands: Mutex<Sender<Command>>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    book: Arc<Book>,
    root: Arc<TrustRoot>,
    counts: Counts,
    is_stopped: bool,
}

type Point = Chokepoint<LogFiles>;

impl Engine {
    pub(crate) fn open(files: &Files, log: OpenLog) -> Result<Self, String> {
        let (book, root) = (files.book()?, files.trust_root()?);
        let shared = Shared { book: book.into(), root: root.into(), counts: Counts::default(), is_stopped: false };
        let shared = Arc::new(Mutex::new(shared));
        let (commands, waiting) = channel();
        let (opened, is_open) = channel();
        let (own, files) = (Arc::clone(&shared), files.clone());
        let thread = std::thread::Builder::new().name("engine".to_owned());
        let run = move || match point(&files, &log) {
            Err(e) => drop(opened.send(Err(e))),
            Ok(first) => {
                opened.send(Ok(())).ok();
                serve(first, files, &log, &waiting, &own);
            }
        };
        thread.spawn(run).map_err(|e| e.to_string())?;
        is_open.recv().map_err(|e| e.to_string())??;
        Ok(Self { commands: Mutex::new(commands), shared })
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<Result<T, String>>) -> Command) -> Result<T, String> {
        let (answer, waiting) = channel();
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let gone = "the engine ended";
        commands.send(command(answer)).or(Err(gone))?;
        waiting.recv().or(Err(gone))?
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about all, and answers once all records are durable.
    pub(crate) fn decide_all(&self, requests: Vec<DeploymentRequest>, at: Timestamp) -> Result<Vec<Ruled>, String> {
        self.ask(|answer| Command::Decide(requests, at, answer))
    }

    /// What would be decided; records nothing.
    pub(crate) fn judge(&self, request: DeploymentRequest, at: Timestamp) -> Ruled {
        let (book, root) = {
            let shared = self.shared();
            (Arc::clone(&shared.book), Arc::clone(&shared.root))
        };
        let (artifact, environment) = (request.artifact.short(), request.environment.clone());
        let frame = policy::Frame {
            at,
            last_seen: None,
            book: book.digest().clone(),
            trust_root: root.digest().clone(),
            trust_root_version: root.version(),
            engine: chokepoint::ENGINE.to_owned(),
        };
        let verdict = policy::evaluate(&policy::Case::open(request, frame), &book, &root);
        let (is_admitted, decision, basis) = match verdict.outcome() {
            policy::Outcome::Met => (true, "admit", "policy"),
            policy::Outcome::Unmet => (false, "reject", "policy"),
            policy::Outcome::CannotDecide(_) => (false, "cannot-decide", "cannot-decide"),
        };
        let findings = verdict.findings().to_vec();
        Ruled { artifact, environment, is_admitted, decision, basis, findings, record: None }
    }

    /// Puts new files in force; the last good ones stay where the new do not load.
    pub(crate) fn replace(&self, files: &Files) -> Result<(), String> {
        let (book, root) = (files.book()?, files.trust_root()?);
        self.ask(|answer| Command::Replace(files.clone(), answer))?;
        let mut shared = self.shared();
        (shared.book, shared.root) = (book.into(), root.into());
        Ok(())
    }

    pub(crate) fn book(&self) -> Arc<Book> {
        Arc::clone(&self.shared().book)
    }

    /// Digests of the book and the trust root in force.
    pub(crate) fn digests(&self) -> [String; 2] {
        let shared = self.shared();
        [shared.book.digest().to_string(), shared.root.digest().to_string()]
    }

    /// After a record that may or may not be durable nothing is decided any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.shared().is_stopped
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shared().counts.clone()
    }
}

fn point(files: &Files, log: &OpenLog) -> Result<Point, String> {
    Chokepoint::open(files.book()?, files.trust_root()?, log()?).map_err(|e| e.to_string())
}

fn serve(first: Point, mut files: Files, log: &OpenLog, waiting: &Receiver<Command>, shared: &Mutex<Shared>) {
    let mut current = Some(first);
    while let Ok(command) = waiting.recv() {
        match command {
            Command::Decide(requests, at, answer) => {
                let result = match &mut current {
                    Some(point) => decide(point, requests, at, shared),
                    None => Err("the log cannot be opened again".to_owned()),
                };
                answer.send(result).ok();
            }
            Command::Replace(new, answer) => {
                // the log has one writer: the old one goes first
                current = None;
                let result = point(&new, log).map(|point| current = Some(point));
                if result.is_ok() {
                    files = new;
                } else {
                    current = point(&files, log).ok();
                }
                answer.send(result).ok();
            }
        }
    }
}

fn decide(
    point: &mut Point,
    requests: Vec<DeploymentRequest>,
    at: Timestamp,
    shared: &Mutex<Shared>,
) -> Result<Vec<Ruled>, String> {
    let mut all = Vec::new();
    for request in requests {
        let (artifact, environment) = (request.artifact.short(), request.environment.clone());
        let admission = point.decide(request, at).map_err(|e| {
            if matches!(e, DecideError::Append(_)) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).is_stopped = true;
            }
            e.to_string()
        })?;
        all.push(ruled(&admission, artifact, environment));
        let cache = point.cache().counts();
        let counts = Counts {
            log_size: admission.index().saturating_add(1),
            cache: (cache.hits.saturating_add(cache.shared), cache.misses, cache.bytes),
        };
        shared.lock().unwrap_or_else(PoisonError::into_inner).counts = counts;
    }
    Ok(all)
}

fn ruled(admission: &Admission, artifact: String, environment: String) -> Ruled {
    let decision = admission.decision();
    let leaf = attest::Digest::from_bytes(attest::Algorithm::Sha256, admission.receipt().leaf().to_vec());
    let leaf = leaf.map(|leaf| leaf.to_string()).unwrap_or_default();
    Ruled {
        artifact,
        environment,
        is_admitted: decision.answer() == Answer::Admit,
        decision: decision.word(),
        basis: decision.basis().name(),
        findings: decision.verdict().findings().to_vec(),
        record: Some((admission.index(), leaf)),
    }
}
