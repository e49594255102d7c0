//! Ctrl-C and SIGTERM: whatever was started dies, what it left is removed, and nothing is said of it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::work_folder::remove;

/// As a shell says it of a command that Ctrl-C ended.
const EXIT: i32 = 130;
const PAUSE: Duration = Duration::from_millis(10);
/// So long the build has for its own cleaning up (200 pauses).
const PATIENCE: u32 = 200;

static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);
static IS_SIGNING: AtomicBool = AtomicBool::new(false);
static IS_HELD: AtomicBool = AtomicBool::new(false);

/// From here on an interrupt removes this folder.
pub(crate) fn removes(folder: &Path) {
    static ONCE: Once = Once::new();
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).push(folder.to_owned());
    ONCE.call_once(listen);
}

/// Says that signing begins: an interrupt can no longer say that nothing was signed.
pub(crate) fn signing() {
    hold();
    IS_SIGNING.store(true, Ordering::Release);
}

/// Does not return where an interrupt is being carried out: what was killed by it is no failed build.
pub(crate) fn hold() {
    while IS_INTERRUPTED.load(Ordering::Acquire) {
        IS_HELD.store(true, Ordering::Release);
        std::thread::sleep(PAUSE);
    }
}

/// The same after a failure. Ctrl-C reaches the sandbox too, which may be dead before we have heard of it.
pub(crate) fn hold_failed() {
    std::thread::sleep(PAUSE * 3);
    hold();
}

#[allow(
    clippy::disallowed_methods,
    reason = "the main thread waits for a build, which is what is interrupted"
)]
fn listen() {
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let came = runtime.block_on(async {
            let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
            let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else { return false };
            ready.send(()).ok();
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
            true
        });
        if came {
            end();
        }
    });
    is_ready.recv().ok();
}

#[allow(
    clippy::disallowed_methods,
    reason = "the main thread may be waiting for something that does not end"
)]
fn end() {
    let message = match IS_SIGNING.load(Ordering::Acquire) {
        true => "interrupted while signing; what stands in the output folder may be incomplete",
        false => "interrupted; nothing was signed",
    };
    IS_INTERRUPTED.store(true, Ordering::Release);
    for _ in 0..PATIENCE {
        kill_descendants();
        if IS_HELD.load(Ordering::Acquire) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    for folder in FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        remove(folder);
    }
    // whoever read this may be gone too, and that must not keep us
    writeln!(std::io::stderr(), "error: {message}").ok();
    std::process::exit(EXIT);
}

/// Everything that this process started, and what that started.
fn kill_descendants() {
    let all: Vec<(i32, i32)> =
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(parent).collect();
    let mut ours = vec![getpid().as_raw_nonzero().get()];
    let mut at = 0;
    while let Some(parent) = ours.get(at).copied() {
        ours.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        at += 1;
    }
    for id in ours.into_iter().skip(1).filter_map(Pid::from_raw) {
        kill_process(id, Signal::KILL).ok();
    }
}

/// A process and its parent.
fn parent(entry: fs::DirEntry) -> Option<(i32, i32)> {
    let id = entry.file_name().to_str()?.parse().ok()?;
    let text = fs::read_to_string(entry.path().join("stat")).ok()?;
    // its name, in parentheses, may be anything
    let (_, rest) = text.rsplit_once(')')?;
    Some((id, rest.split_ascii_whitespace().nth(1)?.parse().ok()?))
}
