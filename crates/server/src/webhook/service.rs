//! The story of a choke point's process: open what is in force, listen, look at it again and again, and end in good
//! order: first it says that it is not ready, then nobody sends any more, then what is under way is answered.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use attest::time::Span;
use attest::{Json, Object};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use crate::proxy;
use crate::service::Clock;
use crate::tls::TlsError;
use crate::webhook::after::Tell;
use crate::webhook::certificates::Certificates;
use crate::webhook::config::Config;
use crate::webhook::decide::Kubernetes;
use crate::webhook::decisions::Deciding;
use crate::webhook::door::Door;
use crate::webhook::engine::DecisionLog;
use crate::webhook::events::Events;
use crate::webhook::judge::{Judge, Look};
use crate::webhook::listen;
use crate::webhook::metrics::{Metrics, Moment};
use crate::webhook::owners;
use crate::webhook::ready::{Now, Readiness};
use crate::webhook::signing::Releasing;
use crate::webhook::trace::Exporter;

/// Requests that are judged at the same time: more than processors, because most of an answer waits for the disk, and
/// records that wait together are written together.
const THREADS: usize = 16;
const BRINGING: usize = 8;
/// How often it is looked at whether it can decide.
const RHYTHM: Duration = Duration::from_secs(1);
/// For answers that are under way when the process ends: no request may take longer.
const LAST_WORDS: Duration = Duration::from_secs(35);

/// Why a choke point does not run.
#[derive(Debug)]
pub enum ServeError {
    /// An address, a thread, or a signal; the first field says what was to be done.
    Io(String, io::Error),
    /// A key or a certificate.
    Tls(TlsError),
    /// What decides cannot be opened.
    Open(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(what, e) => write!(f, "cannot {what}: {e}"),
            Self::Tls(e) => e.fmt(f),
            Self::Open(why) => f.write_str(why),
        }
    }
}
impl std::error::Error for ServeError {}

/// What every part of the choke point works with.
pub(crate) struct Front {
    pub(crate) config: Config,
    pub(crate) judge: Arc<dyn Judge>,
    pub(crate) door: Arc<Door>,
    pub(crate) metrics: Metrics,
    pub(crate) certificates: Certificates,
    pub(crate) traces: Exporter,
    /// Where somebody may ask about anything but Kubernetes' objects.
    pub(crate) decisions: Option<Deciding>,
    /// Where somebody may have something signed.
    pub(crate) signing: Option<Releasing>,
    /// Places for those who bring evidence.
    pub(crate) bringing: Arc<Semaphore>,
    events: Arc<Events>,
    readiness: Readiness,
    /// How far the end has come.
    end: watch::Sender<End>,
    clock: Clock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Not,
    /// Not ready any more; requests are answered.
    Draining,
    /// No request is taken.
    Closing,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Front {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) fn tell(&self, event: &str, details: Object) {
        self.events.tell(event, details);
    }

    /// The moment from which no request is taken.
    pub(crate) async fn closing(&self) {
        self.end.subscribe().wait_for(|end| *end == End::Closing).await.ok();
    }

    pub(crate) fn readiness(&self) -> (Json, bool) {
        let now = self.now();
        self.readiness.check(&Now {
            serves: self.config.serves(),
            is_draining: *self.end.borrow() != End::Not,
            certificate: self.certificates.check(now),
            certificate_left: self.certificates.left(now),
            certificate_refused: self.certificates.refused(),
        })
    }

    pub(crate) fn metrics_text(&self) -> String {
        self.metrics.text(&Moment {
            crowd: self.door.crowd(),
            certificate_left: self.certificates.left(self.now()),
            is_ready: self.readiness().1,
            lost: [self.events.lost(), self.traces.lost()],
        })
    }

