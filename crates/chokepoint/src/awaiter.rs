//! Who is answered only once the entry has reached a level waits here, and holds nobody up.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tlog::{Journaled, Level, Promise, Storage};

use crate::committer::Reply;
use crate::error::DecideError;

/// An answer that is ready, and may not leave yet.
pub(crate) struct Due {
    reply: Reply,
    promises: Vec<Promise>,
    since: Instant,
}

impl Due {
    pub(crate) fn new(reply: Reply, promises: Vec<Promise>) -> Self {
        Self { reply, promises, since: Instant::now() }
    }
}

/// Starts the thread; it ends when the sender is dropped and everybody is answered.
pub(crate) fn start<S: Storage + Clone + Send + Sync + 'static>(
    log: Arc<Journaled<S>>,
    level: Level,
    within: Duration,
) -> io::Result<(mpsc::Sender<Due>, JoinHandle<()>)> {
    let (sender, receiver) = mpsc::channel::<Due>();
    let run = move || {
        // entries reach a level in order: nobody waits behind one that comes later
        for Due { reply, promises, since } in receiver {
            let entries = promises.last().map_or(0, |promise| promise.index() + 1);
            let left = within.saturating_sub(since.elapsed());
            reply(match log.wait_until(level, entries, left) {
                Ok(true) => Ok(promises),
                Ok(false) => Err(DecideError::NotReached { level }),
                Err(e) => Err(DecideError::Append(Arc::new(e))),
            });
        }
    };
    let thread = std::thread::Builder::new().name("log-level".to_owned()).spawn(run)?;
    Ok((sender, thread))
}
