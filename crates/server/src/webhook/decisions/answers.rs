//! Answers that are given again: the same question under the same key is decided once, however often and however much at
//! once it is asked.
//!
//! Kept in memory, and not for long. An answer counts for what its asker does next: ten minutes later, or under other
//! files, or past the end of the grant that it came by, the same question is another one, and is decided.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attest::Digest;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::http::answer;

/// For so many seconds.
const WINDOW: i64 = 600;
/// Two who come at once read the clock one after the other; one that went back further gives no answer again.
const TOLERANCE: i64 = 60;
/// So many answers.
const MOST: usize = 4096;
/// So many bytes of them.
const BYTES: usize = 32 << 20;
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What an asker hears, in both forms.
#[derive(Debug)]
pub(crate) struct Said {
    /// The word for how the request ended.
    pub(crate) end: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) json: String,
    pub(crate) text: String,
    /// After how many seconds to come again, where that may help.
    pub(crate) again: Option<u64>,
}

impl Said {
    /// The answer, in the form that is wanted.
    pub(crate) fn response(&self, wants_text: bool, is_replayed: bool) -> Response {
        let (kind, body) = match wants_text {
            true => ("text/plain; charset=utf-8", &self.text),
            false => ("application/json", &self.json),
        };
        let mut response = answer(self.status, kind, Body::from(body.clone()));
        let headers = response.headers_mut();
        headers.extend(self.again.map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds))));
        headers.extend(is_replayed.then_some((REPLAYED, HeaderValue::from_static("true"))));
        response
    }

    fn size(&self) -> usize {
        self.json.len() + self.text.len()
    }
}

/// Whose question it is, and what they call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) asker: String,
    pub(crate) key: String,
}

/// What a question under a key comes to.
#[derive(Debug)]
pub(crate) enum Claim {
    /// It has to be decided, by whoever holds this.
    Lead(Lead),
    /// It was decided.
    Said(Arc<Said>),
    /// Another one was asked under this key.
    Other,
}

/// The answers.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<Id, Entry>,
    /// The finished ones, oldest first.
    order: BTreeMap<u64, Id>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    /// Of what was asked.
    body: Digest,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Somebody decides it: ends when they do, or cannot.
    Deciding(watch::Receiver<()>),
    Done {
        said: Arc<Said>,
        /// Digests of the files under which it was decided.
        files: Vec<String>,
        /// From when until when it is given again.
        span: (Timestamp, Timestamp),
        number: u64,
    },
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a question, once there is one; or the duty to find it. `files` are the digests of those in force.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        id: Id,
        body: &Digest,
        files: &[String],
        now: Timestamp,
    ) -> Claim {
        loop {
            let mut deciding = {
                let mut table = self.lock();
                table.forget_void(&id, files, now);
                match table.entries.get(&id) {
                    Some(entry) if entry.body != *body => return Claim::Other,
                    Some(Entry { state: State::Done { said, .. }, .. }) => {
                        return Claim::Said(Arc::clone(said));
                    }
                    Some(Entry { state: State::Deciding(deciding), .. }) => deciding.clone(),
                    None => {
                        let (done, deciding) = watch::channel(());
                        let entry = Entry { body: body.clone(), state: State::Deciding(deciding) };
                        table.entries.insert(id.clone(), entry);
                        let answers = Arc::clone(self);
                        return Claim::Lead(Lead {
                            answers,
                            id,
                            files: files.to_vec(),
                            is_open: true,
                            _done: done,
                        });
                    }
                }
            };
            // an error says that they are done, or gave up
            deciding.changed().await.ok();
        }
    }
}

