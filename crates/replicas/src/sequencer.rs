//! The thread that sequences, where this replica is elected, and otherwise waits to be.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::batch::Published;
use crate::election::{Elected, Hindrance, Place};

/// How long it waits before it tries again, where it could not sequence.
const AGAIN: Duration = Duration::from_secs(1);

/// So long it is said that something was forged, after the last of it was removed: longer than anybody looks away.
const TOLD: Duration = Duration::from_secs(600);

/// What the sequencer of this replica is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It has not come to anything yet.
    Starting,
    /// It is the sequencer, and the tree has so many entries.
    Sequencing(u64),
    /// Another one is; this one stands by. The text says how it knows.
    StandingBy(String),
    /// The database or the folder is out of reach; it is tried again.
    Unreachable(String),
    /// It refuses until a person has looked.
    Refused(String),
}

/// How the sequencer of this replica is, for whoever watches it.
#[derive(Clone)]
pub struct Health(Arc<Shared>);

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Health({:?})", self.duty())
    }
}

impl Health {
    /// What it is doing.
    #[must_use]
    pub fn duty(&self) -> Duty {
        self.0.lock().duty.clone()
    }

    /// Entries that are held back because something is wrong with them, in words; and what was removed in the last ten
    /// minutes because the log's key did not sign it.
    #[must_use]
    pub fn held(&self) -> Vec<String> {
        let state = self.0.lock();
        let forged = state.forged.iter().filter(|(at, _)| at.elapsed() < TOLD).map(|(_, said)| said.clone());
        state.held.iter().cloned().chain(forged).collect()
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    duty: Duty,
    held: Vec<String>,
    forged: Option<(Instant, String)>,
    hurry: bool,
    closing: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// The thread. Dropping it ends it after the batch that it is at.
pub(crate) struct Sequencer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Sequencer {
    pub(crate) fn start(place: Place) -> io::Result<Self> {
        let (held, forged) = (Vec::new(), None);
        let state = State { duty: Duty::Starting, held, forged, hurry: false, closing: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("log-sequencer".to_owned()).spawn(move || theirs.run(&place))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(crate) fn health(&self) -> Health {
        Health(Arc::clone(&self.shared))
    }

    /// Somebody waits for entries to be in the tree: the next batch comes at once.
    pub(crate) fn hurry(&self) {
        self.shared.tell(|state| state.hurry = true);
    }
}

impl Shared {
    fn run(&self, place: &Place) {
        let mut elected = None;
        while !self.lock().closing {
            match turn(&mut elected, place) {
                Ok((size, published)) => {
                    self.tell(|state| {
                        (state.duty, state.held) = (Duty::Sequencing(size), published.held);
                        let forged = published.forged.map(|said| (Instant::now(), said));
                        state.forged = forged.or(state.forged.take());
                    });
                    if !published.is_full {
                        self.pause(place.sequencing.interval);
                    }
                }
                Err(hindrance) => {
                    // whatever it was: locks, session and tree are looked at anew
                    elected = None;
                    self.tell(|state| state.duty = duty(hindrance));
                    self.pause(AGAIN.max(place.sequencing.interval));
                }
            }
        }
    }

    fn pause(&self, span: Duration) {
        let is_calm = |state: &mut State| !state.hurry && !state.closing;
        let waited = self.changed.wait_timeout_while(self.lock(), span, is_calm);
        waited.unwrap_or_else(PoisonError::into_inner).0.hurry = false;
    }
}

fn turn(elected: &mut Option<Elected>, place: &Place) -> Result<(u64, Published), Hindrance> {
    let sequencer = match elected {
        Some(sequencer) => sequencer,
        none => none.insert(Elected::begin(place)?),
    };
    let published = sequencer.publish()?;
    Ok((sequencer.log.size(), published))
}

fn duty(hindrance: Hindrance) -> Duty {
    match hindrance {
        Hindrance::Another(why) => Duty::StandingBy(why),
        Hindrance::Unreachable(why) => Duty::Unreachable(why),
        Hindrance::Refused(why) => Duty::Refused(why),
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.shared.tell(|state| state.closing = true);
        if let Some(thread) = self.thread.take() {
            // a thread that panicked has nothing to say here: what it was at is staged
            thread.join().ok();
        }
    }
}
