//! Who may ask for decisions about anything that is no object of a cluster.
//!
//! ```yaml
//! decisions:
//!   names: [deployer.example]         # in client certificates of `webhook: clients: ca`
//!   issuers:                          # whose tokens count; the claims say which of them
//!     - { issuer: "https://token.example", audience: portcullis, algorithm: ES256, keys: { file: jwks.json },
//!         identity: sub, claims: { owner: acme } }
//! ```

use std::path::PathBuf;

use attest::LoadError;
use attest::yaml::{Fields, Node, Problems};

use crate::config::{Issuer, Keys, issuer};
use crate::fields::{list, words};
use crate::identity::TOKEN;

/// Who may ask.
#[derive(Clone, Debug)]
pub struct Decisions {
    /// Names in client certificates.
    pub names: Vec<String>,
    /// Who may come with a token.
    pub issuers: Vec<Issuer>,
}

impl Decisions {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "`decisions`", &["names", "issuers"], problems)?;
        let names = words(&fields, "names", problems)?;
        let issuers = list(&fields, "issuers", problems, |node, problems| {
            let issuer = issuer(node, problems)?;
            if issuer.claims.is_empty() {
                problems.push(everybody(node, &issuer.issuer));
            }
            Some(issuer)
        });
        if names.is_empty() && issuers.is_empty() {
            problems.push(node.mismatch("`names`, `issuers`, or both: else nobody may ask"));
        }
        // records would take one for the other
        if let Some(name) = names.iter().find(|name| name.starts_with(TOKEN)) {
            let error = LoadError::new(&node.place, &format!("`{name}` is how a token's bearer is called"));
            problems.push(error.fix("give that certificate another name"));
        }
        Some(Self { names, issuers })
    }

    /// The files that are named.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.issuers.iter_mut().filter_map(|issuer| match &mut issuer.keys {
            Keys::File(file) => Some(file),
            Keys::Url { ca, .. } => ca.as_mut(),
        })
    }

    /// Files that must be there.
    pub(super) fn named(&self) -> impl Iterator<Item = &PathBuf> {
        self.issuers.iter().filter_map(|issuer| match &issuer.keys {
            Keys::File(file) => Some(file),
            Keys::Url { ca, .. } => ca.as_ref(),
        })
    }
}

/// Issuers that serve everybody give a token for this audience to anybody.
fn everybody(node: &Node, issuer: &str) -> LoadError {
    LoadError::new(&node.place, &format!("everybody with a token of {issuer} may ask"))
        .wanted("`claims`, which say whose tokens count, as in `claims: { repository_owner: acme }`")
        .fix("name a claim that only yours have; of an issuer that serves nobody else, its own `iss`")
}
