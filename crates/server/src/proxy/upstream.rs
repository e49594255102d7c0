//! The connection to what a proxy stands in front of. Its credentials are put in here, and nowhere else: no client sees
//! them, and no client's own go through.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use attest::Digest;
use axum::body::Body;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::client::ClientTls;
use crate::proxy::config;
use crate::proxy::flow::{Progress, Timed, Watched};
use crate::tls::{self, TlsError};
use crate::webhook::certificates::digest_of;

/// For a connection that nobody uses: shorter than what servers keep one open, so that few are closed under a request.
const IDLE: Duration = Duration::from_secs(20);
const MAX_CREDENTIALS: u64 = 64 << 10;

type Https = Client<HttpsConnector<HttpConnector>, Body>;

/// The proxy's own `Authorization` for one request, where it must be made anew for each: an extension of the request.
#[derive(Clone, Debug)]
pub(crate) struct Signed(pub(crate) HeaderValue);

/// Sends requests to one place.
pub(crate) struct Upstream {
    config: config::Upstream,
    scheme: Scheme,
    authority: Authority,
    current: Mutex<Current>,
}

/// What requests that begin now are sent with.
#[derive(Clone)]
struct Current {
    client: Https,
    credentials: Option<HeaderValue>,
    /// Of the files that it was made of, and of those that were tried last.
    files: Option<Digest>,
    tried: Option<Digest>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({}://{})", self.scheme, self.authority)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum UpstreamError {
    /// The request cannot be made.
    Request,
    /// No connection, or it broke off.
    Connection(Error),
    /// Nothing moved for so many seconds.
    Late(u64),
    /// It does not take the proxy's own login; the fields are the status, and what it would rather have.
    Login(u16, String),
    /// It wants a token, and there is none; the field says why.
    Token(String),
    /// It answers what does not go on; the field says what.
    Answer(&'static str),
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WHO: &str = "what this proxy stands in front of";
        match self {
            Self::Request => f.write_str("the request cannot be sent on"),
            Self::Connection(e) => {
                // the system's own words stand behind those of the library
                let mut cause: &dyn std::error::Error = e;
                while let Some(source) = cause.source() {
                    cause = source;
                }
                write!(f, "{WHO} does not answer: {}", tls::in_words(&cause))
            }
            Self::Late(seconds) => write!(f, "{WHO} gave no answer within {seconds} s"),
            Self::Login(status, _) => write!(
                f,
                "{WHO} answers {status} to the proxy's own login: mend `upstream: credentials` of this proxy"
            ),
            Self::Token(why) => write!(f, "{WHO} wants a token, and there is none: {why}"),
            Self::Answer(what) => write!(f, "{WHO} gave an answer that does not go on: {what}"),
        }
    }
}

impl UpstreamError {
    /// Whether nothing of the request can have arrived.
    pub(crate) fn is_unsent(&self) -> bool {
        match self {
            Self::Request => true,
            Self::Connection(e) => e.is_connect(),
            Self::Late(_) | Self::Login(..) | Self::Token(_) | Self::Answer(_) => false,
        }
    }
}

impl Upstream {
    pub(crate) fn open(config: &config::Upstream) -> Result<Self, TlsError> {
        let unusable = |why: &str| TlsError { file: config.url.clone().into(), why: why.to_owned() };
        let url: Uri = config.url.parse().or(Err(unusable("it is no address")))?;
        let (Some(scheme), Some(authority)) = (url.scheme().cloned(), url.authority().cloned()) else {
            return Err(unusable("it is no address"));
        };
        Ok(Self { config: config.clone(), scheme, authority, current: Mutex::new(Current::open(config)?) })
    }

    /// The host and port, as the upstream knows itself.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What is sent with each request.
    pub(crate) fn credentials(&self) -> Option<HeaderValue> {
        self.current().credentials
    }

