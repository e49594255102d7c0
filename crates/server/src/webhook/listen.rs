//! Connections of the API server and of those who bring evidence, and of those who read metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use attest::Object;
use axum::{Extension, Router};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::certificate;
use crate::connection;
use crate::webhook::http::{Caller, Permission, metrics_router, permitted, router};
use crate::webhook::service::Front;

const MAX_CONNECTIONS: u32 = 1024;
const MAX_READERS: u32 = 64;
/// A certificate is looked at when a connection begins: so none goes on for longer than this.
const OLDEST: Duration = Duration::from_secs(3600);
/// Who may do nothing is told so, and leaves the place to others.
const STRANGER: Duration = Duration::from_secs(10);

/// An address, and how many may be connected to it.
#[derive(Debug)]
pub(crate) struct Door {
    tcp: TcpListener,
    slots: Arc<Semaphore>,
    most: u32,
}

impl Door {
    pub(crate) async fn main(address: &str) -> std::io::Result<Self> {
        Self::bind(address, MAX_CONNECTIONS).await
    }

    pub(crate) async fn metrics(address: &str) -> std::io::Result<Self> {
        Self::bind(address, MAX_READERS).await
    }

    async fn bind(address: &str, most: u32) -> std::io::Result<Self> {
        let slots = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(1)));
        Ok(Self { tcp: TcpListener::bind(address).await?, slots, most })
    }

    /// The address, with the port that was chosen where none was given.
    pub(crate) fn address(&self) -> String {
        self.tcp.local_addr().map(|a| a.to_string()).unwrap_or_default()
    }

    /// Takes connections over TLS until the choke point closes; gives those that are still open.
    pub(crate) async fn serve(self, front: &Arc<Front>) -> Open {
        let routes = router(Arc::clone(front));
        let start = |stream, from: SocketAddr, slot: OwnedSemaphorePermit| {
            let (routes, front) = (routes.clone(), Arc::clone(front));
            tokio::spawn(async move {
                if let Err(why) = talk(stream, routes, &front).await {
                    front.metrics.connection_failed("tls");
                    let details = Object::new().with("from", from.ip().to_string()).with("found", why);
                    front.tell("connection-failed", details);
                }
                drop(slot);
            });
        };
        let tell = |event: &str, details| {
            front.metrics.connection_failed("not taken");
            front.tell(event, details);
        };
        connection::accept(&self.tcp, &self.slots, front.closing(), start, tell).await;
        // with `tcp`, the address goes too: who comes now is refused at once, and does not wait where nobody takes him
        Open { slots: self.slots, most: self.most }
    }

    /// Takes connections of those who read metrics, without TLS, until the very end.
    pub(crate) async fn serve_metrics(&self, front: &Arc<Front>) {
        let routes = metrics_router(Arc::clone(front));
        let start = |stream, _, slot: OwnedSemaphorePermit| {
            let routes = routes.clone();
            tokio::spawn(async move {
                connection::serve::<TcpStream>(stream, false, routes, std::future::pending()).await.ok();
                drop(slot);
            });
        };
        let tell = |event: &str, details| front.tell(event, details);
        connection::accept(&self.tcp, &self.slots, std::future::pending(), start, tell).await;
    }
}

/// Connections that are open where no more are taken.
#[derive(Debug)]
pub(crate) struct Open {
    slots: Arc<Semaphore>,
    most: u32,
}

impl Open {
    /// Waits until the last connection is gone, and no longer than this.
    pub(crate) async fn hang_up(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.slots.acquire_many(self.most)).await.is_ok()
    }
}

async fn talk(stream: TcpStream, routes: Router, front: &Arc<Front>) -> Result<(), String> {
    let stream = connection::handshake(stream, &front.certificates.acceptor()).await?;
    let names = connection::client(&stream).map(|der| certificate::names(der));
    let caller = Caller(names.map(Into::into));
    let may_decide = front.decisions.as_ref().is_some_and(|deciding| deciding.knows(&caller));
    let may_sign = front.signing.as_ref().is_some_and(|releasing| releasing.knows(&caller));
    let is_stranger = !(may_decide || may_sign)
        && [Permission::Ask, Permission::Attach].iter().all(|p| permitted(front, &caller, *p).is_err());
    let stop = async {
        tokio::select! {
            () = front.closing() => {}
            () = tokio::time::sleep(if is_stranger { STRANGER } else { OLDEST }) => {}
        }
    };
    let is_http2 = connection::is_http2(&stream);
    connection::serve(stream, is_http2, routes.layer(Extension(caller)), stop).await
}
