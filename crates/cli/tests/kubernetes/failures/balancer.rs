//! What stands between an API server and several choke points: a Service, or a load balancer. It sends connections to those
//! that say that they are ready.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Backend {
    port: u16,
    metrics: u16,
    is_ready: AtomicBool,
}

pub struct Balancer {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Balancer {
    /// In front of these, each by where it listens and where it says how it is.
    pub fn start(backends: &[(u16, u16)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let backend = |&(port, metrics)| Backend { port, metrics, is_ready: AtomicBool::new(true) };
        let backends: Arc<Vec<Backend>> = Arc::new(backends.iter().map(backend).collect());
        let looked = Arc::clone(&backends);
        std::thread::spawn(move || look(&looked));
        let open = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&open);
        std::thread::spawn(move || {
            let next = AtomicUsize::new(0);
            for stream in listener.incoming().flatten() {
                // nobody is ready: the connection ends, as a Service without endpoints refuses it
                if let Some(behind) = connect(&backends, next.fetch_add(1, Ordering::Relaxed)) {
                    kept.lock().unwrap().push(stream.try_clone().unwrap());
                    carry(stream, behind);
                }
            }
        });
        Self { port, open }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/v1/kubernetes/validate", self.port)
    }

    /// Ends every connection.
    pub fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn look(backends: &[Backend]) {
    loop {
        for backend in backends {
            backend.is_ready.store(is_ready(backend.metrics).unwrap_or(false), Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Port 0: nobody asks.
fn is_ready(metrics: u16) -> Option<bool> {
    if metrics == 0 {
        return Some(true);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", metrics)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    Some(&answer == b"HTTP/1.1 200")
}

fn connect(backends: &[Backend], next: usize) -> Option<TcpStream> {
    let ready: Vec<&Backend> = backends.iter().filter(|b| b.is_ready.load(Ordering::Relaxed)).collect();
    let in_turn = (0..ready.len()).map(|number| ready[(next + number) % ready.len()]);
    in_turn.filter_map(|backend| TcpStream::connect(("127.0.0.1", backend.port)).ok()).next()
}

fn carry(front: TcpStream, behind: TcpStream) {
    for (mut from, mut to) in [(front.try_clone().unwrap(), behind.try_clone().unwrap()), (behind, front)] {
        from.set_nodelay(true).ok();
        std::thread::spawn(move || {
            std::io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Write).ok();
        });
    }
}
