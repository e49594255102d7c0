//! What stands beside `require`: who guards, mode, outages, standing, breakglass.

use attest::Place;
use attest::time::Span;

use super::region::Region;
use super::statement::{Flip, Kind, Statement, Threats};
use crate::policy::{Breakglass, Mode, OnOutage, Policy};

/// What a policy guarded, and nobody does now.
pub(super) fn no_longer_guarded(policy: &Policy, region: Region) -> Statement {
    let words = match policy.mode() {
        Mode::Enforce => format!("whatever {} let through: no policy guards it now", policy.name()),
        Mode::DryRun => format!("everything: {} was in dry run, and no policy guards it now", policy.name()),
    };
    let old = Some(policy.place().clone());
    Statement { flip: Some(Flip::Unmet), old, ..missing(Kind::Refuses, region, words) }
}

/// What nobody guarded, and a policy does now.
pub(super) fn newly_guarded(policy: &Policy, region: Region) -> Statement {
    let words = match policy.mode() {
        Mode::Enforce => format!("whatever {} lets through: no policy guarded it", policy.name()),
        Mode::DryRun => format!("everything: {} is in dry run, and no policy guarded it", policy.name()),
    };
    let new = Some(policy.place().clone());
    Statement { flip: Some(Flip::Met), new, ..missing(Kind::Admits, region, words) }
}

fn missing(kind: Kind, region: Region, words: String) -> Statement {
    let rule = &crate::rules::policy_missing::RULE;
    let threats = Threats { touched: rule.threats.to_vec(), alone: Vec::new() };
    Statement { rules: vec![rule.name], threats, ..plain(kind, region, rule.name, words) }
}

/// A statement about a key of the policy.
fn plain(kind: Kind, region: Region, about: &'static str, words: String) -> Statement {
    Statement {
        kind,
        region,
        about,
        words,
        flip: None,
        rules: Vec::new(),
        old: None,
        new: None,
        from: None,
        until: None,
        threats: Threats::default(),
    }
}

/// What is said of the settings of two policies.
struct Settings<'a> {
    before: &'a Policy,
    after: &'a Policy,
    region: &'a Region,
    statements: Vec<Statement>,
}

/// What changes in the settings of a region.
pub(super) fn compare(before: &Policy, after: &Policy, region: &Region) -> Vec<Statement> {
    let mut settings = Settings { before, after, region, statements: Vec::new() };
    settings.mode();
    settings.on_outage();
    settings.standing();
    settings.breakglass();
    settings.statements
}

impl Settings<'_> {
    fn say(&mut self, kind: Kind, about: &'static str, words: String) {
        let (old, new) = (self.before.place().clone(), self.after.place().clone());
        self.say_at(kind, about, words, (Some(old), Some(new)));
    }

    fn say_at(&mut self, kind: Kind, about: &'static str, words: String, at: (Option<Place>, Option<Place>)) {
        // a dry run admits what is unmet, whatever the other settings say; but what cannot be decided, only a grant lets in
        let counts = matches!(about, "mode" | "breakglass") || both_enforce(self.before, self.after);
        let kind = if counts { kind } else { Kind::Otherwise };
        let (old, new) = at;
        self.statements.push(Statement { old, new, ..plain(kind, self.region.clone(), about, words) });
    }

    fn mode(&mut self) {
        match (self.before.mode(), self.after.mode()) {
            (Mode::Enforce, Mode::DryRun) => self.say(
                Kind::Admits,
                "mode",
                "everything: what does not meet the policy is recorded, and admitted".to_owned(),
            ),
            (Mode::DryRun, Mode::Enforce) => self.say(
                Kind::Refuses,
                "mode",
                "whatever does not meet the policy: it was in dry run, and admitted".to_owned(),
            ),
            _ => {}
        }
    }

    fn on_outage(&mut self) {
        let what = "what cannot be decided while a part of ours has failed".to_owned();
        match (self.before.on_outage(), self.after.on_outage()) {
            (OnOutage::Reject, OnOutage::Admit) => self.say(Kind::Admits, "on-outage", what),
            (OnOutage::Admit, OnOutage::Reject) => self.say(Kind::Refuses, "on-outage", what),
            _ => {}
        }
    }

    fn standing(&mut self) {
        let zero = Span::seconds(0);
        let spans = [self.before.standing().unwrap_or(zero), self.after.standing().unwrap_or(zero)];
        let kind = match spans {
            [old, new] if new > old => Kind::Admits,
            [old, new] if new < old => Kind::Refuses,
            _ => return,
        };
        let [least, most] = if kind == Kind::Admits { spans } else { [spans[1], spans[0]] };
        let ago = if least > zero {
            format!("more than {least} ago, and at most {most}")
        } else {
            format!("at most {most} ago")
        };
        let words = format!("what is made again from a template that was admitted {ago}");
        self.say(kind, "standing", words);
    }

    fn breakglass(&mut self) {
        let granted =
            |b: &Breakglass| format!("what somebody in {} signs a breakglass grant for", b.group.name);
        let place = |b: &Breakglass| Some(b.group.place.clone());
        let about = "breakglass";
        match (self.before.breakglass().cloned(), self.after.breakglass().cloned()) {
            (None, Some(new)) => self.say_at(Kind::Admits, about, granted(&new), (None, place(&new))),
            (Some(old), None) => self.say_at(Kind::Refuses, about, granted(&old), (place(&old), None)),
            (Some(old), Some(new)) => {
                let at = || (place(&old), place(&new));
                if old.group.name != new.group.name {
                    self.say_at(Kind::Admits, about, granted(&new), at());
                    self.say_at(Kind::Refuses, about, granted(&old), at());
                } else if let Some((kind, words)) = longer(&old, &new) {
                    self.say_at(kind, about, words, at());
                }
                if old.reviewed_within != new.reviewed_within {
                    let words = format!(
                        "what breakglass let through must be reviewed within {}, and not {}",
                        new.reviewed_within, old.reviewed_within
                    );
                    self.say_at(Kind::Otherwise, about, words, at());
                }
            }
            (None, None) => {}
        }
    }
}

/// Which grants hold of one book only, where their time is what differs.
fn longer(old: &Breakglass, new: &Breakglass) -> Option<(Kind, String)> {
    let words = |least: Span, most: Span| {
        format!("what a breakglass grant for more than {least}, up to {most}, is for")
    };
    match old.expires.cmp(&new.expires) {
        std::cmp::Ordering::Less => Some((Kind::Admits, words(old.expires, new.expires))),
        std::cmp::Ordering::Greater => Some((Kind::Refuses, words(new.expires, old.expires))),
        std::cmp::Ordering::Equal => None,
    }
}

/// Whether what is unmet is refused before and after.
pub(super) fn both_enforce(before: &Policy, after: &Policy) -> bool {
    before.mode() == Mode::Enforce && after.mode() == Mode::Enforce
}
