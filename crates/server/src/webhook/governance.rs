//! The reviewed files are deployed like anything else: a change on disk is a request, the evidence is what was signed about
//! its digest, and what is not admitted is not in force. The files in force are those of the log.

mod begin;
mod disk;
mod evidence;
mod part;
mod refusal;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::evidence::Store;
use attest::{Digest, Object, TrustRoot};
use chokepoint::{Answer, Basis, Decision, EventKind, Governed, Governing, History, NewEvent};
use jiff::Timestamp;
use policy::rules::{is_newer, released_versions};
use policy::{Book, DeploymentRequest, Outcome};

use crate::webhook::config::Config;
use crate::webhook::engine::Engine;
use crate::webhook::judge::Reloaded;

pub(crate) use begin::{Begun, begin};
use disk::Texts;
pub use part::Part;
use refusal::Refusal;

/// What cannot be read, where nobody knows which of them.
const UNREADABLE: &str = "files";

/// Who puts files in force.
#[derive(Debug)]
pub(crate) struct Steward {
    environment: String,
    store: Store,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    texts: Texts,
    policies: Arc<Book>,
    history: History,
    configuration: Option<Vec<u8>>,
    /// What is on disk and not in force: with which evidence it was judged, and what was said.
    refused: BTreeMap<Part, Refused>,
    /// Why the files cannot be read, where they cannot.
    unreadable: Option<String>,
    /// Whether this process began with another configuration than the one on disk: it reads it no more.
    is_configured_otherwise: bool,
    /// What there is to tell that nobody was told yet.
    untold: Vec<Reloaded>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    digest: Option<Digest>,
    brought: Vec<Digest>,
    why: String,
    /// The same would be said again, until something else is brought.
    is_final: bool,
}

/// Why a file does not come into force.
enum Held {
    /// Whatever its evidence says.
    Whatever(Refusal),
    /// Its evidence does not admit it.
    Decided(String),
    /// Nothing can be said now.
    NotNow(String),
}

/// What is asked about one file.
struct Candidate {
    part: Part,
    digest: Digest,
    request: DeploymentRequest,
    /// All files, as they would be in force with it.
    next: Texts,
    configuration: Option<Vec<u8>>,
}

impl Steward {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the files on disk: what differs from what is in force is asked about once, and again with other evidence.
    pub(crate) fn reload(&self, config: &Config, engine: &Engine, now: Timestamp) -> Vec<Reloaded> {
        let mut state = self.lock();
        let mut told = std::mem::take(&mut state.untold);
        let Some(section) = &config.governance else { return told };
        match Texts::read(config, section) {
            Ok(disk) => {
                state.unreadable = None;
                told.extend(self.round(&mut state, &disk, engine, now));
            }
            Err(why) if state.unreadable.as_ref() == Some(&why) => {}
            Err(why) => {
                state.unreadable = Some(why.clone());
                told.push(Reloaded { what: UNREADABLE, result: Err(why) });
            }
        }
        told
    }

