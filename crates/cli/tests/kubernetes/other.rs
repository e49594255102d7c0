//! Somebody else's webhook: a small TLS server that says yes, injects a sidecar, or misbehaves.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attest::{Json, Object};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::fixtures::base64;
use super::process::Folder;
use super::schema::at;

/// What it says.
#[derive(Clone, Debug)]
pub enum Manner {
    Yes,
    /// Adds a container with this image to every Pod that has none of that name.
    Inject(String),
    Slow(Duration),
    Status(u16),
    WrongUid,
    Truncated,
}

pub struct Other {
    pub url: String,
    /// The reviews that came, and the subject of the certificate that each caller showed.
    pub seen: Arc<Seen>,
}

impl Other {
    /// Starts it. Only somebody with a certificate of `webhook-clients` is let in.
    pub fn start(folder: &Folder, manner: Manner) -> Self {
        let config = Arc::new(config(folder));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, manner, seen) = (Arc::clone(&config), manner.clone(), Arc::clone(&kept));
                // a caller that hangs up, or that does not get in, ends its own connection only
                std::thread::spawn(move || serve(stream, config, &manner, &seen).ok());
            }
        });
        Self { url, seen }
    }
}

fn config(folder: &Folder) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates =
        |name: &str| CertificateDer::pem_file_iter(folder.at(name)).unwrap().map(Result::unwrap);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("webhook-clients.pem"));
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            certificates("webhook.pem").collect(),
            PrivateKeyDer::from_pem_file(folder.at("webhook.key")).unwrap(),
        )
        .unwrap()
}

type Seen = Mutex<Vec<(Json, Vec<u8>)>>;

fn serve(stream: TcpStream, config: Arc<ServerConfig>, manner: &Manner, seen: &Seen) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let review = attest::json::parse(&body).map_err(std::io::Error::other)?;
        let (status, answer) = answer(&review, manner);
        let peer = stream.get_ref().conn.peer_certificates().and_then(<[_]>::first);
        let certificate = peer.map(|certificate| certificate.to_vec()).unwrap_or_default();
        seen.lock().unwrap().push((review, certificate));
        let length = answer.len();
        let cut = if matches!(manner, Manner::Truncated) { &answer[..length / 2] } else { &answer[..] };
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{cut}",
            cut.len()
        )?;
        stream.get_mut().flush()?;
    }
}

fn answer(review: &Json, manner: &Manner) -> (u16, String) {
    let uid = at(review, &["request", "uid"]).unwrap().as_str().unwrap();
    let uid = if matches!(manner, Manner::WrongUid) { "another" } else { uid };
    let mut response = Object::new().with("uid", uid).with("allowed", true);
    if let Manner::Inject(image) = manner {
        let container = Object::new().with("name", "injected").with("image", image.as_str());
        let operation =
            Object::new().with("op", "add").with("path", "/spec/containers/-").with("value", container);
        let names = at(review, &["request", "object", "spec", "containers"]).unwrap().to_string();
        if !names.contains("\"injected\"") {
            let patch = Json::Array(vec![operation.into()]).to_string();
            response.set("patchType", "JSONPatch");
            response.set("patch", base64(patch.as_bytes()));
        }
    }
    if let Manner::Slow(time) = manner {
        std::thread::sleep(*time);
    }
    let status = if let Manner::Status(status) = manner { *status } else { 200 };
    let answer = Object::new()
        .with("apiVersion", "admission.k8s.io/v1")
        .with("kind", "AdmissionReview")
        .with("response", response);
    (status, Json::from(answer).to_string())
}
