//! Connections: bounded in number, in the time they take to say what they want, and in the size of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use attest::Object;
use axum::Extension;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::certificate;
use crate::config::{CertificateName, Config};
use crate::connection::{self, HTTP1};
use crate::http::{self, Peer};
use crate::service::{Service, ServiceError};
use crate::tls;

const MAX_CONNECTIONS: u32 = 256;
/// For answers that are under way when the service ends.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Where connections come in.
pub(crate) struct Listener {
    tcp: TcpListener,
    tls: TlsAcceptor,
    name: Option<CertificateName>,
    slots: Arc<Semaphore>,
}

impl Listener {
    pub(crate) async fn bind(config: &Config) -> Result<Self, ServiceError> {
        let authorities = config.certificates.as_ref().map(|c| c.ca.as_path());
        let tls = tls::server(&config.tls, authorities, &[HTTP1]).map_err(ServiceError::Tls)?;
        let failed = |e| ServiceError::Io("listen on", config.listen.clone().into(), e);
        Ok(Self {
            tcp: TcpListener::bind(&config.listen).await.map_err(failed)?,
            tls: TlsAcceptor::from(Arc::new(tls)),
            name: config.certificates.as_ref().map(|c| c.identity),
            slots: Arc::new(Semaphore::new(usize::try_from(MAX_CONNECTIONS).unwrap_or(1))),
        })
    }

    /// The address, with the port that was chosen where none was given.
    pub(crate) fn address(&self) -> String {
        self.tcp.local_addr().map(|a| a.to_string()).unwrap_or_default()
    }

    /// Takes connections until the service drains.
    pub(crate) async fn accept(&self, service: &Arc<Service>) {
        let router = http::router(Arc::clone(service));
        let start = |stream, from, slot| self.start((stream, from), slot, router.clone(), service);
        let tell = |event: &str, details| service.tell(event, "", details);
        connection::accept(&self.tcp, &self.slots, service.told_to_stop(), start, tell).await;
    }

    fn start(
        &self,
        (stream, from): (TcpStream, SocketAddr),
        slot: OwnedSemaphorePermit,
        router: axum::Router,
        service: &Arc<Service>,
    ) {
        let (tls, name, service) = (self.tls.clone(), self.name, Arc::clone(service));
        tokio::spawn(async move {
            if let Err(why) = talk(stream, &tls, name, router, &service).await {
                let details = Object::new().with("from", from.ip().to_string()).with("found", why);
                service.tell("connection-failed", "", details);
            }
            drop(slot);
        });
    }

    /// Waits a little for answers that are under way.
    pub(crate) async fn hang_up(&self) {
        tokio::time::timeout(LAST_WORDS, self.slots.acquire_many(MAX_CONNECTIONS)).await.ok();
    }
}

async fn talk(
    stream: TcpStream,
    tls: &TlsAcceptor,
    name: Option<CertificateName>,
    router: axum::Router,
    service: &Service,
) -> Result<(), String> {
    let stream = connection::handshake(stream, tls).await?;
    let leaf = name.zip(connection::client(&stream));
    let peer = Peer(leaf.map(|(name, der)| certificate::identity(der, name)));
    let is_http2 = connection::is_http2(&stream);
    let answering = router.layer(Extension(peer));
    connection::serve(stream, is_http2, answering, service.told_to_stop()).await
}
