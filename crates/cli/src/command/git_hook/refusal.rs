//! Why a ref is not taken: in the shape of every other message.

use attest::{Json, Object, Place};
use policy::{Finding, one_line};

use super::push::Update;

/// One thing that is wrong with one ref.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    rule: &'static str,
    reference: String,
    message: String,
    wanted: Option<(String, Option<String>)>,
    found: Vec<String>,
    fixes: Vec<String>,
}

impl Refusal {
    pub(super) fn new(rule: &'static str, update: &Update, message: &str) -> Self {
        Self::of(rule, &update.name, message)
    }

    /// About the push as a whole, or a ref that has no name.
    pub(super) fn of(rule: &'static str, reference: &str, message: &str) -> Self {
        Self {
            rule,
            reference: one_line(reference),
            message: one_line(message),
            wanted: None,
            found: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// What a rule of policies found, in its own words.
    pub(super) fn of_finding(finding: &Finding, update: &Update) -> Self {
        let place = finding.place.as_ref().map(Place::to_string);
        let mut refusal = Self::new(finding.rule, update, &finding.message);
        refusal.wanted = Some((finding.wanted.clone(), place));
        refusal.found.push(finding.found.clone());
        refusal
    }

    pub(super) fn wanted(mut self, wanted: &str) -> Self {
        self.wanted = Some((one_line(wanted), None));
        self
    }

    pub(super) fn wanted_at(mut self, wanted: &str, place: &Place) -> Self {
        self.wanted = Some((one_line(wanted), Some(place.to_string())));
        self
    }

    pub(super) fn found(mut self, found: &str) -> Self {
        self.found.push(one_line(found));
        self
    }

    pub(super) fn fix(mut self, fix: &str) -> Self {
        self.fixes.push(one_line(fix));
        self
    }

    pub(super) fn to_text(&self) -> String {
        let mut out = format!("error[{}]: {}\n", self.rule, self.message);
        let mut line = |label: &str, text: &str| out.push_str(&format!("  {label:<9} {text}\n"));
        line("ref", &self.reference);
        if let Some((wanted, place)) = &self.wanted {
            let place = place.as_ref().map(|place| format!("  {place}")).unwrap_or_default();
            line("wanted", &format!("{wanted}{place}"));
        }
        self.found.iter().for_each(|found| line("found", found));
        for (index, fix) in self.fixes.iter().enumerate() {
            line(if index == 0 { "fix" } else { "or" }, fix);
        }
        out
    }

    pub(super) fn to_json(&self) -> Json {
        let mut object = Object::new()
            .with("rule", self.rule)
            .with("ref", self.reference.as_str())
            .with("message", self.message.as_str());
        object.set_some("wanted", self.wanted.as_ref().map(|(wanted, _)| wanted.as_str()));
        object.set_some("place", self.wanted.as_ref().and_then(|(_, place)| place.as_deref()));
        object.with("found", self.found.clone()).with("fixes", self.fixes.clone()).into()
    }
}