    /// What is on disk and not in force, and why in a line.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let state = self.lock();
        let line = |(part, refused): (&Part, &Refused)| {
            let why = refused.why.lines().next().unwrap_or_default();
            format!("the {part} on disk is not in force: {why}")
        };
        let unreadable =
            state.unreadable.iter().map(|why| format!("the files on disk are not in force: {why}"));
        unreadable.chain(state.refused.iter().map(line)).collect()
    }

    /// What is on disk and not in force, by the names under which that is told.
    pub(crate) fn refused(&self) -> BTreeSet<String> {
        let state = self.lock();
        let mut all: BTreeSet<String> = state.refused.keys().map(|part| part.name().to_owned()).collect();
        all.extend(state.unreadable.is_some().then(|| UNREADABLE.to_owned()));
        all.extend(state.is_configured_otherwise.then(|| Part::Configuration.name().to_owned()));
        all
    }

    /// The policies and the trust root first. Guardrails before the book where that in force keeps to them, and after it
    /// where only the new one does.
    fn round(&self, state: &mut State, disk: &Texts, engine: &Engine, now: Timestamp) -> Vec<Reloaded> {
        let mut told = Vec::new();
        for part in [Part::Governance, Part::TrustRoot] {
            told.extend(self.consider(state, part, disk, engine, now));
        }
        let is_kept_to = state.texts.with(Part::Guardrails, disk).files.load_book().is_ok();
        let order = if is_kept_to { [Part::Guardrails, Part::Book] } else { [Part::Book, Part::Guardrails] };
        for part in order {
            told.extend(self.consider(state, part, disk, engine, now));
        }
        told
    }

    fn consider(
        &self,
        state: &mut State,
        part: Part,
        disk: &Texts,
        engine: &Engine,
        now: Timestamp,
    ) -> Option<Reloaded> {
        let digest = disk.digest(part);
        if digest == state.texts.digest(part) {
            state.refused.remove(&part);
            return None;
        }
        let Some(digest) = digest else {
            let refused =
                Refused { digest, brought: Vec::new(), why: Refusal::gone(part).message, is_final: true };
            return state.refuse(part, refused);
        };
        let request = match evidence::request(&self.store, &self.environment, part, &digest) {
            Ok(request) => request,
            Err(e) => {
                let why = format!("the evidence store does not answer: {e}");
                let refused = Refused { digest: Some(digest), brought: Vec::new(), why, is_final: false };
                return state.refuse(part, refused);
            }
        };
        let brought = evidence::brought(&request);
        let is_known = |refused: &Refused| {
            refused.is_final && refused.digest.as_ref() == Some(&digest) && refused.brought == brought
        };
        if state.refused.get(&part).is_some_and(is_known) {
            return None;
        }
        let (next, configuration) = (state.texts.with(part, disk), state.configuration.clone());
        let candidate = Candidate { part, digest: digest.clone(), request, next, configuration };
        match deploy(state, candidate, engine, now) {
            Ok(()) => {
                state.refused.remove(&part);
                Some(Reloaded { what: part.name(), result: Ok(digest.to_string()) })
            }
            Err(held) => {
                let is_final = !matches!(held, Held::NotNow(_));
                let refused = Refused { digest: Some(digest), brought, why: held.into_words(), is_final };
                state.refuse(part, refused)
            }
        }
    }
}

/// From a change to files in force, or to the words that say why not.
fn deploy(state: &mut State, candidate: Candidate, engine: &Engine, now: Timestamp) -> Result<(), Held> {
    let judged = engine.judge_under(&state.policies, candidate.request.clone(), now);
    let version = match state.examine(&candidate, &judged, now) {
        Ok(version) => version,
        Err(Held::Whatever(refusal)) => {
            on_record(&candidate, &refusal, engine, now)?;
            return Err(Held::Whatever(refusal));
        }
        Err(other) => return Err(other),
    };
    let Candidate { part, digest, request, next, configuration } = candidate;
    let decision = engine.decide_under(&state.policies, request.clone(), now).map_err(|e| not_now(&e))?;
    if !is_admitted(&decision) {
        return Err(Held::Decided(refusal::of_decision(&digest, &decision, &request)));
    }
    let mut history = state.history.clone();
    let old = match part {
        Part::Configuration => state.configuration.as_deref().map(Digest::sha256),
        _ => state.texts.digest(part),
    };
    history.replace(part.name(), old, version);
    let policies = Arc::new(next.policies().map_err(Held::NotNow)?);
    let governing = governing(&next, configuration.clone(), &policies, &history);
    engine.replace(governing.map_err(Held::NotNow)?).map_err(Held::NotNow)?;
    (state.texts, state.policies, state.history) = (next, policies, history);
    state.configuration = configuration;
    Ok(())
}

/// Standing, an outage or a dry run puts nothing in force.
fn is_admitted(decision: &Decision) -> bool {
    decision.answer() == Answer::Admit && matches!(decision.basis(), Basis::Policy | Basis::Breakglass)
}

