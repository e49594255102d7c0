//! OpenVEX: somebody's word on whether an advisory matters for a product. Whoever reads a document in here trusts its
//! author; nothing in this module proves who that is.

mod read;

pub use read::is_vex;

use attest::{Digest, DigestSet};
use jiff::Timestamp;

use crate::component::Component;
use crate::database::Match;
use crate::purl::Purl;

/// The predicate type of OpenVEX; versions may stand behind it.
pub const OPENVEX: &str = "https://openvex.dev/ns";

/// Everything that trusted documents say.
#[derive(Clone, Debug, Default)]
pub struct Statements(Vec<Statement>);

/// One word on one vulnerability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The document.
    pub document: String,
    /// Who says so.
    pub author: String,
    /// When.
    pub at: Timestamp,
    /// The vulnerability's names.
    pub vulnerability: Vec<String>,
    /// Of which products; none means that the document does not say, and it is of none.
    pub products: Vec<Product>,
    /// What.
    pub status: Status,
    /// For people.
    pub notes: Option<String>,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does not matter here, for this reason.
    NotAffected(Justification),
    /// It is mended.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
    /// It matters.
    Affected,
}

/// Why something does not matter: OpenVEX knows five reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Justification {
    /// The component is not in the product.
    ComponentNotPresent,
    /// The component is there without the bad code.
    CodeNotPresent,
    /// The bad code is never run.
    CodeNotInExecutePath,
    /// Nobody hostile can reach it.
    CannotBeControlled,
    /// Something in the product stands in the way already.
    InlineMitigations,
}

/// A product, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its names: package URLs, or other URIs.
    pub names: Vec<String>,
    /// Its bytes.
    pub digests: Vec<Digest>,
    /// Which parts of it are meant; none means all.
    pub parts: Vec<Product>,
}

impl Status {
    /// OpenVEX's word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotAffected(_) => "not_affected",
            Self::Fixed => "fixed",
            Self::UnderInvestigation => "under_investigation",
            Self::Affected => "affected",
        }
    }

    /// Of two words of one moment, the worse one counts.
    fn gravity(&self) -> u8 {
        match self {
            Self::NotAffected(_) => 0,
            Self::Fixed => 1,
            Self::UnderInvestigation => 2,
            Self::Affected => 3,
        }
    }
}

impl Justification {
    /// All of them, with OpenVEX's words.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::ComponentNotPresent, "component_not_present"),
        (Self::CodeNotPresent, "vulnerable_code_not_present"),
        (Self::CodeNotInExecutePath, "vulnerable_code_not_in_execute_path"),
        (Self::CannotBeControlled, "vulnerable_code_cannot_be_controlled_by_adversary"),
        (Self::InlineMitigations, "inline_mitigations_already_exist"),
    ];

    /// OpenVEX's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(one, _)| *one == self).map_or("", |(_, name)| name)
    }
}

impl Statements {
    /// Takes in what another document says.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The statements as they are read for an artifact with these digests and names.
    #[must_use]
    pub fn about<'a>(&'a self, digests: &'a DigestSet, names: &'a [String]) -> About<'a> {
        About { statements: self, digests, names }
    }
}

/// Statements, looked at for one artifact.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    statements: &'a Statements,
    digests: &'a DigestSet,
    names: &'a [String],
}

impl<'a> About<'a> {
    /// The last word on an advisory about a component of the artifact.
    #[must_use]
    pub fn last_word(&self, component: &Component, found: &Match) -> Option<&'a Statement> {
        let speaks = |s: &&Statement| {
            found.names().any(|name| s.vulnerability.iter().any(|v| v.eq_ignore_ascii_case(name)))
                && s.products.iter().any(|product| self.is_meant(product, component))
        };
        self.statements.0.iter().filter(speaks).max_by_key(|s| (s.at, s.status.gravity()))
    }

    /// The artifact, and in it this component or all; or the component itself, wherever it is.
    fn is_meant(&self, product: &Product, component: &Component) -> bool {
        if product.is_component(component) {
            return product.parts.is_empty();
        }
        let is_artifact = product.digests.iter().any(|d| self.digests.get(d.algorithm()).as_ref() == Some(d))
            || product.names.iter().any(|name| self.names.iter().any(|own| is_same(name, own)));
        is_artifact && (product.parts.is_empty() || product.parts.iter().any(|p| p.is_component(component)))
    }
}

impl Product {
    /// By its digest or its package URL: a bare name is nobody's.
    fn is_component(&self, component: &Component) -> bool {
        self.digests.iter().any(|digest| component.has_digest(digest))
            || component.purl.iter().any(|purl| self.names.iter().any(|name| is_same(name, purl)))
            || self.names.iter().any(|name| is_package(name, component))
    }
}

/// Whether a statement's name means this one.
fn is_same(said: &str, own: &str) -> bool {
    match (Purl::parse(said), Purl::parse(own)) {
        (Ok(said), Ok(own)) => said.means(&own),
        _ => said == own,
    }
}

/// Components of provenance have no package URL, but the same ecosystem, name and version.
fn is_package(name: &str, component: &Component) -> bool {
    let Ok(purl) = Purl::parse(name) else { return false };
    let (Some(said), Some(own)) = (purl.ecosystem(), &component.ecosystem) else { return false };
    component.purl.is_none()
        && said.family == own.family
        && said.normal_name(&purl.package()) == own.normal_name(&component.name)
        && purl.full_version().is_none_or(|version| component.version.as_ref() == Some(&version))
}
