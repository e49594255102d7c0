//! Connections: bounded in number, in the time they take to say what they want, and in the size of it.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use attest::Object;
use axum::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::certificate;
use crate::config::{CertificateName, Config};
use crate::http::{self, Peer};
use crate::service::{Service, ServiceError};
use crate::tls;

const MAX_CONNECTIONS: u32 = 256;
/// For the handshake, and for the head of each request.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 64;
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
        let tls = tls::server(config).map_err(ServiceError::Tls)?;
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
        loop {
            let accepted = tokio::select! {
                () = service.told_to_stop() => return,
                accepted = self.tcp.accept() => accepted,
            };
            match accepted {
                // with no slot left the connection is closed at once: who waits in line could wait for ever
                Ok((stream, from)) => match Arc::clone(&self.slots).try_acquire_owned() {
                    Ok(slot) => self.start((stream, from), slot, router.clone(), service),
                    Err(_) => {
                        service.tell("connection-refused", "", Object::new().with("limit", "connections"))
                    }
                },
                Err(e) => {
                    // no descriptors left, or the peer gone: neither ends the service
                    service.tell("accept-failed", "", Object::new().with("found", e.to_string()));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
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
    stream.set_nodelay(true).ok();
    let handshake = tokio::time::timeout(PATIENCE, tls.accept(stream)).await;
    let stream = handshake.or(Err("the TLS handshake took too long"))?.map_err(|e| e.to_string())?;
    let certificates = stream.get_ref().1.peer_certificates();
    let leaf = name.zip(certificates.and_then(<[_]>::first));
    let peer = Peer(leaf.map(|(name, der)| certificate::identity(der, name)));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(MAX_HEAD);
    builder.max_headers(MAX_HEADERS);
    let answering = TowerToHyperService::new(router.layer(Extension(peer)));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answering));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = service.told_to_stop() => {
            // the answer that is under way is finished, and no other begun
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // a peer that goes away in the middle is no event
    result.or_else(|e| if e.is_timeout() { Err(e.to_string()) } else { Ok(()) })
}
