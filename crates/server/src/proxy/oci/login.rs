//! A registry that wants tokens: each is fetched from where the registry says, if that is the registry itself or the one server
//! that the configuration names beside it; is for one repository, and kept until shortly before it ends. A registry that says
//! otherwise could have the proxy's login sent to anybody.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::Response;
use registry::{Token, TokenWanted};

use crate::proxy::adapter::With;
use crate::proxy::upstream::{Signed, UpstreamError};

const MAX_ANSWER: usize = 64 << 10;
const MAX_TOKENS: usize = 1000;
/// A login that was changed is another one after this, whatever the tokens say.
const LONGEST: u64 = 300;
/// As much of a token's time is left for the request that it goes with.
const MARGIN: u64 = 10;

/// The login of one proxy at its registry.
#[derive(Debug, Default)]
pub(super) struct Login {
    /// The server that may give tokens, beside the registry itself.
    server: Option<String>,
    tokens: Mutex<BTreeMap<String, (HeaderValue, Instant)>>,
}

impl Login {
    /// Where this server may give tokens too.
    pub(super) fn with(server: Option<String>) -> Self {
        Self { server, ..Self::default() }
    }

    /// Sends what `make` makes, for a scope; and once more with a token, where the registry refuses it for the want of one.
    /// What was refused for that did nothing.
    pub(super) async fn send(
        &self,
        with: &With,
        scope: &str,
        make: impl Fn() -> Result<Request<Body>, Response>,
    ) -> Result<Response, Response> {
        let mut request = make()?;
        if let Some(token) = self.kept(scope) {
            request.extensions_mut().insert(Signed(token));
        }
        let before = with.course.end();
        let wanted = match with.send(request).await {
            Err(UpstreamError::Login(401, said)) => match TokenWanted::read(&said) {
                Some(wanted) => wanted,
                None => return Err(with.no_answer(&UpstreamError::Login(401, said))),
            },
            other => return other.map_err(|e| with.no_answer(&e)),
        };
        with.course.set(before);
        let token = self.fetch(with, scope, &wanted).await.map_err(|e| with.no_answer(&e))?;
        let mut request = make()?;
        request.extensions_mut().insert(Signed(token));
        with.send(request).await.map_err(|e| with.no_answer(&e))
    }

    fn kept(&self, scope: &str) -> Option<HeaderValue> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, until)| Instant::now() < *until);
        tokens.get(scope).map(|(token, _)| token.clone())
    }

    async fn fetch(
        &self,
        with: &With,
        scope: &str,
        wanted: &TokenWanted,
    ) -> Result<HeaderValue, UpstreamError> {
        let upstream = with.proxy.upstream();
        let own = upstream.origin();
        let allowed: Vec<&str> = std::iter::once(own.as_str()).chain(self.server.as_deref()).collect();
        let at = wanted.address(scope, &allowed).map_err(|why| UpstreamError::Token(why.to_string()))?;
        let (status, bytes) = upstream.ask_with_login(&at, MAX_ANSWER).await.map_err(UpstreamError::Token)?;
        if status != StatusCode::OK {
            return Err(UpstreamError::Token(format!(
                "its token server answers {status} to the proxy's own login"
            )));
        }
        let token = Token::read(&bytes).map_err(|why| UpstreamError::Token(why.to_owned()))?;
        let no_header = |_| UpstreamError::Token("the token fits no header".to_owned());
        let mut value = HeaderValue::from_str(token.authorization()).map_err(no_header)?;
        value.set_sensitive(true);
        let good_for = token.seconds().min(LONGEST).saturating_sub(MARGIN);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert(scope.to_owned(), (value.clone(), Instant::now() + Duration::from_secs(good_for)));
        Ok(value)
    }
}

/// What is needed for a repository: whoever may only read there is given no more.
pub(super) fn of(repository: &str) -> String {
    format!("repository:{repository}:pull,push")
}

/// What is needed for the list of all repositories.
pub(super) const CATALOG: &str = "registry:catalog:*";