impl Table {
    /// An answer that is not given again is none.
    fn forget_void(&mut self, id: &Id, files: &[String], now: Timestamp) {
        let Some(Entry { state: State::Done { files: under, span: (from, until), number, .. }, .. }) =
            self.entries.get(id)
        else {
            return;
        };
        let is_early = now.as_second().saturating_add(TOLERANCE) < from.as_second();
        if under != files || is_early || now >= *until {
            let number = *number;
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) {
        let gone = self.order.remove(&number).and_then(|id| self.entries.remove(&id));
        if let Some(Entry { state: State::Done { said, .. }, .. }) = gone {
            self.bytes = self.bytes.saturating_sub(said.size());
        }
    }

    /// Who asks too much loses the oldest answers: their questions are decided anew.
    fn bound(&mut self) {
        while self.order.len() > MOST || self.bytes > BYTES {
            let Some(oldest) = self.order.keys().next().copied() else { return };
            self.remove(oldest);
        }
    }
}

/// The duty to decide a question. Dropped without an answer, it goes to whoever waits.
#[derive(Debug)]
pub(crate) struct Lead {
    answers: Arc<Answers>,
    id: Id,
    files: Vec<String>,
    is_open: bool,
    _done: watch::Sender<()>,
}

impl Lead {
    /// Keeps the answer, for a while and not past `end`.
    pub(crate) fn finish(mut self, said: Arc<Said>, now: Timestamp, end: Option<Timestamp>) {
        let window = now.as_second().saturating_add(WINDOW);
        let window = Timestamp::from_second(window).unwrap_or(now);
        let until = end.map_or(window, |end| end.min(window));
        let mut table = self.answers.lock();
        let number = table.next;
        table.next = number.saturating_add(1);
        table.bytes = table.bytes.saturating_add(said.size());
        if let Some(entry) = table.entries.get_mut(&self.id) {
            let files = std::mem::take(&mut self.files);
            entry.state = State::Done { said, files, span: (now, until), number };
        }
        table.order.insert(number, self.id.clone());
        table.bound();
        drop(table);
        self.is_open = false;
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.is_open {
            self.answers.lock().entries.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn said(text: &str) -> Arc<Said> {
        let (json, text) = (String::new(), text.to_owned());
        Arc::new(Said { end: "answered", status: StatusCode::OK, json, text, again: None })
    }

    fn id(asker: &str, key: &str) -> Id {
        Id { asker: asker.to_owned(), key: key.to_owned() }
    }

    async fn claim(answers: &Arc<Answers>, id: Id, body: &str, files: &str, second: i64) -> Claim {
        let body = Digest::sha256(body.as_bytes());
        answers.claim(id, &body, &[files.to_owned()], at(second)).await
    }

    async fn lead(answers: &Arc<Answers>, id: Id, body: &str, files: &str, second: i64) -> Lead {
        match claim(answers, id, body, files, second).await {
            Claim::Lead(lead) => lead,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_answer_is_given_again_to_the_same_asker_for_the_same_question_only() {
        let answers = Arc::default();
        lead(&answers, id("a", "k"), "q", "f", 100).await.finish(said("x"), at(100), None);
        let again = claim(&answers, id("a", "k"), "q", "f", 699).await;
        assert!(matches!(&again, Claim::Said(said) if said.text == "x"), "{again:?}");
        assert!(matches!(claim(&answers, id("a", "k"), "other", "f", 100).await, Claim::Other));
        let earlier = claim(&answers, id("a", "k"), "q", "f", 99).await;
        assert!(matches!(earlier, Claim::Said(_)), "who came a moment before, and waited: {earlier:?}");
        drop(lead(&answers, id("b", "k"), "q", "f", 100).await);
        drop(lead(&answers, id("a", "l"), "q", "f", 100).await);
    }

    #[tokio::test]
    async fn no_answer_outlives_its_window_its_files_its_grant_or_a_clock_that_went_back() {
        for (files, second, end) in
            [("f", 700, None), ("g", 101, None), ("f", 130, Some(130)), ("f", 39, None)]
        {
            let answers = Arc::default();
            lead(&answers, id("a", "k"), "q", "f", 100).await.finish(said("x"), at(100), end.map(at));
            drop(lead(&answers, id("a", "k"), "q", files, second).await);
        }
    }

    #[tokio::test]
    async fn who_comes_while_it_is_decided_waits_and_takes_over_where_nobody_does() {
        let answers: Arc<Answers> = Arc::default();
        let first = lead(&answers, id("a", "k"), "q", "f", 100).await;
        let other = Arc::clone(&answers);
        let waiting = tokio::spawn(async move { claim(&other, id("a", "k"), "q", "f", 100).await });
        tokio::task::yield_now().await;
        assert!(matches!(claim(&answers, id("a", "k"), "other", "f", 100).await, Claim::Other));
        drop(first);
        let Claim::Lead(second) = waiting.await.unwrap() else { panic!("nobody decides") };
        let other = Arc::clone(&answers);
        let waiting = tokio::spawn(async move { claim(&other, id("a", "k"), "q", "f", 100).await });
        tokio::task::yield_now().await;
        second.finish(said("x"), at(100), None);
        assert!(matches!(waiting.await.unwrap(), Claim::Said(said) if said.text == "x"));
    }

    #[tokio::test]
    async fn answers_are_bounded_in_number_and_in_sum() {
        let answers: Arc<Answers> = Arc::default();
        let large = "x".repeat(BYTES / 4);
        for number in 0..6 {
            lead(&answers, id("a", &number.to_string()), "q", "f", 100).await.finish(
                said(&large),
                at(100),
                None,
            );
        }
        let counts = |table: &Table| (table.entries.len(), table.bytes);
        assert_eq!(counts(&answers.lock()), (4, BYTES));
        for number in 0..MOST + 10 {
            lead(&answers, id("b", &number.to_string()), "q", "f", 100).await.finish(said(""), at(100), None);
        }
        let table = answers.lock();
        assert_eq!((table.entries.len(), table.order.len(), table.bytes), (MOST, MOST, 0));
    }
}
