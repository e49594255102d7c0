//! Many Pods over a few connections that stay: what a cluster under load sends, without a kubectl for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::kubernetes::cluster::{Cluster, Person};

/// What came of one request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub number: usize,
    /// 0: no answer came.
    pub status: u16,
    pub body: String,
    pub sent: Instant,
    pub took: Duration,
}

impl Answer {
    pub fn is_created(&self) -> bool {
        self.status == 201
    }
}

/// Makes the manifest with this number; nothing ends the load.
pub type Make = dyn Fn(usize) -> Option<String> + Send + Sync;

struct Target {
    tls: TlsConnector,
    port: u16,
    path: String,
}

/// Sends Pods until there are no more, so many at a time, each connection with a pause between two.
pub fn run(
    cluster: &Cluster,
    namespace: &str,
    connections: usize,
    pause: Duration,
    make: &Arc<Make>,
) -> Vec<Answer> {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let target = Arc::new(Target { tls: connector(cluster), port: cluster.port, path });
    let next = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (target, next, make) = (Arc::clone(&target), Arc::clone(&next), Arc::clone(make));
            tasks.push(tokio::spawn(async move { send_all(&target, &next, &*make, pause).await }));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        all.sort_by_key(|answer| answer.sent);
        all
    })
}

async fn send_all(target: &Target, next: &AtomicUsize, make: &Make, pause: Duration) -> Vec<Answer> {
    let (mut all, mut connection) = (Vec::new(), None);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(text) = make(number) else { return all };
        let sent = Instant::now();
        let result = tokio::time::timeout(Duration::from_secs(40), send(target, &mut connection, text)).await;
        let (status, body) = result.unwrap_or_else(|_| Err("no answer".to_owned())).unwrap_or_else(|why| {
            connection = None;
            (0, why)
        });
        all.push(Answer { number, status, body, sent, took: sent.elapsed() });
        // a server that is gone is asked again, but not as fast as one can
        tokio::time::sleep(if status == 0 { Duration::from_millis(50) } else { pause }).await;
    }
}

type Connection = Option<SendRequest<Full<Bytes>>>;

async fn send(target: &Target, connection: &mut Connection, text: String) -> Result<(u16, String), String> {
    if connection.as_ref().is_none_or(SendRequest::is_closed) {
        *connection = Some(connect(target).await?);
    }
    let request = Request::post(&target.path)
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .body(Full::new(Bytes::from(text)))
        .unwrap();
    let sender = connection.as_mut().unwrap();
    sender.ready().await.map_err(|e| e.to_string())?;
    let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, String> {
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", target.port)).await.map_err(|e| e.to_string())?;
    tcp.set_nodelay(true).ok();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = target.tls.connect(name, tcp).await.map_err(|e| e.to_string())?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}

fn connector(cluster: &Cluster) -> TlsConnector {
    let at = |name: &str| cluster.folder.at(name);
    let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(at(name)).unwrap().map(Result::unwrap).collect()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("cluster.pem"));
    let who = Person::Tenant.name();
    let key = PrivateKeyDer::from_pem_file(at(&format!("{who}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&format!("{who}.pem")), key)
        .unwrap();
    TlsConnector::from(Arc::new(config))
}

/// Runs something while Pods of this manifest are created, `{n}` in it the number; gives what came of each.
pub fn during(
    cluster: &Cluster,
    namespace: &str,
    manifest: &str,
    act: impl FnOnce(&dyn Fn() -> usize),
) -> Vec<Answer> {
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (stopped, counted, manifest) = (Arc::clone(&stop), Arc::clone(&sent), manifest.to_owned());
    let make: Arc<Make> = Arc::new(move |number| {
        counted.fetch_max(number, Ordering::Relaxed);
        (!stopped.load(Ordering::Relaxed)).then(|| manifest.replace("{n}", &number.to_string()))
    });
    std::thread::scope(|scope| {
        let load = scope.spawn(|| run(cluster, namespace, 8, Duration::from_millis(20), &make));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            act(&|| sent.load(Ordering::Relaxed));
        }));
        stop.store(true, Ordering::Relaxed);
        let answers = load.join().unwrap();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        answers
    })
}

/// Says how many of them were created, and how long it was between the first that was not and the next that was.
pub fn tell(what: &str, answers: &[Answer]) {
    let created = answers.iter().filter(|answer| answer.is_created()).count();
    let share = 100.0 * created as f64 / answers.len() as f64;
    let lost = answers.iter().filter(|answer| !answer.is_created());
    let gap =
        lost.clone().map(|answer| answer.sent).min().zip(lost.map(|answer| answer.sent + answer.took).max());
    let gap = gap.map(|(from, until)| until - from).unwrap_or_default();
    let longest = answers.iter().map(|answer| answer.took).max().unwrap_or_default();
    eprintln!(
        "{what}: {created} of {} Pods created ({share:.1} %); not available for {:.2} s; the longest request took {:.2} s",
        answers.len(),
        gap.as_secs_f64(),
        longest.as_secs_f64()
    );
}

/// So many of a hundred took no longer than this.
pub fn percentile(answers: &[Answer], hundredth: usize) -> Duration {
    let mut took: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    took.sort();
    took[(took.len() - 1) * hundredth / 100]
}
