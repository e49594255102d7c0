//! A witness as a service: C2SP `tlog-witness` over HTTP, and, for a log's own process, the asking of witnesses.
//!
//! Nobody has to say who he is: the log's signature on what he brings is what counts.

mod ask;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use attest::Object;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use http_body_util::{BodyExt as _, Limited};
use tlog::Storage;
use tlog::witness::{Cosigned, MAX_REQUEST, Refused, Witness};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::config::KeyPair;
use crate::connection::{self, HTTP1, PATIENCE};
use crate::event;
use crate::service::Clock;
use crate::tls::{self, TlsError};

pub use ask::{HttpError, Https, Publisher, Settings, Standing, Tell, start};

const MAX_CONNECTIONS: u32 = 256;
/// Checkpoints that are looked at at the same time; each waits for the disk.
const THREADS: usize = 16;
/// For answers that are under way when the witness ends.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Where a witness listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address and port.
    pub address: String,
    /// The certificate and its key; nothing means plain HTTP, for a proxy in front or for this machine alone.
    pub tls: Option<KeyPair>,
}

/// Why a witness does not listen.
#[derive(Debug)]
pub enum ListenError {
    /// An address, a thread, or a signal; the first field says what was to be done.
    Io(String, io::Error),
    /// A key or a certificate.
    Tls(TlsError),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(what, e) => write!(f, "cannot {what}: {e}"),
            Self::Tls(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for ListenError {}

/// What every request works with.
struct Front<S> {
    witness: Witness<S>,
    clock: Clock,
}

impl<S> Front<S> {
    fn tell(&self, event: &str, details: Object) {
        event::tell((self.clock)(), event, details);
    }
}

/// Serves until the process is told to stop (SIGTERM or SIGINT). `ready` is told the address once it listens.
///
/// # Errors
/// [`ListenError`] where it cannot begin.
pub fn serve<S: Storage + Send + Sync + 'static>(
    listen: &Listen,
    witness: Witness<S>,
    clock: Clock,
    ready: impl FnOnce(&str),
) -> Result<(), ListenError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .build()
        .map_err(|e| ListenError::Io("start threads".to_owned(), e))?;
    runtime.block_on(run(listen, Arc::new(Front { witness, clock }), ready))
}

async fn run<S: Storage + Send + Sync + 'static>(
    listen: &Listen,
    front: Arc<Front<S>>,
    ready: impl FnOnce(&str),
) -> Result<(), ListenError> {
    let tls = match &listen.tls {
        None => None,
        Some(pair) => {
            let config = tls::server(pair, None, &[HTTP1]).map_err(ListenError::Tls)?;
            Some(TlsAcceptor::from(Arc::new(config)))
        }
    };
    let failed = |e| ListenError::Io(format!("listen on {}", listen.address), e);
    let tcp = TcpListener::bind(&listen.address).await.map_err(failed)?;
    let address = tcp.local_addr().map(|a| a.to_string()).map_err(failed)?;
    let stopped = stop_on_signals().map_err(|e| ListenError::Io("wait for signals".to_owned(), e))?;
    let slots = Arc::new(Semaphore::new(usize::try_from(MAX_CONNECTIONS).unwrap_or(1)));
    let routes = Router::new()
        .route("/add-checkpoint", post(add_checkpoint::<S>))
        .fallback(async || plain(404, "there is only POST /add-checkpoint here\n".to_owned()))
        .method_not_allowed_fallback(async || plain(405, "wanted POST\n".to_owned()))
        .with_state(Arc::clone(&front));
    ready(&address);
    front.tell("listening", Object::new().with("address", address));
    let start = |stream, _, slot: OwnedSemaphorePermit| {
        let (tls, routes, front) = (tls.clone(), routes.clone(), Arc::clone(&front));
        let stop = until(stopped.clone());
        tokio::spawn(async move {
            if let Err(why) = talk(stream, tls, routes, stop).await {
                front.tell("connection-failed", Object::new().with("found", why));
            }
            drop(slot);
        });
    };
    let tell = |event: &str, details| front.tell(event, details);
    connection::accept(&tcp, &slots, until(stopped.clone()), start, tell).await;
    drop(tcp);
    tokio::time::timeout(LAST_WORDS, slots.acquire_many(MAX_CONNECTIONS)).await.ok();
    front.tell("stopped", Object::new());
    Ok(())
}

async fn talk(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    routes: Router,
    stop: impl Future<Output = ()>,
) -> Result<(), String> {
    match tls {
        None => connection::serve(stream, false, routes, stop).await,
        Some(tls) => {
            let stream = connection::handshake(stream, &tls).await?;
            connection::serve(stream, false, routes, stop).await
        }
    }
}

fn stop_on_signals() -> io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tell.send_replace(true);
    });
    Ok(told)
}

async fn until(mut stopped: watch::Receiver<bool>) {
    stopped.wait_for(|is_stopped| *is_stopped).await.ok();
}

async fn add_checkpoint<S: Storage + Send + Sync + 'static>(
    State(front): State<Arc<Front<S>>>,
    body: Body,
) -> Response {
    let read = tokio::time::timeout(PATIENCE, Limited::new(body, MAX_REQUEST).collect()).await;
    let body = match read {
        Err(_) => return plain(408, "the body took too long\n".to_owned()),
        Ok(Err(_)) => return plain(413, format!("wanted a body of at most {MAX_REQUEST} bytes\n")),
        Ok(Ok(body)) => body.to_bytes(),
    };
    // on a thread that may wait for the disk, and to the end although the asker goes away
    let judged = tokio::task::spawn_blocking(move || judge(&front, &body)).await;
    judged.unwrap_or_else(|_| plain(500, "the witness failed\n".to_owned()))
}

fn judge<S: Storage>(front: &Front<S>, body: &[u8]) -> Response {
    let answer = front.witness.add_checkpoint(body, (front.clock)());
    match &answer {
        Ok(cosigned) => front.tell("cosigned", told(cosigned)),
        // anybody can send these: they must not fill the disk on which events are kept
        Err(Refused::Malformed(_) | Refused::UnknownLog(_) | Refused::Signature(_)) => {}
        Err(refused) => front.tell(refusal_event(refused), Object::new().with("found", refused.to_string())),
    }
    match answer {
        Ok(cosigned) => plain(200, cosigned.line),
        Err(refused) => {
            let (content_type, body) = refused.body();
            respond(refused.status(), content_type, body)
        }
    }
}

fn told(cosigned: &Cosigned) -> Object {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    Object::new()
        .with("origin", cosigned.checkpoint.origin.as_str())
        .with("size", number(cosigned.checkpoint.size))
        .with("before", number(cosigned.before))
        .with("root", attest::digest::to_hex(&cosigned.checkpoint.root))
}

/// A fork that a log signed is what a witness is for: it must not drown among typing errors.
fn refusal_event(refused: &Refused) -> &'static str {
    if refused.is_misbehaviour() { "not-continued" } else { "refused" }
}

fn plain(status: u16, body: String) -> Response {
    respond(status, "text/plain; charset=utf-8", body)
}

fn respond(status: u16, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
