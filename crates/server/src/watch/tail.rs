//! A file that somebody appends lines to, and now and then puts aside: read on from where it was left, over renames and
//! our own restarts.
//!
//! A file is known by its first line, which is another in each: names and inode numbers change hands. Rotation is the
//! API server's: `audit.log` becomes `audit-2026-11-23T01-02-03.000.log`, and begins anew.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use attest::{Digest, Object};
use kubernetes::audit_event::MAX_EVENT;

/// A position is a line of JSON.
const MAX_POSITION: u64 = 4096;

/// Where reading goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The file, by the digest of its first line; nothing before anything was read.
    pub file: Option<Digest>,
    /// So many bytes of it were read.
    pub offset: u64,
}

/// One thing that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// A line, without its end, and where it begins.
    Line(Vec<u8>, u64),
    /// A line that is longer than any event, and where it begins.
    TooLong(u64),
    /// What is missing, in words.
    Gap(String),
}

/// Why a file is not read.
#[derive(Debug)]
pub enum TailError {
    /// The file, or its folder.
    Io(PathBuf, io::Error),
    /// The position that was kept.
    Position(PathBuf, String),
}

impl fmt::Display for TailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, e) => write!(f, "cannot read {}: {e}", path.display()),
            Self::Position(path, why) => write!(
                f,
                "the position in {} cannot be read: {why}; remove it, and the audit log is read from its beginning",
                path.display()
            ),
        }
    }
}
impl std::error::Error for TailError {}

/// A file that grows.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    kept: PathBuf,
    position: Position,
}

impl Tail {
    /// The file at `path`, from the position that `kept` holds; from the beginning of the oldest file where it holds none.
    ///
    /// # Errors
    /// [`TailError`] where there is a position that cannot be read: it is not guessed.
    pub fn open(path: &Path, kept: &Path) -> Result<Self, TailError> {
        let position = match std::fs::metadata(kept) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Position::default(),
            Err(e) => return Err(TailError::Io(kept.to_owned(), e)),
            Ok(known) => {
                let wrong = |why: &dyn fmt::Display| TailError::Position(kept.to_owned(), why.to_string());
                if known.len() > MAX_POSITION {
                    return Err(wrong(&"it is too large"));
                }
                let bytes = std::fs::read(kept).map_err(|e| TailError::Io(kept.to_owned(), e))?;
                let value = attest::json::parse(&bytes).map_err(|e| wrong(&e))?;
                Position::read(value.as_object().map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?
            }
        };
        Ok(Self { path: path.to_owned(), kept: kept.to_owned(), position })
    }

    /// Where it is.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Gives what is new, at most so many lines; nothing more where it is at the end. What is given twice after a crash
    /// was not kept by [`Tail::keep`].
    ///
    /// # Errors
    /// [`TailError`].
    pub fn read(&mut self, most: usize) -> Result<Vec<Read>, TailError> {
        let mut out = Vec::new();
        let mut files = self.files()?;
        let is_it = |one: &Opened| self.position.file.as_ref() == Some(&one.first);
        match (files.iter().position(is_it), &self.position.file) {
            (Some(at), _) => drop(files.drain(..at)),
            (None, None) => {}
            (None, Some(_)) if files.is_empty() => return Ok(out),
            (None, Some(_)) => {
                out.push(Read::Gap("the file that was read last is gone, perhaps with lines".to_owned()));
                self.position = Position::default();
            }
        }
        let last = files.len().saturating_sub(1);
        for (number, mut file) in files.into_iter().enumerate() {
            if self.position.file.as_ref() != Some(&file.first) {
                self.position = Position { file: Some(file.first.clone()), offset: 0 };
            }
            let is_whole = self.read_file(&mut file, most, &mut out)?;
            if out.len() >= most {
                break;
            }
            if !is_whole && number < last {
                out.push(Read::Gap(format!("{} ends within a line", file.path.display())));
            }
        }
        Ok(out)
    }

    /// Keeps the position: what was read is done with. Durable when it returns.
    ///
    /// # Errors
    /// [`TailError::Io`].
    pub fn keep(&self) -> Result<(), TailError> {
        let text = self.position.to_object();
        tlog::write_durably(&self.kept, format!("{}\n", attest::Json::from(text)).as_bytes())
            .map_err(|e| TailError::Io(self.kept.clone(), e))
    }

