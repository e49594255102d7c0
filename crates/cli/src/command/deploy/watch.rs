//! `portcullis deploy --watch`: an agent that follows a pointer, and decides about every release that it switches to, also
//! about the one that it goes back to.
//!
//! It may be killed at any moment. What it did is written down before and after each switch: `settled` names the release
//! that was switched to and started, and is empty in between. So what was not finished is begun again, with a decision.

mod config;
mod pointer;
mod state;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use attest::{Algorithm, Digest, Json, Object};
use policy::DeploymentRequest;

use super::releases::Releases;
use super::sealed::Sealed;
use crate::bounded;
use crate::failure::{Exit, Failure};
use crate::gate::{self, Gate};
use crate::output::Output;
use config::Config;
use pointer::Pointer;
use state::State;

/// What was refused is asked for again after this, or at once where the pointer changes.
const AGAIN: Duration = Duration::from_secs(600);
/// How long a release may take to be started.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(500);
/// What such a command may print.
const MAX_OUTPUT: usize = 1 << 20;
const MAX_REFUSED: usize = 100;

struct Agent<'a> {
    config: Config,
    gate: &'a gate::Args,
    output: &'a Output,
    releases: Releases,
    /// When what was refused.
    refused: BTreeMap<String, Instant>,
    /// The last thing that was told: the same is not told again.
    told: String,
}

/// What is to run, and whether that is a step back.
struct Target {
    digest: Digest,
    key: String,
    is_rollback: bool,
}

/// Looks again and again. What fails is told, and tried again.
pub(super) fn run(file: &Path, gate: &gate::Args, output: &Output) -> Result<Exit, Failure> {
    let config = Config::read(file)?;
    gate.open()?;
    crate::keys::folder(&config.install)?;
    let lock = config.install.join(".watch.lock");
    let lock = File::create(&lock).map_err(|e| Failure::io("make", &lock, &e))?;
    if lock.try_lock().is_err() {
        return Err(Failure::new(&format!("another agent watches for {}", config.install.display()))
            .line("fix", "stop it, or give each service a folder of its own: `install: DIR`"));
    }
    let every = Duration::from_secs(u64::try_from(config.every.as_seconds()).unwrap_or(30));
    let releases = Releases::new(&config.install);
    let mut agent = Agent { config, gate, output, releases, refused: BTreeMap::new(), told: String::new() };
    loop {
        let is_done = agent.look().unwrap_or_else(|failure| {
            agent.tell("failed", &failure.to_text(policy::Style::Plain));
            true
        });
        if is_done {
            std::thread::sleep(every);
        }
    }
}

