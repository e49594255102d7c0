//! The story of a proxy: it listens, knows who comes, and has an adapter answer.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use attest::Object;
use axum::Extension;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::certificate;
use crate::connection::{self, HTTP1, HTTP2};
use crate::proxy::config;
use crate::proxy::handle::{Names, router};
use crate::proxy::hold::Room;
use crate::proxy::upstream::Upstream;
use crate::service::Clock;
use crate::tls;
use crate::webhook::service::Front;
use crate::webhook::{Judge, ServeError};

/// Connections for each request that may be under way.
const CONNECTIONS: usize = 2;
/// A certificate is looked at when a connection begins: so none goes on for longer than this.
const OLDEST: Duration = Duration::from_secs(3600);
/// For what is under way when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(35);

/// One proxy.
pub(crate) struct Proxy {
    config: config::Proxy,
    judge: Arc<dyn Judge>,
    upstream: Upstream,
    room: Arc<Room>,
    places: Arc<Semaphore>,
    clock: Clock,
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
    tls: TlsAcceptor,
    slots: Arc<Semaphore>,
}

impl Proxy {
    /// Binds the address, and opens everything that is named.
    pub(crate) async fn bind(
        config: &config::Proxy,
        judge: &Arc<dyn Judge>,
        clock: &Clock,
    ) -> Result<Listener, ServeError> {
        let authorities = config.clients.as_ref().map(|clients| clients.ca.as_path());
        let tls = tls::server(&config.tls, authorities, &[HTTP2, HTTP1]).map_err(ServeError::Tls)?;
        let upstream = Upstream::open(&config.upstream).map_err(ServeError::Tls)?;
        let failed = |what: String| move |e| ServeError::Io(what, e);
        std::fs::create_dir_all(&config.spool)
            .map_err(failed(format!("make the folder {}", config.spool.display())))?;
        let tcp = TcpListener::bind(&config.listen)
            .await
            .map_err(failed(format!("listen on {}", config.listen)))?;
        let proxy = Self {
            judge: Arc::clone(judge),
            upstream,
            room: Room::of(config.limits.held),
            places: Arc::new(Semaphore::new(config.limits.requests)),
            clock: Arc::clone(clock),
            config: config.clone(),
        };
        Ok(Listener {
            slots: Arc::new(Semaphore::new(config.limits.requests.saturating_mul(CONNECTIONS))),
            proxy: Arc::new(proxy),
            tcp,
            tls: TlsAcceptor::from(Arc::new(tls)),
        })
    }

    pub(crate) fn config(&self) -> &config::Proxy {
        &self.config
    }

    pub(crate) fn judge(&self) -> &dyn Judge {
        self.judge.as_ref()
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(crate) fn places(&self) -> &Arc<Semaphore> {
        &self.places
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Who asks; nothing where anybody may. The error says what a certificate would need.
    pub(crate) fn requester(&self, names: &Names) -> Result<Option<String>, String> {
        let Some(clients) = &self.config.clients else { return Ok(None) };
        let known = |own: &Arc<[String]>| own.iter().find(|name| clients.names.contains(name)).cloned();
        match names.0.as_ref().map(known) {
            Some(Some(name)) => Ok(Some(name)),
            Some(None) => {
                Err("this certificate has no name that `clients: names` of this proxy has".to_owned())
            }
            None => Err("nobody knows who asks: come with a client certificate".to_owned()),
        }
    }
}

impl Listener {
    /// The address, with the port that was chosen where none was given.
    pub(crate) fn address(&self) -> String {
        self.tcp.local_addr().map(|a| a.to_string()).unwrap_or_default()
    }

    /// Says where it listens, and serves until the process closes; what is under way then is finished.
    pub(crate) fn start(self, front: &Arc<Front>) -> JoinHandle<()> {
        let name = self.proxy.config.name.as_str();
        front.tell("proxying", Object::new().with("proxy", name).with("address", self.address()));
        let front = Arc::clone(front);
        tokio::spawn(async move { self.serve(&front).await })
    }

    async fn serve(self, front: &Arc<Front>) {
        let Self { proxy, tcp, tls, slots } = self;
        let routes = router(Arc::clone(&proxy));
        let start = |stream: TcpStream, from: SocketAddr, slot: OwnedSemaphorePermit| {
            let (routes, tls, front, proxy) =
                (routes.clone(), tls.clone(), Arc::clone(front), Arc::clone(&proxy));
            tokio::spawn(async move {
                if let Err(why) = talk(stream, &tls, routes, &front).await {
                    let details = Object::new().with("proxy", proxy.config.name.as_str());
                    let details = details.with("from", from.ip().to_string()).with("found", why);
                    front.tell("connection-failed", details);
                }
                drop(slot);
            });
        };
        let tell = |event: &str, details: Object| {
            front.tell(event, details.with("proxy", proxy.config.name.as_str()))
        };
        connection::accept(&tcp, &slots, front.closing(), start, tell).await;
        let all = u32::try_from(proxy.config.limits.requests.saturating_mul(CONNECTIONS)).unwrap_or(u32::MAX);
        tokio::time::timeout(LAST_WORDS, slots.acquire_many(all)).await.ok();
    }
}

async fn talk(
    stream: TcpStream,
    tls: &TlsAcceptor,
    routes: axum::Router,
    front: &Front,
) -> Result<(), String> {
    let stream = connection::handshake(stream, tls).await?;
    let names = Names(connection::client(&stream).map(|der| certificate::names(der).into()));
    let stop = async {
        tokio::select! {
            () = front.closing() => {}
            () = tokio::time::sleep(OLDEST) => {}
        }
    };
    let is_http2 = connection::is_http2(&stream);
    connection::serve(stream, is_http2, routes.layer(Extension(names)), stop).await
}
