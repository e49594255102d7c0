//! The story of a proxy: it listens, knows who comes, and has an adapter answer.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use attest::Object;
use axum::Extension;
use jiff::Timestamp;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::certificate;
use crate::connection;
use crate::proxy::config;
use crate::proxy::flow::Impatient;
use crate::proxy::handle::{Names, router};
use crate::proxy::room::{Room, Rooms};
use crate::proxy::share::Shares;
use crate::proxy::upstream::Upstream;
use crate::token::Tokens;
use crate::webhook::certificates::{Certificates, Files};
use crate::webhook::service::Front;
use crate::webhook::{Judge, ServeError};

/// Connections for each request that may be under way.
const CONNECTIONS: usize = 2;
/// A certificate is looked at when a connection begins: so none goes on for longer than this.
const OLDEST: Duration = Duration::from_secs(3600);
/// Who may do nothing is told so, and leaves the place to others.
const STRANGER: Duration = Duration::from_secs(10);
/// Who takes nothing of an answer for so long is gone.
const STALL: Duration = Duration::from_secs(60);
/// For what is under way when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(35);
/// How often numbers are looked at.
const RHYTHM: Duration = Duration::from_secs(1);

/// One proxy.
pub(crate) struct Proxy {
    config: config::Proxy,
    front: Arc<Front>,
    upstream: Upstream,
    tokens: Tokens,
    certificates: Certificates,
    room: Arc<Room>,
    places: Arc<Shares>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.config.name)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.proxy.fmt(f)
    }
}

/// A proxy that has its address.
pub(crate) struct Listener {
    proxy: Arc<Proxy>,
    tcp: TcpListener,
    slots: Arc<Semaphore>,
}

impl Proxy {
    /// Binds the address, and opens everything that is named.
    pub(crate) async fn bind(
        config: &config::Proxy,
        front: &Arc<Front>,
        rooms: &mut Rooms,
    ) -> Result<Listener, ServeError> {
        let files = Files {
            own: config.tls.clone(),
            authorities: config.clients.as_ref().map(|clients| clients.ca.clone()),
        };
        let certificates = Certificates::load(files).map_err(ServeError::Tls)?;
        let upstream = Upstream::open(&config.upstream).map_err(ServeError::Tls)?;
        let failed = |what: String| move |e| ServeError::Io(what, e);
        let opened = config.adapter.open().map_err(std::io::Error::other);
        opened.map_err(failed(format!("open what the proxy {} needs", config.name)))?;
        let room =
            rooms.open(config).map_err(failed(format!("hold bodies in {}", config.spool.display())))?;
        let tcp = TcpListener::bind(&config.listen)
            .await
            .map_err(failed(format!("listen on {}", config.listen)))?;
        raise_descriptors();
        let proxy = Self {
            upstream,
            certificates,
            room,
            tokens: Tokens::new(&config.issuers),
            front: Arc::clone(front),
            places: Arc::default(),
            config: config.clone(),
        };
        Ok(Listener {
            slots: Arc::new(Semaphore::new(config.limits.requests.saturating_mul(CONNECTIONS))),
            proxy: Arc::new(proxy),
            tcp,
        })
    }

    pub(crate) fn config(&self) -> &config::Proxy {
        &self.config
    }

    pub(crate) fn judge(&self) -> &dyn Judge {
        self.front.judge.as_ref()
    }

    pub(crate) fn front(&self) -> &Front {
        &self.front
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Requests that are under way.
    pub(crate) fn places(&self) -> &Arc<Shares> {
        &self.places
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.front.now()
    }

    /// Puts something on record for those who watch.
    pub(crate) fn tell(&self, event: &str, details: Object) {
        let mut line = Object::new().with("proxy", self.config.name.as_str());
        for (key, value) in details.iter() {
            line.set(key, value.clone());
        }
        self.front.tell(event, line);
    }

    /// Looks at files that are in force.
    fn reload(&self) {
        let told = |what: &str, result: Result<String, String>| {
            self.front.metrics.reloaded("proxy", result.is_ok());
            let details = Object::new().with("what", what);
            match result {
                Ok(now) => self.tell("reloaded", details.with("now", now)),
                Err(why) => self.tell("reload-refused", details.with("found", why)),
            }
        };
        if let Some(result) = self.certificates.reload(self.now()) {
            told("certificate", result);
        }
        if let Some(result) = self.upstream.reload() {
            told("upstream", result.map(|()| "login and certificates for it".to_owned()));
        }
        if let Some(result) = self.config.adapter.reload() {
            told("keys", result.map(|()| "what the files of this kind of proxy say".to_owned()));
        }
    }
}

/// Uploads need a connection, a file and a connection each: more than a process is given, and less than it may have.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).ok();
}

