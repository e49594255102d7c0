//! The story of a service: open what the last one left, settle it, listen, build, and end in good order.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attest::Object;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use crate::config::Config;
use crate::event;
use crate::folders::Folders;
use crate::listen::Listener;
use crate::queue::{Queue, QueueError};
use crate::ready::Readiness;
use crate::run::{self, Wanted};
use crate::tls::TlsError;
use crate::token::Tokens;

/// The one clock, handed in.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why a service does not run.
#[derive(Debug)]
pub enum ServiceError {
    /// The service's folder, its lock, or a signal.
    Io(&'static str, PathBuf, io::Error),
    /// The queue.
    Queue(String),
    /// A key or a certificate.
    Tls(TlsError),
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(what, path, e) if e.kind() == io::ErrorKind::WouldBlock => {
                write!(f, "cannot {what} {}: another service uses it", path.display())
            }
            Self::Io(what, path, e) => write!(f, "cannot {what} {}: {e}", path.display()),
            Self::Queue(why) => f.write_str(why),
            Self::Tls(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for ServiceError {}

impl From<QueueError> for ServiceError {
    fn from(error: QueueError) -> Self {
        Self::Queue(error.to_string())
    }
}

/// What every part of the service works with.
pub(crate) struct Service {
    pub(crate) config: Config,
    /// The program that builds: this one, but in tests.
    pub(crate) program: PathBuf,
    pub(crate) folders: Folders,
    pub(crate) queue: Queue,
    pub(crate) tokens: Tokens,
    pub(crate) wanted: Wanted,
    pub(crate) readiness: Readiness,
    /// Rings when a job was put into the queue.
    pub(crate) arrived: Notify,
    /// Whether the service was told to stop.
    pub(crate) draining: watch::Sender<bool>,
    clock: Clock,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Service {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The time as the queue keeps it.
    pub(crate) fn micros(&self) -> i64 {
        self.now().as_microsecond()
    }

    /// Writes an event about a build, or about none.
    pub(crate) fn tell(&self, event: &str, build: &str, details: Object) {
        let mut all = Object::new();
        all.set_some("build", Some(build).filter(|b| !b.is_empty()));
        for (key, value) in details.iter() {
            all.set(key, value.clone());
        }
        event::tell(self.now(), event, all);
    }

    /// The moment at which the service is told to stop.
    pub(crate) async fn told_to_stop(&self) {
        self.draining.subscribe().wait_for(|d| *d).await.ok();
    }

    /// The moment at which builds that still run are put back.
    pub(crate) async fn deadline(&self) {
        self.told_to_stop().await;
        let drain = u64::try_from(self.config.builds.drain.as_seconds()).unwrap_or(0);
        tokio::time::sleep(Duration::from_secs(drain)).await;
    }

    /// Writes to the queue, again and again where it fails: the end of a build is not forgotten for a full disk.
    pub(crate) async fn until_done<F>(&self, write: impl Fn() -> F)
    where
        F: Future<Output = Result<(), QueueError>>,
    {
        while let Err(e) = write().await {
            self.tell("queue-failed", "", Object::new().with("found", e.to_string()));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Serves until the process is told to stop (SIGTERM or SIGINT), then drains: nothing new is taken, builds that run have
/// until the configured deadline, and are put back into the queue then.
///
/// # Errors
/// [`ServiceError`] where the service cannot begin, or its listener fails.
pub fn serve(config: Config, program: PathBuf, clock: Clock) -> Result<(), ServiceError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let state = config.state.clone();
    let runtime = runtime.map_err(|e| ServiceError::Io("start threads for", state, e))?;
    runtime.block_on(run(config, program, clock))
}

async fn run(config: Config, program: PathBuf, clock: Clock) -> Result<(), ServiceError> {
    let state = config.state.clone();
    let failed = |e| ServiceError::Io("use the folder", state.clone(), e);
    let (folders, _lock) = Folders::open(&config.state).map_err(failed)?;
    let queue = Queue::open(folders.queue()).await?;
    let listener = Listener::bind(&config).await?;
    let service = Arc::new(Service {
        tokens: Tokens::new(&config.issuers),
        readiness: Readiness::default(),
        wanted: Wanted::default(),
        arrived: Notify::new(),
        draining: watch::Sender::new(false),
        config,
        program,
        folders,
        queue,
        clock,
    });
    run::recover(&service).await?;
    stop_on_signals(&service).map_err(failed)?;
    let sweeper = tokio::spawn(run::sweep(Arc::clone(&service)));
    let builds = tokio::spawn(run::all(Arc::clone(&service)));
    service.tell("listening", "", Object::new().with("address", listener.address()));
    listener.accept(&service).await;
    sweeper.abort();
    builds.await.ok();
    listener.hang_up().await;
    service.queue.close().await;
    service.tell("stopped", "", Object::new());
    Ok(())
}

fn stop_on_signals(service: &Arc<Service>) -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let service = Arc::clone(service);
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        let drain = service.config.builds.drain.to_string();
        service.tell("draining", "", Object::new().with("deadline", drain));
        service.draining.send_replace(true);
    });
    Ok(())
}
