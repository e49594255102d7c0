//! A client that sends whatever bytes the test has, over TLS.
#![allow(dead_code, reason = "not every test uses every function")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, StreamOwned};

use crate::site::Site;

pub struct Raw(StreamOwned<ClientConnection, TcpStream>);

pub fn settings(site: &Site, who: &str, protocol: &[u8]) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(site.at("tls/ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = if who.is_empty() {
        builder.with_no_client_auth()
    } else {
        let chain = CertificateDer::from_pem_file(site.at(&format!("tls/{who}.crt"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(site.at(&format!("tls/{who}.key"))).unwrap();
        builder.with_client_auth_cert(vec![chain], key).unwrap()
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

impl Raw {
    /// A connection as somebody, or as nobody.
    pub fn connect(site: &Site, address: &str, who: &str) -> Self {
        let config = Arc::new(settings(site, who, b"http/1.1"));
        let tls = ClientConnection::new(config, ServerName::try_from("127.0.0.1").unwrap()).unwrap();
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        tcp.set_nodelay(true).unwrap();
        Self(StreamOwned::new(tls, tcp))
    }

    /// How long an answer is waited for.
    pub fn patience(&self, span: Duration) {
        self.0.sock.set_read_timeout(Some(span)).unwrap();
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // who is hung up on hears so in what is read
        self.0.write_all(bytes).and_then(|()| self.0.flush()).ok();
    }

    /// One answer whose body has a length.
    pub fn answer(&mut self) -> String {
        let mut text = Vec::new();
        loop {
            let end = text.windows(4).position(|part| part == b"\r\n\r\n");
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.unwrap_or("0").parse().unwrap();
                if text.len() >= end + 4 + length {
                    return String::from_utf8_lossy(&text).into_owned();
                }
            }
            let mut piece = [0; 4096];
            match self.0.read(&mut piece) {
                Ok(0) | Err(_) => return String::from_utf8_lossy(&text).into_owned(),
                Ok(count) => text.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// Everything until the proxy hangs up; the flag says whether it did.
    pub fn rest(&mut self, patience: Duration) -> (String, bool) {
        self.0.sock.set_read_timeout(Some(patience)).unwrap();
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match self.0.read(&mut piece) {
                Ok(0) => return (String::from_utf8_lossy(&text).into_owned(), true),
                Ok(count) => text.extend_from_slice(&piece[..count]),
                Err(e) => {
                    let is_waiting = matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    return (String::from_utf8_lossy(&text).into_owned(), !is_waiting);
                }
            }
        }
    }

    /// Cuts the connection without a word: the other end hears a reset.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.0.sock, Some(Duration::ZERO)).unwrap();
    }
}
