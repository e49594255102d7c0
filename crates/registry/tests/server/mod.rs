//! A registry that answers whatever a test wants, byte by byte, and remembers who asked for what.
#![allow(dead_code, reason = "not every test uses every function")]

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attest::{Digest, Json, Object};
use registry::{Client, Credentials, Limits, Reference, Settings};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub const UNKNOWN: &str = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;

/// What somebody asked.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Counts what went out, so that a test can say how much was taken.
pub struct Out<'a> {
    stream: &'a TcpStream,
    written: &'a Mutex<u64>,
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = (&mut &*self.stream).write(bytes)?;
        *self.written.lock().unwrap() += u64::try_from(count).unwrap();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Out<'_> {
    pub fn reply(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        self.head(status, headers, body.len())?;
        self.write_all(body)
    }

    /// The head alone, with whatever length.
    pub fn head(&mut self, status: u16, headers: &[(&str, &str)], length: usize) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        self.write_all((head + "\r\n").as_bytes())
    }
}

pub struct Server {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    written: Arc<Mutex<u64>>,
}

impl Server {
    pub fn new(answer: impl Fn(&Seen, &mut Out<'_>) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Self { address, seen: Arc::default(), written: Arc::default() };
        let (seen, written, answer) =
            (Arc::clone(&server.seen), Arc::clone(&server.written), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, written, answer) = (Arc::clone(&seen), Arc::clone(&written), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    seen.lock().unwrap().push(request.clone());
                    // a client that has enough hangs up
                    answer(&request, &mut Out { stream: &stream, written: &written }).ok();
                });
            }
        });
        server
    }

    /// One that has what is in `content`, and answers 404 in a registry's words for all else.
    pub fn with(content: Content) -> Self {
        Self::new(move |request, out| content.answer(request, out))
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn written(&self) -> u64 {
        *self.written.lock().unwrap()
    }

    pub fn repository(&self) -> Reference {
        Reference::parse(&format!("{}/shop", self.address)).unwrap()
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|l: &String| l.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { method, path, headers, body })
}

/// What a registry holds, by path.
#[derive(Clone, Default)]
pub struct Content(pub BTreeMap<String, (String, Vec<u8>)>);

impl Content {
    pub fn answer(&self, request: &Seen, out: &mut Out<'_>) -> io::Result<()> {
        match self.0.get(&request.path) {
            Some((media_type, bytes)) => out.reply(200, &[("content-type", media_type)], bytes),
            None if request.path.contains("/referrers/") => out.reply(404, &[], b"404 page not found\n"),
            None => out.reply(404, &[("content-type", "application/json")], UNKNOWN.as_bytes()),
        }
    }

    pub fn put(&mut self, path: &str, media_type: &str, bytes: &[u8]) {
        self.0.insert(path.to_owned(), (media_type.to_owned(), bytes.to_vec()));
    }

    pub fn blob(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        self.put(&format!("/v2/shop/blobs/{digest}"), "application/octet-stream", bytes);
        digest
    }

    /// A manifest under its digest.
    pub fn manifest(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        self.put(&format!("/v2/shop/manifests/{digest}"), MANIFEST, bytes);
        digest
    }

    /// A bundle that refers to an image, and the descriptor that lists it.
    pub fn bundle(&mut self, image: &Digest, bundle: &[u8]) -> Json {
        let layer = self.blob(bundle);
        let layers = vec![descriptor(BUNDLE, &layer, bundle.len())];
        let manifest = artifact(image, layers).to_string();
        let digest = self.manifest(manifest.as_bytes());
        let mut listed = descriptor(MANIFEST, &digest, manifest.len());
        if let Json::Object(object) = &mut listed {
            object.set("artifactType", BUNDLE);
        }
        listed
    }

    pub fn list(&mut self, image: &Digest, listed: Vec<Json>) {
        self.put(&format!("/v2/shop/referrers/{image}"), INDEX, index(listed).as_bytes());
    }
}

pub fn descriptor(media_type: &str, digest: &Digest, size: usize) -> Json {
    let size = i64::try_from(size).unwrap();
    Object::new().with("mediaType", media_type).with("digest", digest.to_string()).with("size", size).into()
}

pub fn index(manifests: Vec<Json>) -> String {
    let index = Object::new().with("schemaVersion", 2).with("mediaType", INDEX);
    Json::from(index.with("manifests", Json::Array(manifests))).to_string()
}

pub fn artifact(image: &Digest, layers: Vec<Json>) -> Json {
    let empty = descriptor("application/vnd.oci.empty.v1+json", &Digest::sha256(b"{}"), 2);
    Object::new()
        .with("schemaVersion", 2)
        .with("mediaType", MANIFEST)
        .with("artifactType", BUNDLE)
        .with("config", empty)
        .with("layers", Json::Array(layers))
        .with("subject", descriptor(MANIFEST, image, 1))
        .into()
}

/// What the image is; nobody looks at its bytes.
pub fn image() -> Digest {
    Digest::sha256(b"the image")
}

pub fn limits() -> Limits {
    Limits {
        manifest: 64 << 10,
        blob: 64 << 10,
        pages: 5,
        referrers: 100,
        redirects: 3,
        time: Duration::from_secs(10),
        ..Limits::default()
    }
}

/// For those who are slow on purpose.
pub fn impatient() -> Client {
    let limits = Limits { time: Duration::from_millis(1500), stall: Duration::from_millis(500), ..limits() };
    Client::new(Settings { limits, ..Settings::default() })
}

pub fn client() -> Client {
    client_as(Credentials::anonymous())
}

pub fn client_as(credentials: Credentials) -> Client {
    Client::new(Settings { credentials, limits: limits(), ..Settings::default() })
}
