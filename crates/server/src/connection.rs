//! One connection: TLS, then HTTP/1.1 or HTTP/2 as the handshake agreed, bounded in time and size.
//!
//! The version is never guessed from the first bytes: who sends none would then wait for ever.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use attest::Object;
use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// For the handshake, and for the head of each request.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const HTTP1: &[u8] = b"http/1.1";
pub(crate) const HTTP2: &[u8] = b"h2";
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 64;
/// Requests at once on one connection of HTTP/2.
const MAX_STREAMS: u32 = 512;
/// A peer that does not answer a ping is gone.
const PING: Duration = Duration::from_secs(30);

/// Takes connections until `stop`, as many at once as there are slots. With none left a connection is closed at once:
/// who waits in line could wait for ever.
pub(crate) async fn accept(
    tcp: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: impl Future<Output = ()>,
    mut start: impl FnMut(TcpStream, SocketAddr, OwnedSemaphorePermit),
    tell: impl Fn(&str, Object),
) {
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = stop.as_mut() => return,
            accepted = tcp.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => match Arc::clone(slots).try_acquire_owned() {
                Ok(slot) => start(stream, from, slot),
                Err(_) => tell("connection-refused", Object::new().with("limit", "connections")),
            },
            Err(e) => {
                // no descriptors left, or the peer gone: neither ends the service
                tell("accept-failed", Object::new().with("found", e.to_string()));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The TLS handshake.
pub(crate) async fn handshake(stream: TcpStream, tls: &TlsAcceptor) -> Result<TlsStream<TcpStream>, String> {
    stream.set_nodelay(true).ok();
    let handshake = tokio::time::timeout(PATIENCE, tls.accept(stream)).await;
    handshake.or(Err("the TLS handshake took too long"))?.map_err(|e| e.to_string())
}

/// The client's certificate, which TLS has verified; nothing where it showed none.
pub(crate) fn client(stream: &TlsStream<TcpStream>) -> Option<&CertificateDer<'static>> {
    stream.get_ref().1.peer_certificates().and_then(<[_]>::first)
}

/// Whether the handshake agreed on HTTP/2.
pub(crate) fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

/// Answers requests until the peer goes away, or until `stop`: then what is under way is finished, and nothing begun.
pub(crate) async fn serve<I>(
    stream: I,
    is_http2: bool,
    router: Router,
    stop: impl Future<Output = ()>,
) -> Result<(), String>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (io, answering) = (TokioIo::new(stream), TowerToHyperService::new(router));
    let result = if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PATIENCE);
        builder.max_concurrent_streams(MAX_STREAMS).max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(0));
        let mut connection = pin!(builder.serve_connection(io, answering));
        tokio::select! {
            result = connection.as_mut() => result,
            () = stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(MAX_HEAD);
        builder.max_headers(MAX_HEADERS);
        let mut connection = pin!(builder.serve_connection(io, answering));
        tokio::select! {
            result = connection.as_mut() => result,
            () = stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    // a peer that goes away in the middle is no event
    result.or_else(|e| if e.is_timeout() { Err(e.to_string()) } else { Ok(()) })
}
