//! Events of a choke point. Who writes them never waits for who reads them: a pipe that nobody empties must not hold
//! up a deployment.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use attest::Object;

use crate::event;
use crate::service::Clock;

const WAITING: usize = 4096;
/// What a pipe takes in one piece (`PIPE_BUF`).
const PIECE: usize = 4096;

/// Where events go.
pub(crate) struct Events {
    clock: Clock,
    lines: Mutex<Option<SyncSender<String>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    lost: AtomicU64,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl Events {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let writer =
            std::thread::Builder::new().name("events".to_owned()).spawn(move || write(&waiting)).ok();
        let (lines, writer) = (Mutex::new(Some(lines)), Mutex::new(writer));
        Arc::new(Self { clock, lines, writer, lost: AtomicU64::new(0) })
    }

    /// Hands an event to the writer, or counts it as lost.
    pub(crate) fn tell(&self, event: &str, details: Object) {
        let line = event::line((self.clock)(), event, details);
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.as_ref().is_none_or(|lines| lines.try_send(line).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many nobody will read.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes what waits; what is told afterwards is lost.
    pub(crate) fn close(&self) {
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            writer.join().ok();
        }
    }
}

/// Lines that wait together are written together.
fn write(waiting: &Receiver<String>) {
    let mut next = waiting.recv().ok();
    while let Some(mut lines) = next {
        next = loop {
            match waiting.try_recv() {
                Ok(line) if lines.len() + line.len() <= PIECE => lines.push_str(&line),
                more => break more.ok(),
            }
        };
        event::write(&lines);
        next = next.or_else(|| waiting.recv().ok());
    }
}
