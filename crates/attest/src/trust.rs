//! The trust root: who may say what, since when, until when.
//!
//! A reviewed YAML file. Every key belongs to exactly one name; a person is one principal however many keys they
//! have. It has a digest, every case names it, and an older version is refused once a newer one was in force.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::digest::Digest;
use crate::key::PublicKey;
use crate::note::NoteKey;
use crate::sigstore::{Instance, Pattern, TrustedIdentity};

pub mod edit;
mod identities;
mod read;
mod recall;

/// Everything that is believed, and about whom.
#[derive(Clone, Debug)]
pub struct TrustRoot {
    digest: Digest,
    text: String,
    version: u64,
    principals: BTreeMap<String, Principal>,
    groups: BTreeMap<String, BTreeSet<String>>,
    identities: BTreeMap<String, String>,
    logs: BTreeMap<String, NoteKey>,
    witnesses: BTreeMap<String, NoteKey>,
    instances: Vec<Instance>,
}

/// What a principal may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Provenance of builds.
    Builder,
    /// Reviews it saw other people do, at the forge.
    ReviewAuthority,
    /// A person's own reviews.
    Reviewer,
    /// Test results.
    Tester,
    /// Scan results.
    Scanner,
    /// Releases.
    Releaser,
    /// Provenance of a second, independent build.
    Rebuilder,
    /// Verification summaries.
    Verifier,
    /// Nothing but that it signed: for policies that ask for a key and no more.
    Signer,
}

impl Role {
    /// The word in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::ReviewAuthority => "review authority",
            Self::Reviewer => "reviewer",
            Self::Tester => "tester",
            Self::Scanner => "scanner",
            Self::Releaser => "releaser",
            Self::Rebuilder => "rebuilder",
            Self::Verifier => "verifier",
            Self::Signer => "signer",
        }
    }
}

/// Somebody or something that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name that policies and messages use.
    pub name: String,
    /// What it may say.
    pub roles: BTreeSet<Role>,
    /// Its keys.
    pub keys: Vec<TrustedKey>,
    /// The certificates that are its.
    pub identities: Vec<TrustedIdentity>,
    /// For builders: what it may claim.
    pub builder: Option<Builder>,
    /// For rebuilders: who runs it. A quorum counts operators.
    pub operator: Option<String>,
    /// For verifiers: the `verifier.id`s its keys may claim.
    pub verifier_ids: Vec<String>,
}

/// A key and when it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// First moment at which it counts.
    pub from: Option<Timestamp>,
    /// Last moment at which it counts.
    pub until: Option<Timestamp>,
    /// From when on nothing it signed counts.
    pub revoked: Option<Revocation>,
    /// What of an envelope it signs.
    pub signs: Signs,
    /// The key id under which its signatures stand, where only those count that say it.
    pub key_id: Option<String>,
}

/// What of an envelope a key signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signs {
    /// Type and payload, as DSSE says.
    #[default]
    Envelope,
    /// The payload alone, as Google Cloud Build's first keys do. Nothing else of such a key is believed: without the type,
    /// its signature might be over anything.
    Payload,
}

/// From which point in time a key is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The point: a signature without a trusted time before it counts as after.
    pub from: Timestamp,
    /// The same point as a position: leaves of this log below this index were before.
    pub position: Option<(String, u64)>,
    /// Why, for the message.
    pub reason: String,
}

/// What a builder may claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Builder {
    /// The `builder.id`s its key may claim, exactly, or as anchored patterns: `…/build.yml@refs/tags/*`.
    pub ids: Vec<String>,
    /// The versions whose claim to be hermetic is believed.
    pub hermetic: Vec<semver::VersionReq>,
    /// Patterns of environments it is for; empty means all.
    pub environments: Vec<String>,
    /// What was recalled of it.
    pub recalls: Vec<Recall>,
    /// The SLSA Build level that is believed of it; nothing where nobody says so.
    pub slsa_level: Option<u8>,
}

/// Builds that are refused although their signatures are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    /// Builder versions.
    pub version: Option<semver::VersionReq>,
    /// A tool by its digest.
    pub tool: Option<Digest>,
    /// A window of time, both ends inclusive.
    pub window: Option<(Timestamp, Timestamp)>,
    /// Why, for the message.
    pub reason: String,
}

impl TrustRoot {
    /// SHA-256 of the text.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The text that was parsed, for keeping it with a case.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The version, which only grows.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The principal of a name.
    #[must_use]
    pub fn principal(&self, name: &str) -> Option<&Principal> {
        self.principals.get(name)
    }

