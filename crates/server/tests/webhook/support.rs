//! A choke point with certificates and a judge that does what the test says.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attest::{Json, Object};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use server::webhook::{
    Ask, Choke, Config, Deadline, Judge, Judged, Kept, Look, NoAnswer, NotKept, NotRuled, Question, Reloaded,
    Ruling, Stage, Stages, Told,
};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Does what a review's uid begins with: `slow-MS-…`, `panic-…`, `fail-…`; everything else is admitted.
#[derive(Default)]
pub struct Scripted {
    pub judged: AtomicUsize,
    pub stopped_for_caller: AtomicUsize,
    pub kept: Mutex<Vec<(Kept, String)>>,
    pub is_broken: std::sync::atomic::AtomicBool,
}

pub fn uid(body: &[u8]) -> Result<String, NoAnswer> {
    let malformed = || NoAnswer::Malformed("no uid".to_owned());
    let json = attest::json::parse(body).map_err(|e| NoAnswer::Malformed(e.to_string()))?;
    let request = json.as_object().and_then(|o| o.object("request")).map_err(|_| malformed())?;
    Ok(request.string("uid").map_err(|_| malformed())?.to_owned())
}

impl Judge for Scripted {
    fn judge(&self, ask: &Ask, stages: &mut Stages) -> Result<Judged, NoAnswer> {
        let uid = stages.measure(Stage::Parse, || uid(&ask.body))?;
        self.judged.fetch_add(1, Ordering::SeqCst);
        if let Some(rest) = uid.strip_prefix("slow-") {
            let span = Duration::from_millis(rest.split('-').next().unwrap().parse().unwrap());
            stages.measure(Stage::Judge, || std::thread::sleep(span));
        }
        if uid.starts_with("panic-") {
            panic!("the test says so");
        }
        if uid.starts_with("fail-") {
            return Err(NoAnswer::Failed(uid, "the log is full".to_owned()));
        }
        if ask.deadline.is_over() {
            self.stopped_for_caller.fetch_add(1, Ordering::SeqCst);
        }
        ask.deadline.check()?;
        let response = Object::new().with("uid", uid.as_str()).with("allowed", true);
        let answer = Object::new()
            .with("apiVersion", "admission.k8s.io/v1")
            .with("kind", "AdmissionReview")
            .with("response", response)
            .into();
        let told = Told {
            record: Some((7, "sha256:aa".to_owned())),
            environment: "prod/shop".to_owned(),
            artifact: "shop@sha256:bb".to_owned(),
            decision: "admit".to_owned(),
            basis: "policy".to_owned(),
            rules: Vec::new(),
            unproven: None,
            registry: None,
        };
        Ok(Judged { answer, uid, decisions: vec![told] })
    }

    fn rule(&self, _: Question, _: &Deadline, _: Timestamp) -> Result<Ruling, NotRuled> {
        Err(NotRuled::Failed("nothing is asked but reviews".to_owned()))
    }

    fn keep(&self, kept: Kept, bytes: &[u8], by: &str, _: Timestamp) -> Result<String, NotKept> {
        if bytes == b"{}" {
            return Err(NotKept::Malformed("no envelope".to_owned()));
        }
        self.kept.lock().unwrap().push((kept, by.to_owned()));
        Ok("sha256:cc".to_owned())
    }

    fn look(&self, _: Timestamp) -> Look {
        assert!(!self.is_broken.load(Ordering::SeqCst), "the test says so");
        Look {
            parts: vec![("log", Ok(()))],
            environments: ["prod/shop".to_owned()].into(),
            ..Look::default()
        }
    }

    fn reload(&self, _: Timestamp) -> Vec<Reloaded> {
        Vec::new()
    }
}

pub struct Place {
    pub dir: tempfile::TempDir,
}

pub struct Running {
    pub judge: Arc<Scripted>,
    pub address: String,
    pub metrics: String,
    stop: Option<oneshot::Sender<()>>,
    end: tokio::task::JoinHandle<bool>,
}

