//! Evidence that lies in the registry beside its image: asked for where the local store has none that is enough, and kept
//! there, so that the next request needs no network.
//!
//! Only registries that the configuration names are asked, each with its own login. What is not known is never taken for
//! "there is none", and is not remembered either.

mod flight;
mod metrics;
mod one;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attest::{Artifact, Digest, Object, TrustRoot};
use evidence::Store;
use jiff::Timestamp;
use policy::{LeftOut, Submitted};
use registry::{Answer, Reference};

use crate::attached::Attached;
use crate::webhook::config::Registry;
use crate::webhook::engine::Engine;
use crate::webhook::judge::Deadline;
use flight::Flights;
pub use metrics::RegistryMetrics;
use one::One;

/// So many names of what was left out stand in a line.
const NAMED: usize = 8;

/// The registries that may be asked.
#[derive(Debug)]
pub(crate) struct Registries {
    all: Vec<One>,
    flights: Flights<Looked>,
    metrics: RegistryMetrics,
}

/// What a registry was asked, and said.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    image: String,
    result: &'static str,
    /// What is submitted: what the store had as well.
    pub(crate) envelopes: Vec<Submitted>,
    left_out: Vec<LeftOut>,
    unread: usize,
    /// Why nobody knows.
    pub(crate) unknown: Option<String>,
    /// Why it could not be kept: the next request asks again.
    not_kept: Option<String>,
}

/// With what an answer is looked at.
pub(crate) struct With<'a> {
    pub(crate) store: &'a Store,
    pub(crate) engine: &'a Engine,
    pub(crate) now: Timestamp,
}

/// Until when one review may ask: the rest is for deciding and recording.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until(Instant);

impl Until {
    pub(crate) fn of(deadline: &Deadline) -> Self {
        Self(Instant::now() + deadline.left().mul_f64(0.75))
    }

    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

impl Registries {
    /// Reads the logins.
    ///
    /// # Errors
    /// Every file that cannot be used, and why.
    pub(crate) fn open(all: &[Registry]) -> Result<Self, Vec<(PathBuf, String)>> {
        let opened: Vec<One> = all.iter().cloned().map(One::new).collect();
        let wrong: Vec<_> = opened.iter().filter_map(One::wrong).collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self { all: opened, flights: Flights::default(), metrics: RegistryMetrics::default() })
    }

    pub(crate) fn metrics(&self) -> Option<RegistryMetrics> {
        (!self.all.is_empty()).then(|| self.metrics.clone())
    }

    /// Asks for what is attached to an image; nothing where its registry is not named. Many who ask for the same at once
    /// are one question.
    pub(crate) fn look(
        &self,
        artifact: &Artifact,
        known: &[Submitted],
        until: Until,
        with: &With<'_>,
    ) -> Option<Arc<Looked>> {
        let digest = artifact.digest()?;
        let reference = Reference::parse(&format!("{}@{digest}", artifact.uri())).ok()?;
        let name = reference.name();
        let of = self.all.iter().filter(|one| one.registry.covers(&name));
        let one = of.max_by_key(|one| one.registry.prefix.len())?;
        let image = reference.to_string();
        let ask = || {
            let time = one.within().min(until.left());
            let answer = one.ask(&reference, &digest, time);
            let (_, root) = with.engine.in_force();
            let looked = Looked::at(&image, answer, artifact, known, &root, with);
            self.metrics.count(looked.result);
            looked
        };
        let late = || Looked::unknown(&image, "nobody else's question was answered in time".to_owned());
        Some(self.flights.fly(&image, until.left(), ask, late))
    }
}

impl Looked {
    fn at(
        image: &str,
        answer: Result<Answer<registry::Evidence>, String>,
        artifact: &Artifact,
        known: &[Submitted],
        root: &TrustRoot,
        with: &With<'_>,
    ) -> Self {
        let evidence = match answer {
            Ok(Answer::Found(evidence)) => evidence,
            Ok(Answer::None) => {
                return Self {
                    image: image.to_owned(),
                    result: "none",
                    envelopes: known.to_vec(),
                    ..Self::default()
                };
            }
            Ok(Answer::Unknown(unknown)) => return Self::unknown(image, unknown.to_string()),
            Err(why) => return Self::unknown(image, why),
        };
        let attached = Attached::of(evidence).beside(known);
        let attached = attached.select(artifact, root, with.engine.opener(), with.now);
        Self {
            image: image.to_owned(),
            result: "found",
            not_kept: keep(with.store, artifact, &attached.envelopes).err(),
            envelopes: attached.envelopes,
            left_out: attached.left_out,
            unread: attached.unread.len(),
            unknown: None,
        }
    }

    fn unknown(image: &str, why: String) -> Self {
        Self { image: image.to_owned(), result: "unknown", unknown: Some(why), ..Self::default() }
    }

    /// For the line of the decision.
    pub(crate) fn to_object(&self) -> Object {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let mut object = Object::new().with("image", self.image.as_str()).with("result", self.result);
        object.set("taken", number(self.envelopes.len()));
        if !self.left_out.is_empty() {
            let line = |one: &LeftOut| format!("{}: {}", one.name, one.why);
            object.set("left-out", number(self.left_out.len()));
            object.set("why", self.left_out.iter().take(NAMED).map(line).collect::<Vec<String>>());
        }
        if self.unread > 0 {
            object.set("unread", number(self.unread));
        }
        object.set_some("found", self.unknown.as_deref());
        object.set_some("not-kept", self.not_kept.as_deref());
        object
    }
}

/// Into the local store, as the artifact's set. It proves nothing there either: it says where to look.
fn keep(store: &Store, artifact: &Artifact, envelopes: &[Submitted]) -> Result<(), String> {
    let Some(digest) = artifact.digest().filter(|_| !envelopes.is_empty()) else { return Ok(()) };
    let mut set: Vec<Digest> = Vec::new();
    for one in envelopes {
        let bytes = evidence::compact(&one.bytes).map_err(|e| e.to_string())?;
        set.push(store.put(&bytes).map_err(|e| e.to_string())?);
    }
    store.attach(&digest, &set).map_err(|e| e.to_string())
}
