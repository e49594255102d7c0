//! What the adapters for uploads of packages have in common.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use policy::Unreadable;

use crate::proxy::adapter::With;
use crate::proxy::ask::Subject;
use crate::proxy::hold::Held;

/// The longest name of a package, a version or a file: registries take shorter ones.
pub(crate) const LONGEST: usize = 255;
/// As much of what a client sent as a message shows.
const SHOWN: usize = 120;

/// What of an upload cannot be read the one way.
pub(crate) fn unreadable(place: &str, what: &str, wanted: &str, found: &str) -> Unreadable {
    Unreadable {
        what: what.to_owned(),
        place: place.to_owned(),
        wanted: wanted.to_owned(),
        found: shown(found),
        fix: "upload what the build made, with the usual client".to_owned(),
    }
}

/// What a client sent, for a message: short, and without anything that a terminal obeys.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    if shown.is_empty() { "nothing".to_owned() } else { shown }
}

/// Why the headers of an upload have two meanings, where they have: a server that unpacks the body stores something
/// else than what was judged.
pub(crate) fn two_meanings(head: &Parts) -> Option<Unreadable> {
    const HEADERS: [&str; 2] = ["content-encoding", "content-range"];
    if let Some(query) = head.uri.query() {
        return Some(unreadable("", "the address of an upload asks for more", "no `?` in it", query));
    }
    let found = HEADERS.into_iter().find(|name| head.headers.contains_key(*name))?;
    Some(unreadable("", "a header gives the upload another meaning", &format!("no header {found}"), found))
}

/// The value of a header that is there exactly once.
pub(crate) fn once<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

impl With {
    /// Decides about it; an error is the answer to the client. What cannot be read goes nowhere, whatever else is said.
    pub(crate) async fn admit(&self, subject: Subject, headers: &HeaderMap) -> Result<(), Response> {
        let broken = subject.unreadable.first().map(|one| one.what.clone());
        let ruled = self.ask(subject, headers).await;
        match (self.refused(&ruled), broken) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(what)) => {
                Err(self.proxy.config().adapter.refuse(StatusCode::FORBIDDEN, "rejected", &what))
            }
            (None, None) => Ok(()),
        }
    }

    /// Sends on exactly what was held.
    pub(crate) async fn forward(&self, mut head: Parts, held: &Arc<Held>) -> Response {
        head.headers.insert(header::CONTENT_LENGTH, held.length().into());
        self.pass(Request::from_parts(head, held.body())).await
    }

    /// Reads what is held on one of the threads for that. An error there is ours.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Response> {
        self.proxy.room().read(work).await.map_err(|e| {
            let text = format!("cannot decide: what was held cannot be read: {e}");
            self.proxy.config().adapter.refuse(StatusCode::SERVICE_UNAVAILABLE, "cannot-decide", &text)
        })
    }
}
