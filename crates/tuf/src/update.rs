//! One update: from the pinned root to the trusted root that the repository serves now, or nothing at all.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use attest::sigstore::Instance;
use jiff::Timestamp;
use sigstore_tuf::{TrustedMetadataSet, Updater, UpdaterConfig};

use crate::error::{Failure, StateError, reason};
use crate::files::{Kept, Mirror, Source};
use crate::keys;
use crate::state::{Contents, Held, State};

/// The file that every Sigstore repository has.
pub const TARGET: &str = "trusted_root.json";
/// A trusted root has some kilobytes.
const MAX_TARGET: u64 = 1 << 20;

/// What came of an update.
#[derive(Debug)]
pub enum Verdict {
    /// The repository serves another trusted root than before, or the first one.
    Updated {
        /// The new one.
        held: Held,
        /// What was held before.
        before: Option<Held>,
    },
    /// What was held is the newest still.
    Unchanged(Held),
    /// Nothing was obtained, and nothing was changed.
    Failed {
        /// Why.
        why: Failure,
        /// What is held still, as far as that could be read.
        held: Option<Held>,
    },
}

/// Asks a mirror for the trusted root, from a root that is trusted because somebody pinned it. The state is replaced
/// only where every check held; the clock never goes back behind the last time at which that was so.
#[must_use]
pub fn update(state: &State, pinned: &[u8], source: impl Source + 'static, now: Timestamp) -> Verdict {
    let (turn, before) = match begin(state, pinned) {
        Ok(begun) => begun,
        Err(why) => return Verdict::Failed { why, held: state.held().unwrap_or_default() },
    };
    let files = before.as_ref().map(|b| b.files.clone()).unwrap_or_default();
    let before = before.map(|b| b.held);
    // a clock that somebody put back would make metadata count that has ended
    let now = before.as_ref().map_or(now, |b| b.checked.max(now));
    let obtained = obtain(pinned, source, files, now);
    let written = obtained.and_then(|contents| {
        state.write(&contents)?;
        Ok(contents.held)
    });
    drop(turn);
    match (written, before) {
        (Ok(held), Some(before)) if held.text == before.text => Verdict::Unchanged(held),
        (Ok(held), before) => Verdict::Updated { held, before },
        (Err(why), held) => Verdict::Failed { why, held },
    }
}

/// The turn, and what is known already.
fn begin(state: &State, pinned: &[u8]) -> Result<(std::fs::File, Option<Contents>), Failure> {
    keys::check("the pinned root", pinned).map_err(Failure::Pin)?;
    TrustedMetadataSet::from_root(pinned).map_err(|e| match reason(&e) {
        Failure::Refused(why) | Failure::Fetch(why) => Failure::Pin(why),
        other => other,
    })?;
    let turn = state.turn()?;
    let before = state.read()?;
    if before.as_ref().is_some_and(|before| !before.knows_root(pinned)) {
        return Err(StateError::OtherRoot(state.file()).into());
    }
    Ok((turn, before))
}

fn obtain(
    pinned: &[u8],
    source: impl Source + 'static,
    files: BTreeMap<String, Vec<u8>>,
    now: Timestamp,
) -> Result<Contents, Failure> {
    let kept = Kept::new(files);
    let mut config = UpdaterConfig::default();
    config.target_max_length = MAX_TARGET;
    let updater = Updater::new(Mirror(source), pinned).map_err(|e| reason(&e))?;
    let mut updater = updater.with_config(config).with_store(kept.clone());
    ready(updater.refresh(now))?;
    let bytes = ready(updater.get_target(TARGET, now))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::Refused(format!("{TARGET} is no text")))?;
    Instance::parse("it", &text).map_err(|e| Failure::Refused(format!("{TARGET}: {e}")))?;
    let held = Held {
        text,
        checked: now,
        expires: expires(updater.trusted()),
        root: updater.trusted().root().version,
    };
    Ok(Contents { held, files: kept.files() })
}

/// When the first part of the chain ends.
fn expires(trusted: &TrustedMetadataSet) -> Timestamp {
    let lower = [
        trusted.timestamp().map(|t| t.expires),
        trusted.snapshot().map(|s| s.expires),
        trusted.targets_role("targets").map(|t| t.expires),
    ];
    lower.into_iter().flatten().fold(trusted.root().expires, Timestamp::min)
}

/// The result of a future that never waits, because its source answers at once.
fn ready<T>(future: impl Future<Output = sigstore_tuf::Result<T>>) -> Result<T, Failure> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.map_err(|e| reason(&e)),
        Poll::Pending => Err(Failure::Fetch("it did not answer".to_owned())),
    }
}
