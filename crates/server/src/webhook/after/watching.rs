//! What runs, and what the API server's audit log says was written: both beside what was decided, each on a thread of its own.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use attest::{Json, Object};
use inventory::{Inventory, Observation};
use jiff::Timestamp;
use tokio::sync::watch::{Sender, channel};

use super::{Tell, found};
use crate::Clock;
use crate::alarm::Desk;
use crate::watch::{self, Asked, AuditWatch, Fleet, LogRecords, Reevaluation, Watch, WatchConfig};
use crate::webhook::config::Config;
use crate::webhook::engine::Engine;

/// The watch of the cluster, and who reads the audit log.
#[derive(Debug)]
pub(super) struct Watching {
    watch: Watch,
    _audit: Option<Reading>,
}

/// The thread that reads the audit log, until this is dropped.
#[derive(Debug)]
struct Reading {
    stop: Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What everything here works with.
#[derive(Clone, Copy)]
pub(super) struct With<'w> {
    pub(super) config: &'w Config,
    pub(super) engine: &'w Arc<Engine>,
    pub(super) desk: &'w Arc<Desk>,
    pub(super) clock: &'w Clock,
    pub(super) tell: &'w Tell,
}

impl Watching {
    /// Starts what the configuration wants of it.
    ///
    /// # Errors
    /// What cannot be started.
    pub(super) fn start(with: With<'_>, inventory: &Arc<Inventory>) -> Result<Option<Self>, String> {
        let config = with.config;
        let (Some(watched), Some(api)) = (&config.after.watch, config.webhook.api.as_ref()) else {
            return Ok(None);
        };
        let (desk, clock) = (Arc::clone(with.desk), Arc::clone(with.clock));
        let sink: watch::Sink = Arc::new(move |told| found::alarm(&desk, told, clock()));
        let (inventory, engine) = (Arc::clone(inventory), Arc::clone(with.engine));
        let decided = Decided { inventory, engine, read: AtomicU64::new(0) };
        let (mapping, clock) = (config.webhook.mapping.clone(), Arc::clone(with.clock));
        let started = watch::start(watched.clone(), api.clone(), mapping, decided, Arc::clone(&sink), clock);
        let failed = |e: std::io::Error| format!("the cluster cannot be watched: {e}");
        let watch = started.map_err(failed)?;
        let file = watched.audit_log.as_ref();
        let audit = file.map(|file| Reading::start(with, watched, file.clone(), sink)).transpose();
        Ok(Some(Self { watch, _audit: audit.map_err(failed)? }))
    }

    pub(super) fn status(&self) -> watch::Status {
        self.watch.status()
    }
}

impl Reading {
    fn start(
        with: With<'_>,
        watched: &WatchConfig,
        file: PathBuf,
        sink: watch::Sink,
    ) -> std::io::Result<Self> {
        let log = (with.config.log.path.clone(), with.engine.log_key().clone());
        let records = Box::new(LogRecords::new(vec![log]));
        let (mapping, clock) = (with.config.webhook.mapping.clone(), Arc::clone(with.clock));
        let tell = Arc::clone(with.tell);
        // the alarm that follows names it; this says all that is known, for whoever judges it
        let tasks: watch::Tasks = Arc::new(move |open| {
            open.iter().for_each(|one| tell("failed-open", unjudged(one)));
            Ok(())
        });
        let audit = AuditWatch::new(watched.clone(), mapping, records, sink, tasks, clock);
        let kept = with.config.state.join("audit-log.json");
        let (stop, stopped) = channel(false);
        let follow = move || audit.follow(&file, &kept, &stopped);
        let thread = std::thread::Builder::new().name("audit-log".to_owned()).spawn(follow)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.send(true).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn unjudged(one: &Reevaluation) -> Object {
    let images = one.images.iter().flatten().map(|image| Json::from(image.as_str())).collect::<Vec<_>>();
    let webhooks = one.webhooks.iter().map(|name| Json::from(name.as_str())).collect::<Vec<_>>();
    Object::new()
        .with("audit-id", one.id.as_str())
        .with("object", &one.object)
        .with("images", images)
        .with("who", one.who.as_str())
        .with("webhooks", webhooks)
        .with("at", one.at.to_string())
}

/// The inventory, and the log that it comes from: whoever reads the one into the other may be busy with judging everything
/// anew, and what was admitted meanwhile is decided.
struct Decided {
    inventory: Arc<Inventory>,
    engine: Arc<Engine>,
    /// So much of the log was read here.
    read: AtomicU64,
}

impl Decided {
    /// Whether there was more to read.
    async fn read_on(&self) -> Result<bool, String> {
        let checkpoint = self.engine.checkpoint()?;
        if self.read.load(Ordering::Relaxed) == checkpoint.size {
            return Ok(false);
        }
        let followed = self.inventory.follow(self.engine.log_files(), &checkpoint, &mut |_| {}).await;
        followed.map_err(text)?;
        self.read.store(checkpoint.size, Ordering::Relaxed);
        Ok(true)
    }
}

impl Fleet for Decided {
    type Error = String;

    async fn admitted(&self, asked: &Asked) -> Result<Option<u64>, String> {
        let found = Fleet::admitted(&self.inventory, asked).await.map_err(text)?;
        if found.is_some() || !self.read_on().await? {
            return Ok(found);
        }
        Fleet::admitted(&self.inventory, asked).await.map_err(text)
    }

    async fn observed(&self, cluster: &str, all: &[Observation], at: Timestamp) -> Result<(), String> {
        Fleet::observed(&self.inventory, cluster, all, at).await.map_err(text)
    }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}
