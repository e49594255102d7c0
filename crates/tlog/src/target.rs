//! Where the applier brings what is durable in the spool.

use std::fmt;

use crate::journal::Batch;
use crate::log::{AppendError, Log, read_checkpoint};
use crate::reader::{ReadError, Reader, as_u64};
use crate::receipt::Receipt;
use crate::storage::Storage;
use crate::tile::WIDTH;
use crate::witnessing::WITNESSED;

/// Where one writer's entries go from its spool: a log in files is one target, a database that many writers share another.
///
/// A sequence is a number among this writer's entries, from 0 and without gaps. In files a sequence is an index.
pub trait Target: Send {
    /// How many of this writer's entries are in: the sequence of the next one that it takes. It may go down to what is
    /// [`Level::Sequenced`]: the spool keeps the others, and brings them again.
    fn taken(&self) -> u64;

    /// Takes batches, in order; `first` is the sequence of their first leaf. Leaves below [`Target::taken`] are skipped:
    /// brought twice is in once. When this returns, all of it survives whatever [`Level::Quorum`] promises. One that has
    /// lost what is before `first` says that it is out of reach, and how many it has in [`Target::taken`].
    ///
    /// # Errors
    /// [`ApplyError`].
    fn apply(&mut self, first: u64, batches: &[Batch]) -> Result<(), ApplyError>;

    /// How many of this writer's entries have reached a level.
    ///
    /// # Errors
    /// [`ApplyError`].
    fn reached(&mut self, level: Level) -> Result<u64, ApplyError>;

    /// The proof that an entry is in the tree; nothing while it is not.
    ///
    /// # Errors
    /// [`ApplyError`].
    fn prove(&mut self, sequence: u64) -> Result<Option<Receipt>, ApplyError>;

    /// What was written last.
    ///
    /// # Errors
    /// [`ApplyError`].
    fn newest(&mut self) -> Result<Newest, ApplyError>;
}

/// What must be true of an entry before an answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It survives a power cut of this machine.
    Local,
    /// It is in the store too, and survives this machine. In files that is the same disk.
    Quorum,
    /// It is in the tree, at its index.
    Sequenced,
    /// It is under a checkpoint that enough witnesses cosigned.
    Witnessed,
}

/// What was written last, as far as a writer must know it before it goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest {
    /// This writer's newest leaf.
    pub own: Option<Vec<u8>>,
    /// The newest leaves of all writers, 256 at least where there are so many, oldest first.
    pub all: Vec<Vec<u8>>,
}

/// Why a target did not do what it was asked.
#[derive(Debug)]
pub enum ApplyError {
    /// Its state is unknown: the process must stop.
    Stop(AppendError),
    /// It is out of reach, and nothing was lost: it is asked again, and the spool fills meanwhile.
    Unreachable(String),
}

impl Level {
    /// All levels, the weakest first.
    pub const ALL: [Self; 4] = [Self::Local, Self::Quorum, Self::Sequenced, Self::Witnessed];

    /// The word in configuration and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Quorum => "quorum",
            Self::Sequenced => "sequenced",
            Self::Witnessed => "witnessed",
        }
    }

    /// The level of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop(e) => e.fmt(f),
            Self::Unreachable(why) => write!(f, "the log's store is out of reach: {why}"),
        }
    }
}
impl std::error::Error for ApplyError {}

impl From<ApplyError> for AppendError {
    fn from(e: ApplyError) -> Self {
        match e {
            ApplyError::Stop(e) => e,
            ApplyError::Unreachable(why) => Self::Unreachable(why),
        }
    }
}

impl From<ReadError> for ApplyError {
    fn from(e: ReadError) -> Self {
        Self::Stop(AppendError::Read(e))
    }
}

impl<S: Storage + Send> Target for Log<S> {
    fn taken(&self) -> u64 {
        self.size()
    }

    fn apply(&mut self, first: u64, batches: &[Batch]) -> Result<(), ApplyError> {
        let new = beyond(self.size(), first, batches)?;
        if new.is_empty() { Ok(()) } else { Log::apply(self, &new).map_err(ApplyError::Stop) }
    }

    fn reached(&mut self, level: Level) -> Result<u64, ApplyError> {
        if level < Level::Witnessed {
            return Ok(self.size());
        }
        let failed = |e| ApplyError::Stop(AppendError::Io(e));
        let Some(bytes) = self.storage().read(WITNESSED).map_err(failed)? else { return Ok(0) };
        // whoever wrote it saw to the cosignatures; here it only must be a checkpoint of this log
        let checkpoint = read_checkpoint(&bytes, &self.key());
        Ok(checkpoint.map_or(0, |checkpoint| checkpoint.size.min(self.size())))
    }

    fn prove(&mut self, sequence: u64) -> Result<Option<Receipt>, ApplyError> {
        if sequence >= self.size() { Ok(None) } else { Ok(Some(Log::prove(self, sequence)?)) }
    }

    fn newest(&mut self) -> Result<Newest, ApplyError> {
        let Some(last) = self.size().checked_sub(1) else { return Ok(Newest::default()) };
        let reader = Reader::new(self.storage(), self.size());
        let bundle = last / WIDTH;
        let mut all = Vec::new();
        for number in bundle.saturating_sub(1)..=bundle {
            all.extend(reader.entries(number)?);
        }
        // the bundle says what the tree does not: this one is what the next entry will name
        let own = reader.entry(last)?;
        Ok(Newest { own: Some(own), all })
    }
}

/// What of these batches a target does not have yet.
///
/// # Errors
/// [`ApplyError::Stop`] where some are missing before the first one.
pub fn beyond(taken: u64, first: u64, batches: &[Batch]) -> Result<Vec<Batch>, ApplyError> {
    if first > taken {
        let missing = ReadError::PastTheEnd { index: first, size: taken };
        return Err(ApplyError::Stop(AppendError::Read(missing)));
    }
    let (mut at, mut new) = (first, Vec::new());
    for batch in batches {
        let end = at + as_u64(batch.leaves.len());
        let have = usize::try_from(taken.saturating_sub(at)).unwrap_or(usize::MAX);
        if end > taken {
            let leaves = batch.leaves.get(have..).unwrap_or_default().to_vec();
            new.push(Batch { leaves, blobs: batch.blobs.clone() });
        }
        at = end;
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_left_out_also_in_the_middle_of_a_batch_and_a_gap_stops() {
        let batch =
            |leaves: &[u8]| Batch { leaves: leaves.iter().map(|n| vec![*n]).collect(), blobs: vec![vec![9]] };
        let all = [batch(&[3, 4]), batch(&[5, 6, 7])];
        let new = |taken| -> Vec<u8> {
            beyond(taken, 3, &all).unwrap().into_iter().flat_map(|b| b.leaves).map(|leaf| leaf[0]).collect()
        };
        for taken in 3..=9_u8 {
            assert_eq!(new(u64::from(taken)), (taken..8).collect::<Vec<_>>(), "{taken} are in");
        }
        assert_eq!(beyond(5, 3, &all).unwrap().len(), 1, "a batch that is in brings no blobs");
        assert!(matches!(beyond(2, 3, &all), Err(ApplyError::Stop(_))), "number 2 is missing");
    }
}
