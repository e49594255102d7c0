//! One policy of the draft: where it stands, what it guards, what it asks for.

use crate::draft::{Draft, Effect, Untranslated, comments, quoted, quoted_list};

/// Binary Authorization asks of every image, whatever it is called; a pattern here has a fixed number of segments, and none
/// may be one star alone: every image has its registry's name in front.
const ANY_IMAGE: [&str; 4] = ["*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*"];

/// A policy to be.
#[derive(Debug, Default)]
pub(super) struct Guard {
    pub(super) environment: String,
    pub(super) artifacts: Vec<String>,
    pub(super) is_dry_run: bool,
    /// Lines below `require`, with their indentation.
    pub(super) require: String,
}

impl Guard {
    /// Puts the policy into the draft, with what was noted since `from`.
    pub(super) fn write(&self, from: usize, draft: &mut Draft) {
        let notes: Vec<Untranslated> = draft.untranslated.iter().skip(from).cloned().collect();
        let artifacts = match self.artifacts.as_slice() {
            [] => quoted_list(ANY_IMAGE),
            some => quoted_list(some.iter().map(String::as_str)),
        };
        let mode = if self.is_dry_run { "mode: dry-run\n" } else { "" };
        let text = format!(
            "# Translated from Binary Authorization. Review it; each line below is something that it does not say.\n\
             # looser: lets in what was refused. stricter: refuses what was let in. to do: write it yourself.\n\
             {}environment: {}\nartifact: {artifacts}\n{mode}require:\n{}",
            comments(&notes),
            quoted(&self.environment),
            self.require
        );
        let name = self.environment.replace(':', "-");
        draft.policies.push((format!("{name}.yaml"), text));
    }
}

/// The environment for a kind of rule and the name it is for; nothing, noted, where no environment can be called so.
pub(super) fn environment(kind: &str, name: &str, place: &str, draft: &mut Draft) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        draft.note(
            Effect::Stricter,
            place,
            name,
            "no environment can be called so: write the policy, and map the workload to it",
        );
        return None;
    }
    Some(format!("binauthz/{kind}/{name}"))
}

/// Exemptions by name, which nothing here has.
pub(super) fn exempt(place: &str, pattern: &str, draft: &mut Draft) {
    draft.note(
        Effect::Stricter,
        place,
        pattern,
        "nothing is admitted by its name alone: have these images signed, or write a policy for them",
    );
}
