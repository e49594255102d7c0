//! One policy: what may be in one environment.

use attest::time::Span;
use attest::{Digest, Place, Role, TrustRoot};
use jiff::Timestamp;

use crate::rule::{NameKind, NameUse, Requirement};

/// Whether a refusal refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Enforce,
    /// It is recorded and shown, and the deployment admitted.
    DryRun,
}

/// What happens when our own parts fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOutage {
    /// Reject.
    Reject,
    /// Admit, recorded, alarmed and verified again.
    Admit,
}

/// Who may bypass the policy, and how long that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breakglass {
    /// The group of the trust root.
    pub group: NameUse,
    /// After which time a grant ends.
    pub expires: Span,
    /// Within which time somebody else must have looked at it.
    pub reviewed_within: Span,
}

/// A text and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// A requirement that will be in force.
#[derive(Debug)]
pub struct Upcoming {
    /// From when on.
    pub from: Timestamp,
    /// What is then required too.
    pub require: Vec<Requirement>,
}

/// A checked policy. Only the language makes one.
#[derive(Debug)]
pub struct Policy {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) place: Place,
    pub(crate) environment: Located,
    pub(crate) artifacts: Vec<Located>,
    pub(crate) mode: Mode,
    pub(crate) on_outage: OnOutage,
    pub(crate) standing: Span,
    pub(crate) breakglass: Option<Breakglass>,
    pub(crate) require: Vec<Requirement>,
    pub(crate) upcoming: Vec<Upcoming>,
}

impl Policy {
    /// Its file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its text.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Where it begins.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The environment it guards; `*` stands for one segment.
    #[must_use]
    pub fn environment(&self) -> &Located {
        &self.environment
    }

    /// What may be there.
    #[must_use]
    pub fn artifacts(&self) -> &[Located] {
        &self.artifacts
    }

    /// Whether a refusal refuses.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What happens when our own parts fail.
    #[must_use]
    pub fn on_outage(&self) -> OnOutage {
        self.on_outage
    }

    /// How long what was admitted may be made again from the same template under the same owner, although the policy
    /// would refuse it today; nothing where it is switched off.
    #[must_use]
    pub fn standing(&self) -> Option<Span> {
        (self.standing > Span::seconds(0)).then_some(self.standing)
    }

    /// Who may bypass it.
    #[must_use]
    pub fn breakglass(&self) -> Option<&Breakglass> {
        self.breakglass.as_ref()
    }

    /// What it requires.
    #[must_use]
    pub fn require(&self) -> &[Requirement] {
        &self.require
    }

    /// What it will require.
    #[must_use]
    pub fn upcoming(&self) -> &[Upcoming] {
        &self.upcoming
    }

    /// Whether it requires a rule, by the rule's name.
    #[must_use]
    pub fn asks_for(&self, rule: &str) -> bool {
        self.require.iter().any(|r| r.rule.name == rule)
    }

    /// What is required at a time.
    pub fn required_at(&self, at: Timestamp) -> impl Iterator<Item = &Requirement> {
        let due = self.upcoming.iter().filter(move |upcoming| at >= upcoming.from);
        self.require.iter().chain(due.flat_map(|upcoming| &upcoming.require))
    }

    /// Whether a summary may be what meets it: it asks for one, or for a signature of somebody who signs summaries.
    #[must_use]
    pub fn counts_summaries(&self, root: &TrustRoot, at: Timestamp) -> bool {
        let is_verifier =
            |name: &str| root.principal(name).is_some_and(|p| p.roles.contains(&Role::Verifier));
        self.required_at(at).flat_map(|r| r.check.names()).any(|used| match used.kind {
            NameKind::Role(role) => role == Role::Verifier,
            NameKind::Signer => is_verifier(&used.name),
            NameKind::Group | NameKind::Log => false,
        })
    }

    /// The SLSA Build level that everything has that meets the policy, as far as the trust root says: the lowest of those
    /// that it gives to the builders of `built-by`, 1 for a builder to which it gives none. Nothing where no builder is
    /// asked for.
    #[must_use]
    pub fn build_level(&self, root: &TrustRoot) -> Option<u8> {
        let builders =
            self.names_of("built-by").iter().filter_map(|n| root.principal(&n.name)?.builder.as_ref());
        builders.map(|builder| builder.slsa_level.unwrap_or(1)).min()
    }

    /// The names that a rule of `require` uses.
    pub(crate) fn names_of(&self, rule: &str) -> &[NameUse] {
        self.require.iter().find(|r| r.rule.name == rule).map(|r| r.check.names()).unwrap_or_default()
    }

    /// The names it uses that the trust root does not know in that role.
    #[must_use]
    pub fn unknown_names(&self, root: &TrustRoot) -> Vec<NameUse> {
        let all = self.require.iter().chain(self.upcoming.iter().flat_map(|u| &u.require));
        let is_known = |used: &&NameUse| match used.kind {
            NameKind::Signer => root.principal(&used.name).is_some(),
            NameKind::Role(role) => root.principal(&used.name).is_some_and(|p| p.roles.contains(&role)),
            NameKind::Group => root.group(&used.name).is_some(),
            NameKind::Log => root.log(&used.name).is_some(),
        };
        let groups = self.breakglass.iter().map(|b| &b.group);
        all.flat_map(|r| r.check.names()).chain(groups).filter(|used| !is_known(used)).cloned().collect()
    }
}