    /// All principals, by name.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.principals.values()
    }

    /// The names that hold a role.
    #[must_use]
    pub fn names_with(&self, role: Role) -> Vec<&str> {
        self.principals.values().filter(|p| p.roles.contains(&role)).map(|p| p.name.as_str()).collect()
    }

    /// The person that an identity (an e-mail address, a forge account) belongs to.
    #[must_use]
    pub fn person(&self, identity: &str) -> Option<&str> {
        self.identities.get(&identity.to_ascii_lowercase()).map(String::as_str)
    }

    /// Whether a name is a person's, not a machine's.
    #[must_use]
    pub fn is_person(&self, name: &str) -> bool {
        self.identities.values().any(|person| person == name)
    }

    /// The people of a group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.groups.get(name)
    }

    /// The names of all groups.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// The log with this name.
    #[must_use]
    pub fn log(&self, name: &str) -> Option<&NoteKey> {
        self.logs.get(name)
    }

    /// The logs by name.
    pub fn logs(&self) -> impl Iterator<Item = (&str, &NoteKey)> {
        self.logs.iter().map(|(name, key)| (name.as_str(), key))
    }

    /// The witnesses by name.
    pub fn witnesses(&self) -> impl Iterator<Item = (&str, &NoteKey)> {
        self.witnesses.iter().map(|(name, key)| (name.as_str(), key))
    }

    /// The Sigstore instances, by name.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter()
    }

    /// The same trust root with other keys, one a name: for policy tests, which sign what they assert. Its digest is
    /// another one, so that no case judged under it can pass for one judged under the reviewed file.
    #[must_use]
    pub fn rekeyed(&self, key: impl Fn(&str) -> PublicKey) -> Self {
        let mut root = self.clone();
        root.text = format!("# rekeyed for tests\n{}", self.text);
        root.digest = Digest::sha256(root.text.as_bytes());
        for principal in root.principals.values_mut() {
            principal.keys.truncate(1);
            // a test signs with a key what a certificate will sign
            if principal.keys.is_empty() && !principal.identities.is_empty() {
                let key = key(&principal.name);
                principal.keys.push(TrustedKey::new(key));
            }
            principal.identities.clear();
            for trusted in &mut principal.keys {
                trusted.key = key(&principal.name);
                (trusted.signs, trusted.key_id) = (Signs::Envelope, None);
            }
        }
        for (name, note) in root.logs.iter_mut().chain(&mut root.witnesses) {
            note.key = key(name);
        }
        root
    }

    /// Refuses a version below one that was in force: the floor is kept by whoever loads trust roots.
    ///
    /// # Errors
    /// [`RolledBack`] with both versions.
    pub fn check_not_older(&self, floor: u64) -> Result<(), RolledBack> {
        if self.version < floor { Err(RolledBack { found: self.version, floor }) } else { Ok(()) }
    }
}

/// An older trust root than one that was in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The version offered.
    pub found: u64,
    /// The highest version that was in force.
    pub floor: u64,
}

impl std::fmt::Display for RolledBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "trust root version {} is older than version {}, which was in force",
            self.found, self.floor
        )
    }
}
impl std::error::Error for RolledBack {}

impl TrustedKey {
    /// Whether it may sign what is no envelope.
    pub(crate) fn is_plain(&self) -> bool {
        self.signs == Signs::Envelope && self.key_id.is_none()
    }

    /// A key that counts always.
    #[must_use]
    pub fn new(key: PublicKey) -> Self {
        Self { key, from: None, until: None, revoked: None, signs: Signs::Envelope, key_id: None }
    }
}

impl Builder {
    /// Whether it may claim this `builder.id`: one that is listed, or that a listed pattern stands for.
    #[must_use]
    pub fn may_claim(&self, id: &str) -> bool {
        let matches = |pattern: &str| Pattern::parse(pattern).is_ok_and(|p| p.matches(id));
        self.ids.iter().any(|listed| listed == id || (listed.contains('*') && matches(listed)))
    }

    /// Whether it counts in this environment.
    #[must_use]
    pub fn is_for(&self, environment: &str) -> bool {
        self.environments.is_empty() || self.environments.iter().any(|p| segments_match(p, environment))
    }
}

/// Whether a pattern covers a name: `*` stands for exactly one segment between slashes.
#[must_use]
pub fn segments_match(pattern: &str, name: &str) -> bool {
    let (mut left, mut right) = (pattern.split('/'), name.split('/'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::segments_match;

    #[test]
    fn a_star_is_exactly_one_segment() {
        for (pattern, name, is_match) in [
            ("prod/*", "prod/shop", true),
            ("prod/*", "prod", false),
            ("prod/*", "prod/", false),
            ("prod/*", "prod/shop/eu", false),
            ("*/shop", "prod/shop", true),
            ("prod/sh*", "prod/shop", false),
            ("prod/sh*", "prod/sh*", true),
            ("prod/shop", "PROD/shop", false),
            ("*", "..", true),
        ] {
            assert_eq!(segments_match(pattern, name), is_match, "{pattern} {name}");
        }
    }
}
