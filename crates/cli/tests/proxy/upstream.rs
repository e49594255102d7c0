//! What stands behind a proxy and writes down each byte that it is sent.
#![allow(dead_code, reason = "not every test uses every function")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Everything up to the empty line, as text.
    pub head: String,
    /// The body, without its framing. Nothing where it broke off.
    pub body: Option<Vec<u8>>,
}

impl Seen {
    pub fn first_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let mut found = found.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned())
    }
}

/// What it says: bytes, or nothing for a connection that is cut.
type Say = dyn Fn(&Seen, &mut TcpStream) -> bool + Send + Sync;

pub struct Recorder {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    /// One that answers 200.
    pub fn start() -> Self {
        Self::saying(|_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").is_ok()
        })
    }

    /// One that says the same each time.
    pub fn fixed(answer: &str) -> Self {
        let answer = answer.to_owned();
        Self::saying(move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
    }

    /// One that says what the test wants; the connection stays where `say` gives true.
    pub fn saying(say: impl Fn(&Seen, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, say): (Arc<Mutex<Vec<Seen>>>, Arc<Say>) = (Arc::default(), Arc::new(say));
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (all, say) = (Arc::clone(&all), Arc::clone(&say));
                std::thread::spawn(move || talk(stream, &all, say.as_ref()));
            }
        });
        Self { port, seen }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn talk(mut stream: TcpStream, all: &Mutex<Vec<Seen>>, say: &Say) {
    stream.set_read_timeout(Some(Duration::from_secs(120))).ok();
    let mut buffer = Vec::new();
    while let Some(end) = until(&mut stream, &mut buffer, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end + 4);
        let mut seen = Seen { head, body: None };
        let length = seen.header("content-length").map(|l| l.parse::<usize>().unwrap());
        seen.body = if seen.header("transfer-encoding").is_some() {
            chunked(&mut stream, &mut buffer)
        } else {
            exactly(&mut stream, &mut buffer, length.unwrap_or(0))
        };
        all.lock().unwrap().push(seen.clone());
        if seen.body.is_none() || !say(&seen, &mut stream) {
            return;
        }
    }
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    let mut piece = vec![0; 64 << 10];
    match stream.read(&mut piece) {
        Ok(count @ 1..) => {
            buffer.extend_from_slice(&piece[..count]);
            true
        }
        _ => false,
    }
}

fn until(stream: &mut TcpStream, buffer: &mut Vec<u8>, end: &[u8]) -> Option<usize> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|part| part == end) {
            return Some(at);
        }
        if !more(stream, buffer) {
            return None;
        }
    }
}

fn exactly(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        if !more(stream, buffer) {
            return None;
        }
    }
    Some(buffer.drain(..length).collect())
}

fn chunked(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = until(stream, buffer, b"\r\n")?;
        let size = String::from_utf8(buffer.drain(..end + 2).collect()).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let piece = exactly(stream, buffer, size)?;
        body.extend(piece);
        let end = until(stream, buffer, b"\r\n")?;
        assert_eq!(end, 0, "trailers, or another chunk than it said");
        buffer.drain(..2);
        if size == 0 {
            return Some(body);
        }
    }
}
