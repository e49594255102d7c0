//! One statement: what changes, where, from when on, and why.

use attest::{Json, Object, Place};
use jiff::Timestamp;

use super::region::Region;
use crate::finding::place_json;
use crate::verdict::{Outcome, Verdict};

/// What a change does to deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What was refused is admitted.
    Admits,
    /// What was admitted is refused.
    Refuses,
    /// The answers stay; what is judged, recorded or asked of people changes.
    Otherwise,
}

impl Kind {
    /// As people read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Admits => "newly admits",
            Self::Refuses => "newly refuses",
            Self::Otherwise => "changes otherwise",
        }
    }

    /// The word in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admits => "admits",
            Self::Refuses => "refuses",
            Self::Otherwise => "otherwise",
        }
    }
}

/// Which way a verdict turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flip {
    /// From unmet to met.
    Met,
    /// From met to unmet.
    Unmet,
}

/// The threats of THREATS.md that it touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threats {
    /// Those that the rule mitigates.
    pub touched: Vec<&'static str>,
    /// Those of them that no other rule mitigates here: opened by what is newly admitted, closed by what is refused.
    pub alone: Vec<&'static str>,
}

/// One statement about a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it does to deployments.
    pub kind: Kind,
    /// Where.
    pub region: Region,
    /// The rule or the key of the policy that it is about.
    pub about: &'static str,
    /// What is newly admitted, newly refused, or otherwise.
    pub words: String,
    /// Which way the verdict turns; nothing where it is not about a verdict.
    pub flip: Option<Flip>,
    /// The rules whose findings it accounts for, under the book whose verdict is unmet.
    pub rules: Vec<&'static str>,
    /// Where it stood.
    pub old: Option<Place>,
    /// Where it stands.
    pub new: Option<Place>,
    /// From when on; nothing for always.
    pub from: Option<Timestamp>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// The threats that it touches.
    pub threats: Threats,
}

impl Statement {
    /// Whether it is about a deployment at a time.
    #[must_use]
    pub fn covers(&self, environment: &str, uri: &str, at: Timestamp) -> bool {
        let is_then = self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until);
        is_then && self.region.covers(environment, uri)
    }

    /// Whether it accounts for a finding of a rule, where the verdict turned from the one to the other.
    #[must_use]
    pub fn explains(&self, rule: &str, old: &Verdict, new: &Verdict) -> bool {
        let turned = match (old.outcome(), new.outcome()) {
            (Outcome::Unmet, Outcome::Met) => Some(Flip::Met),
            (Outcome::Met, Outcome::Unmet) => Some(Flip::Unmet),
            _ => None,
        };
        turned.is_some() && self.flip == turned && self.rules.contains(&rule)
    }

    /// By region, then by kind.
    pub(super) fn order(&self) -> impl Ord {
        (self.region.clone(), self.kind, self.from.is_some(), self.from)
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let place = |place: &Option<Place>| place.as_ref().map_or(Json::Null, place_json);
        let mut object = Object::new()
            .with("kind", self.kind.name())
            .with("region", self.region.to_json())
            .with("about", self.about)
            .with("what", self.words.as_str())
            .with("rules", self.rules.clone())
            .with("old", place(&self.old))
            .with("new", place(&self.new))
            .with("threats", self.threats.touched.clone())
            .with("threats_alone", self.threats.alone.clone());
        object.set_some("from", self.from.map(|t| t.to_string()));
        object.set_some("until", self.until.map(|t| t.to_string()));
        object.set_some("verdict", self.flip.map(|f| if f == Flip::Met { "met" } else { "unmet" }));
        object.into()
    }
}
