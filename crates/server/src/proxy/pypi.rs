//! PyPI's upload API: a form with one distribution (<https://docs.pypi.org/api/upload/>).
//!
//! The distribution's bytes are the artifact, its project is the name. Whatever else stands in the form is sent on, and
//! decides nothing: installers read what is in the distribution, and of a wheel so does the proxy.

use std::sync::Arc;

use attest::yaml::{Fields, Problems};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use futures_util::future::BoxFuture;
use hyper::ext::ReasonPhrase;

use crate::proxy::adapter::{Adapter, With};
use crate::proxy::ask::Subject;
use crate::proxy::hold::Held;
use crate::proxy::package::two_meanings;
use crate::proxy::put::plain;

mod distribution;
mod form;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod upload;
mod wheel;

use form::FormError;
use upload::{Upload, nameless};

/// Its keys in the configuration.
pub(crate) const KEYS: [&str; 1] = ["uploads"];

/// Uploads to one path; everything else can only be read.
#[derive(Debug)]
pub(crate) struct Pypi {
    uploads: String,
}

impl Pypi {
    /// `uploads`: the path, where it is not PyPI's own.
    pub(crate) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let Some(node) = fields.optional("uploads") else {
            return Some(Self { uploads: "/legacy/".to_owned() });
        };
        let path = problems.keep(node.string())?;
        if !path.starts_with('/') || path.contains(['?', '#', '%']) {
            problems.push(node.mismatch("the path that takes uploads, as in /legacy/"));
            return None;
        }
        Some(Self { uploads: path.to_owned() })
    }

    async fn upload(&self, request: Request<Body>, with: &With) -> Response {
        let (head, body) = request.into_parts();
        let held = match with.hold(body).await {
            Ok(held) => Arc::new(held),
            Err(response) => return response,
        };
        let (own, headers) = (Arc::clone(&held), head.clone());
        let subject = match with.read(move || subject(&own, &headers)).await {
            Ok(subject) => subject,
            Err(response) => return response,
        };
        match with.admit(subject, &head.headers).await {
            Err(refusal) => refusal,
            Ok(()) => with.forward(head, &held).await,
        }
    }
}

/// What an upload deploys; what cannot be read is put on record as that.
fn subject(held: &Held, head: &Parts) -> std::io::Result<Subject> {
    let read = || {
        two_meanings(head).map_or(Ok(()), |why| Err(FormError::Form(why)))?;
        let parts = form::parts(held, &form::boundary(&head.headers)?)?;
        Upload::of(held, &parts).subject()
    };
    match read() {
        Ok(subject) => Ok(subject),
        Err(FormError::Form(why)) => Ok(nameless(why)),
        Err(FormError::Io(e)) => Err(e),
    }
}

impl Adapter for Pypi {
    fn answer<'a>(&'a self, request: Request<Body>, with: &'a With) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            match *request.method() {
                Method::GET | Method::HEAD => with.pass(request).await,
                Method::POST if request.uri().path() == self.uploads => self.upload(request, with).await,
                _ => {
                    let text = format!("only uploads to {}, GET and HEAD go through here", self.uploads);
                    self.refuse(StatusCode::METHOD_NOT_ALLOWED, "not-proxied", &text)
                }
            }
        })
    }

    /// Clients show the reason behind the status, and some the body.
    fn refuse(&self, status: StatusCode, _code: &str, text: &str) -> Response {
        let mut response = plain(status, text);
        if let Ok(reason) = ReasonPhrase::try_from(one_line(text)) {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

/// A text as it can stand in a status line: on one line, in ASCII.
fn one_line(text: &str) -> Vec<u8> {
    const MOST: usize = 2000;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join("; ").replace('…', "...");
    line.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MOST).map(|c| c as u8).collect()
}
