//! Under which files: those of the newest record, or others that somebody names.

use std::path::{Path, PathBuf};

use attest::{Digest, Json, Object, TrustRoot};
use chokepoint::{Entry, OF_FILES, Record};
use policy::{Book, Guardrails};
use tlog::{Blobs, Reader};

use crate::command::why::asked::Log;
use crate::failure::Failure;
use crate::input;

/// Which files to judge under.
#[derive(Debug, clap::Args)]
pub(crate) struct Wanted {
    /// Judge under this book; without, the one of the newest decision on record
    #[arg(long, value_name = "DIR")]
    pub(crate) book: Option<PathBuf>,
    /// The guardrails over that book
    #[arg(long, value_name = "FILE", requires = "book")]
    pub(crate) guardrails: Option<PathBuf>,
    /// Judge under this trust root; without, the one of the newest decision on record
    #[arg(long, value_name = "FILE")]
    pub(crate) trust_root: Option<PathBuf>,
}

/// A book and a trust root, loaded.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) book: Book,
    pub(crate) root: TrustRoot,
    is_new_book: bool,
    is_new_root: bool,
}

impl Wanted {
    /// Loads them.
    pub(crate) fn read(&self, log: &Log) -> Result<InForce, Failure> {
        let book = match &self.book {
            Some(dir) => input::book(dir, self.guardrails.as_deref())?,
            None => recorded_book(log, &newest(log)?)?,
        };
        let root = root(log, self.trust_root.as_deref())?;
        Ok(InForce { book, root, is_new_book: self.book.is_some(), is_new_root: self.trust_root.is_some() })
    }
}

impl InForce {
    pub(crate) fn words(&self) -> String {
        let named = |is_new: bool| if is_new { "the given" } else { "the recorded" };
        format!(
            "{} book {} and {} trust root, version {}",
            named(self.is_new_book),
            short(self.book.digest()),
            named(self.is_new_root),
            self.root.version()
        )
    }

    pub(crate) fn to_json(&self) -> Json {
        Object::new()
            .with("book", self.book.digest().to_string())
            .with("trust_root", self.root.digest().to_string())
            .with("trust_root_version", i64::try_from(self.root.version()).unwrap_or(i64::MAX))
            .into()
    }
}

/// The trust root of a file; without, the one of the newest decision on record.
pub(crate) fn root(log: &Log, file: Option<&Path>) -> Result<TrustRoot, Failure> {
    match file {
        Some(file) => input::trust_root(file),
        None => recorded_root(log, &newest(log)?),
    }
}

fn short(digest: &Digest) -> String {
    let hex = digest.hex();
    hex.get(..12).unwrap_or(&hex).to_owned()
}

/// The newest decision on record about what runs. One about our own files was made under the policies for those.
fn newest(log: &Log) -> Result<Record, Failure> {
    let reader = Reader::new(&log.files, log.checkpoint.size);
    let unreadable =
        |e: &dyn std::fmt::Display| Failure::new("the log cannot be read").line("found", &e.to_string());
    for bundle in (0..log.checkpoint.size.div_ceil(256)).rev() {
        for leaf in reader.entries(bundle).map_err(|e| unreadable(&e))?.iter().rev() {
            match Entry::parse(leaf).map_err(|e| unreadable(&e))? {
                Entry::Decision(record) if record.chokepoint != OF_FILES => return Ok(*record),
                _ => {}
            }
        }
    }
    Err(Failure::new("the log has no decision yet, so nothing runs that it knows of")
        .line("fix", "name the folder of a log with decisions"))
}

fn recorded_book(log: &Log, record: &Record) -> Result<Book, Failure> {
    let files = record.book_files(&Blobs::new(&log.files));
    let files =
        files.map_err(|e| Failure::new("the recorded book cannot be read").line("found", &e.to_string()))?;
    // guardrails judged it when it came into force
    Book::load(files, &Guardrails::none()).map_err(|e| Failure::load("policy-invalid", e))
}

fn recorded_root(log: &Log, record: &Record) -> Result<TrustRoot, Failure> {
    let blobs = Blobs::new(&log.files);
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new("the recorded trust root cannot be read").line("found", &e.to_string())
    };
    let case = record.case(&blobs).map_err(|e| failed(&e))?;
    let text = blobs.get(&case.frame().trust_root).map_err(|e| failed(&e))?;
    TrustRoot::parse("trust-root.yaml", &String::from_utf8_lossy(&text))
        .map_err(|e| Failure::load("trust-root-invalid", e))
}
