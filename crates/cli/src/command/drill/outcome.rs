//! What came of an attack, and whether that is what should have come of it.

use crate::failure::{Exit, Failure};

/// What the real parts did.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whether what was tried came through.
    pub(super) is_let_through: bool,
    /// What stopped it: the rules of a decision, or the words of a command.
    pub(super) reasons: Vec<String>,
    /// Why: the basis of a decision, or how a command ended.
    pub(super) basis: String,
    /// What a person is told, in the product's own words.
    pub(super) message: String,
    /// What was admitted, stored or changed although it was refused.
    pub(super) left: Vec<String>,
}

/// For which reason an attack must be stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) reasons: &'static [&'static str],
    pub(super) basis: &'static str,
}

impl Wanted {
    /// Refused by rules of the policy.
    pub(super) const fn rules(reasons: &'static [&'static str]) -> Self {
        Self { reasons, basis: "policy" }
    }

    /// Refused in these words by a command, whose findings end it with 1.
    pub(super) const fn found(reasons: &'static [&'static str]) -> Self {
        Self { reasons, basis: "exit 1" }
    }

    /// Refused in these words by a command that could not do what was asked.
    pub(super) const fn failed(reasons: &'static [&'static str]) -> Self {
        Self { reasons, basis: "exit 2" }
    }
}

/// The same attack with the mitigation switched off.
#[derive(Clone, Debug)]
pub(super) struct Control {
    /// What was switched off.
    pub(super) off: &'static str,
    pub(super) seen: Seen,
}

/// One thing that was tried.
#[derive(Clone, Debug)]
pub(super) enum Trial {
    /// It must be stopped, and come through where nothing is there to stop it.
    Attack { what: &'static str, wanted: Wanted, seen: Seen, control: Control },
    /// It is as it should be, and must come through: a gate that lets nothing through stops everything.
    Honest { what: &'static str, seen: Seen },
    /// What it is tried with is not on this machine: nobody knows, and everybody is told.
    NotStaged { what: &'static str, why: &'static str },
}

impl Trial {
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Attack { what, .. } | Self::Honest { what, .. } | Self::NotStaged { what, .. } => what,
        }
    }

    /// What came of it; else why it was not staged.
    pub(super) fn seen(&self) -> Result<&Seen, &'static str> {
        match self {
            Self::Attack { seen, .. } | Self::Honest { seen, .. } => Ok(seen),
            Self::NotStaged { why, .. } => Err(why),
        }
    }

    pub(super) fn control(&self) -> Option<&Control> {
        match self {
            Self::Attack { control, .. } => Some(control),
            Self::Honest { .. } | Self::NotStaged { .. } => None,
        }
    }

    /// What is wrong with it; nothing where it went as it must.
    pub(super) fn flaws(&self) -> Vec<String> {
        match self {
            Self::Attack { wanted, seen, control, .. } => attack_flaws(wanted, seen, control),
            Self::Honest { seen, .. } => honest_flaws(seen),
            Self::NotStaged { .. } => Vec::new(),
        }
    }
}

fn attack_flaws(wanted: &Wanted, seen: &Seen, control: &Control) -> Vec<String> {
    let mut flaws = Vec::new();
    let stated = wanted.reasons.join(", ");
    if seen.is_let_through {
        flaws.push(format!("the attack succeeded, and {stated} should have stopped it"));
    } else if !is_the_same(wanted.reasons, &seen.reasons) {
        flaws.push(format!("stopped by {}, and not by {stated}", seen.reasons.join(", ")));
    } else if seen.basis != wanted.basis {
        flaws.push(format!("stopped with {}, and not with {}", seen.basis, wanted.basis));
    }
    if !seen.is_let_through && seen.message.trim().is_empty() {
        flaws.push("stopped, and nobody is told why".to_owned());
    }
    flaws.extend(seen.left.iter().map(|left| format!("refused, and still {left}")));
    if !control.seen.is_let_through {
        let by = control.seen.reasons.join(", ");
        flaws.push(format!("the control failed: with {} it was stopped all the same, by {by}", control.off));
    }
    flaws
}

fn honest_flaws(seen: &Seen) -> Vec<String> {
    if seen.is_let_through {
        return Vec::new();
    }
    vec![format!("what is as it should be was stopped, by {}", seen.reasons.join(", "))]
}

/// The same reasons, in any order.
fn is_the_same(wanted: &[&str], found: &[String]) -> bool {
    wanted.iter().all(|reason| found.iter().any(|found| found == reason))
        && found.iter().all(|found| wanted.contains(&found.as_str()))
}

/// One threat after its drill.
pub(super) struct Drilled {
    pub(super) threat: &'static str,
    pub(super) title: &'static str,
    /// What was tried; or why it could not be.
    pub(super) trials: Result<Vec<Trial>, Failure>,
}

impl Drilled {
    /// Whether the threat was stopped, whatever was tried, and the drill could have failed.
    pub(super) fn is_passed(&self) -> bool {
        let is_attacked = |trials: &Vec<Trial>| trials.iter().any(|trial| trial.control().is_some());
        let is_good = |trials: &Vec<Trial>| trials.iter().all(|trial| trial.flaws().is_empty());
        self.trials.as_ref().is_ok_and(|trials| is_attacked(trials) && is_good(trials))
    }

    pub(super) fn word(&self) -> &'static str {
        match &self.trials {
            Err(_) => "NOT STAGED",
            Ok(_) if self.is_passed() => "ok",
            Ok(_) => "FAILED",
        }
    }
}

/// What was not staged, as in `5 not staged: no PostgreSQL on this machine`; nothing where everything was.
pub(super) fn not_staged(drilled: &[Drilled]) -> Option<(usize, String)> {
    let trials = drilled.iter().flat_map(|drilled| drilled.trials.iter().flatten());
    let whys: Vec<&str> = trials.filter_map(|trial| trial.seen().err()).collect();
    let different: std::collections::BTreeSet<&str> = whys.iter().copied().collect();
    let different: Vec<&str> = different.into_iter().collect();
    (!whys.is_empty()).then(|| (whys.len(), different.join(", ")))
}

/// 0 only where all passed; 2 where a part was missing: then nobody knows.
pub(super) fn exit(drilled: &[Drilled]) -> Exit {
    if drilled.iter().any(|drilled| drilled.trials.is_err()) {
        return Exit::Failed;
    }
    if drilled.iter().all(Drilled::is_passed) { Exit::Clean } else { Exit::Found }
}

#[cfg(test)]
mod tests;
