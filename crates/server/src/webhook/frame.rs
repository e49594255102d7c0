//! What every request to the choke point has, whatever it asks: a beginning, a deadline, an end that is counted once, and a
//! trace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;

use crate::http::Refusal;
use crate::webhook::judge::{Deadline, Stage, Stages};
use crate::webhook::service::Front;
use crate::webhook::trace::{Parent, Trace};

/// Kubernetes asks for no more than this.
const LONGEST: Duration = Duration::from_secs(30);
/// What Kubernetes takes where a webhook's configuration says nothing.
const USUAL: Duration = Duration::from_secs(10);
/// The way back: an answer at the very end of the caller's time comes too late.
const WAY: Duration = Duration::from_millis(200);

/// How a request ended: the word for it, and the answer.
pub(crate) type End = (&'static str, Response);

/// One request, until its end: whatever happens to it is counted once.
struct Waiting {
    front: Arc<Front>,
    deadline: Deadline,
    end: &'static str,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // where the caller went away, this is dropped in the middle: what still works for it stops
        self.deadline.give_up();
        self.front.metrics.ended(self.end);
    }
}

/// One request.
pub(crate) struct Frame {
    waiting: Waiting,
    began: Instant,
    /// When it came.
    pub(crate) now: Timestamp,
    parent: Option<Parent>,
    name: &'static str,
    /// How long each step took.
    pub(crate) stages: Stages,
    /// For its trace.
    pub(crate) attributes: Vec<(&'static str, String)>,
}

impl Frame {
    /// Begins a request of this name; gives until when it is answered, where that can be read.
    pub(crate) fn begin(
        front: &Arc<Front>,
        name: &'static str,
        request: &Request,
    ) -> (Self, Result<Deadline, Refusal>) {
        let read = deadline(request.uri().query());
        let deadline = read.as_ref().map_or_else(|_| Deadline::after(USUAL), Deadline::clone);
        let waiting = Waiting { front: Arc::clone(front), deadline, end: "late" };
        let frame = Self {
            waiting,
            began: Instant::now(),
            now: front.now(),
            parent: traceparent(request.headers()),
            name,
            stages: Stages::default(),
            attributes: Vec::new(),
        };
        (frame, read)
    }

    /// Ends it, with the answer that goes out.
    pub(crate) fn end(mut self, (end, response): End) -> Response {
        self.waiting.end = end;
        self.stages.add(Stage::Total, self.began);
        let front = &self.waiting.front;
        front.metrics.took(&self.stages);
        front.traces.send(Trace {
            parent: self.parent,
            name: self.name,
            end,
            now: front.now(),
            instant: Instant::now(),
            began: self.began,
            stages: self.stages,
            attributes: self.attributes,
        });
        response
    }
}

/// Until when, from `?timeout=10s`: at most so long, and a little before the caller stops waiting.
fn deadline(query: Option<&str>) -> Result<Deadline, Refusal> {
    let Some(text) = crate::http::parameter(query, "timeout")? else {
        return Ok(Deadline::after(USUAL - WAY));
    };
    let is_number = |n: &&str| (1..=9).contains(&n.len()) && !n.starts_with(['0', '+']);
    let seconds = text.strip_suffix('s').filter(is_number).and_then(|n| n.parse::<u64>().ok());
    let seconds = seconds.ok_or_else(|| {
        Refusal::new(400, "bad-request", "the timeout cannot be read").wanted("as in 10s").found(&text)
    })?;
    let span = Duration::from_secs(seconds).min(LONGEST);
    Ok(Deadline::after(span - WAY))
}

fn traceparent(headers: &HeaderMap) -> Option<Parent> {
    Parent::read(headers.get("traceparent")?.to_str().ok()?)
}
