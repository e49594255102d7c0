//! A small client for this API, and for the keys of token issuers: HTTP/1.1 over TLS, one connection a request.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::{self, TlsError};

/// How long a connection, and the beginning of an answer, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom a client trusts, and as whom it comes.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// The authorities that may vouch for the service, PEM; nothing means those of this machine.
    pub ca: Option<PathBuf>,
    /// The client's certificate chain and key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// No address that this client can use; the field is what it is.
    Url(String),
    /// A key or a certificate.
    Tls(TlsError),
    /// The connection.
    Io(io::Error),
    /// The answer is no HTTP, or broke off.
    Http(hyper::Error),
    /// The request cannot be made; the field is of what.
    Request(&'static str),
    /// The answer says no; the field is the status.
    Status(u16),
    /// Nothing came for too long.
    Late,
    /// More came than was asked for.
    TooLarge,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url} is no https:// address"),
            Self::Tls(e) => e.fmt(f),
            Self::Io(e) => write!(f, "the connection failed: {}", tls::in_words(e)),
            Self::Http(e) => write!(f, "the answer cannot be read: {e}"),
            Self::Request(what) => write!(f, "the {what} cannot be sent"),
            Self::Status(status) => write!(f, "the answer has the status {status}"),
            Self::Late => write!(f, "no answer within {} s", PATIENCE.as_secs()),
            Self::TooLarge => f.write_str("the answer is too large"),
        }
    }
}
impl std::error::Error for ClientError {}

impl ClientError {
    /// Whether trying again may help: the connection failed, not what was said over it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Http(_) | Self::Late)
    }
}

/// A client of one address.
#[derive(Clone)]
pub struct Client {
    host: String,
    port: u16,
    prefix: String,
    tls: TlsConnector,
    token: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}:{})", self.host, self.port)
    }
}

/// An answer whose body has yet to come.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    body: Incoming,
}

impl Client {
    /// A client of `https://host[:port][/prefix]`, with a bearer token or without.
    ///
    /// # Errors
    /// [`ClientError`] for another address, and for keys and certificates that cannot be used.
    pub fn new(url: &str, tls: &ClientTls, token: Option<String>) -> Result<Self, ClientError> {
        let bad = || ClientError::Url(url.to_owned());
        let rest = url.strip_prefix("https://").ok_or_else(bad)?;
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() => (host, port.parse().or(Err(bad()))?),
            _ => (authority, 443),
        };
        if host.is_empty() || host.contains('@') || url.chars().any(|c| c.is_control() || c == ' ') {
            return Err(bad());
        }
        let prefix = if path.is_empty() { String::new() } else { format!("/{}", path.trim_end_matches('/')) };
        let config = tls::client(tls).map_err(ClientError::Tls)?;
        Ok(Self { host: host.to_owned(), port, prefix, tls: TlsConnector::from(Arc::new(config)), token })
    }

    /// Sends a request; `path` goes behind the address's own.
    ///
    /// # Errors
    /// [`ClientError`] where no answer begins.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header("host", format!("{}:{}", self.host, self.port))
            .header("user-agent", concat!("portcullis/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body))).or(Err(ClientError::Request("request")))?;
        let answer = tokio::time::timeout(PATIENCE, self.exchange(request));
        answer.await.or(Err(ClientError::Late))?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).or(Err(ClientError::Request("host name")))?;
        let connection = async {
            let tcp = TcpStream::connect((host.as_str(), self.port)).await?;
            self.tls.connect(name, tcp).await
        };
        // nobody is there, which is something else than somebody who does not answer
        let connection = tokio::time::timeout(PATIENCE / 2, connection).await;
        let stream = connection.unwrap_or_else(|_| Err(nobody())).map_err(ClientError::Io)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Http)?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(ClientError::Http)?;
        Ok(Answer { status: response.status().as_u16(), body: response.into_body() })
    }

    /// The whole body of a `GET` of the address itself.
    pub(crate) async fn get_all(&self, limit: u64) -> Result<Vec<u8>, ClientError> {
        let path = if self.prefix.is_empty() { "/" } else { "" };
        let answer = self.send("GET", path, &[], Vec::new()).await?;
        if answer.status != 200 {
            return Err(ClientError::Status(answer.status));
        }
        tokio::time::timeout(PATIENCE, answer.all(limit)).await.or(Err(ClientError::Late))?
    }
}

fn nobody() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} s", PATIENCE.as_secs() / 2))
}

impl Answer {
    /// The next piece of the body; nothing at its end. Waits as long as it takes.
    ///
    /// # Errors
    /// [`ClientError`] where the body breaks off.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(e)) => return Err(ClientError::Http(e)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ClientError`] where it is larger or breaks off.
    pub async fn all(mut self, limit: u64) -> Result<Vec<u8>, ClientError> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece().await? {
            all.extend_from_slice(&piece);
            if u64::try_from(all.len()).is_ok_and(|n| n > limit) {
                return Err(ClientError::TooLarge);
            }
        }
        Ok(all)
    }
}