impl Listener {
    /// The address, with the port that was chosen where none was given.
    pub(crate) fn address(&self) -> String {
        self.tcp.local_addr().map(|a| a.to_string()).unwrap_or_default()
    }

    /// Says where it listens, and serves until the process closes; what is under way then is finished.
    pub(crate) fn start(self, front: &Arc<Front>) -> JoinHandle<()> {
        self.proxy.tell("proxying", Object::new().with("address", self.address()));
        let front = Arc::clone(front);
        tokio::spawn(async move { self.serve(&front).await })
    }

    async fn serve(self, front: &Arc<Front>) {
        let Self { proxy, tcp, slots } = self;
        let routes = router(Arc::clone(&proxy));
        let looking = tokio::spawn(look(Arc::clone(&proxy)));
        let start = |stream: TcpStream, from: SocketAddr, slot: OwnedSemaphorePermit| {
            let (routes, front, proxy) = (routes.clone(), Arc::clone(front), Arc::clone(&proxy));
            tokio::spawn(async move {
                if let Err(why) = talk(stream, &proxy, routes, &front).await {
                    front.metrics.connection_failed("proxy");
                    let details = Object::new().with("from", from.ip().to_string()).with("found", why);
                    proxy.tell("connection-failed", details);
                }
                drop(slot);
            });
        };
        let tell = |event: &str, details: Object| {
            front.metrics.connection_failed("not taken");
            proxy.tell(event, details);
        };
        connection::accept(&tcp, &slots, front.closing(), start, tell).await;
        // with `tcp`, the address goes too: who comes now is refused at once
        drop(tcp);
        let all = u32::try_from(proxy.config.limits.requests.saturating_mul(CONNECTIONS)).unwrap_or(u32::MAX);
        tokio::time::timeout(LAST_WORDS, slots.acquire_many(all)).await.ok();
        looking.abort();
    }
}

/// Looks at files on the configured rhythm, and at numbers and at what waits every second.
async fn look(proxy: Arc<Proxy>) {
    let rhythm = Duration::from_secs(u64::try_from(proxy.front.config.reload.as_seconds()).unwrap_or(10));
    let mut next = tokio::time::Instant::now() + rhythm;
    loop {
        proxy.front.metrics.proxies.held(&proxy.config.name, proxy.room.held());
        tokio::time::sleep(RHYTHM).await;
        proxy.config.adapter.sweep(proxy.now());
        if tokio::time::Instant::now() < next {
            continue;
        }
        next = tokio::time::Instant::now() + rhythm;
        let own = Arc::clone(&proxy);
        tokio::task::spawn_blocking(move || own.reload()).await.ok();
    }
}

async fn talk(stream: TcpStream, proxy: &Proxy, routes: axum::Router, front: &Front) -> Result<(), String> {
    let stream = connection::handshake(stream, &proxy.certificates.acceptor()).await?;
    let names = Names(connection::client(&stream).map(|der| certificate::names(der).into()));
    let oldest = if proxy.is_stranger(&names) { STRANGER } else { OLDEST };
    let stop = async {
        tokio::select! {
            () = front.closing() => {}
            () = tokio::time::sleep(oldest) => {}
        }
    };
    let is_http2 = connection::is_http2(&stream);
    let stream = Impatient::new(stream, STALL);
    let serving = connection::serve(stream, is_http2, routes.layer(Extension(names)), stop);
    // a request that began last may take its time, and a client that takes nothing of its answer no longer
    let longest = oldest + proxy.config.limits.time * 2 + LAST_WORDS;
    tokio::time::timeout(longest, serving).await.or(Err("it stayed for too long".to_owned()))?
}
