//! Files that came before the `.changes` that names them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use jiff::{SignedDuration, Timestamp};

use crate::proxy::hold::Held;
use crate::proxy::share::Bounds;

/// Who waits longer begins again.
const OLDEST: SignedDuration = SignedDuration::from_hours(1);
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
    since: Timestamp,
}

/// All that waits.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<Files>);

type Files = BTreeMap<(Place, String), Waiting>;

impl Pending {
    /// What has not waited for too long.
    fn all(&self, now: Timestamp) -> MutexGuard<'_, Files> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, waiting| now.duration_since(waiting.since) < OLDEST);
        all
    }

    /// Lets go of what has.
    pub(super) fn sweep(&self, now: Timestamp) {
        drop(self.all(now));
    }

    /// Lets a file wait; one that came under the same name is gone. Not taken where there are too many, with the reason.
    pub(super) fn put(
        &self,
        place: &Place,
        name: &str,
        file: (Arc<Held>, HeaderMap),
        now: Timestamp,
        bounds: Bounds,
    ) -> Result<(), String> {
        let (held, headers) = file;
        let mut all = self.all(now);
        let key = (place.clone(), name.to_owned());
        if !all.contains_key(&key) {
            if all.keys().filter(|(other, _)| other == place).count() >= MOST_OF_ONE {
                return Err(format!("{MOST_OF_ONE} files wait in this folder already"));
            }
            let of_one = all.keys().filter(|(other, _)| other.requester == place.requester).count();
            bounds.check(all.len(), of_one).map_err(|full| full.text("files that may wait"))?;
        }
        all.insert(key, Waiting { held, headers, since: now });
        Ok(())
    }

    /// A file that waits.
    pub(super) fn get(&self, place: &Place, name: &str, now: Timestamp) -> Option<Waiting> {
        self.all(now).get(&(place.clone(), name.to_owned())).cloned()
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use jiff::ToSpan as _;

    use super::super::Debian;
    use super::*;
    use crate::proxy::adapter::Adapter as _;
    use crate::proxy::hold::Most;
    use crate::proxy::room::Room;

    /// Who fills the folder and never comes with a `.changes` has it for an hour, also where no file can come in any more.
    #[tokio::test]
    async fn what_nobody_comes_for_is_let_go_though_nothing_else_comes() {
        let (folder, began) = (tempfile::tempdir().unwrap(), Timestamp::UNIX_EPOCH);
        let all = Bounds { all: 8, one: 8 };
        let (room, most) = (Room::of(all), Most { bytes: 8, time: Duration::from_secs(60) });
        let held = Held::take(Body::from("8 bytes!"), folder.path(), room.taken(None), most).await.unwrap();
        let debian =
            Debian { vendor: "acme".to_owned(), pending: Pending::default(), sending: Default::default() };
        let place = Place { requester: None, folder: "/incoming".to_owned() };
        let file = (Arc::new(held), HeaderMap::new());
        debian.pending.put(&place, "shop_1_all.deb", file, began, all).unwrap();
        debian.sweep(began + 3599.seconds());
        assert_eq!(room.held(), 8);
        assert!(room.taken(None).more(1).is_err(), "nothing else comes in");
        debian.sweep(began + 3600.seconds());
        assert_eq!(room.held(), 0);
        room.taken(None).more(8).unwrap();
    }
}
