//! The story of one request: who asks, whether it means one thing, then the adapter.

use std::sync::{Arc, Mutex, PoisonError};

use attest::Object;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::response::Response;
use axum::{Extension, Router};
use hyper::body::Body as _;

use crate::proxy::adapter::With;
use crate::proxy::answer::{Ends, clean};
use crate::proxy::config;
use crate::proxy::flow::{Rest, holding};
use crate::proxy::head::{self, Rules};
use crate::proxy::hold::{Held, HoldError, Most};
use crate::proxy::listen::Proxy;
use crate::proxy::metrics::{Course, End};
use crate::proxy::room::Taken;
use crate::proxy::share::{Bounds, Full};
use crate::proxy::upstream::{Signed, UpstreamError};
use crate::webhook::review::drain;
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

/// After how many seconds a client may come again.
const AGAIN: HeaderValue = HeaderValue::from_static("5");

pub(crate) fn router(proxy: Arc<Proxy>) -> Router {
    Router::new().fallback(handle).with_state(proxy)
}

/// One request, until its end: whatever happens to it is counted once.
struct Counted {
    proxy: Arc<Proxy>,
    course: Course,
    is_answered: bool,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let end = if self.is_answered { self.course.end() } else { End::Gone };
        let config = self.proxy.config();
        self.proxy.front().metrics.proxies.ended(&config.name, &config.kind, end);
    }
}

