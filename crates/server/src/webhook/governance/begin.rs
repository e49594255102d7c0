//! What is in force when the process starts: what the log says; and what is pinned where the log says nothing yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ::evidence::Store;
use attest::Digest;
use chokepoint::{Answer, Basis, Governing, History, LastGood};
use jiff::Timestamp;
use tlog::write_durably;

use super::disk::Texts;
use super::{Candidate, Part, State, Steward, evidence, governing, is_admitted, refusal};
use crate::folders::read_plain;
use crate::webhook::config::{Config, Governance};
use crate::webhook::engine::{DecisionLog, Engine};
use crate::webhook::files::Files;
use crate::webhook::judge::Reloaded;

/// No configuration is longer.
const LONGEST: u64 = 4 << 20;

/// What runs.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The configuration in force: not always the one on disk.
    pub(crate) config: Config,
    pub(crate) engine: Engine,
    /// Nothing where files are taken without provenance.
    pub(crate) steward: Option<Steward>,
    /// The files as they were read, where they are taken without provenance.
    pub(crate) files: Option<Files>,
}

/// Opens the log, and puts in force what may be.
///
/// # Errors
/// Why nothing can be in force.
pub(crate) fn begin(config: &Config, log: DecisionLog, now: Timestamp) -> Result<Begun, String> {
    match &config.governance {
        Some(section) => Beginning { config, section, now }.run(log),
        None => ungoverned(config, log),
    }
}

fn ungoverned(config: &Config, log: DecisionLog) -> Result<Begun, String> {
    let files = Files::read(config)?;
    let engine = Engine::open(log, config, |last| {
        if last.is_some_and(|last| last.governance.is_some()) {
            return Err(
                "this log says that files come into force only by governance, and the configuration has no \
                        `governance`: put the section back; whoever ends governance begins a new log"
                    .to_owned(),
            );
        }
        Ok((files.governing(Some(config.text.clone().into_bytes()))?, config.clone()))
    })?;
    Ok(Begun { config: config.clone(), engine, steward: None, files: Some(files) })
}

struct Beginning<'a> {
    config: &'a Config,
    section: &'a Governance,
    now: Timestamp,
}

/// What comes into force, and what has to be asked about at once.
struct Start {
    state: State,
    asked: Vec<Part>,
    /// Under which it starts: the one on disk, unless that will be refused.
    config: Config,
}

