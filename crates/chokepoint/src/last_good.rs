//! The files that were in force last, read back from the log: what is on disk may have been changed by anybody.

use attest::note::NoteKey;
use attest::{Digest, Object};
use policy::{SourceFile, digest_of};
use tlog::{Blobs, Journaled, Reader, Storage, read_checkpoint};

use crate::entry::{Entry, digest};
use crate::event::EventKind;
use crate::governed::History;
use crate::record::{RecordError, parse_blob, read_manifest};

/// How many entries one bundle of the log holds.
const WIDTH: u64 = 256;

/// The files that were in force last, as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGood {
    /// The book's files.
    pub book: Vec<SourceFile>,
    /// The trust root.
    pub trust_root: String,
    /// The guardrails.
    pub guardrails: Option<String>,
    /// The configuration's digest: its text is nowhere in the log.
    pub configuration: Option<Digest>,
    /// The policies for all of these, and what was before; nothing where they came into force without any.
    pub governance: Option<(Vec<SourceFile>, History)>,
}

impl LastGood {
    /// Looks for them from the end of the log, whose tree is there under this key: of this writer, or of any where it has
    /// none yet.
    ///
    /// # Errors
    /// [`RecordError`] where the log cannot be read, or its key did not sign the checkpoint: then nobody knows what was in
    /// force.
    pub fn find<S>(
        log: &Journaled<S>,
        tree: &S,
        key: &NoteKey,
        writer: &str,
    ) -> Result<Option<Self>, RecordError>
    where
        S: Storage + Clone + Send + Sync + 'static,
    {
        // what a process that died had in its spool is newer than all that is in the store
        log.settle().map_err(|e| RecordError::Log(e.to_string()))?;
        let blobs = Blobs::new(tree.clone());
        let read = |body: Option<Object>| body.map(|body| Self::read(&body, &blobs)).transpose();
        let (own, newer) = newest(tree, key, writer)?;
        Ok(match (read(own)?, read(newer)?) {
            (Some(own), Some(newer)) => Some(own.or_newer(newer)),
            (own, newer) => own.or(newer),
        })
    }

    /// These, unless what another writer put in force later says that they were replaced: else whoever gives a process the
    /// name of a writer that is long gone, or never was governed, rolls everything back.
    fn or_newer(self, newer: Self) -> Self {
        let Some((_, history)) = &newer.governance else { return self };
        let was_replaced = |what: &str, digest: &Digest| history.was_replaced(what, digest);
        let text = |text: &String| Digest::sha256(text.as_bytes());
        let is_old = match &self.governance {
            None => true,
            Some((policies, _)) => {
                was_replaced("governance", &digest_of(policies))
                    || was_replaced("book", &digest_of(&self.book))
                    || was_replaced("trust root", &text(&self.trust_root))
                    || self.guardrails.as_ref().is_some_and(|g| was_replaced("guardrails", &text(g)))
            }
        };
        // each replica has a configuration of its own
        let configuration = self.configuration.clone().filter(|own| !was_replaced("configuration", own));
        match (is_old, configuration) {
            (false, Some(_)) => self,
            (false, None) => Self { configuration: newer.configuration, ..self },
            (true, configuration) => Self { configuration: configuration.or(newer.configuration), ..newer },
        }
    }

    fn read<S: Storage>(body: &Object, blobs: &Blobs<S>) -> Result<Self, RecordError> {
        let text = |key: &str| {
            Ok::<_, RecordError>(String::from_utf8_lossy(&blobs.get(&digest(body, key)?)?).into_owned())
        };
        let has = |key: &str| body.get(key).is_some();
        let governance = if has("governance_manifest") {
            let files = read_manifest(&digest(body, "governance_manifest")?, blobs)?;
            let history = parse_blob(&blobs.get(&digest(body, "history")?)?)?;
            Some((files, History::read(&history)?))
        } else {
            None
        };
        Ok(Self {
            book: read_manifest(&digest(body, "manifest")?, blobs)?,
            trust_root: text("trust_root")?,
            guardrails: has("guardrails").then(|| text("guardrails")).transpose()?,
            configuration: has("configuration").then(|| digest(body, "configuration")).transpose()?,
            governance,
        })
    }
}

/// The bodies of the newest event of this writer that put files in force, and of the newest of another behind it. Each life
/// of a writer begins with one, or goes on under what stood among the newest entries: so this ends soon.
///
/// Every leaf on the way leads to the signed root: else one changed byte would hide the newest event behind an older one.
fn newest<S: Storage>(
    storage: &S,
    key: &NoteKey,
    writer: &str,
) -> Result<(Option<Object>, Option<Object>), RecordError> {
    let log = |e: &dyn std::fmt::Display| RecordError::Log(e.to_string());
    let checkpoint = storage.read("checkpoint").map_err(|e| log(&e))?;
    // whoever shares the folder writes a whole tree of his own there, with every hash right
    let checkpoint = checkpoint.and_then(|bytes| read_checkpoint(&bytes, key));
    let checkpoint =
        checkpoint.ok_or_else(|| log(&"it has no checkpoint that the log's key signed for it"))?;
    let reader = Reader::new(storage, checkpoint.size);
    let mut of_another = None;
    for bundle in (0..checkpoint.size.div_ceil(WIDTH)).rev() {
        let leaves = reader.proven_entries(bundle, &checkpoint.root).map_err(|e| log(&e))?;
        for leaf in leaves.iter().rev() {
            // a leaf is small, and few are of this kind: the others need not be parsed
            if !contains(leaf, EventKind::FilesInForce.name().as_bytes()) {
                continue;
            }
            let Entry::Event(event) = Entry::parse(leaf)? else { continue };
            if event.kind != EventKind::FilesInForce {
                continue;
            }
            if event.position.writer == writer {
                return Ok((Some(event.body), of_another));
            }
            of_another.get_or_insert(event.body);
        }
    }
    Ok((None, of_another))
}

fn contains(leaf: &[u8], word: &[u8]) -> bool {
    leaf.windows(word.len()).any(|part| part == word)
}

#[cfg(test)]
mod tests;
