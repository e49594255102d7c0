//! From what is attached to an image to what is submitted for it: one way, for the command line and for choke points.

use std::collections::BTreeSet;

use attest::{Artifact, Digest, Opener, TrustRoot};
use jiff::Timestamp;
use policy::{LeftOut, Submitted};
use registry::Evidence;

/// What is attached to an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// The envelopes.
    pub envelopes: Vec<Submitted>,
    /// How many records the registry has.
    pub records: usize,
    /// Digests of what is attached and not read: signatures of cosign 2, which have no statement.
    pub unread: Vec<Digest>,
    /// What is not judged, and why.
    pub left_out: Vec<LeftOut>,
}

impl Attached {
    /// Takes pieces apart. The same bundle, pushed by two tools with other blanks, is one; what cosign 2 wrote beside an
    /// envelope makes a bundle with it, or it is left out.
    #[must_use]
    pub fn of(evidence: Evidence) -> Self {
        let mut attached = Self { records: evidence.records, ..Self::default() };
        let mut seen = BTreeSet::new();
        for piece in evidence.pieces {
            let bytes = match piece.envelope() {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    attached.unread.push(piece.digest);
                    continue;
                }
                Err(why) => {
                    attached.left_out.push(LeftOut { name: piece.name, why: why.to_string() });
                    continue;
                }
            };
            let name = piece.name;
            match seen.insert(identity(&bytes)) {
                true => attached.envelopes.push(Submitted { name, bytes }),
                false => attached.records = attached.records.saturating_sub(1),
            }
        }
        attached
    }

    /// With what somebody else has for the image, which comes first.
    #[must_use]
    pub fn beside(mut self, known: &[Submitted]) -> Self {
        let seen: BTreeSet<Digest> = known.iter().map(|one| identity(&one.bytes)).collect();
        self.envelopes.retain(|one| !seen.contains(&identity(&one.bytes)));
        self.envelopes = known.iter().cloned().chain(self.envelopes).collect();
        self
    }

    /// Leaves out what nobody chose and is not judged: whoever may push could else refuse the image by attaching more
    /// to it.
    #[must_use]
    pub fn select(
        mut self,
        artifact: &Artifact,
        root: &TrustRoot,
        opener: &dyn Opener,
        at: Timestamp,
    ) -> Self {
        let selection = policy::select(self.envelopes, artifact, root, opener, at);
        self.envelopes = selection.submitted;
        self.left_out.extend(selection.left_out);
        self
    }
}

/// What makes two the same, whatever their blanks.
fn identity(bytes: &[u8]) -> Digest {
    evidence::compact(bytes).map_or_else(|_| Digest::sha256(bytes), |compact| Digest::sha256(&compact))
}

#[cfg(test)]
mod tests {
    use registry::{Cosign, Kind, Piece};

    use super::*;

    #[test]
    fn what_cosign_2_wrote_is_one_bundle_with_its_envelope_or_is_left_out_alone() {
        let envelope = |space: &str| {
            format!(r#"{{"payload":{space}"e30=","payloadType":"x","signatures":[{{"sig":"AA=="}}]}}"#)
        };
        let piece = |name: &str, text: String, kind: Kind| Piece {
            name: name.to_owned(),
            media_type: String::new(),
            digest: Digest::sha256(text.as_bytes()),
            bytes: text.into_bytes(),
            kind,
        };
        let certified = Cosign { certificate: Some("PEM".to_owned()), ..Cosign::default() };
        let pieces = vec![
            piece("a", envelope(""), Kind::Attestation(Cosign::default())),
            piece("b", envelope(" "), Kind::Attestation(Cosign::default())),
            piece("c", envelope(""), Kind::Attestation(certified)),
            piece("d", "{}".to_owned(), Kind::Signature),
        ];
        let attached = Attached::of(Evidence { pieces, records: 4 });
        assert_eq!(attached.envelopes.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a"]);
        let [left] = attached.left_out.as_slice() else { panic!("{attached:?}") };
        assert!(left.name == "c" && left.why.contains("needs the log entry"), "{left:?}");
        assert_eq!((attached.records, attached.unread.len()), (3, 1));
        let known = Submitted { name: "ours".to_owned(), bytes: envelope("  ").into_bytes() };
        assert_eq!(
            attached.beside(std::slice::from_ref(&known)).envelopes,
            [known],
            "the same one, in the store"
        );
    }
}