impl State {
    /// Says once why a file is not in force.
    fn refuse(&mut self, part: Part, refused: Refused) -> Option<Reloaded> {
        let why = refused.why.clone();
        let before = self.refused.insert(part, refused.clone());
        (before != Some(refused)).then(|| Reloaded { what: part.name(), result: Err(why) })
    }

    /// What no evidence makes good, however it was judged and under which trust root: what was replaced, does not load, or
    /// is no newer version. Gives the version.
    fn examine(
        &self,
        candidate: &Candidate,
        (decision, root): &(Decision, Arc<TrustRoot>),
        now: Timestamp,
    ) -> Result<Option<String>, Held> {
        let Candidate { part, digest, request, next, .. } = candidate;
        if self.history.was_replaced(part.name(), digest) {
            return Err(Held::Whatever(Refusal::rolled_back(*part, digest)));
        }
        check_loads(*part, next).map_err(Held::Whatever)?;
        if let (Part::TrustRoot, Ok(new)) = (part, next.files.trust_root()) {
            let older = new.check_not_older(root.version());
            let refusal =
                |e: &dyn fmt::Display| Refusal::unloadable("trust-root-older", *part, &e.to_string());
            older.map_err(|e| Held::Whatever(refusal(&e)))?;
        }
        if let Outcome::CannotDecide(why) = decision.verdict().outcome() {
            let why = format!("whether the {part} may be in force cannot be decided: {why}");
            return Err(Held::NotNow(why));
        }
        let policy = self.policies.select(&request.environment, request.artifact.uri());
        if decision.answer() != Answer::Admit || !policy.is_some_and(|policy| policy.asks_for("version")) {
            return Ok(None);
        }
        let versions = released_versions(&request.envelopes, &request.artifact, root, now);
        let floor = self.history.floor(part.name());
        let is_above = |version: &String| floor.is_none_or(|floor| is_newer(version, floor));
        // under a grant there may be no version, and the floor stays
        match floor {
            Some(floor) if decision.basis() == Basis::Policy && !versions.iter().all(is_above) => {
                Err(Held::Whatever(Refusal::older(*part, floor, &versions)))
            }
            _ => Ok(versions.into_iter().rfind(is_above)),
        }
    }
}

fn check_loads(part: Part, next: &Texts) -> Result<(), Refusal> {
    let all = |problems: Vec<crate::webhook::check::Problem>| {
        let code = problems.first().map_or("policy-invalid", |(code, _)| *code);
        let lines: Vec<String> = problems.iter().map(|(_, error)| error.to_string()).collect();
        Refusal::unloadable(code, part, &lines.join("; "))
    };
    match part {
        Part::Governance => {
            next.policies().map(drop).map_err(|e| Refusal::unloadable("policy-invalid", part, &e))
        }
        Part::TrustRoot => next.files.load_trust_root().map(drop).map_err(all),
        Part::Guardrails | Part::Book => next.files.load_book().map(drop).map_err(all),
        Part::Configuration => Ok(()),
    }
}

impl Held {
    fn into_words(self) -> String {
        match self {
            Self::Whatever(refusal) => refusal.message,
            Self::Decided(why) | Self::NotNow(why) => why,
        }
    }
}

fn not_now(error: &dyn fmt::Display) -> Held {
    Held::NotNow(error.to_string())
}

/// What no policy was asked about is an event, and not a decision.
fn on_record(candidate: &Candidate, refusal: &Refusal, engine: &Engine, now: Timestamp) -> Result<(), Held> {
    let body = Object::new()
        .with("what", candidate.part.name())
        .with("digest", candidate.digest.to_string())
        .with("rule", refusal.rule)
        .with("found", refusal.message.chars().take(1000).collect::<String>());
    let event = NewEvent { at: now, kind: EventKind::FilesRefused, body, parts: Vec::new() };
    engine.record(event).map_err(|e| not_now(&e))
}

fn governing(
    texts: &Texts,
    configuration: Option<Vec<u8>>,
    policies: &Arc<Book>,
    history: &History,
) -> Result<Governing, String> {
    let governance = Some(Governed { policies: Arc::clone(policies), history: history.clone() });
    Ok(Governing { governance, ..texts.files.governing(configuration)? })
}
