//! A decision that is made and not recorded yet: made on the asker's thread, all but its place in the log.

use attest::Digest;
use jiff::Timestamp;
use policy::Case;
use tlog::MAX_ENTRY;

use crate::decision::Decision;
use crate::record::Record;

/// A decision and what will be written about it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) decision: Decision,
    pub(crate) at: Timestamp,
    record: Record,
    /// The envelopes, the grant, the case and the decision, by digest.
    pub(crate) parts: Vec<(Digest, Vec<u8>)>,
}

impl Prepared {
    /// Lays out a record and its parts.
    ///
    /// # Errors
    /// The length of a record that no log can hold.
    pub(crate) fn new(case: Case, decision: Decision, book: Digest) -> Result<Self, usize> {
        let case_bytes = case.to_json().to_string().into_bytes();
        let decision_bytes = decision.to_json().to_string().into_bytes();
        let digests = [Digest::sha256(&case_bytes), Digest::sha256(&decision_bytes), book];
        let mut parts = vec![(digests[0].clone(), case_bytes), (digests[1].clone(), decision_bytes)];
        parts.extend(case.parts().map(|part| (Digest::sha256(&part.bytes), part.bytes.clone())));
        let prepared =
            Self { at: case.at(), record: Record::new(&case, &decision, u64::MAX, digests), decision, parts };
        // with the longest of sequences: one that is too long must not fail the others of its batch
        let length = prepared.leaf(u64::MAX).len();
        if length > MAX_ENTRY { Err(length) } else { Ok(prepared) }
    }

    /// The leaf at its place among this writer's records.
    pub(crate) fn leaf(&self, sequence: u64) -> Vec<u8> {
        Record { sequence, ..self.record.clone() }.to_json().to_string().into_bytes()
    }

    /// How many bytes it adds to a batch at most.
    pub(crate) fn length(&self) -> usize {
        self.parts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + 1024
    }
}