impl Place {
    pub fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for ca in ["ca", "rogue"] {
            place.openssl(&format!(
                "req -x509 {key} -keyout {ca}.key -out {ca}.pem -days 2 -subj /CN={ca} -addext basicConstraints=critical,CA:TRUE"
            ));
        }
        place.certificate("server", "ca", "IP:127.0.0.1", 2);
        place.certificate("kube-apiserver", "ca", "DNS:other.example", 2);
        place.certificate("ci", "ca", "DNS:ci.example", 2);
        place.certificate("rogue-apiserver", "rogue", "DNS:kube-apiserver", 2);
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn openssl(&self, args: &str) {
        let output = Command::new("openssl")
            .args(args.split_whitespace())
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn certificate(&self, name: &str, ca: &str, san: &str, days: i32) {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        self.openssl(&format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        fs::write(self.at("san"), format!("subjectAltName={san}\n")).unwrap();
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days {days} -extfile san -out {name}.pem"
        ));
    }

    pub fn config(&self, extra: &str) -> Config {
        let text = format!(
            "book: book
trust-root: trust-root.yaml
log: {{ path: log, origin: test.example/log, key: log.key }}
evidence: evidence
state: state
reload: 1s
metrics: {{ listen: 127.0.0.1:0 }}
attach: {{ names: [ci.example] }}
webhook:
  listen: 127.0.0.1:0
  tls: {{ certificate: server.pem, key: server.key }}
  clients: {{ ca: ca.pem, names: [kube-apiserver] }}
  body: 64KiB
  drain: 1s
  cluster: test
  environments: [{{ environment: prod/shop, namespaces: [shop] }}]
{extra}"
        );
        Config::parse(&self.at("serve.yaml"), &text).unwrap()
    }

    pub async fn start(&self, extra: &str) -> Running {
        let judge = Arc::new(Scripted::default());
        #[expect(clippy::disallowed_methods, reason = "the edge at which time enters, in a test")]
        let clock = || Timestamp::now();
        let choke = Choke::bind(self.config(extra), Arc::clone(&judge) as _, Arc::new(clock)).await.unwrap();
        let (address, metrics) = (choke.address(), choke.metrics_address());
        let (stop, stopped) = oneshot::channel::<()>();
        let end = tokio::spawn(choke.run(async move { drop(stopped.await) }));
        Running { judge, address, metrics, stop: Some(stop), end }
    }

    /// A TLS connection as somebody, or as nobody.
    pub async fn connect(
        &self,
        running: &Running,
        name: &str,
        protocol: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.at("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = if name.is_empty() {
            builder.with_no_client_auth()
        } else {
            let chain = vec![CertificateDer::from_pem_file(self.at(&format!("{name}.pem"))).unwrap()];
            let key = PrivateKeyDer::from_pem_file(self.at(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let tcp = TcpStream::connect(&running.address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    /// One request on a connection of its own.
    pub async fn send(
        &self,
        running: &Running,
        name: &str,
        request: Request<Full<Bytes>>,
    ) -> Option<(u16, String)> {
        let stream = self.connect(running, name, "http/1.1").await.ok()?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }

    pub async fn ask(&self, running: &Running, uid: &str) -> (u16, String) {
        self.send(running, "kube-apiserver", review(uid, "10s")).await.unwrap()
    }
}

impl Running {
    /// Tells it to stop; it goes on for a while.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub async fn end(self) -> bool {
        tokio::time::timeout(Duration::from_secs(20), self.end).await.unwrap().unwrap()
    }

    pub async fn read(&self, path: &str) -> (u16, String) {
        let tcp = TcpStream::connect(&self.metrics).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(path).header("host", "metrics").body(Full::<Bytes>::default()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// The value of a series.
    pub async fn series(&self, name: &str) -> f64 {
        let (_, text) = self.read("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until a series has at least this value.
    pub async fn wait_for(&self, name: &str, least: f64) {
        for _ in 0..100 {
            let (_, text) = self.read("/metrics").await;
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            if value.is_some_and(|v| v.parse::<f64>().unwrap() >= least) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} never came to {least}: {}", self.read("/metrics").await.1);
    }
}

pub fn review(uid: &str, timeout: &str) -> Request<Full<Bytes>> {
    let body = Object::new()
        .with("apiVersion", "admission.k8s.io/v1")
        .with("kind", "AdmissionReview")
        .with("request", Object::new().with("uid", uid));
    post(&format!("/v1/kubernetes/validate?timeout={timeout}"), Json::from(body).to_string().into_bytes())
}

pub fn post(path: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("host", "webhook").header("content-type", "application/json");
    request.body(Full::new(Bytes::from(body))).unwrap()
}

pub fn put(path: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::put(path).header("host", "webhook").header("content-type", "application/json");
    request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

pub async fn http2(stream: TlsStream<TcpStream>) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let io = TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}
