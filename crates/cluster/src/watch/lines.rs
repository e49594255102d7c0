//! The body of a watch: one change a line.

use attest::Json;
use attest::json::parse_with;
use http_body_util::BodyExt as _;
use kube::client::Body;

use super::page::limits;
use crate::chain;
use crate::error::ClusterError;

/// etcd takes objects of 1.5 MiB; as JSON with the managed fields they stay below this.
const MAX_LINE: usize = 4 << 20;

/// One change.
pub(super) enum Change {
    /// Made or changed.
    Now(Json),
    /// Taken away.
    Gone(Json),
    /// Nothing changed up to here.
    Bookmark(Json),
    /// The API server gives the watch up, with this status.
    Error(u16),
}

pub(super) struct Lines {
    what: String,
    body: Body,
    /// What was read and not yet told; what is before `from` was told.
    read: Vec<u8>,
    from: usize,
    /// Up to here there is no line's end.
    searched: usize,
}

impl Lines {
    pub(super) fn new(what: &str, body: Body) -> Self {
        Self { what: what.to_owned(), body, read: Vec::new(), from: 0, searched: 0 }
    }

    /// The next change; nothing where the API server ended the watch.
    pub(super) async fn next(&mut self) -> Result<Option<Change>, ClusterError> {
        loop {
            let rest = self.read.get(self.searched..).unwrap_or_default();
            if let Some(length) = rest.iter().position(|b| *b == b'\n') {
                let end = self.searched + length;
                let change = self.change(self.read.get(self.from..end).unwrap_or_default());
                (self.from, self.searched) = (end + 1, end + 1);
                return change.map(Some);
            }
            self.read.drain(..self.from);
            (self.from, self.searched) = (0, self.read.len());
            if self.read.len() > MAX_LINE {
                return Err(ClusterError::Large(self.what.clone(), MAX_LINE));
            }
            // a large object is gone again: its room is given back
            if self.read.is_empty() {
                self.read.shrink_to(64 << 10);
            }
            match self.body.frame().await {
                // half a line is half a change, which the next watch brings whole
                None => return Ok(None),
                Some(Err(e)) => return Err(ClusterError::Unreachable(chain(&e))),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.read.extend_from_slice(&bytes);
                    }
                }
            }
        }
    }

    fn change(&self, line: &[u8]) -> Result<Change, ClusterError> {
        let unfit = |why: String| ClusterError::Answer(format!("changes of {}", self.what), why);
        let value = parse_with(line, limits(MAX_LINE)).map_err(|e| unfit(e.to_string()))?;
        let Json::Object(mut event) = value else { return Err(unfit("no change".to_owned())) };
        let object = event.remove("object").ok_or_else(|| unfit("a change of nothing".to_owned()))?;
        match event.string("type").map_err(|e| unfit(e.to_string()))? {
            "ADDED" | "MODIFIED" => Ok(Change::Now(object)),
            "DELETED" => Ok(Change::Gone(object)),
            "BOOKMARK" => Ok(Change::Bookmark(object)),
            "ERROR" => {
                let code = object.as_object().and_then(|status| status.int("code")).unwrap_or(500);
                Ok(Change::Error(u16::try_from(code).unwrap_or(500)))
            }
            other => Err(unfit(format!("a change of the type {other:?}"))),
        }
    }
}
