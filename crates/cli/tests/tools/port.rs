//! A port for a server that has to be told one.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port where nothing listens now, below those that the system gives to whoever connects somewhere. One of those could be
/// gone before the server has it: even to whoever waits for the server, whose connection then reaches itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 20_000).unwrap();
    loop {
        let port = 10_000 + first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