async fn handle(
    State(proxy): State<Arc<Proxy>>,
    Extension(names): Extension<Names>,
    request: Request,
) -> Response {
    let mut counted = Counted { proxy: Arc::clone(&proxy), course: Course::default(), is_answered: false };
    counted.course.set(End::Refused);
    let is_last = head::is_chunked(&request) && request.version() == Version::HTTP_11;
    // who waits to be told to send its body is not told to send it for nothing
    let is_sending = !request.headers().contains_key(header::EXPECT);
    let (head, body) = request.into_parts();
    let (body, rest) = Rest::of(body);
    let request = Request::from_parts(head, body);
    let mut response = through(&proxy, &names, request, &counted.course).await;
    if !response.status().is_success() && is_sending && !response.headers().contains_key(header::CONNECTION) {
        // who is still sending would hear of a broken connection, and not why
        if let Some(rest) = rest.take() {
            drain(rest).await;
        }
    }
    counted.is_answered = true;
    let headers = response.headers_mut();
    if is_last {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if matches!(counted.course.end(), End::Busy | End::Undecided) {
        headers.entry(header::RETRY_AFTER).or_insert(AGAIN);
    }
    response
}

async fn through(proxy: &Arc<Proxy>, names: &Names, mut request: Request, course: &Course) -> Response {
    let adapter = Arc::clone(&proxy.config().adapter);
    let requester = match proxy.requester(names, request.headers()).await {
        Ok(requester) => requester,
        Err(stranger) => {
            course.set(End::Stranger);
            let status = stranger.status(!proxy.config().issuers.is_empty());
            let mut response = adapter.refuse(status, stranger.code(), &stranger.text());
            if status == StatusCode::UNAUTHORIZED {
                proxy.challenge(&mut response);
            }
            return response;
        }
    };
    let bounds = request_bounds(proxy.config(), requester.is_some());
    let place = match proxy.places().one(requester.as_deref(), bounds) {
        Ok(place) => Arc::new(Mutex::new(place)),
        Err(full) => return too_many(proxy, course, full),
    };
    drop_hop_by_hop_but_framing(request.headers_mut());
    let config = proxy.config();
    let rules = Rules { kind: &config.kind, slash: adapter.takes_encoded_slash(), headers: &config.headers };
    if let Err(unclear) = head::clear(&mut request, rules) {
        let mut response = adapter.refuse(unclear.status, "unclear", &unclear.to_string());
        if request.version() == Version::HTTP_11 {
            // where the next request begins is as unclear
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        return response;
    }
    let place_of = Arc::clone(&place);
    let with = With { proxy: Arc::clone(proxy), requester, course: course.clone(), place: place_of };
    let response = adapter.answer(request, &with).await;
    // an answer that is still on its way takes its place
    response.map(|body| holding(body, place))
}

/// How many requests may be under way, and how many of one requester. Who is not known yet has no share: an adapter that
/// finds out who asks takes it then.
fn request_bounds(config: &config::Proxy, is_known: bool) -> Bounds {
    let all = u64::try_from(config.limits.requests).unwrap_or(u64::MAX);
    if is_known { config.bounds(all) } else { Bounds { all, one: all } }
}

fn too_many(proxy: &Proxy, course: &Course, full: Full) -> Response {
    course.set(End::Busy);
    let text = format!("too many requests at once: {}", full.text("places of `limits: requests`"));
    proxy.config().adapter.refuse(StatusCode::TOO_MANY_REQUESTS, "busy", &text)
}

/// Takes out what the header `Connection` says is about the connection; what says how long a message is stays.
fn drop_hop_by_hop_but_framing(headers: &mut HeaderMap) {
    let kept = [header::TRANSFER_ENCODING, header::UPGRADE, header::CONTENT_LENGTH, header::HOST];
    let kept = kept.map(|name| (headers.get_all(&name).iter().cloned().collect::<Vec<_>>(), name));
    drop_hop_by_hop(headers);
    for (values, name) in kept {
        headers.remove(&name);
        for value in values {
            headers.append(&name, value);
        }
    }
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

    /// Sends a request to what the proxy stands in front of. What comes back names no place but the proxy, and has
    /// nothing of its login.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response, UpstreamError> {
        let (proxy, upstream) = (&self.proxy, self.proxy.upstream());
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let signed = request.extensions().get::<Signed>().map(|Signed(value)| value.clone());
        let ends = Ends {
            upstream: upstream.authority(),
            own: proxy.config().public.clone().or_else(|| host.map(|host| format!("https://{host}"))),
            credentials: signed.into_iter().chain(upstream.credentials()).collect(),
            is_read: matches!(*request.method(), Method::GET | Method::HEAD),
        };
        let mut request = request;
        drop_hop_by_hop(request.headers_mut());
        let began = std::time::Instant::now();
        let mut response = upstream.send(request).await.inspect_err(|_| self.course.set(End::Upstream))?;
        proxy.front().metrics.proxies.upstream_took(&proxy.config().name, began.elapsed());
        drop_hop_by_hop(response.headers_mut());
        clean(&mut response, &ends).inspect_err(|_| self.course.set(End::Upstream))?;
        self.course.passed();
        Ok(response)
    }

    /// Who asks, as an adapter found out: the place counts as theirs from now on.
    pub(crate) fn identified(&mut self, requester: String) -> Result<(), Response> {
        let bounds = request_bounds(self.proxy.config(), true);
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = place.give(Some(&requester), bounds);
        drop(place);
        self.requester = Some(requester);
        moved.map_err(|full| too_many(&self.proxy, &self.course, full))
    }

    /// Nothing yet of what this requester may have in the spool.
    pub(crate) fn taken(&self) -> Taken {
        self.proxy.room().taken(self.requester.as_deref())
    }

    /// Takes a body whole, to be decided about before anything is sent on.
    pub(crate) async fn hold(&self, body: Body) -> Result<Held, Response> {
        let config = self.proxy.config();
        let most = Most { bytes: config.limits.body, time: config.limits.time };
        // what is said to be too large need not be held
        if body.size_hint().lower() > most.bytes {
            return Err(self.not_held(&HoldError::TooLarge(most.bytes)));
        }
        let held = Held::take(body, &config.spool, self.taken(), most).await;
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

    /// The answer where the upstream has none. What was admitted and may have arrived is said to be so.
    pub(crate) fn no_answer(&self, error: &UpstreamError) -> Response {
        self.course.set(End::Upstream);
        let details = Object::new().with("found", error.to_string());
        self.proxy.tell("upstream-failed", details.with("records", self.course.records()));
        let status = match error {
            UpstreamError::Late(_) => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        let text = self.with_records(&error.to_string(), error.is_unsent());
        self.proxy.config().adapter.refuse(status, "upstream", &text)
    }

    /// The text of a failure behind the proxy, with the decisions that stand before it, and what to do.
    pub(crate) fn with_records(&self, text: &str, is_unsent: bool) -> String {
        let mut text = text.to_owned();
        let records = self.course.records();
        for record in &records {
            text.push_str(&format!("\n  record: {record}, which admits it: that decision stands in the log"));
        }
        text.push_str(match (is_unsent, records.is_empty()) {
            (true, true) => "\n  fix: send it again once that is mended",
            (true, false) => {
                "\n  fix: send it again once that is mended: nothing of it arrived, and it is decided about anew, with a record of \
                 its own"
            }
            (false, true) => "\n  fix: look whether it is there before sending it again",
            (false, false) => {
                "\n  fix: look whether it is there before sending it again; the same bytes, put to the same \
                 place again, change nothing, and are decided about anew, with a record of their own"
            }
        });
        text
    }

    pub(crate) fn not_held(&self, error: &HoldError) -> Response {
        let (status, code, end) = match error {
            HoldError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", End::NotHeld),
            HoldError::Full(Full::All(_)) => (StatusCode::SERVICE_UNAVAILABLE, "busy", End::Busy),
            HoldError::Full(Full::One(_)) => (StatusCode::TOO_MANY_REQUESTS, "busy", End::Busy),
            HoldError::Slow(_) => (StatusCode::REQUEST_TIMEOUT, "slow", End::NotHeld),
            HoldError::Body(_) => (StatusCode::BAD_REQUEST, "broken-body", End::NotHeld),
            HoldError::Io(_) => (StatusCode::INSUFFICIENT_STORAGE, "not-held", End::NotHeld),
        };
        self.course.set(end);
        if matches!(error, HoldError::Full(_) | HoldError::Io(_)) {
            self.proxy.tell("not-held", Object::new().with("found", error.to_string()));
        }
        self.proxy.config().adapter.refuse(status, code, &error.to_string())
    }
}
