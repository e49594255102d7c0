//! What proven evidence says of an artifact: where it came from, who signed, who reviewed.
//!
//! Opened under the trust root of the case, at the time of the case: what was proven then. What did not open then is no
//! fact, whoever submitted it.

use std::collections::{BTreeMap, BTreeSet};

use attest::json::Limits;
use attest::statement::Statement;
use attest::{Artifact, Digest, Envelope, Evidence, Json, Predicate, Provenance, Role, TrustRoot};
use chokepoint::Record;
use jiff::Timestamp;
use policy::Case;
use tlog::{Blobs, Storage};

/// More inputs than this of one build are not kept: each is a row.
const MAX_DEPENDENCIES: usize = 2000;
/// More trust roots than were in force at once.
const MAX_ROOTS: usize = 16;

/// What kind of fact it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactKind {
    /// The repository that it was built from.
    Repository,
    /// The commit, in hex.
    Commit,
    /// The branch or tag that was asked for.
    Reference,
    /// The `builder.id` of who built it.
    BuilderId,
    /// The builder's name in the trust root.
    Builder,
    /// A key that signed evidence about it: SHA-256 of its SubjectPublicKeyInfo; the detail is whose.
    Key,
    /// Who signed evidence about it; the detail is what the evidence is.
    Signer,
    /// An input of its build, by digest; the detail is its name.
    Dependency,
    /// A tool of its build, by digest; the detail is its name.
    Tool,
    /// When its build ended.
    Built,
    /// Who approved the commit; the detail is when.
    Reviewer,
}

impl FactKind {
    /// All kinds, in the order in which people read them.
    pub const ALL: [Self; 11] = [
        Self::Repository,
        Self::Commit,
        Self::Reference,
        Self::BuilderId,
        Self::Builder,
        Self::Key,
        Self::Signer,
        Self::Dependency,
        Self::Tool,
        Self::Built,
        Self::Reviewer,
    ];

    /// The word in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Commit => "commit",
            Self::Reference => "reference",
            Self::BuilderId => "builder-id",
            Self::Builder => "builder",
            Self::Key => "key",
            Self::Signer => "signer",
            Self::Dependency => "dependency",
            Self::Tool => "tool",
            Self::Built => "built",
            Self::Reviewer => "reviewer",
        }
    }

    /// The number in the index.
    pub(crate) fn number(self) -> i64 {
        self as i64
    }

    pub(crate) fn of_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// One fact about an artifact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// What kind.
    pub kind: FactKind,
    /// What.
    pub value: String,
    /// What more there is to say; see [`FactKind`].
    pub detail: Option<String>,
}

/// The evidence that a case names, before any of it is opened.
#[derive(Debug)]
pub(crate) struct Named {
    case: Json,
    /// Stands for the artifact, the evidence and the trust root: the same again has nothing new to say.
    pub(crate) set: Digest,
}

/// Reads which evidence a case has; nothing where it has none.
///
/// # Errors
/// Why the case cannot be read.
pub(crate) fn named<S: Storage>(record: &Record, blobs: &Blobs<S>) -> Result<Option<Named>, String> {
    let bytes = blobs.get(&record.case).map_err(|e| e.to_string())?;
    let limits = Limits { bytes: 64 << 20, depth: 128, values: 4_000_000, ..Limits::default().exact() };
    let case = attest::json::parse_with(&bytes, limits).map_err(|e| e.to_string())?;
    let set = (|| {
        let object = case.as_object()?;
        let envelopes = object.array("envelopes")?.iter();
        let digests = envelopes.map(|e| e.as_object()?.string("digest").map(str::to_owned));
        let digests = digests.collect::<Result<BTreeSet<String>, _>>()?;
        if digests.is_empty() {
            return Ok(None);
        }
        let mut text = format!("{}\n", object.string("trust_root")?);
        for part in record.digest.iter().map(Digest::to_string).chain(digests) {
            text.push_str(&part);
            text.push('\n');
        }
        Ok(Some(Digest::sha256(text.as_bytes())))
    })();
    let set = set.map_err(|e: attest::json::ShapeError| e.to_string())?;
    Ok(set.map(|set| Named { case, set }))
}

/// Trust roots that were in force, by digest: parsed once.
#[derive(Debug, Default)]
pub(crate) struct Roots(BTreeMap<Digest, TrustRoot>);

impl Roots {
    fn get<S: Storage>(&mut self, digest: &Digest, blobs: &Blobs<S>) -> Result<&TrustRoot, String> {
        if !self.0.contains_key(digest) {
            let text = blobs.get(digest).map_err(|e| e.to_string())?;
            let root = TrustRoot::parse("trust-root.yaml", &String::from_utf8_lossy(&text))
                .map_err(|e| e.first().map(ToString::to_string).unwrap_or_default())?;
            if self.0.len() >= MAX_ROOTS {
                self.0.clear();
            }
            self.0.insert(digest.clone(), root);
        }
        self.0.get(digest).ok_or_else(|| format!("there is no trust root {digest}"))
    }
}

/// What was learnt of a case's evidence.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    pub(crate) facts: BTreeSet<Fact>,
    /// Whether all of it opened. What did not may do so at another time, and is tried again then.
    pub(crate) is_whole: bool,
}

