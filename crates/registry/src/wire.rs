//! One request over HTTP, its redirects, and an answer that is bounded in bytes and time.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Request};

use crate::address::{Address, Origin};
use crate::answer::{Unknown, Why};
use crate::limits::Limits;

/// An error's body says in some words what it is about.
const MAX_ERROR: u64 = 64 << 10;
const CHUNK: usize = 32 << 10;

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'static str,
    pub(crate) at: Address,
    pub(crate) accept: &'a str,
    /// Its media type, and its bytes.
    pub(crate) body: Option<(&'a str, &'a [u8])>,
    /// Of the answer, in bytes.
    pub(crate) limit: u64,
    pub(crate) follows_redirects: bool,
}

impl Ask<'_> {
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.method, self.at.shown())
    }
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Who answered, after redirects.
    pub(crate) from: Origin,
    headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    /// A header; one that comes several times is a list.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        joined(&self.headers, name)
    }

    /// Why this answer says neither yes nor no.
    pub(crate) fn refusal(&self) -> Why {
        match self.status {
            401 => Why::Unauthorized,
            403 => Why::Forbidden,
            429 => Why::TooManyRequests,
            status => Why::Status(status),
        }
    }
}

fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let all: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// The connection, and what is left of the limits of one question.
pub(crate) struct Wire<'a> {
    pub(crate) agent: &'a ureq::Agent,
    pub(crate) limits: Limits,
    /// Hosts that may be spoken to without TLS, beside this machine.
    pub(crate) plain: &'a BTreeSet<String>,
    began: Instant,
    requests: Cell<usize>,
    bytes: Cell<u64>,
}

impl<'a> Wire<'a> {
    pub(crate) fn new(agent: &'a ureq::Agent, limits: Limits, plain: &'a BTreeSet<String>) -> Self {
        Self { agent, limits, plain, began: Instant::now(), requests: Cell::new(0), bytes: Cell::new(0) }
    }

    /// Whether a host may be spoken to without TLS.
    pub(crate) fn may_be_plain(plain: &BTreeSet<String>, origin: &Origin) -> bool {
        let is_named = |one: &String| Origin::of(one, true).is_some_and(|named| named == *origin);
        origin.is_loopback() || plain.iter().any(is_named)
    }

    /// Sends, and follows redirects. `authorization` is for the origin that is asked, and for nobody else.
    pub(crate) fn exchange(&self, ask: &Ask<'_>, authorization: Option<&str>) -> Result<Reply, Unknown> {
        let failed = |why| Unknown::new(&ask.shown(), why);
        let (mut at, mut authorization) = (ask.at.clone(), authorization);
        for _ in 0..=self.limits.redirects {
            let mut response = self.send(ask, &at, authorization).map_err(failed)?;
            let status = response.status().as_u16();
            if !(matches!(status, 301 | 302 | 303 | 307 | 308) && ask.follows_redirects) {
                let is_good = (200..300).contains(&status);
                let bytes = self.read(&mut response, if is_good { ask.limit } else { MAX_ERROR });
                let bytes = if is_good { bytes.map_err(failed)? } else { bytes.unwrap_or_default() };
                let headers = std::mem::take(response.headers_mut());
                return Ok(Reply { status, from: at.origin, headers, bytes });
            }
            let location = joined(response.headers(), "location").unwrap_or_default();
            let next = at.join(&location).ok_or_else(|| failed(Why::Redirect("to no address".to_owned())))?;
            self.check_redirect(&ask.at.origin, &next.origin).map_err(failed)?;
            // whoever is sent to is not the one the credentials are for, nor is who it sends back with them
            authorization = authorization.filter(|_| next.origin == at.origin);
            at = next;
        }
        Err(failed(Why::TooMany("redirects", self.limits.redirects)))
    }

    fn check_redirect(&self, from: &Origin, to: &Origin) -> Result<(), Why> {
        let refuse = |what: &str| Err(Why::Redirect(format!("to {to}, {what}")));
        if to.is_plain() && !(from.is_plain() && Self::may_be_plain(self.plain, to)) {
            return refuse("without TLS");
        }
        if to.is_loopback() && !from.is_loopback() {
            return refuse("which is this machine");
        }
        Ok(())
    }

    fn send(
        &self,
        ask: &Ask<'_>,
        at: &Address,
        authorization: Option<&str>,
    ) -> Result<ureq::http::Response<ureq::Body>, Why> {
        let count = self.requests.get() + 1;
        if count > self.limits.requests {
            return Err(Why::TooMany("requests", self.limits.requests));
        }
        self.requests.set(count);
        let mut request = Request::builder().method(ask.method).uri(at.to_string());
        request = request.header("accept", ask.accept).header("accept-encoding", "identity");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        if let Some((media_type, _)) = ask.body {
            request = request.header("content-type", media_type);
        }
        let unfit = |_| Why::Broken("the request cannot be written".to_owned());
        let answer = match ask.body {
            Some((_, bytes)) => self.run(request.body(bytes).map_err(unfit)?),
            None => self.run(request.body(()).map_err(unfit)?),
        }?;
        answer.map_err(why)
    }

    fn run<B: ureq::AsSendBody>(
        &self,
        request: Request<B>,
    ) -> Result<Result<ureq::http::Response<ureq::Body>, ureq::Error>, Why> {
        let left = self.limits.time.checked_sub(self.began.elapsed()).filter(|left| *left > Duration::ZERO);
        let left = left.ok_or(Why::Slow)?;
        let request = self.agent.configure_request(request);
        let request = request.timeout_global(Some(left)).timeout_per_read(Some(self.limits.stall));
        Ok(self.agent.run(request.build()))
    }

    /// The body as it is: at most `limit` bytes, and no more than is left for all answers together.
    fn read(&self, response: &mut ureq::http::Response<ureq::Body>, limit: u64) -> Result<Vec<u8>, Why> {
        let coding = joined(response.headers(), "content-encoding").unwrap_or_default();
        if !matches!(coding.trim().to_ascii_lowercase().as_str(), "" | "identity") {
            return Err(Why::Encoded(coding.chars().take(40).collect()));
        }
        let left = self.limits.total.saturating_sub(self.bytes.get());
        let most = limit.min(left);
        let too_large = || Why::TooLarge(if limit <= left { limit } else { self.limits.total });
        if response.body().content_length().is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let mut reader = response.body_mut().as_reader().take(most.saturating_add(1));
        let (mut bytes, mut chunk) = (Vec::new(), vec![0; CHUNK]);
        loop {
            let count = reader.read(&mut chunk).map_err(|e| why(ureq::Error::from(e)))?;
            bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
            if u64::try_from(bytes.len()).is_ok_and(|n| n > most) {
                return Err(too_large());
            }
            if count == 0 {
                self.bytes.set(self.bytes.get() + u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                return Ok(bytes);
            }
        }
    }
}

fn why(error: ureq::Error) -> Why {
    match error {
        ureq::Error::Timeout(_) => Why::Slow,
        ureq::Error::Io(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            Why::Slow
        }
        ureq::Error::Io(e) => Why::Broken(e.to_string()),
        ureq::Error::HostNotFound => Why::Broken("there is no such host".to_owned()),
        other => Why::Broken(other.to_string()),
    }
}