impl Agent<'_> {
    /// One look; whether there is nothing more to do until the next.
    fn look(&mut self) -> Result<bool, Failure> {
        if let Err(failure) = self.gate.bring_waiting() {
            self.tell("waiting", &failure.to_text(policy::Style::Plain));
        }
        let mut state = State::read(&self.config.install)?;
        let pointer = Pointer::read(&self.config);
        let target = self.target(&state, pointer.as_ref().ok());
        if let Err(failure) = &pointer {
            self.tell("failed", &failure.to_text(policy::Style::Plain));
        }
        let Some(target) = target else { return Ok(true) };
        if self.releases.current().as_ref() == Some(&target.digest)
            && state.settled.as_ref() == Some(&target.digest)
        {
            return Ok(true);
        }
        if let Ok(pointer) = pointer.as_ref().map_err(|_| ())
            && pointer.digest == target.digest
        {
            pointer.fetch(&self.config, &self.kept(&target.digest))?;
        }
        self.attempt(&target, &mut state)
    }

    /// What the pointer names, unless it was found to be bad or is refused; else the last one that was well.
    fn target(&self, state: &State, pointer: Option<&Pointer>) -> Option<Target> {
        let is_refused = |key: &str| self.refused.get(key).is_some_and(|at| at.elapsed() < AGAIN);
        let wanted = pointer.filter(|p| state.bad.as_ref() != Some(&p.digest) && !is_refused(&p.text));
        if let Some(wanted) = wanted {
            return Some(Target {
                digest: wanted.digest.clone(),
                key: wanted.text.clone(),
                is_rollback: false,
            });
        }
        let digest = state.good.clone()?;
        let key = digest.to_string();
        (!is_refused(&key)).then_some(Target { digest, key, is_rollback: true })
    }

    /// Decides, switches, starts, and looks whether it is well.
    fn attempt(&mut self, target: &Target, state: &mut State) -> Result<bool, Failure> {
        let (sealed, ruling) = self.decide(target)?;
        self.tell(&ruling.word, &ruling.text);
        if !ruling.is_admitted() {
            if self.refused.len() >= MAX_REFUSED {
                self.refused.clear();
            }
            self.refused.insert(target.key.clone(), Instant::now());
            return Ok(true);
        }
        state.settled = None;
        state.write(&self.config.install)?;
        let before = self.releases.current();
        self.releases.switch(&sealed)?;
        drop(sealed);
        let well = self.start().and_then(|()| self.healthy());
        if let Err(why) = &well
            && !target.is_rollback
        {
            state.bad = Some(target.digest.clone());
            state.write(&self.config.install)?;
            self.tell("unhealthy", &format!("{} is not well: {why}\n", target.digest));
            // back to the last one that was well, where there is one
            return Ok(state.good.is_none());
        }
        match &well {
            Ok(()) if !target.is_rollback => (state.good, state.bad) = (Some(target.digest.clone()), None),
            Ok(()) => {}
            Err(why) => {
                self.tell("unhealthy", &format!("{}, which was well before, is not: {why}\n", target.digest))
            }
        }
        state.settled = Some(target.digest.clone());
        state.write(&self.config.install)?;
        let word = if target.is_rollback { "rolled-back" } else { "switched" };
        self.tell(word, &format!("{} runs\n", target.digest));
        self.prune(&[Some(&target.digest), before.as_ref(), state.good.as_ref()]);
        Ok(true)
    }

    /// Every switch is decided about now, whatever was decided about it before.
    fn decide(&self, target: &Target) -> Result<(Sealed, gate::GateRuling), Failure> {
        let gate = self.gate.open()?;
        let kept = self.kept(&target.digest);
        let envelopes = gate.evidence(&pointer::bundles(&kept)?)?;
        let file = kept.join(pointer::ARTIFACT);
        let sealed = Sealed::read(&file, &Gate::mentioned(&envelopes))?;
        if sealed.digests().get(Algorithm::Sha256).as_ref() != Some(&target.digest) {
            fs::remove_dir_all(&kept).ok();
            return Err(Failure::new(&format!("{} is not what its name says", kept.display()))
                .line("fix", "nothing: it was removed, and is fetched again where the pointer names it"));
        }
        let config = &self.config;
        let name = file.display().to_string();
        let uri = Some(config.artifact.as_str());
        let artifact = gate.artifact(&name, sealed.digests().clone(), uri, &config.environment)?;
        let chokepoint = if target.is_rollback { "deploy --watch, rollback" } else { "deploy --watch" };
        let mut request = DeploymentRequest::new(artifact, &config.environment, chokepoint);
        request.envelopes = envelopes;
        Ok((sealed, gate.decide(request, false)?))
    }

    fn start(&self) -> Result<(), String> {
        if self.config.restart.is_empty() {
            return Ok(());
        }
        self.command(&self.config.restart, Instant::now() + PATIENCE)
    }

    /// Asks until it is well, or the time is over.
    fn healthy(&self) -> Result<(), String> {
        let Some((command, within)) = &self.config.healthy else { return Ok(()) };
        let deadline = Instant::now() + Duration::from_secs(u64::try_from(within.as_seconds()).unwrap_or(1));
        loop {
            match self.command(command, deadline) {
                Err(_) if Instant::now() + PAUSE < deadline => std::thread::sleep(PAUSE),
                other => return other,
            }
        }
    }

    fn command(&self, words: &[String], deadline: Instant) -> Result<(), String> {
        let Some((program, arguments)) = words.split_first() else { return Ok(()) };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.config.install);
        match bounded::run(&mut command, Vec::new(), deadline, MAX_OUTPUT) {
            Ok(ended) if ended.code == Some(0) => Ok(()),
            Ok(ended) => {
                let said = String::from_utf8_lossy(&ended.stderr);
                let last = policy::one_line(said.trim().lines().last().unwrap_or_default());
                let how = ended.code.map_or_else(|| "by a signal".to_owned(), |code| format!("with {code}"));
                Err(format!("{program} ended {how}: {last}"))
            }
            Err(e) => Err(format!("{program}: {e}")),
        }
    }

    fn kept(&self, digest: &Digest) -> PathBuf {
        self.config.install.join("kept").join(digest.hex())
    }

    /// What ran before stays, and what runs; nothing of it is needed to go on.
    fn prune(&self, stay: &[Option<&Digest>]) {
        let stay: Vec<String> = stay.iter().flatten().map(|digest| digest.hex()).collect();
        for folder in ["kept", "releases"] {
            let entries = fs::read_dir(self.config.install.join(folder)).into_iter().flatten().flatten();
            for entry in
                entries.filter(|e| !e.file_name().to_str().is_some_and(|n| stay.iter().any(|s| s == n)))
            {
                fs::remove_dir_all(entry.path()).ok();
            }
        }
    }

    /// A line of JSON, or text for people.
    fn tell(&mut self, event: &str, text: &str) {
        if std::mem::replace(&mut self.told, text.to_owned()) == text {
            return;
        }
        if self.output.is_json() {
            let line = Json::from(Object::new().with("event", event).with("text", text));
            self.output.script(&format!("{line}\n"));
        } else {
            self.output.script(text);
        }
    }
}
