//! An attestor: a name, and the keys under which its attestations verify.

use attest::yaml::{Fields, LoadError, Node, Problems};

use super::keys::{AttestorKey, items, read_pkix};

/// An attestor, as `gcloud container binauthz attestors describe` prints it.
#[derive(Clone, Debug)]
pub struct Attestor {
    pub(super) name: String,
    pub(super) keys: Vec<AttestorKey>,
}

impl Attestor {
    /// Parses an attestor in YAML or JSON.
    ///
    /// # Errors
    /// All problems, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let attestor = read(&node, &mut problems);
        problems.finish(attestor)
    }

    /// `projects/PROJECT/attestors/NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn read(node: &Node, problems: &mut Problems) -> Option<Attestor> {
    const KNOWN: [&str; 6] =
        ["name", "description", "etag", "updateTime", "userOwnedGrafeasNote", "userOwnedDrydockNote"];
    let fields = Fields::read(node, "an attestor", &KNOWN, problems)?;
    let name = fields.required("name", problems)?;
    let name = problems.keep(name.string())?.to_owned();
    // the second name is what the beta API called it
    let note = fields.optional("userOwnedGrafeasNote").or(fields.optional("userOwnedDrydockNote"));
    let Some(note) = note else {
        problems.push(LoadError::new(&node.place, "an attestor needs the key `userOwnedGrafeasNote`"));
        return None;
    };
    let known = ["noteReference", "publicKeys", "delegationServiceAccountEmail"];
    let note = Fields::read(note, "an attestor's note", &known, problems)?;
    let keys =
        items(&note, "publicKeys", problems).iter().filter_map(|key| read_key(key, problems)).collect();
    Some(Attestor { name, keys })
}

fn read_key(node: &Node, problems: &mut Problems) -> Option<AttestorKey> {
    let known = ["id", "comment", "pkixPublicKey", "asciiArmoredPgpPublicKey"];
    let fields = Fields::read(node, "an attestor's key", &known, problems)?;
    let id = fields.optional("id").and_then(|n| problems.keep(n.string())).unwrap_or_default().to_owned();
    match (fields.optional("pkixPublicKey"), fields.optional("asciiArmoredPgpPublicKey")) {
        (Some(pkix), None) => read_pkix(pkix, problems).map(|key| AttestorKey { id, ..key }),
        (None, Some(_)) => {
            let why = "an OpenPGP key, which is not verified here: add a PKIX key to the attestor".to_owned();
            Some(AttestorKey { id, key: Err(why) })
        }
        _ => {
            problems.push(node.mismatch("one of pkixPublicKey and asciiArmoredPgpPublicKey"));
            None
        }
    }
}