    /// Reads one file from the position; says whether it ends with a line's end.
    fn read_file(&mut self, file: &mut Opened, most: usize, out: &mut Vec<Read>) -> Result<bool, TailError> {
        let failed = |e| TailError::Io(file.path.clone(), e);
        let length = file.file.metadata().map_err(failed)?.len();
        if length < self.position.offset {
            out.push(Read::Gap(format!("{} was cut", file.path.display())));
            self.position.offset = 0;
        }
        file.file.seek(SeekFrom::Start(self.position.offset)).map_err(failed)?;
        let mut reader = BufReader::new(&file.file);
        while out.len() < most {
            let begin = self.position.offset;
            let mut line = Vec::new();
            let limit = u64::try_from(MAX_EVENT).unwrap_or(u64::MAX).saturating_add(1);
            let mut length = reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(failed)?;
            if length == 0 {
                return Ok(true);
            }
            let is_long = line.last() != Some(&b'\n') && length > MAX_EVENT;
            if is_long {
                line.clear();
                length = length.saturating_add(reader.skip_until(b'\n').map_err(failed)?);
            } else if line.pop() != Some(b'\n') {
                return Ok(false);
            }
            self.position.offset = begin.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
            out.push(if is_long { Read::TooLong(begin) } else { Read::Line(line, begin) });
        }
        Ok(true)
    }

    /// The files that have a first line, oldest first.
    fn files(&self) -> Result<Vec<Opened>, TailError> {
        let current = Opened::open(&self.path)?;
        // the usual case needs no look at the folder
        if let Some(current) = current.filter(|current| Some(&current.first) == self.position.file.as_ref()) {
            return Ok(vec![current]);
        }
        let mut names = self.rotated()?;
        names.push(self.path.clone());
        let mut files: Vec<Opened> = Vec::new();
        for name in names {
            // one that was put aside while we looked stands twice in the list
            if let Some(file) =
                Opened::open(&name)?.filter(|file| files.iter().all(|f| f.first != file.first))
            {
                files.push(file);
            }
        }
        Ok(files)
    }

    fn rotated(&self) -> Result<Vec<PathBuf>, TailError> {
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let failed = |e| TailError::Io(folder.to_owned(), e);
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let prefix = format!("{}-", text(self.path.file_stem()));
        let ending = self.path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = text(path.file_name());
            let middle = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&ending));
            // a time, so that `audit-policy.log` is none of it
            if middle.is_some_and(|m| m.len() >= 19 && m.as_bytes().first().is_some_and(u8::is_ascii_digit)) {
                names.push(path);
            }
        }
        names.sort();
        Ok(names)
    }
}

struct Opened {
    path: PathBuf,
    file: File,
    first: Digest,
}

impl Opened {
    /// Nothing where there is no such file, or not a whole line in it.
    fn open(path: &Path) -> Result<Option<Self>, TailError> {
        let failed = |e| TailError::Io(path.to_owned(), e);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_EVENT).unwrap_or(u64::MAX);
        BufReader::new(&file).take(limit).read_until(b'\n', &mut line).map_err(failed)?;
        let is_whole = line.last() == Some(&b'\n') || line.len() >= MAX_EVENT;
        let first = Digest::sha256(&line);
        Ok(is_whole.then(|| Self { path: path.to_owned(), file, first }))
    }
}

impl Position {
    fn read(object: &Object) -> Result<Self, attest::json::ShapeError> {
        let wrong = |key: &str, wanted: &str| attest::json::ShapeError::new(key, wanted, "another text");
        let file = object.optional_string("file")?.map(Digest::parse).transpose();
        Ok(Self {
            file: file.map_err(|_| wrong("file", "a digest"))?,
            offset: u64::try_from(object.int("offset")?).map_err(|_| wrong("offset", "a number from 0"))?,
        })
    }

    fn to_object(&self) -> Object {
        let mut object = Object::new();
        object.set_some("file", self.file.as_ref().map(Digest::to_string));
        object.with("offset", i64::try_from(self.offset).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests;