    fn current(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the files; nothing where they are what they were. Files that do not do leave the last good ones.
    pub(crate) fn reload(&self) -> Option<Result<(), String>> {
        let found = digest_of(files(&self.config));
        let old = self.current();
        if found == old.files || found == old.tried {
            return None;
        }
        match Current::open(&self.config) {
            Ok(new) => {
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = new;
                Some(Ok(()))
            }
            Err(e) => {
                self.current.lock().unwrap_or_else(PoisonError::into_inner).tried = found;
                Some(Err(e.to_string()))
            }
        }
    }

    /// Its own address, `https://HOST[:PORT]`.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// Asks somebody else, whom the caller may show the proxy's login, if that is a name and a password; the answer has at
    /// most so many bytes. Follows nobody elsewhere.
    pub(crate) async fn ask_with_login(&self, at: &str, most: usize) -> Result<(StatusCode, Bytes), String> {
        let Current { client, credentials, .. } = self.current();
        let mut request = Request::builder().uri(at).header(header::ACCEPT, "application/json");
        if let Some(login) = credentials.filter(is_basic) {
            request = request.header(header::AUTHORIZATION, login);
        }
        let request = request.body(Body::empty()).map_err(|e| e.to_string())?;
        let asked = async {
            let answer = client.request(request).await.map_err(|e| tls::in_words(&e))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), most).collect().await.map_err(|e| e.to_string())?;
            Ok((status, body.to_bytes()))
        };
        let late = |_| format!("no answer within {} s", self.config.answer.as_secs());
        tokio::time::timeout(self.config.answer, asked).await.map_err(late)?
    }

    /// Sends a request to the same path there, with its credentials and no others. Never sends it twice: what broke off
    /// may have arrived.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Response, UpstreamError> {
        let Current { client, credentials, .. } = self.current();
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri =
            Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path);
        *request.uri_mut() = uri.build().or(Err(UpstreamError::Request))?;
        *request.version_mut() = axum::http::Version::HTTP_11;
        let signed = request.extensions_mut().remove::<Signed>();
        let headers = request.headers_mut();
        for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE] {
            headers.remove(name);
        }
        let own = signed.map(|Signed(value)| value).or(credentials);
        if let Some(credentials) = own {
            headers.insert(header::AUTHORIZATION, credentials);
        }
        let host = HeaderValue::from_str(self.authority.as_str()).or(Err(UpstreamError::Request))?;
        headers.insert(header::HOST, host);
        let progress = Progress::default();
        let watched = progress.clone();
        let request = request.map(|body| Body::new(Watched::new(body, watched)));
        let response = self.patient(client.request(request), &progress).await?;
        let patience = self.config.answer;
        Ok(response.map(|body| Body::new(Timed::new(body, patience))))
    }

    /// Waits as long as something moves: a large body takes its time, and the answer comes only behind it.
    async fn patient<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
        progress: &Progress,
    ) -> Result<T, UpstreamError> {
        let mut answer = pin!(answer);
        let mut seen = progress.count();
        loop {
            match tokio::time::timeout(self.config.answer, answer.as_mut()).await {
                Ok(answer) => return answer.map_err(UpstreamError::Connection),
                Err(_) if progress.count() == seen => {
                    return Err(UpstreamError::Late(self.config.answer.as_secs()));
                }
                Err(_) => seen = progress.count(),
            }
        }
    }
}

impl Current {
    fn open(config: &config::Upstream) -> Result<Self, TlsError> {
        // first the digest: files that change meanwhile are looked at again
        let found = digest_of(files(config));
        let identity = config.identity.as_ref().map(|pair| (pair.certificate.clone(), pair.key.clone()));
        let tls = ClientTls { ca: config.ca.clone(), identity };
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(config.connect));
        let mut settings = tls::client(&tls)?;
        // the connector offers what it speaks itself
        settings.alpn_protocols.clear();
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(settings)
            .https_or_http()
            .enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(https.wrap_connector(http));
        let credentials = config.credentials.as_deref().map(credentials).transpose()?;
        Ok(Self { client, credentials, tried: None, files: found })
    }
}

/// A login that can be changed for a token.
fn is_basic(login: &HeaderValue) -> bool {
    login.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
}

fn files(config: &config::Upstream) -> impl Iterator<Item = &Path> {
    let pair = config.identity.iter().flat_map(|pair| [pair.certificate.as_path(), pair.key.as_path()]);
    config.ca.as_deref().into_iter().chain(config.credentials.as_deref()).chain(pair)
}

/// The value of the `Authorization` header in a file. Never shows any of it.
fn credentials(file: &Path) -> Result<HeaderValue, TlsError> {
    use std::io::Read as _;
    let failed = |why: String| TlsError { file: file.to_owned(), why };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|e| failed(e.to_string()))?;
    opened.take(MAX_CREDENTIALS).read_to_string(&mut text).map_err(|e| failed(e.to_string()))?;
    let value = HeaderValue::from_str(text.trim()).ok().filter(|value| !value.is_empty());
    let mut value = value.ok_or_else(|| {
        failed("it is no value of an Authorization header, as in `Basic …` or `Bearer …`".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}
