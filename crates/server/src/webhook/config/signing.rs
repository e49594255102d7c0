//! Release keys, and who may have what signed with them: docs/signing.md.
//!
//! ```yaml
//! signing:
//!   - name: apt                       # what a request calls it
//!     form: openpgp                   # openpgp, minisign or cosign: one protocol a key
//!     key: release.key                # a key that nothing else uses: a file, or pkcs11:…
//!     block: shop.asc                 # of OpenPGP: the published key
//!     environments: [release/apt]     # where what is signed is released; a * is one segment
//!     names: [release.example]        # in client certificates of `webhook: clients: ca`
//!     rate: 60                        # questions an hour
//! ```

use std::path::PathBuf;

use attest::release::{self, Form};
use attest::trust::segments_match;
use attest::yaml::{Fields, Node, Problems};
use attest::{LoadError, Place, Signer};

use super::summaries::{SummaryKey, key as key_of};
use crate::fields::{list, number, text, words};

const KNOWN: [&str; 7] = ["name", "form", "key", "block", "environments", "names", "rate"];
const MOST: usize = 16;
const RATE: (u64, u64, u64) = (1, 100_000, 60);

/// A release key.
#[derive(Clone, Debug)]
pub struct Signing {
    /// What a request calls it.
    pub name: String,
    /// The protocol in which it signs: the family of a form.
    pub family: &'static str,
    /// Where it is.
    pub key: SummaryKey,
    /// Where the configuration says so.
    pub place: Place,
    /// The published OpenPGP key.
    pub block: Option<PathBuf>,
    /// Patterns of environments.
    pub environments: Vec<String>,
    /// Who may ask, by a name in the client's certificate.
    pub names: Vec<String>,
    /// How often in an hour.
    pub rate: usize,
}

impl Signing {
    /// Whether something is signed with it for this environment.
    #[must_use]
    pub fn is_for(&self, environment: &str) -> bool {
        self.environments.iter().any(|pattern| segments_match(pattern, environment))
    }

    /// Whether a key can sign in the protocol at all; nothing is signed.
    pub(crate) fn fits(&self, key: &dyn Signer) -> Result<(), String> {
        let block = self.block.as_ref().map(std::fs::read).transpose().map_err(|e| e.to_string())?;
        release::fits(self.family, key, block.as_deref()).map_err(|e| match &self.block {
            Some(file) => format!("with the block {}: {e}", file.display()),
            None => e.to_string(),
        })
    }

    /// The files that are named.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let key = match &mut self.key {
            SummaryKey::File(file) => Some(file),
            SummaryKey::Token(_) => None,
        };
        key.into_iter().chain(&mut self.block)
    }

    /// Files that must be there.
    pub(crate) fn named(&self) -> impl Iterator<Item = &PathBuf> {
        let key = match &self.key {
            SummaryKey::File(file) => Some(file),
            SummaryKey::Token(_) => None,
        };
        key.into_iter().chain(&self.block)
    }
}

/// The whole list.
pub(super) fn signing(fields: &Fields<'_>, problems: &mut Problems) -> Vec<Signing> {
    let keys = list(fields, "signing", problems, one);
    if let Some(node) = fields.optional("signing") {
        if keys.len() > MOST {
            problems.push(node.mismatch(&format!("at most {MOST} release keys")));
        }
        for (number, own) in keys.iter().enumerate() {
            if keys.iter().take(number).any(|other| other.name == own.name) {
                let error = LoadError::new(&own.place, &format!("two release keys are called {}", own.name));
                problems.push(error.fix("give each a name of its own"));
            }
        }
    }
    keys
}

fn one(node: &Node, problems: &mut Problems) -> Option<Signing> {
    let fields = Fields::read(node, "a release key", &KNOWN, problems)?;
    let name = text(&fields, "name", problems);
    let family = fields.required("form", problems).and_then(|node| {
        let named = problems.keep(node.string())?;
        let found = Form::ALL.into_iter().map(Form::family).find(|family| *family == named);
        problems.keep(found.ok_or_else(|| node.mismatch("openpgp, minisign or cosign")))
    });
    let key = fields.required("key", problems);
    let key = key.and_then(|node| Some((problems.keep(key_of(node))?, node.place.clone())));
    let block = fields.optional("block").map(|node| problems.keep(node.string()).map(PathBuf::from));
    let needed = |key: &str, problems: &mut Problems| {
        let found = words(&fields, key, problems)?;
        if found.is_empty() {
            problems.push(node.mismatch(&format!("`{key}` with at least one entry")));
        }
        Some(found)
    };
    let (environments, names) = (needed("environments", problems), needed("names", problems));
    let rate = number(&fields, "rate", RATE, problems);
    if family.is_some_and(|family| (family == Form::OpenPgp.family()) != block.is_some()) {
        problems.push(
            node.mismatch("`block` with form openpgp, which says when the key was made, and with no other"),
        );
    }
    let (key, place) = key?;
    Some(Signing {
        name: name?,
        family: family?,
        key,
        place,
        block: block.map_or(Some(None), |block| block.map(Some))?,
        environments: environments?,
        names: names?,
        rate: rate?,
    })
}