    /// Looks at files that are in force.
    fn reload(&self) {
        let now = self.now();
        let mut all = Vec::new();
        if let Some(result) = self.certificates.reload(now) {
            all.push(("certificate", result));
        }
        match catch_unwind(AssertUnwindSafe(|| self.judge.reload(now))) {
            Ok(reloaded) => all.extend(reloaded.into_iter().map(|one| (one.what, one.result))),
            Err(_) => {
                all.push(("book", Err("reading it failed; the last good one stays in force".to_owned())))
            }
        }
        for (what, result) in all {
            self.metrics.reloaded(what, result.is_ok());
            let details = Object::new().with("what", what);
            match result {
                Ok(new) => self.tell("reloaded", details.with("now", new)),
                Err(why) => self.tell("reload-refused", details.with("found", why)),
            }
        }
    }

    /// Looks whether it can decide.
    fn see(&self) {
        let look = catch_unwind(AssertUnwindSafe(|| self.judge.look(self.now())));
        let mut look = look.unwrap_or_else(|_| Look {
            parts: vec![("choke point", Err("it fails when it judges a case that it knows".to_owned()))],
            ..Look::default()
        });
        look.parts.extend(proxy::spools(&self.config.proxies));
        self.metrics.look(&look);
        self.readiness.saw(look);
    }
}

/// A choke point that listens.
#[derive(Debug)]
pub struct Choke {
    front: Arc<Front>,
    main: listen::Door,
    metrics: listen::Door,
    proxies: Vec<proxy::Listener>,
}

impl Choke {
    /// Binds the addresses, and looks at everything once.
    ///
    /// # Errors
    /// [`ServeError`] where an address is taken, or the certificate cannot be used at all.
    pub async fn bind(config: Config, judge: Arc<dyn Judge>, clock: Clock) -> Result<Self, ServeError> {
        let failed = |address: &str| {
            let what = format!("listen on {address}");
            move |e| ServeError::Io(what, e)
        };
        let certificates = Certificates::load(config.webhook.certificates()).map_err(ServeError::Tls)?;
        let listen = config.webhook.listen.as_str();
        let main = listen::Door::main(listen).await.map_err(failed(listen))?;
        let metrics = listen::Door::metrics(&config.metrics).await.map_err(failed(&config.metrics))?;
        let events = Events::new(Arc::clone(&clock));
        let front = Arc::new(Front {
            traces: Exporter::start(config.traces.as_deref(), &config.webhook.mapping.cluster, &events),
            door: Door::new(config.webhook.concurrency, THREADS),
            metrics: Metrics::new(
                judge.alarm_metrics().as_ref(),
                judge.summary_metrics().as_ref(),
                judge.registry_metrics().as_ref(),
            ),
            decisions: config.decisions.as_ref().map(Deciding::new),
            signing: Releasing::new(&config.signing),
            bringing: Arc::new(Semaphore::new(BRINGING)),
            readiness: Readiness::default(),
            end: watch::Sender::new(End::Not),
            certificates,
            config,
            judge,
            events,
            clock,
        });
        let seen = Arc::clone(&front);
        let first = move || {
            // what changed while nobody was here is asked about before anything is decided
            seen.reload();
            seen.see();
        };
        tokio::task::spawn_blocking(first).await.ok();
        let proxies = Self::bind_proxies(&front).await?;
        Ok(Self { front, main, metrics, proxies })
    }

    async fn bind_proxies(front: &Arc<Front>) -> Result<Vec<proxy::Listener>, ServeError> {
        if let Some(why) = proxy::too_large(&front.config.proxies) {
            return Err(ServeError::Open(why));
        }
        let (mut proxies, mut rooms) = (Vec::new(), proxy::Rooms::default());
        for config in &front.config.proxies {
            proxies.push(proxy::Proxy::bind(config, front, &mut rooms).await?);
        }
        Ok(proxies)
    }

    /// Where events go.
    #[must_use]
    pub fn teller(&self) -> Tell {
        let events = Arc::clone(&self.front.events);
        Arc::new(move |event, details| events.tell(event, details))
    }

    /// The address of the webhook.
    #[must_use]
    pub fn address(&self) -> String {
        self.main.address()
    }

    /// The address of metrics.
    #[must_use]
    pub fn metrics_address(&self) -> String {
        self.metrics.address()
    }

