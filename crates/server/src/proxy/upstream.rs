//! The connection to what a proxy stands in front of. Its credentials are put in here, and nowhere else: no client sees
//! them, and no client's own go through.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Request, Uri, header};
use axum::response::Response;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::client::ClientTls;
use crate::proxy::config;
use crate::tls::{self, TlsError};

/// For a connection, and for the beginning of an answer once the request is sent.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);

/// Sends requests to one place.
pub(crate) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    scheme: Scheme,
    authority: Authority,
    credentials: Option<HeaderValue>,
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
    /// No answer began in time.
    Late,
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("the request cannot be sent on"),
            Self::Connection(e) => {
                // the system's own words stand behind those of the library
                let mut cause: &dyn std::error::Error = e;
                while let Some(source) = cause.source() {
                    cause = source;
                }
                write!(f, "what this proxy stands in front of does not answer: {cause}")
            }
            Self::Late => {
                write!(f, "what this proxy stands in front of gave no answer within {} s", PATIENCE.as_secs())
            }
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
        let identity = config.identity.as_ref().map(|pair| (pair.certificate.clone(), pair.key.clone()));
        let tls = ClientTls { ca: config.ca.clone(), identity };
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT));
        let mut settings = tls::client(&tls)?;
        // the connector offers what it speaks itself
        settings.alpn_protocols.clear();
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(settings)
            .https_or_http()
            .enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(https.wrap_connector(http));
        let credentials = config.credentials.as_deref().map(|file| {
            let failed = |why: String| TlsError { file: file.to_owned(), why };
            let text = std::fs::read_to_string(file).map_err(|e| failed(e.to_string()))?;
            let mut value = HeaderValue::from_str(text.trim()).or(Err(failed(
                "it is no value of an Authorization header, as in `Basic …` or `Bearer …`".to_owned(),
            )))?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self { client, scheme, authority, credentials: credentials.transpose()? })
    }

    /// The host and port, as the upstream knows itself.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Sends a request to the same path there, with its credentials and no others.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Response, UpstreamError> {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri =
            Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path);
        *request.uri_mut() = uri.build().or(Err(UpstreamError::Request))?;
        *request.version_mut() = axum::http::Version::HTTP_11;
        let headers = request.headers_mut();
        for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE] {
            headers.remove(name);
        }
        if let Some(credentials) = &self.credentials {
            headers.insert(header::AUTHORIZATION, credentials.clone());
        }
        let host = HeaderValue::from_str(self.authority.as_str()).or(Err(UpstreamError::Request))?;
        headers.insert(header::HOST, host);
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request));
        let response = answer.await.or(Err(UpstreamError::Late))?.map_err(UpstreamError::Connection)?;
        Ok(response.map(Body::new))
    }
}