/// Opens the evidence of a case.
///
/// # Errors
/// Why the case, its evidence or its trust root cannot be read.
pub(crate) fn learn<S: Storage>(
    named: &Named,
    blobs: &Blobs<S>,
    roots: &mut Roots,
) -> Result<Learnt, String> {
    let case = Case::read(&named.case, |digest| blobs.get(digest).ok()).map_err(|e| e.to_string())?;
    let root = roots.get(&case.frame().trust_root, blobs)?;
    let mut learnt = Learnt { facts: BTreeSet::new(), is_whole: true };
    let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
    for submitted in &case.request().envelopes {
        match Opened::open(root, &submitted.bytes, case.at()) {
            None => learnt.is_whole = false,
            Some(opened) => match opened.attestation.about(case.artifact()) {
                Ok(evidence) => here.push((opened.keys, evidence)),
                Err(_) => elsewhere.push(opened),
            },
        }
    }
    let mut sources: Vec<Artifact> = Vec::new();
    for (keys, evidence) in &here {
        learnt.signed(keys, evidence);
        if let Some((provenance, name)) = believed(evidence, root) {
            learnt.built(provenance, name);
            sources.extend(evidence.source_artifact());
        }
    }
    for opened in elsewhere {
        let Some(evidence) = sources.iter().find_map(|source| opened.attestation.about(source).ok()) else {
            continue;
        };
        learnt.signed(&opened.keys, &evidence);
        learnt.reviewed(&evidence, root);
    }
    Ok(learnt)
}

/// An envelope that opened, and the keys that signed it: key, and whose.
struct Opened {
    attestation: attest::Attestation,
    keys: Vec<(String, String)>,
}

impl Opened {
    fn open(root: &TrustRoot, bytes: &[u8], at: Timestamp) -> Option<Self> {
        let verified = root.verify(&Envelope::parse(bytes).ok()?).ok()?;
        let attestation = verified.at(at).ok()?;
        let counts = |name: &str| attestation.signers().iter().any(|signer| signer.name == name);
        let keys = verified.keys().filter(|(name, _)| counts(name));
        let keys = keys.map(|(name, key)| (key.id(), name.to_owned())).collect();
        Some(Self { attestation, keys })
    }
}

/// Provenance counts where one of its signers may speak for the builder that it claims. A rebuilder's word is a vote, and
/// says nothing that the builder did not.
pub(crate) fn believed<'e>(evidence: &'e Evidence, root: &'e TrustRoot) -> Option<(&'e Provenance, &'e str)> {
    let Predicate::Provenance(provenance) = evidence.predicate() else { return None };
    let may = |name: &str| {
        let builder = root.principal(name).and_then(|principal| principal.builder.as_ref());
        builder.is_some_and(|builder| evidence.attestation().may_be_said_by(builder))
    };
    let signer = evidence.signers_with(Role::Builder).find(|signer| may(&signer.name))?;
    Some((provenance, &signer.name))
}

impl Learnt {
    fn add(&mut self, kind: FactKind, value: &str, detail: Option<&str>) {
        // a text that somebody chose is cut as in a record
        let short = |text: &str| text.chars().take(1000).collect::<String>();
        self.facts.insert(Fact { kind, value: short(value), detail: detail.map(short) });
    }

    fn signed(&mut self, keys: &[(String, String)], evidence: &Evidence) {
        let statement: &Statement = evidence.attestation().statement();
        for (key, name) in keys {
            self.add(FactKind::Key, key, Some(name));
            self.add(FactKind::Signer, name, Some(statement.predicate.kind()));
        }
    }

    fn built(&mut self, provenance: &Provenance, builder: &str) {
        self.add(FactKind::BuilderId, &provenance.builder_id, None);
        self.add(FactKind::Builder, builder, None);
        if let Some(source) = &provenance.source {
            self.add(FactKind::Repository, &source.repository, None);
            if let Some(commit) = source.commit() {
                self.add(FactKind::Commit, &commit.hex(), None);
            }
            if let Some(reference) = &source.reference {
                self.add(FactKind::Reference, reference, None);
            }
        }
        if let Some(finished) = provenance.finished {
            self.add(FactKind::Built, &finished.to_string(), None);
        }
        for dependency in provenance.dependencies.iter().take(MAX_DEPENDENCIES) {
            let kind = if dependency.is_tool { FactKind::Tool } else { FactKind::Dependency };
            let name = dependency.name.as_deref().filter(|name| !name.is_empty());
            if let Some(digest) = dependency.digests.first() {
                self.add(kind, &digest.to_string(), Some(name.unwrap_or(&dependency.uri)));
            }
        }
    }

    /// Whom a review authority saw approve, where the trust root knows the person; or the person who signed.
    fn reviewed(&mut self, evidence: &Evidence, root: &TrustRoot) {
        let Predicate::Review(review) = evidence.predicate() else { return };
        let when = review.reviewed.to_string();
        if evidence.signers_with(Role::ReviewAuthority).next().is_some() {
            for reviewer in &review.reviewers {
                let person = root.person(reviewer).unwrap_or(reviewer);
                self.add(FactKind::Reviewer, person, Some(&when));
            }
        }
        for person in evidence.signers_with(Role::Reviewer) {
            self.add(FactKind::Reviewer, &person.name, Some(&when));
        }
    }
}
