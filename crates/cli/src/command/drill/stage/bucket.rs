//! A stand-in for an object store: it keeps the access list that it is sent, asks nobody, and gives it back.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::failure::Failure;

/// The longest request that it reads.
const MAX_REQUEST: usize = 1 << 20;
/// How long somebody may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    list: Arc<Mutex<String>>,
    port: u16,
}

impl Bucket {
    /// Listens, until the drill ends.
    pub(crate) fn open(list: &str) -> Result<Self, Failure> {
        let failed = |e: io::Error| Failure::new("the bucket cannot listen").line("found", &e.to_string());
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let bucket = Self { list: Arc::new(Mutex::new(list.to_owned())), port };
        let own = bucket.clone();
        let serve = move || {
            for stream in listener.incoming().flatten() {
                // who breaks off is not answered
                own.answer(stream).ok();
            }
        };
        std::thread::Builder::new().name("bucket".to_owned()).spawn(serve).map_err(failed)?;
        Ok(bucket)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its access list now.
    pub(crate) fn list(&self) -> String {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let (head, body) = read(&mut stream)?;
        if head.starts_with("PUT ") {
            *self.lock() = body;
        }
        let text = if head.starts_with("GET ") { self.list() } else { String::new() };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            text.len()
        );
        stream.write_all(format!("{head}{text}").as_bytes())
    }

    /// Sends it a document past everybody, as nobody should be able to.
    pub(crate) fn put(&self, path: &str, body: &str) -> Result<(), Failure> {
        let send = || {
            let mut stream = TcpStream::connect(self.address())?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let head =
                format!("PUT {path} HTTP/1.1\r\nhost: bucket\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes())?;
            stream.read_to_string(&mut String::new()).map(drop)
        };
        send().map_err(|e| Failure::new("the bucket does not answer").line("found", &e.to_string()))
    }
}

/// Head and body of a request, in small letters but for the body.
fn read(stream: &mut TcpStream) -> io::Result<(String, String)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
            if body.len() >= length {
                return Ok((head.to_owned(), body.to_owned()));
            }
        }
        let count = stream.read(&mut piece)?;
        if count == 0 || bytes.len() > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}
