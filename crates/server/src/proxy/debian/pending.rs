//! Files that came before the `.changes` that names them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::time::Instant;

use crate::proxy::hold::Held;
use crate::proxy::share::Bounds;

/// Who waits longer begins again.
const OLDEST: Duration = Duration::from_secs(3600);
/// Files of one uploader in one folder, and of all.
const MOST_OF_ONE: usize = 256;
pub(super) const MOST: u64 = 4096;

/// Whose upload to where: nobody's files are ever part of another's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) requester: Option<String>,
    pub(super) folder: String,
}

/// A file that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) held: Arc<Held>,
    pub(super) headers: HeaderMap,
    since: Instant,
}

/// All that waits.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<BTreeMap<(Place, String), Waiting>>);

impl Pending {
    /// Lets a file wait; one that came under the same name is gone. Not taken where there are too many, with the reason.
    pub(super) fn put(
        &self,
        place: &Place,
        name: &str,
        file: (Arc<Held>, HeaderMap),
        bounds: Bounds,
    ) -> Result<(), String> {
        let (held, headers) = file;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, waiting| waiting.since.elapsed() < OLDEST);
        let key = (place.clone(), name.to_owned());
        if !all.contains_key(&key) {
            if all.keys().filter(|(other, _)| other == place).count() >= MOST_OF_ONE {
                return Err(format!("{MOST_OF_ONE} files wait in this folder already"));
            }
            let of_one = all.keys().filter(|(other, _)| other.requester == place.requester).count();
            bounds.check(all.len(), of_one).map_err(|full| full.text("files that may wait"))?;
        }
        all.insert(key, Waiting { held, headers, since: Instant::now() });
        Ok(())
    }

    /// A file that waits.
    pub(super) fn get(&self, place: &Place, name: &str) -> Option<Waiting> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&(place.clone(), name.to_owned()))?;
        (found.since.elapsed() < OLDEST).then(|| found.clone())
    }

    /// These waited long enough. What came under the same name meanwhile stays.
    pub(super) fn done(&self, place: &Place, files: &[(String, Waiting)]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, waiting) in files {
            let key = (place.clone(), name.clone());
            if all.get(&key).is_some_and(|other| Arc::ptr_eq(&other.held, &waiting.held)) {
                all.remove(&key);
            }
        }
    }
}