impl Beginning<'_> {
    fn run(&self, log: DecisionLog) -> Result<Begun, String> {
        let store = Store::new(&self.config.evidence);
        let mut start = None;
        let engine = Engine::open(log, self.config, |last| {
            let begun = match &last {
                None => self.first(&store)?,
                Some(last) => self.again(last, &store)?,
            };
            let (state, config) = (&begun.state, begun.config.clone());
            let all = governing(&state.texts, state.configuration.clone(), &state.policies, &state.history);
            start = Some(begun);
            Ok((all?, config))
        })?;
        let Some(Start { mut state, asked, .. }) = start else {
            return Err("nothing is in force".to_owned());
        };
        // what is first must be what was first, also where nothing is ever decided
        engine.live(self.now).map_err(|e| e.to_string())?;
        for part in asked.iter().filter(|part| **part != Part::Configuration) {
            self.put_on_record(&state, *part, &store, &engine)?;
        }
        let is_asked = asked.contains(&Part::Configuration);
        let config =
            if is_asked { self.configuration(&mut state, &store, &engine)? } else { self.config.clone() };
        keep(&config)?;
        let environment = config.governance.as_ref().unwrap_or(self.section).environment.clone();
        let store = Store::new(&config.evidence);
        let steward = Steward { environment, store, state: Mutex::new(state) };
        let engine = engine.under(&config);
        Ok(Begun { config, engine, steward: Some(steward), files: None })
    }

    /// Nothing was in force yet: the policies and the trust root are the pinned ones, and so is the rest, or it is admitted.
    fn first(&self, store: &Store) -> Result<Start, String> {
        let disk = Texts::read(self.config, self.section)?;
        let mut asked = Vec::new();
        for part in [Part::Governance, Part::TrustRoot, Part::Guardrails, Part::Book] {
            let (found, pinned) = (disk.digest(part), self.section.pinned.get(&part));
            if found.as_ref() == pinned {
                continue;
            }
            let Some(found) = found else { return Err(wrong_pin(part, pinned, "none is named")) };
            if matches!(part, Part::Governance | Part::TrustRoot) {
                return Err(wrong_pin(part, pinned, &found.to_string()));
            }
            self.check_admitted(&disk, part, &found, store)
                .map_err(|why| format!("{}\n{why}", wrong_pin(part, pinned, &found.to_string())))?;
            asked.push(part);
        }
        let configuration = Some(self.config.text.clone().into_bytes());
        let state = state(disk, History::default(), configuration)?;
        Ok(Start { state, asked, config: self.config.clone() })
    }

    fn check_admitted(&self, disk: &Texts, part: Part, digest: &Digest, store: &Store) -> Result<(), String> {
        let request = evidence::request(store, &self.section.environment, part, digest);
        let request = request.map_err(|e| e.to_string())?;
        let under = Governing::new(disk.policies()?, disk.files.trust_root()?);
        let decision = under.judge(request.clone(), self.now);
        let is_admitted = decision.answer() == Answer::Admit && decision.basis() == Basis::Policy;
        if is_admitted { Ok(()) } else { Err(refusal::of_decision(digest, &decision, &request)) }
    }

    /// What was admitted before there was a log to say so is said now.
    fn put_on_record(&self, state: &State, part: Part, store: &Store, engine: &Engine) -> Result<(), String> {
        let Some(digest) = state.texts.digest(part) else { return Ok(()) };
        let request = evidence::request(store, &self.section.environment, part, &digest);
        let request = request.map_err(|e| e.to_string())?;
        let decision = engine.decide_under(&state.policies, request.clone(), self.now);
        let decision = decision.map_err(|e| e.to_string())?;
        if decision.answer() == Answer::Admit && decision.basis() == Basis::Policy {
            return Ok(());
        }
        Err(refusal::of_decision(&digest, &decision, &request))
    }

    /// What was in force stays so, whatever is on disk now.
    fn again(&self, last: &LastGood, store: &Store) -> Result<Start, String> {
        let disk = super::disk::policies(&self.section.policies);
        let history = last.governance.as_ref().map(|(_, history)| history.clone());
        let texts = match &last.governance {
            Some(_) => Texts::of(last, &[]),
            None => {
                let texts = Texts::of(last, &disk?);
                let (found, pinned) =
                    (texts.digest(Part::Governance), self.section.pinned.get(&Part::Governance));
                if found.as_ref() != pinned {
                    let found = found.map(|digest| digest.to_string()).unwrap_or_default();
                    return Err(wrong_pin(Part::Governance, pinned, &found));
                }
                texts
            }
        };
        let own = self.config.text.clone().into_bytes();
        let is_same = last.configuration.as_ref().is_none_or(|digest| *digest == Digest::sha256(&own));
        let mut state = state(texts, history.unwrap_or_default(), Some(own.clone()))?;
        let (mut asked, mut config) = (Vec::new(), self.config.clone());
        if !is_same {
            state.configuration = last.configuration.as_ref().and_then(|digest| self.kept(digest));
            if self.is_governed(&state)? {
                asked.push(Part::Configuration);
                config = self.foreseen(&state, store)?;
            } else {
                state.configuration = Some(own);
            }
        }
        Ok(Start { state, asked, config })
    }

    /// The configuration on disk where it will be admitted, else the one in force. This is asked before anything is
    /// written: under a `log` that nobody reviewed, another writer would say in the log what is in force.
    fn foreseen(&self, state: &State, store: &Store) -> Result<Config, String> {
        let old = self.in_force(state)?;
        let candidate = self.candidate(state, store, old.as_ref())?;
        let (policies, root) = (state.texts.policies()?, state.texts.files.trust_root()?);
        let decision = Governing::new(policies, root.clone()).judge(candidate.request.clone(), self.now);
        let judged = (decision, Arc::new(root));
        if let Err(held) = state.examine(&candidate, &judged, self.now) {
            return self.instead(old, &held.into_words());
        }
        let (decision, _) = judged;
        if is_admitted(&decision) {
            return Ok(self.config.clone());
        }
        self.instead(old, &refusal::of_decision(&candidate.digest, &decision, &candidate.request))
    }

    fn candidate(&self, state: &State, store: &Store, old: Option<&Config>) -> Result<Candidate, String> {
        let part = Part::Configuration;
        let bytes = self.config.text.clone().into_bytes();
        let digest = Digest::sha256(&bytes);
        let governance = old.and_then(|old| old.governance.as_ref()).unwrap_or(self.section);
        let request = evidence::request(store, &governance.environment, part, &digest);
        let request = request.map_err(|e| e.to_string())?;
        Ok(Candidate { part, digest, request, next: state.texts.clone(), configuration: Some(bytes) })
    }

    /// The configuration in force, where the one on disk is not: what is open is its log, or nothing.
    fn instead(&self, old: Option<Config>, why: &str) -> Result<Config, String> {
        let Some(old) = old else {
            return Err(format!(
                "{why}and the configuration in force is not kept in {}: put it back",
                self.config.state.display()
            ));
        };
        if old.log == self.config.log { Ok(old) } else { Err(other_log(why)) }
    }

    /// The text of a configuration that was in force, whole.
    fn kept(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = read_plain(&kept(&self.config.state, digest), LONGEST).ok()?;
        (Digest::sha256(&bytes) == *digest).then_some(bytes)
    }

    /// Whether another configuration needs a review. The one in force says in which environment, and not the one on disk:
    /// else an edit of that word would be an edit that nobody reviews. Where that one is gone, any policy for
    /// configurations counts.
    fn is_governed(&self, state: &State) -> Result<bool, String> {
        let uri = Part::Configuration.uri();
        if let Some(old) = self.in_force(state)? {
            let environment = &old.governance.as_ref().unwrap_or(self.section).environment;
            return Ok(state.policies.select(environment, &uri).is_some());
        }
        let environments = state.policies.policies().iter().map(|policy| &policy.environment().text);
        Ok(environments.into_iter().any(|environment| state.policies.select(environment, &uri).is_some()))
    }

    /// The configuration in force, which is not the one on disk; nothing where it is not kept.
    fn in_force(&self, state: &State) -> Result<Option<Config>, String> {
        let text = state.configuration.as_ref().and_then(|bytes| String::from_utf8(bytes.clone()).ok());
        let Some(text) = text else { return Ok(None) };
        let old = Config::parse(&self.config.file, &text);
        old.map(Some).map_err(|e| e.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// The configuration on disk where it is admitted, else the one that was in force.
    fn configuration(&self, state: &mut State, store: &Store, engine: &Engine) -> Result<Config, String> {
        let old = self.in_force(state)?;
        let candidate = self.candidate(state, store, old.as_ref())?;
        let part = candidate.part;
        let Err(held) = super::deploy(state, candidate, engine, self.now) else {
            return Ok(self.config.clone());
        };
        let why = held.into_words();
        let old = self.instead(old, &why)?;
        state.is_configured_otherwise = true;
        state.untold.push(Reloaded { what: part.name(), result: Err(why) });
        Ok(old)
    }
}

fn state(texts: Texts, history: History, configuration: Option<Vec<u8>>) -> Result<State, String> {
    let policies = Arc::new(texts.policies()?);
    let (refused, unreadable, untold) = (BTreeMap::new(), None, Vec::new());
    let is_configured_otherwise = false;
    Ok(State {
        texts,
        policies,
        history,
        configuration,
        refused,
        unreadable,
        is_configured_otherwise,
        untold,
    })
}

fn wrong_pin(part: Part, pinned: Option<&Digest>, found: &str) -> String {
    let wanted = pinned.map_or_else(|| "nothing".to_owned(), Digest::to_string);
    format!(
        "the {part} is not the pinned one, and no log says that it was in force: wanted {wanted} (`governance: pinned`), \
         found {found}; put the pinned one back, or have this one reviewed and pinned: portcullis policy digest"
    )
}

/// The log is open before it can say which configuration is in force, so what it was opened with is compared then.
fn other_log(why: &str) -> String {
    format!(
        "{why}and its `log` is not the one in force, under which the log would have to be open already: wanted the `log` of \
         the configuration in force, found another; put that section back, or have the configuration reviewed"
    )
}

/// The text is nowhere in the log, since it may say what not everybody should read; the log says whether it was changed.
fn kept(state: &Path, digest: &Digest) -> PathBuf {
    state.join("configuration").join(format!("{}.yaml", digest.hex()))
}

fn keep(config: &Config) -> Result<(), String> {
    let file = kept(&config.state, &Digest::sha256(config.text.as_bytes()));
    write_durably(&file, config.text.as_bytes()).map_err(|e| format!("{}: {e}", file.display()))
}
