//! Uploads in parts: nothing of them is in the store before all of it was decided about, so the parts wait here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attest::Algorithm;
use attest::digest::to_hex;
use axum::http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};

use crate::proxy::hold::Held;
use crate::proxy::s3::address::Address;
use crate::proxy::s3::answer::{Refusal, bad};
use crate::proxy::share::Bounds;

pub(super) const MOST_UPLOADS: u64 = 1000;
/// Each waiting part is an open file.
pub(super) const MOST_PARTS: u64 = 512;
/// Who brings nothing for so long has given up.
const IDLE: SignedDuration = SignedDuration::from_hours(1);

/// All that were begun.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<BTreeMap<String, Upload>>);

/// One upload.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    owner: Owner,
    /// What lies beside the object that it becomes.
    pub(super) headers: HeaderMap,
    touched: Timestamp,
    pub(super) parts: BTreeMap<u16, Part>,
}

/// Whose upload it is, and of what. Nobody else adds to it or sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) place: Address,
    pub(super) requester: Option<String>,
}

/// One part.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) held: Arc<Held>,
    /// What a client names it by.
    pub(super) tag: String,
}

impl Part {
    pub(super) fn of(held: Held) -> Self {
        let digest = held.digests().get(Algorithm::Sha256).map(|digest| digest.hex());
        Self { tag: format!("\"{}\"", digest.unwrap_or_default()), held: Arc::new(held) }
    }
}

impl Uploads {
    fn all(&self, now: Timestamp) -> MutexGuard<'_, BTreeMap<String, Upload>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, upload| now.duration_since(upload.touched) < IDLE);
        all
    }

    /// Lets go of those that are given up.
    pub(super) fn sweep(&self, now: Timestamp) {
        drop(self.all(now));
    }

    /// Begins one, and gives its name.
    pub(super) fn begin(
        &self,
        owner: Owner,
        headers: HeaderMap,
        now: Timestamp,
        bounds: Bounds,
    ) -> Result<String, Refusal> {
        let mut name = [0; 16];
        aws_lc_rs::rand::fill(&mut name).or(Err(busy("the system gives no random numbers")))?;
        let mut all = self.all(now);
        let of_one = all.values().filter(|upload| upload.owner.requester == owner.requester).count();
        bounds.check(all.len(), of_one).map_err(|full| {
            busy(&format!("too many uploads were begun: {}", full.text("uploads that may be open")))
        })?;
        let name = to_hex(&name);
        all.insert(name.clone(), Upload { owner, headers, touched: now, parts: BTreeMap::new() });
        Ok(name)
    }

    /// Keeps a part, in the place of one with the same number.
    pub(super) fn add(
        &self,
        name: &str,
        owner: &Owner,
        (number, part): (u16, Part),
        now: Timestamp,
        bounds: Bounds,
    ) -> Result<(), Refusal> {
        let mut all = self.all(now);
        let (mut waiting, mut of_one) = (0_usize, 0_usize);
        for upload in all.values() {
            waiting += upload.parts.len();
            of_one += if upload.owner.requester == owner.requester { upload.parts.len() } else { 0 };
        }
        let upload = all.get_mut(name).filter(|upload| upload.owner == *owner).ok_or_else(missing)?;
        if !upload.parts.contains_key(&number) {
            bounds.check(waiting, of_one).map_err(|full| {
                busy(&format!("too many parts wait: {}, with larger ones", full.text("parts that may wait")))
            })?;
        }
        upload.touched = now;
        upload.parts.insert(number, part);
        Ok(())
    }

    /// One as it is now.
    pub(super) fn find(&self, name: &str, owner: &Owner, now: Timestamp) -> Result<Upload, Refusal> {
        self.all(now).get(name).filter(|upload| upload.owner == *owner).cloned().ok_or_else(missing)
    }

    /// Gives one up.
    pub(super) fn remove(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Upload {
    /// The parts that a client lists, in its order, which must be theirs.
    pub(super) fn listed(&self, listed: &[(u16, String)]) -> Result<Vec<Arc<Held>>, Refusal> {
        if listed.is_empty() || !listed.is_sorted_by(|(one, _), (next, _)| one < next) {
            let text = "the parts are not listed in the order of their numbers, each once".to_owned();
            return Err(Refusal { status: StatusCode::BAD_REQUEST, code: "InvalidPartOrder", text });
        }
        let part = |(number, tag): &(u16, String)| {
            let part =
                self.parts.get(number).filter(|part| part.tag.trim_matches('"') == tag.trim_matches('"'));
            let text = format!("part {number} did not come, or another came in its place");
            part.map(|part| Arc::clone(&part.held)).ok_or(Refusal { code: "InvalidPart", ..bad(&text) })
        };
        listed.iter().map(part).collect()
    }
}

fn missing() -> Refusal {
    let text = "nobody began this upload here, or it was idle for an hour".to_owned();
    Refusal { status: StatusCode::NOT_FOUND, code: "NoSuchUpload", text }
}

fn busy(text: &str) -> Refusal {
    Refusal { status: StatusCode::SERVICE_UNAVAILABLE, code: "SlowDown", text: text.to_owned() }
}
