//! All objects of one kind, and every change of one, for as long as the caller listens.
//!
//! A list in pages, then a watch from where the list ends; anew where the API server has forgotten that place. One
//! object is in memory at a time, and nothing is kept: the caller takes the few fields that it needs.

mod lines;
mod page;

use std::time::Duration;

use attest::{Json, Object};
use kube::client::Body;

use crate::address::plural;
use crate::error::ClusterError;
use crate::{Cluster, chain};
use lines::{Change, Lines};

/// Objects on one page. A page that is too large is asked for again with half as many.
const PAGE: u32 = 500;
/// The API server ends a watch after this, and the next begins where it ended: at the latest then a silent one is seen.
const TURN: Duration = Duration::from_secs(60);
/// The first pause after something failed; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long is waited for one answer, and for one page of a list.
const ANSWER: Duration = Duration::from_secs(15);

/// What a watch tells.
#[derive(Debug)]
pub enum Seen {
    /// A list begins. What was seen before it, and is not seen again before [`Seen::Complete`], is gone.
    Begin,
    /// An object as it is now.
    Object(Json),
    /// An object that was taken away, as it was at last.
    Gone(Json),
    /// The list is complete.
    Complete,
    /// Everything that happened until now was told.
    Current,
    /// Nobody knows what happens; it is asked again after the pause.
    Broken(ClusterError, Duration),
}

/// How one turn ended.
enum Turn {
    Listed,
    Ended,
}

/// One watch: of which objects, and from where.
struct Watch<'c> {
    cluster: &'c Cluster,
    /// What is watched, in messages.
    what: String,
    kind: String,
    path: String,
    /// Where the list, or the change that was told last, stands; nothing before a list is complete.
    version: Option<String>,
    page: u32,
}

