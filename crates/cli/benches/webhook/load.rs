//! Requests over keep-alive connections: as many as go (closed loop), or so many a second (open loop).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fixture::Fixture;

/// Connections that an open loop may use: more than a server that keeps up ever needs at once.
const OPEN_CONNECTIONS: usize = 64;

/// A server under load.
pub struct Target {
    port: u16,
    tls: Arc<rustls::ClientConfig>,
    bodies: Arc<Vec<Bytes>>,
}

/// What came of a load.
#[derive(Default)]
pub struct Load {
    micros: Vec<u32>,
    elapsed: Duration,
    pub failed: usize,
    pub cpu: Duration,
    pub memory: u64,
}

impl Load {
    pub fn count(&self) -> usize {
        self.micros.len()
    }

    pub fn throughput(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64()
    }

    /// Milliseconds.
    pub fn quantile(&self, q: f64) -> f64 {
        let at = ((self.micros.len() as f64 * q) as usize).min(self.micros.len().saturating_sub(1));
        self.micros.get(at).map_or(f64::NAN, |m| f64::from(*m) / 1000.0)
    }

    fn of(parts: Vec<(Vec<u32>, usize)>, elapsed: Duration) -> Self {
        let mut load = Self { elapsed, ..Self::default() };
        for (micros, failed) in parts {
            load.micros.extend(micros);
            load.failed += failed;
        }
        load.micros.sort_unstable();
        load
    }
}

impl Target {
    pub fn new(fixture: &Fixture, port: u16) -> Self {
        Self { port, tls: fixture.client_tls(), bodies: Arc::clone(&fixture.bodies) }
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

/// Sends one review; whether it was admitted.
async fn ask(sender: &mut SendRequest<Full<Bytes>>, body: &Bytes) -> bool {
    let request = hyper::Request::post("/v1/kubernetes/validate?timeout=10s")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(body.clone()))
        .unwrap();
    if sender.ready().await.is_err() {
        return false;
    }
    let Ok(response) = sender.send_request(request).await else { return false };
    let Ok(body) = response.into_body().collect().await else { return false };
    let body = body.to_bytes();
    body.windows(14).any(|w| w == b"\"allowed\":true")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn micros(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// So many requests, one after the other over one connection.
pub fn counted(target: &Target, requests: usize) -> Load {
    runtime().block_on(async {
        let (mut sender, start) = (target.connect().await, Instant::now());
        let (mut times, mut failed) = (Vec::new(), 0);
        for body in target.bodies.iter().cycle().take(requests) {
            let asked = Instant::now();
            failed += usize::from(!ask(&mut sender, body).await);
            times.push(micros(asked));
        }
        Load::of(vec![(times, failed)], start.elapsed())
    })
}

/// Each connection asks again as soon as it has its answer.
pub fn closed(target: &Target, connections: usize, time: Duration) -> Load {
    runtime().block_on(async {
        let mut senders = Vec::new();
        for _ in 0..connections {
            senders.push(target.connect().await);
        }
        let (next, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let tasks: Vec<_> = senders
            .into_iter()
            .map(|mut sender| {
                let (bodies, next) = (Arc::clone(&target.bodies), Arc::clone(&next));
                tokio::spawn(async move {
                    let (mut times, mut failed) = (Vec::new(), 0);
                    while start.elapsed() < time {
                        let body = &bodies[next.fetch_add(1, Ordering::Relaxed) % bodies.len()];
                        let asked = Instant::now();
                        failed += usize::from(!ask(&mut sender, body).await);
                        times.push(micros(asked));
                    }
                    (times, failed)
                })
            })
            .collect();
        gather(tasks, start).await
    })
}

/// `rate` requests a second, whether or not earlier ones were answered; latency counts from the due moment.
pub fn open(target: &Target, rate: u32, time: Duration) -> Load {
    runtime().block_on(async {
        let mut senders = Vec::new();
        for _ in 0..OPEN_CONNECTIONS {
            senders.push(target.connect().await);
        }
        let (next, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let tasks: Vec<_> = senders
            .into_iter()
            .map(|mut sender| {
                let (bodies, next) = (Arc::clone(&target.bodies), Arc::clone(&next));
                tokio::spawn(async move {
                    let (mut times, mut failed) = (Vec::new(), 0);
                    loop {
                        // whoever is free takes the next request; one that is late is late by its own clock
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let due = start + Duration::from_secs_f64(number as f64 / f64::from(rate));
                        if due > start + time {
                            return (times, failed);
                        }
                        tokio::time::sleep_until(due.into()).await;
                        failed += usize::from(!ask(&mut sender, &bodies[number % bodies.len()]).await);
                        times.push(micros(due));
                    }
                })
            })
            .collect();
        gather(tasks, start).await
    })
}

async fn gather(tasks: Vec<tokio::task::JoinHandle<(Vec<u32>, usize)>>, start: Instant) -> Load {
    let mut parts = Vec::new();
    for task in tasks {
        parts.push(task.await.unwrap());
    }
    Load::of(parts, start.elapsed())
}
