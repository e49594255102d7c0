//! The story of one request: who asks, whether it means one thing, then the adapter.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::{Extension, Router};

use crate::proxy::adapter::With;
use crate::proxy::hold::{Held, HoldError};
use crate::proxy::listen::Proxy;
use crate::proxy::upstream::UpstreamError;
use crate::webhook::{NotRuled, Ruling};

/// The names in a connection's certificate; nothing where it showed none.
#[derive(Clone, Debug)]
pub(crate) struct Names(pub(crate) Option<Arc<[String]>>);

/// Headers that are about one connection, and not about what is asked (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
];

pub(crate) fn router(proxy: Arc<Proxy>) -> Router {
    Router::new().fallback(handle).with_state(proxy)
}

async fn handle(
    State(proxy): State<Arc<Proxy>>,
    Extension(names): Extension<Names>,
    mut request: Request,
) -> Response {
    let adapter = Arc::clone(&proxy.config().adapter);
    let requester = match proxy.requester(&names) {
        Ok(requester) => requester,
        Err(text) => return adapter.refuse(StatusCode::FORBIDDEN, "not-permitted", &text),
    };
    let Ok(_place) = Arc::clone(proxy.places()).try_acquire_owned() else {
        return adapter.refuse(
            StatusCode::TOO_MANY_REQUESTS,
            "busy",
            "too many requests at once; come again",
        );
    };
    if request.method() == Method::CONNECT || request.headers().contains_key(header::UPGRADE) {
        return adapter.refuse(
            StatusCode::NOT_IMPLEMENTED,
            "not-proxied",
            "nothing but requests goes through here",
        );
    }
    drop_hop_by_hop(request.headers_mut());
    let with = With { proxy, requester };
    adapter.answer(request, &with).await
}

/// Takes out what is about the connection, and what the header `Connection` says is.
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

impl With {
    /// Sends the request on as it is, streamed both ways: for what changes nothing there.
    pub(crate) async fn pass(&self, request: Request<Body>) -> Response {
        match self.send(request).await {
            Ok(response) => response,
            Err(e) => self.no_answer(&e),
        }
    }

    /// Sends a request to what the proxy stands in front of.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response, UpstreamError> {
        let mut response = self.proxy.upstream().send(request).await?;
        drop_hop_by_hop(response.headers_mut());
        Ok(response)
    }

    /// Takes a body whole, to be decided about before anything is sent on.
    pub(crate) async fn hold(&self, body: Body) -> Result<Held, Response> {
        let config = self.proxy.config();
        let held = Held::take(body, &config.spool, self.proxy.room(), config.limits.body).await;
        held.map_err(|e| self.not_held(&e))
    }

    /// The answer where something is not admitted, or cannot be decided about; nothing where it is admitted.
    pub(crate) fn refused(&self, ruled: &Result<Ruling, NotRuled>) -> Option<Response> {
        let adapter = &self.proxy.config().adapter;
        match ruled {
            Ok(ruling) if ruling.is_admitted() => None,
            Ok(ruling) if ruling.decision().word() == "cannot-decide" => {
                Some(adapter.refuse(StatusCode::SERVICE_UNAVAILABLE, "cannot-decide", &ruling.to_text()))
            }
            Ok(ruling) => Some(adapter.refuse(StatusCode::FORBIDDEN, "rejected", &ruling.to_text())),
            Err(e) => Some(adapter.refuse(StatusCode::SERVICE_UNAVAILABLE, "cannot-decide", &e.to_string())),
        }
    }

    fn no_answer(&self, error: &UpstreamError) -> Response {
        let status = match error {
            UpstreamError::Late => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        self.proxy.config().adapter.refuse(status, "upstream", &error.to_string())
    }

    fn not_held(&self, error: &HoldError) -> Response {
        let (status, code) = match error {
            HoldError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            HoldError::Full => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            HoldError::Body(_) => (StatusCode::BAD_REQUEST, "broken-body"),
            HoldError::Io(_) => (StatusCode::INSUFFICIENT_STORAGE, "not-held"),
        };
        self.proxy.config().adapter.refuse(status, code, &error.to_string())
    }
}
