//! A build that was asked for, from its submission to its end.

use attest::{Json, Object};
use jiff::Timestamp;

/// What is asked for: where, which, what. Everything else is in the source and in the service's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) repository: String,
    pub(crate) reference: String,
    pub(crate) target: String,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl State {
    pub(crate) const ALL: [Self; 5] =
        [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing will change any more.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// A job as the queue has it. Times are microseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The invocation's id: unguessable, and the only one under which this build's provenance is signed.
    pub(crate) id: String,
    pub(crate) wish: Wish,
    pub(crate) requester: String,
    pub(crate) state: State,
    /// How often it was started.
    pub(crate) attempts: i64,
    /// Whether somebody wants it to end.
    pub(crate) is_unwanted: bool,
    pub(crate) submitted_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    /// Why it failed or was cancelled: the document that `portcullis build --format json` prints on failure.
    pub(crate) reason: Option<Json>,
    /// Name, size and digest of each file that it made.
    pub(crate) outputs: Option<Json>,
}

impl Job {
    /// The form in which the API shows it.
    pub(crate) fn to_json(&self) -> Json {
        self.to_object().into()
    }

    /// The same, to which something may be added.
    pub(crate) fn to_object(&self) -> Object {
        let mut object = Object::new()
            .with("id", self.id.as_str())
            .with("repository", self.wish.repository.as_str())
            .with("ref", self.wish.reference.as_str())
            .with("target", self.wish.target.as_str())
            .with("requester", self.requester.as_str())
            .with("state", self.state.name())
            .with("attempts", self.attempts)
            .with("submitted_at", time(self.submitted_at));
        object.set_some("cancel_requested", (self.is_unwanted && !self.state.is_over()).then_some(true));
        object.set_some("started_at", self.started_at.map(time));
        object.set_some("finished_at", self.finished_at.map(time));
        object.set_some("reason", self.reason.clone());
        object.set_some("outputs", self.outputs.clone());
        object
    }
}

/// A reason of the service's own, in the shape in which a build tells its own.
pub(crate) fn reason(error: &str, lines: &[(&str, &str)]) -> Json {
    let line = |(label, text): &(&str, &str)| Object::new().with("label", *label).with("text", *text);
    let lines: Vec<Object> = lines.iter().map(line).collect();
    Object::new().with("error", error).with("lines", lines).with("files", Json::Array(Vec::new())).into()
}

fn time(microseconds: i64) -> Json {
    Timestamp::from_microsecond(microseconds).map_or(Json::Null, |t| Json::from(t.to_string()))
}
