//! A real `portcullis builder serve` with certificates, tokens and a fake build.
#![allow(dead_code, reason = "not every test uses every function")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attest::{Json, Object};
use server::{Client, ClientTls};

use crate::tools::certificates::{authority, certificate};

pub const REPOSITORY: &str = "https://git.example/acme/shop";
pub const SECRET: &str = "https://git.example/acme/secret";

/// A folder with everything that a service needs.
pub struct Place {
    pub dir: tempfile::TempDir,
    signer: UnixListener,
}

pub struct Running {
    child: Child,
    pub url: String,
    pub events: Arc<Mutex<Vec<String>>>,
}

impl Place {
    pub fn new(extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("ledger")).unwrap();
        let signer = UnixListener::bind(dir.path().join("signer.sock")).unwrap();
        let place = Self { dir, signer };
        place.certificates();
        let at = |name: &str| place.at(name).display().to_string();
        let script =
            include_str!("fake-build.sh").replace("TESTDIR", &place.dir.path().display().to_string());
        fs::write(place.at("fake-build"), script).unwrap();
        fs::set_permissions(place.at("fake-build"), fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!(
            "listen: 127.0.0.1:0
tls: {{ certificate: {}, key: {} }}
certificates: {{ ca: {}, identity: uri }}
issuers:
  - {{ issuer: \"https://token.example\", audience: portcullis, algorithm: ES256, keys: {{ file: {} }}, identity: sub, claims: {{ owner: acme }} }}
repositories:
  - url: {REPOSITORY}
    protected: main
    refs: [main, \"release/*\"]
    may-build: [{{ certificate: \"spiffe://acme/ci\" }}, {{ issuer: \"https://token.example\", identity: bot }}]
    may-read: [{{ certificate: \"spiffe://acme/auditor\" }}]
  - url: {SECRET}
    protected: main
    refs: [main]
    may-build: [{{ certificate: \"spiffe://acme/boss\" }}]
state: {}
store: {}
signer: {}
{extra}",
            at("server.pem"),
            at("server.key"),
            at("ca.pem"),
            at("jwks.json"),
            at("state"),
            at("store"),
            at("signer.sock"),
        );
        fs::write(place.at("service.yaml"), config).unwrap();
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn certificates(&self) {
        ["ca", "rogue"].iter().for_each(|name| authority(self.dir.path(), name));
        for (name, ca, san) in [
            ("server", "ca", "IP:127.0.0.1"),
            ("ci", "ca", "URI:spiffe://acme/ci"),
            ("auditor", "ca", "URI:spiffe://acme/auditor"),
            ("nobody", "ca", "URI:spiffe://acme/nobody"),
            ("twofold", "ca", "URI:spiffe://acme/ci,URI:spiffe://acme/boss"),
            ("rogue-ci", "rogue", "URI:spiffe://acme/ci"),
        ] {
            certificate(self.dir.path(), ca, name, san);
        }
    }

    /// Starts the service, and waits until it listens.
    pub fn start(&self) -> Running {
        self.start_with(&self.at("fake-build"))
    }

    pub fn start_with(&self, program: &Path) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["builder", "serve", "--config"])
            .arg(self.at("service.yaml"))
            .arg("--build-program")
            .arg(program)
            .env("A_SECRET_OF_THE_SERVICE", "hunter2")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let (stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&events));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let mut running = Running { child, url: String::new(), events };
        let line = running.event("\"listening\"");
        let json = attest::json::parse(line.as_bytes()).unwrap();
        running.url = format!("https://{}", json.as_object().unwrap().string("address").unwrap());
        running
    }

    pub fn client(&self, url: &str, name: &str) -> Client {
        let identity =
            (!name.is_empty()).then(|| (self.at(&format!("{name}.pem")), self.at(&format!("{name}.key"))));
        Client::new(url, &ClientTls { ca: Some(self.at("ca.pem")), identity }, None).unwrap()
    }

    pub fn bearer(&self, url: &str, token: &str) -> Client {
        let tls = ClientTls { ca: Some(self.at("ca.pem")), identity: None };
        Client::new(url, &tls, Some(token.to_owned())).unwrap()
    }
}

impl Running {
    /// Waits for an event with this in it.
    pub fn event(&mut self, word: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(line) = self.events.lock().unwrap().iter().find(|l| l.contains(word)) {
                return line.clone();
            }
            let ended = self.child.try_wait().unwrap();
            let events = || self.events.lock().unwrap().join("\n");
            assert!(start.elapsed() < Duration::from_secs(20), "no {word}, {ended:?}:\n{}", events());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn terminate(&mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }

    pub fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Asks, and gives status and answer.
pub async fn ask(client: &Client, method: &str, path: &str, body: &str) -> (u16, String) {
    let headers: &[(&str, &str)] =
        if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
    ask_with(client, method, path, headers, body).await.unwrap()
}

pub async fn ask_with(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(u16, String), server::ClientError> {
    let answer = client.send(method, path, headers, body.as_bytes().to_vec()).await?;
    let status = answer.status;
    Ok((status, String::from_utf8(answer.all(64 << 20).await?).unwrap()))
}

pub fn wish(repository: &str, reference: &str, target: &str) -> String {
    let wish = Object::new().with("repository", repository).with("ref", reference);
    Json::from(wish.with("target", target)).to_string()
}

pub fn field(json: &str, key: &str) -> String {
    let json = attest::json::parse(json.as_bytes()).unwrap_or_else(|e| panic!("{e}: {json}"));
    match json.as_object().unwrap().get(key) {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// Submits a build; gives its id.
pub async fn submit(client: &Client, target: &str) -> String {
    let (status, body) = ask(client, "POST", "/v1/builds", &wish(REPOSITORY, "main", target)).await;
    assert_eq!(status, 201, "{body}");
    field(&body, "id")
}

/// Waits for a build's end; gives it as it is then.
pub async fn ended(client: &Client, id: &str) -> String {
    for _ in 0..1500 {
        let (status, body) = ask(client, "GET", &format!("/v1/builds/{id}"), "").await;
        assert_eq!(status, 200, "{body}");
        if matches!(field(&body, "state").as_str(), "done" | "failed" | "cancelled") {
            return body;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} does not end");
}

/// A token's key, its JWK set, and tokens.
pub struct Issuer(attest::SecretKey);

impl Issuer {
    /// A new key, whose JWK set is `jwks.json` in this folder.
    pub fn new(folder: &Path) -> Self {
        use base64_url as encode;
        let key = attest::SecretKey::generate(attest::Scheme::P256).unwrap();
        let point = attest::Signer::public(&key).raw().to_vec();
        let (x, y) = point[1..].split_at(32);
        let jwks = format!(
            r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k1","use":"sig","x":"{}","y":"{}"}}]}}"#,
            encode(x),
            encode(y)
        );
        fs::write(folder.join("jwks.json"), jwks).unwrap();
        Self(key)
    }

    /// A token with this header and these claims, signed.
    pub fn token(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64_url(header.as_bytes()), base64_url(claims.as_bytes()));
        let signature = self.0.sign_jose(signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64_url(&signature))
    }
}

fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, b| (w << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(word >> (18 - 6 * i)) as usize & 63]));
        }
    }
    out
}
