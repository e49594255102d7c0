//! A request that is not met: what was wanted, what was found, and how to mend it, as everywhere in this project.

use attest::{Json, Object};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use policy::{Diagnostic, Style};

use crate::queue::QueueError;

/// Why a request is not met.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    wanted: Option<String>,
    found: Option<String>,
    fix: Option<String>,
    /// After how many seconds to come again, where that may help.
    again: u64,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), wanted: None, found: None, fix: None, again: 30 }
    }

    pub(crate) fn wanted(mut self, text: &str) -> Self {
        self.wanted = Some(text.to_owned());
        self
    }

    pub(crate) fn found(mut self, text: &str) -> Self {
        self.found = Some(text.to_owned());
        self
    }

    pub(crate) fn fix(mut self, text: &str) -> Self {
        self.fix = Some(text.to_owned());
        self
    }

    /// Comes again after so many seconds, and not after the usual ones.
    pub(crate) fn again(mut self, seconds: u64) -> Self {
        self.again = seconds;
        self
    }

    /// What goes into the service's own log of events.
    pub(crate) fn to_event(&self) -> Object {
        Object::new()
            .with("status", i64::from(self.status))
            .with("code", self.code)
            .with("message", self.message.as_str())
    }
}

impl Refusal {
    /// The answer as people read it.
    pub(crate) fn to_text(&self) -> Response {
        let lines = [("wanted", &self.wanted), ("found", &self.found), ("fix", &self.fix)];
        let lines = lines.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?)));
        let shown = lines
            .fold(Diagnostic::new(self.code, &self.message), |shown, (name, text)| shown.line(name, text));
        let text = shown.to_text(Style::Plain) + "\n";
        self.headed(super::answer(self.status(), "text/plain; charset=utf-8", Body::from(text)))
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn headed(&self, mut response: Response) -> Response {
        match self.status {
            401 => drop(
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            ),
            429 | 503 => {
                drop(response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.again)));
            }
            _ => {}
        }
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = Object::new().with("code", self.code).with("message", self.message.as_str());
        body.set_some("wanted", self.wanted.as_deref());
        body.set_some("found", self.found.as_deref());
        body.set_some("fix", self.fix.as_deref());
        self.headed(super::json(self.status(), &Json::from(body)))
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        let text = error.to_string();
        match error {
            QueueError::Full(_) | QueueError::FullForRequester(_) => {
                Self::new(429, "queue-full", &text).fix("try again later; nothing was taken")
            }
            QueueError::KeyReused(_) => Self::new(409, "idempotency-key-reused", &text)
                .fix("use a new key for every new request, and the same one only to repeat a request"),
            // what a database says about itself is for its operator
            QueueError::Database(_) | QueueError::Version(_) => {
                Self::new(503, "queue-failed", "the queue cannot be used now; nothing was taken")
                    .fix("try again later; the service's log says why")
            }
        }
    }
}
