//! What was decided, asked again as it was asked then, under another book or trust root.

use attest::Opener;
use chokepoint::{Decision, Entry, OF_FILES, Record, RecordError, what_if};
use jiff::Timestamp;
use policy::Case;
use tlog::{Blobs, Reader, Storage};

use super::judge::Frozen;

/// One decision of before, and what it would be now.
#[derive(Debug)]
pub struct Tried {
    /// Its record's place in the log.
    pub index: u64,
    /// The record.
    pub record: Record,
    /// What would be decided under the other files, at the time of the case.
    pub now: Decision,
}

/// Which decisions are tried.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// From this place in the log.
    pub from: u64,
    /// Up to this one, which is not tried.
    pub to: u64,
    /// Not those of before.
    pub since: Timestamp,
}

/// Why a decision could not be tried.
#[derive(Debug)]
pub struct NotTried {
    /// Its record's place in the log.
    pub index: u64,
    /// Why.
    pub why: RecordError,
}

impl std::fmt::Display for NotTried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record {} cannot be judged again: {}", self.index, self.why)
    }
}
impl std::error::Error for NotTried {}

/// Entries are in the order of their commits, and their clocks and waits differ by less than this.
const DISORDER: i64 = 3600;

/// A place in the log before which nothing is as young as this. Entries that cannot be read count as young.
#[must_use]
pub fn first_since<S: Storage>(reader: &Reader<'_, S>, since: Timestamp) -> u64 {
    let is_before = |bundle: u64| {
        let entries = reader.entries(bundle).unwrap_or_default();
        let newest = entries.last().and_then(|leaf| Entry::parse(leaf).ok()).map(|entry| entry.at());
        newest.is_some_and(|at| at.as_second().saturating_add(DISORDER) < since.as_second())
    };
    let (mut low, mut high) = (0, reader.size().div_ceil(BUNDLE));
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low * BUNDLE
}

const BUNDLE: u64 = 256;

/// Tries every decision of a range. `frozen.at` does not count: each case has its own time. Events are passed over,
/// and so is what was decided about our own files.
/// Nothing is held but one bundle of entries and one case.
pub fn backtest<S: Storage>(
    reader: &Reader<'_, S>,
    blobs: &Blobs<&S>,
    range: Range,
    frozen: Frozen<'_>,
    opener: &dyn Opener,
    each: &mut dyn FnMut(Result<Tried, NotTried>),
) {
    for bundle in range.from / BUNDLE..range.to.div_ceil(BUNDLE) {
        let first = bundle * BUNDLE;
        let entries = match reader.entries(bundle) {
            Ok(entries) => entries,
            Err(e) => {
                let why = RecordError::Book(e.to_string());
                each(Err(NotTried { index: first, why }));
                continue;
            }
        };
        for (index, leaf) in
            (first..).zip(entries).filter(|(index, _)| (range.from..range.to).contains(index))
        {
            let tried = match Entry::parse(&leaf) {
                // a book that came into force was judged by the policies for files, which no book has
                Ok(Entry::Decision(record)) if record.at >= range.since && record.chokepoint != OF_FILES => {
                    attempt(&record, blobs, frozen, opener)
                        .map(|now| Tried { index, record: *record, now })
                        .map_err(|why| NotTried { index, why })
                }
                Ok(_) => continue,
                Err(why) => Err(NotTried { index, why }),
            };
            each(tried);
        }
    }
}

fn attempt<S: Storage>(
    record: &Record,
    blobs: &Blobs<S>,
    frozen: Frozen<'_>,
    opener: &dyn Opener,
) -> Result<Decision, RecordError> {
    let then = record.case(blobs)?;
    let last_seen = then.frame().last_seen;
    let mut frame = frozen.frame(then.at());
    // a clock that was behind then decided nothing then, and decides nothing now
    frame.last_seen = last_seen;
    let case = Case::open(then.into_request(), frame);
    Ok(what_if(&case, frozen.book, frozen.root, opener))
}