impl Cluster {
    /// Tells every object of a built-in kind of workload, in all namespaces, and every change of one. Ends only when
    /// it is dropped: whatever fails is told, and tried again. `tell` is called on the task that polls this.
    ///
    /// # Errors
    /// [`ClusterError::Kind`] for a kind that is not looked up, at once.
    pub async fn watch(
        &self,
        api_version: &str,
        kind: &str,
        tell: &mut (dyn FnMut(Seen) + Send),
    ) -> Result<(), ClusterError> {
        let unknown = || ClusterError::Kind { api_version: api_version.to_owned(), kind: kind.to_owned() };
        let plural = plural(api_version, kind).ok_or_else(unknown)?;
        let root = if api_version.contains('/') { "apis" } else { "api" };
        let mut watch = Watch {
            cluster: self,
            what: format!("all {plural}"),
            kind: kind.to_owned(),
            path: format!("/{root}/{api_version}/{plural}"),
            version: None,
            page: PAGE,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let mut is_well = false;
            let mut heard = |seen: Seen| {
                is_well |= matches!(seen, Seen::Complete | Seen::Current);
                tell(seen);
            };
            let turned = watch.turn(&mut heard).await;
            if is_well {
                pause = FIRST_PAUSE;
            }
            match turned {
                Ok(Turn::Listed) => {}
                // who ends every watch at once is not asked as fast as that goes
                Ok(Turn::Ended) => tokio::time::sleep(FIRST_PAUSE).await,
                Err(error) => {
                    tell(Seen::Broken(error, pause));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

impl Watch<'_> {
    /// One list, or one watch until the API server ends it.
    async fn turn(&mut self, tell: &mut (dyn FnMut(Seen) + Send)) -> Result<Turn, ClusterError> {
        match self.version.clone() {
            None => self.list(tell).await.map(|()| Turn::Listed),
            Some(version) => {
                let turned = self.follow(&version, tell).await;
                // whoever answers, and not with a watch, has other ideas of where we are: a list is always right
                if turned.as_ref().is_err_and(|e| !matches!(e, ClusterError::Unreachable(_))) {
                    self.version = None;
                }
                match turned {
                    Err(ClusterError::Status(_, 410)) => Ok(Turn::Ended),
                    turned => turned.map(|()| Turn::Ended),
                }
            }
        }
    }

    async fn list(&mut self, tell: &mut (dyn FnMut(Seen) + Send)) -> Result<(), ClusterError> {
        tell(Seen::Begin);
        let mut next = String::new();
        loop {
            let query = format!("{}?limit={}{}", self.path, self.page, continued(&next));
            let late = |_| ClusterError::Late(self.what.clone(), ANSWER);
            let page = tokio::time::timeout(ANSWER, self.page(&query)).await.map_err(late)?;
            let page = match page {
                Err(ClusterError::Large(..)) if self.page > 1 => {
                    self.page /= 2;
                    continue;
                }
                // it took so long that its next page is forgotten
                Err(ClusterError::Status(_, 410)) if !next.is_empty() => {
                    tokio::time::sleep(FIRST_PAUSE).await;
                    tell(Seen::Begin);
                    next.clear();
                    continue;
                }
                page => page?,
            };
            for mut item in page.items {
                self.name_kind(&mut item);
                tell(Seen::Object(item));
            }
            next = page.next;
            if next.is_empty() {
                self.version = Some(page.version);
                tell(Seen::Complete);
                return Ok(());
            }
        }
    }

    async fn page(&self, query: &str) -> Result<page::Page, ClusterError> {
        let _turn = self.cluster.turns.acquire().await.map_err(|e| unreachable(&e))?;
        let response = self.send(query).await?;
        page::read(&self.what, response).await
    }

    /// Items of a list do not say what they are.
    fn name_kind(&self, item: &mut Json) {
        if let Json::Object(object) = item {
            object.set("kind", self.kind.as_str());
        }
    }

    async fn follow(
        &mut self,
        version: &str,
        tell: &mut (dyn FnMut(Seen) + Send),
    ) -> Result<(), ClusterError> {
        let seconds = TURN.as_secs();
        let query = format!(
            "{}?watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={seconds}",
            self.path,
            quoted(version)
        );
        let late = |limit| ClusterError::Late(format!("changes of {}", self.what), limit);
        let answer = tokio::time::timeout(ANSWER, self.send(&query)).await;
        let response = answer.map_err(|_| late(ANSWER))??;
        page::check_status(&self.what, response.status().as_u16())?;
        let mut lines = Lines::new(&self.what, response.into_body());
        let silent = late(TURN + ANSWER);
        tell(Seen::Current);
        // longer than a turn takes: nobody is there any more
        let end = tokio::time::Instant::now() + TURN + ANSWER;
        loop {
            let next = tokio::time::timeout_at(end, lines.next()).await;
            let Some(change) = next.map_err(|_| silent.clone())?? else { return Ok(()) };
            let (version, seen) = match change {
                Change::Now(object) => (version_of(&object), Seen::Object(object)),
                Change::Gone(object) => (version_of(&object), Seen::Gone(object)),
                Change::Bookmark(object) => (version_of(&object), Seen::Current),
                Change::Error(status) => return Err(ClusterError::Status(self.what.clone(), status)),
            };
            let without = || ClusterError::Answer(self.what.clone(), "a change without a version".to_owned());
            self.version = Some(version.ok_or_else(without)?);
            tell(seen);
        }
    }

    async fn send(&self, query: &str) -> Result<http::Response<Body>, ClusterError> {
        let request = http::Request::get(query)
            .header("accept", "application/json")
            .body(Body::empty())
            .map_err(|e| unreachable(&e))?;
        self.cluster.client.send(request).await.map_err(|e| unreachable(&e))
    }
}

fn unreachable(e: &dyn std::error::Error) -> ClusterError {
    ClusterError::Unreachable(chain(e))
}

fn version_of(object: &Json) -> Option<String> {
    let metadata: &Object = object.as_object().ok()?.object("metadata").ok()?;
    metadata.string("resourceVersion").ok().filter(|v| !v.is_empty()).map(str::to_owned)
}

fn continued(next: &str) -> String {
    if next.is_empty() { String::new() } else { format!("&continue={}", quoted(next)) }
}

/// Percent-encoded: what the API server gave us to give back is not a part of a query by itself.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests;