    /// Serves until `stop`, then drains; says whether every request was answered.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> bool {
        let Self { front, main, metrics, proxies } = self;
        let details = Object::new().with("address", main.address()).with("metrics", metrics.address());
        let details = details.with("governed", front.config.governance.is_some());
        front.tell("listening", details);
        let looking = tokio::spawn(look(Arc::clone(&front)));
        let reading = Arc::clone(&front);
        let reading = tokio::spawn(async move { metrics.serve_metrics(&reading).await });
        let ending = Arc::clone(&front);
        tokio::spawn(async move {
            stop.await;
            let drain = ending.config.webhook.drain;
            ending.tell("draining", Object::new().with("wait", drain.to_string()));
            ending.end.send_replace(End::Draining);
            tokio::time::sleep(duration(drain)).await;
            ending.end.send_replace(End::Closing);
        });
        let proxying: Vec<_> = proxies.into_iter().map(|one| one.start(&front)).collect();
        let open = main.serve(&front).await;
        let is_whole = open.hang_up(LAST_WORDS).await;
        for one in proxying {
            one.await.ok();
        }
        looking.abort();
        let (judge, now) = (Arc::clone(&front.judge), front.now());
        tokio::task::spawn_blocking(move || judge.close(now)).await.ok();
        front.tell("stopped", Object::new().with("all-answered", is_whole));
        reading.abort();
        let last = Arc::clone(&front);
        tokio::task::spawn_blocking(move || last.events.close()).await.ok();
        is_whole
    }
}

fn duration(span: Span) -> Duration {
    Duration::from_secs(u64::try_from(span.as_seconds()).unwrap_or(0))
}

/// Looks at everything again and again: files on the configured rhythm and when told to, itself every second.
async fn look(front: Arc<Front>) {
    let mut hangup = signal(SignalKind::hangup()).ok();
    let rhythm = duration(front.config.reload);
    let mut next = tokio::time::Instant::now() + rhythm;
    loop {
        let told = async {
            match &mut hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        let is_told = tokio::select! {
            () = told => true,
            () = tokio::time::sleep(RHYTHM.min(rhythm)) => false,
        };
        let is_due = is_told || tokio::time::Instant::now() >= next;
        if is_due {
            next = tokio::time::Instant::now() + rhythm;
        }
        let own = Arc::clone(&front);
        let looked = tokio::task::spawn_blocking(move || {
            if is_due {
                own.reload();
            }
            own.see();
        });
        looked.await.ok();
    }
}

/// Does what waits for disks on a thread where that is allowed.
async fn aside(work: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), ServeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(e.to_string())).map_err(ServeError::Open)
}

/// Serves until the process is told to stop (SIGTERM or SIGINT).
///
/// # Errors
/// [`ServeError`] where the choke point cannot begin.
pub fn serve(config: Config, log: DecisionLog, clock: Clock) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(THREADS + BRINGING + 8)
        .build()
        .map_err(|e| ServeError::Io("start threads".to_owned(), e))?;
    runtime.block_on(async {
        let failed = |e| ServeError::Io("wait for signals".to_owned(), e);
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let (settings, now) = (config.clone(), clock());
        // reads disks, and asks the log's store
        let opened = tokio::task::spawn_blocking(move || Kubernetes::open(&settings, log, now)).await;
        let judge = opened.unwrap_or_else(|e| Err(e.to_string())).map_err(ServeError::Open)?;
        let config = judge.config().clone();
        let cluster = owners::connect(config.webhook.api.as_ref()).await.map_err(ServeError::Open)?;
        let judge = Arc::new(judge.asking(cluster));
        let (own, settings, time) = (Arc::clone(&judge), config.clone(), Arc::clone(&clock));
        // alarms first: what was let in past a policy is alarmed before the first answer
        aside(move || own.open_desk(&settings, &time).map(drop)).await?;
        let asked: Arc<dyn Judge> = judge.clone();
        let choke = Choke::bind(config.clone(), asked, Arc::clone(&clock)).await?;
        let tell = choke.teller();
        aside(move || judge.start_after(&config, &clock, &tell)).await?;
        let stop = async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        choke.run(stop).await;
        Ok(())
    })
}
