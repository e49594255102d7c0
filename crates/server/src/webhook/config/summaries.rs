//! What is signed of what was admitted.
//!
//! ```yaml
//! summaries:
//!   key: summaries.key              # a key that nothing else uses: a file, or pkcs11:…
//!   verifier: https://gate.example/eu
//!   expires: 24h
//! ```

use std::path::PathBuf;

use attest::LoadError;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};
use chokepoint::Verifier;

use crate::fields::{span, text};

const DAY: i64 = 24 * 3600;
/// A word that counts for longer is no word about today's policy.
const LONGEST: Span = Span::seconds(30 * DAY);
const SHORTEST: Span = Span::seconds(60);

/// Verification summaries of what is admitted.
#[derive(Clone, Debug)]
pub struct Summaries {
    /// The key that signs them, and nothing else.
    pub key: SummaryKey,
    /// As whom, and for how long.
    pub verifier: Verifier,
}

/// Where a key is.
#[derive(Clone, Debug)]
pub enum SummaryKey {
    /// In a file, PEM, without a passphrase.
    File(PathBuf),
    /// In a token; the URI says where module and PIN are.
    Token(pkcs11::Uri),
}

impl Summaries {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "`summaries`", &["key", "verifier", "expires"], problems)?;
        let key = fields.required("key", problems).and_then(|n| problems.keep(key(n)));
        let id = text(&fields, "verifier", problems);
        if let Some(node) =
            fields.optional("verifier").filter(|_| id.as_deref().is_some_and(|id| !is_uri(id)))
        {
            problems.push(node.mismatch("a URI without a fragment, as in https://gate.example/eu"));
        }
        let expires = span(&fields, "expires", Span::seconds(DAY), problems)?;
        if expires > LONGEST || expires < SHORTEST {
            problems.push(fields.optional("expires")?.mismatch("a span from 1m to 30d"));
        }
        Some(Self { key: key?, verifier: Verifier { id: id?, expires } })
    }

    /// The file of the key, to be made relative to the configuration's own.
    pub(super) fn path(&mut self) -> Option<&mut PathBuf> {
        match &mut self.key {
            SummaryKey::File(file) => Some(file),
            SummaryKey::Token(_) => None,
        }
    }
}

/// Policies are named by a fragment of it.
fn is_uri(text: &str) -> bool {
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() && c != '#');
    is_plain && text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
}

pub(super) fn key(node: &Node) -> Result<SummaryKey, LoadError> {
    let text = node.string()?;
    if !pkcs11::Uri::is_meant(text) {
        return Ok(SummaryKey::File(text.into()));
    }
    let uri = pkcs11::Uri::parse(text).map_err(|e| LoadError::new(&node.place, &e.to_string()))?;
    // nobody is there to give a PIN
    match uri.module_path().and(uri.pin_source()) {
        Some(_) => Ok(SummaryKey::Token(uri)),
        None => Err(node
            .mismatch("a URI that says where module and PIN are")
            .fix("pkcs11:token=NAME;object=NAME?module-path=/PATH.so&pin-source=file:/PATH")),
    }
}
