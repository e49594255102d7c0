//! What a lock file was resolved from: whoever changes that, and forgets the lock file, is told.

use attest::yaml::{Fields, LoadError, Node, Place, Problems};
use attest::{Digest, Json, Object};

use super::{LOCK_FILE, quoted};
use crate::definition::{Base, BuildDefinition};

/// What was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeFor {
    /// Of the packages, the suite and the `lock` section.
    definition: Digest,
    /// The ecosystems' lock files.
    files: Vec<(String, Digest)>,
}

impl MadeFor {
    /// Of a definition, and of the lock files that it names.
    pub(crate) fn new(definition: &BuildDefinition, files: Vec<(String, Digest)>) -> Self {
        Self { definition: digest(definition), files }
    }

    /// Refuses a lock file that was made for other words, or other bytes of a file; `read` gives the file that is built.
    pub(crate) fn check<E>(
        &self,
        definition: &BuildDefinition,
        read: impl Fn(&str) -> Result<Option<String>, E>,
    ) -> Result<Option<LoadError>, E> {
        let stale = |what: &str| {
            let place = Place { file: LOCK_FILE.into(), line: 1, column: 1 };
            LoadError::new(&place, &format!("{LOCK_FILE} was made for another {what}"))
                .fix("run `portcullis builder lock`, and commit it")
        };
        if self.definition != digest(definition) {
            return Ok(Some(stale("definition")));
        }
        for (name, wanted) in &self.files {
            // one that is no plain file of the commit cannot be compared; the build will miss it itself
            let Some(text) = read(name)? else { continue };
            let found = Digest::sha256(text.as_bytes());
            if found != *wanted {
                let error = stale(name).wanted(&wanted.to_string()).found(&found.to_string());
                return Ok(Some(error));
            }
        }
        Ok(None)
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("made-for:\n  definition: {}\n", quoted(&self.definition.hex()));
        if !self.files.is_empty() {
            text.push_str("  files:\n");
        }
        for (name, digest) in &self.files {
            text.push_str(&format!(
                "    - name: {}\n      sha256: {}\n",
                quoted(name),
                quoted(&digest.hex())
            ));
        }
        text
    }

    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "what it was made for", &["definition", "files"], problems)?;
        let definition = sha256(&fields, "definition", problems);
        let list = fields.optional("files").map(Node::list);
        let list = problems.keep(list.unwrap_or(Ok(&[])))?;
        let mut files = Vec::new();
        for item in list {
            let fields = Fields::read(item, "a file", &["name", "sha256"], problems)?;
            let name = fields.required("name", problems).and_then(|n| problems.keep(n.string()));
            let digest = sha256(&fields, "sha256", problems);
            files.push((name?.to_owned(), digest?));
        }
        Some(Self { definition: definition?, files })
    }
}

fn sha256(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<Digest> {
    let node = fields.required(key, problems)?;
    let hex = problems.keep(node.string())?;
    problems
        .keep(Digest::parse(&format!("sha256:{hex}")).map_err(|_| node.mismatch("a SHA-256 in hexadecimal")))
}

/// What `builder lock` reads of a definition: targets, tests and what is declared by hand may change without it.
fn digest(definition: &BuildDefinition) -> Digest {
    let mut object = Object::new();
    if let Base::Debian { suite, packages } = &definition.toolchain.base {
        object = object.with("suite", suite.as_deref().unwrap_or(crate::lock::SUITE));
        object = object.with("packages", packages.clone());
    }
    let lock =
        definition.lock.iter().map(|(ecosystem, from)| Json::from(vec![ecosystem.clone(), from.clone()]));
    let object = object.with("lock", Json::Array(lock.collect()));
    Digest::sha256(Json::from(object).to_string().as_bytes())
}
