//! Why a dump is no database.

use std::fmt;
use std::io;
use std::path::PathBuf;

use advisory::{Record, TooLarge};

use super::folder::MAX_DEPTH;

/// Why a dump cannot be read. Then it is refused as a whole: half a database would hide advisories.
#[derive(Debug)]
pub enum DumpError {
    /// A file or folder of it cannot be read; the word says what it is.
    Io(&'static str, PathBuf, io::Error),
    /// A record is longer than one is.
    TooLong(PathBuf),
    /// Folders lie in each other deeper than in a dump.
    Nested(PathBuf),
    /// An archive is torn, or unpacks to more than a dump does.
    Broken {
        /// The archive, and the file in it.
        file: String,
        /// Why.
        why: String,
    },
    /// There is more than fits.
    TooLarge(TooLarge),
    /// There is nothing in it.
    Empty,
}

impl DumpError {
    /// What should be there, where that is not plain.
    #[must_use]
    pub fn wanted(&self) -> Option<String> {
        match self {
            Self::TooLong(_) => Some(format!("at most {} bytes", Record::MAX_BYTES)),
            Self::Nested(_) => Some(format!("at most {MAX_DEPTH} folders within each other")),
            Self::Empty => Some("OSV records: *.json in a folder, or an ecosystem's all.zip".to_owned()),
            Self::Io(..) | Self::Broken { .. } | Self::TooLarge(_) => None,
        }
    }

    /// What is there.
    #[must_use]
    pub fn found(&self) -> Option<String> {
        match self {
            Self::Io(_, _, e) => Some(e.to_string()),
            Self::Broken { why, .. } => Some(why.clone()),
            Self::TooLarge(e) => Some(e.to_string()),
            Self::TooLong(_) | Self::Nested(_) | Self::Empty => None,
        }
    }

    /// How to mend it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Io(..) => "check the name, and that this user may read it",
            Self::TooLong(_) => "check that it is the advisory and not another file",
            Self::Nested(_) => "name the folder that the dump was unpacked into",
            Self::Broken { .. } => "download it again; half a database would hide advisories",
            Self::TooLarge(_) => "name the ecosystems that are used, one all.zip each",
            Self::Empty => "download https://osv-vulnerabilities.storage.googleapis.com/ECOSYSTEM/all.zip",
        }
    }

    /// What is the matter, in one line.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Io(what, path, _) => format!("cannot read the {what} {}", path.display()),
            Self::TooLong(path) => format!("the advisory {} is too large", path.display()),
            Self::Nested(path) => format!("{} is nested too deep for a database", path.display()),
            Self::Broken { file, .. } => format!("the database {file} cannot be read"),
            Self::TooLarge(_) => "the database is too large".to_owned(),
            Self::Empty => "the database has no advisories".to_owned(),
        }
    }
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        if let Some(found) = self.found() {
            write!(f, ": {found}")?;
        }
        if let Some(wanted) = self.wanted() {
            write!(f, "; wanted {wanted}")?;
        }
        write!(f, "; {}", self.fix())
    }
}
impl std::error::Error for DumpError {}
