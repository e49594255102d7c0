//! The files that were in force last, read back from the log: what is on disk may have been changed by anybody.

use attest::json::ShapeError;
use attest::{Digest, Object};
use policy::SourceFile;
use tlog::{Blobs, Journaled, Reader, Storage};

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
    /// Looks for them from the end of the log: of this writer, or of any where it has none yet.
    ///
    /// # Errors
    /// [`RecordError`] where the log cannot be read: then nobody knows what was in force.
    pub fn find<S>(log: &Journaled<S>, writer: &str) -> Result<Option<Self>, RecordError>
    where
        S: Storage + Clone + Send + Sync + 'static,
    {
        // what a process that died had in its spool is newer than all that is in the store
        log.settle().map_err(|e| RecordError::Log(e.to_string()))?;
        let storage = log.storage();
        match newest(&storage, log.size(), writer)? {
            None => Ok(None),
            Some(body) => Self::read(&body, &Blobs::new(storage)).map(Some),
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

/// The body of the newest event that put files in force. Each life of a writer begins with one, or goes on under what
/// stood among the newest entries: so this ends soon.
fn newest<S: Storage>(storage: &S, size: u64, writer: &str) -> Result<Option<Object>, RecordError> {
    let reader = Reader::new(storage, size);
    let mut of_another = None;
    for bundle in (0..size.div_ceil(WIDTH)).rev() {
        let leaves = reader.entries(bundle).map_err(|e| RecordError::Log(e.to_string()))?;
        for (at, leaf) in leaves.iter().enumerate().rev() {
            // a leaf is small, and few are of this kind: the others need not be parsed
            if !contains(leaf, EventKind::FilesInForce.name().as_bytes()) {
                continue;
            }
            let entry = Entry::parse(leaf)?;
            let Entry::Event(event) = entry else { continue };
            if event.kind != EventKind::FilesInForce {
                continue;
            }
            // compared with its leaf hash: a bundle that was edited alone is not believed
            let index = bundle * WIDTH + u64::try_from(at).unwrap_or(0);
            let whole = reader.entry(index).map_err(|e| RecordError::Log(e.to_string()))?;
            if whole != *leaf {
                return Err(ShapeError::new("", "the entry that the tree has", "another").into());
            }
            if event.position.writer == writer {
                return Ok(Some(event.body));
            }
            of_another.get_or_insert(event.body);
        }
    }
    Ok(of_another)
}

fn contains(leaf: &[u8], word: &[u8]) -> bool {
    leaf.windows(word.len()).any(|part| part == word)
}
