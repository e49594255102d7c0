//! Why nothing new was obtained.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why an update failed. What was held before is held still.
#[derive(Debug)]
pub enum Failure {
    /// The pinned root is no root, or does not sign itself.
    Pin(String),
    /// What was known before cannot be read, or not be kept.
    State(StateError),
    /// The mirror gave nothing, or too much, or took too long.
    Fetch(String),
    /// The mirror gave something that does not hold; which role, and why.
    Refused(String),
}

/// Why nobody knows what was obtained before. Never to be read as "nothing": the floors against rollback would be lost.
#[derive(Debug)]
pub enum StateError {
    /// The disk, or the permission to use it.
    Io(PathBuf, io::Error),
    /// Another process updates the same instance at this moment.
    Busy(PathBuf),
    /// The file is not what was written.
    Changed(PathBuf),
    /// It was begun with a root that the pinned one is not part of.
    OtherRoot(PathBuf),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(why) => write!(f, "the pinned root cannot be used: {why}"),
            Self::State(e) => e.fmt(f),
            Self::Fetch(why) => write!(f, "the mirror cannot be read: {why}"),
            Self::Refused(why) => write!(f, "what the mirror serves is refused: {why}"),
        }
    }
}
impl std::error::Error for Failure {}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, e) => write!(f, "cannot use {}: {e}", path.display()),
            Self::Busy(path) => {
                write!(f, "another process holds {}; try again when it is done", path.display())
            }
            Self::Changed(path) => write!(
                f,
                "{} is not what was written; with it went the knowledge of which versions were seen: \
                 find out who changed it, and begin in an empty folder",
                path.display()
            ),
            Self::OtherRoot(path) => write!(
                f,
                "{} was begun with another root; pin one of its chain, or begin in an empty folder",
                path.display()
            ),
        }
    }
}
impl std::error::Error for StateError {}

impl From<StateError> for Failure {
    fn from(e: StateError) -> Self {
        Self::State(e)
    }
}

/// A library's reason in our words.
pub(crate) fn reason(error: &sigstore_tuf::Error) -> Failure {
    use sigstore_tuf::Error;
    match error {
        Error::Transport { message, .. } => Failure::Fetch(message.clone()),
        Error::Rollback { role, trusted, new } => Failure::Refused(format!(
            "rollback: {role} has version {new}, and version {trusted} was seen already"
        )),
        Error::Expired { role, expires } => Failure::Refused(format!(
            "the {role} metadata ended at {expires}: the mirror is frozen, or nobody maintains the repository"
        )),
        Error::ThresholdNotMet { role, found, threshold } => Failure::Refused(format!(
            "the {role} metadata has {found} good signatures of the {threshold} that it needs"
        )),
        Error::DuplicateSignature { role, key_id } => {
            Failure::Refused(format!("the {role} metadata has two signatures by one key, {key_id}"))
        }
        Error::BadRootVersion { trusted, new } => {
            Failure::Refused(format!("the root after version {trusted} says that it is version {new}"))
        }
        Error::TargetNotFound(name) => Failure::Refused(format!("no role that counts lists {name}")),
        other => Failure::Refused(chain(other)),
    }
}

/// An error and what caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text.replace(char::is_control, " ")
}
