//! What an archive may cost: a small file can hold a number of bytes, entries and records that no machine has.
//!
//! The reader of tar takes the records before an entry (long names, extended headers) whole into memory, before anybody
//! sees the entry. So what is read to find the next entry is counted apart from what is read of its content.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What stands before one entry: its header, and the records about it.
const MAX_RECORDS: u64 = (64 << 10) + 16 * 512;
const MAX_ENTRIES: u64 = 2_000_000;
const MAX_BYTES: u64 = 32 << 30;
/// How long unpacking may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Counts what one or more archives cost together.
#[derive(Clone, Debug)]
pub(crate) struct Meter(Rc<Counts>);

#[derive(Debug)]
struct Counts {
    deadline: Instant,
    /// How much may be read before the next entry is found; nothing while an entry is read.
    records: Cell<Option<u64>>,
    entries: Cell<u64>,
    /// Without compression.
    read: Cell<u64>,
    /// With the holes of sparse files.
    content: Cell<u64>,
}

impl Meter {
    /// Nothing is counted yet, and everything must be done by `deadline`.
    pub(crate) fn until(deadline: Instant) -> Self {
        Self::new(deadline, MAX_ENTRIES, MAX_BYTES)
    }

    pub(super) fn new(deadline: Instant, entries: u64, bytes: u64) -> Self {
        let records = Cell::new(None);
        let (read, content) = (Cell::new(bytes), Cell::new(bytes));
        Self(Rc::new(Counts { deadline, records, entries: Cell::new(entries), read, content }))
    }

    /// Whether there is time left.
    pub(super) fn check_time(&self) -> io::Result<()> {
        if Instant::now() < self.0.deadline {
            return Ok(());
        }
        let minutes = PATIENCE.as_secs() / 60;
        Err(io::Error::other(format!("it takes longer than {minutes} minutes to unpack")))
    }

    /// The stream, counted.
    pub(crate) fn reader<R>(&self, stream: R) -> Metered<R> {
        Metered { stream, meter: self.clone() }
    }

    /// What is read now is to find the next entry.
    pub(crate) fn seek_entry(&self) -> io::Result<()> {
        self.0.records.set(Some(MAX_RECORDS));
        take(&self.0.entries, 1, || format!("it holds more than {MAX_ENTRIES} entries"))
    }

    /// Hands over every entry of a tar.
    pub(crate) fn each<R: Read>(
        &self,
        stream: R,
        mut hear: impl FnMut(&mut tar::Entry<'_, Metered<R>>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut archive = tar::Archive::new(self.reader(stream));
        let mut entries = archive.entries().map_err(|e| e.to_string())?;
        loop {
            self.seek_entry().map_err(|e| e.to_string())?;
            let Some(entry) = entries.next() else { return Ok(()) };
            let mut entry = entry.map_err(|e| e.to_string())?;
            self.0.records.set(None);
            hear(&mut entry)?;
            // what nobody wanted must not be taken for what stands before the next
            self.copy(&mut entry, &mut io::sink()).map_err(|e| e.to_string())?;
        }
    }

    /// Copies what is left of an entry.
    pub(super) fn copy(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            self.check_time()?;
            let count = match from.read(&mut buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if count == 0 {
                return Ok(());
            }
            take(&self.0.content, count, too_large)?;
            to.write_all(buffer.get(..count).unwrap_or_default())?;
        }
    }
}

fn too_large() -> String {
    format!("it holds more than {} GiB", MAX_BYTES >> 30)
}

fn take(left: &Cell<u64>, count: usize, why: impl FnOnce() -> String) -> io::Result<()> {
    let rest = u64::try_from(count).ok().and_then(|count| left.get().checked_sub(count));
    left.set(rest.unwrap_or(0));
    rest.map(drop).ok_or_else(|| io::Error::other(why()))
}

/// A stream that costs.
#[derive(Debug)]
pub(crate) struct Metered<R> {
    stream: R,
    meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.meter.check_time()?;
        let counts = &self.meter.0;
        let count = self.stream.read(buffer)?;
        take(&counts.read, count, too_large)?;
        if let Some(left) = counts.records.get() {
            let left = Cell::new(left);
            take(&left, count, || "the records before an entry are longer than 64 KiB".to_owned())?;
            counts.records.set(Some(left.get()));
        }
        Ok(count)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.stream.seek(to)
    }
}
