//! An organisation's own list of threats, reviewed like code.
//!
//! ```yaml
//! threats:
//!   - id: A1
//!     threat: a contractor's laptop pushes to the registry
//!     environments: [prod/*]                       # all without
//!     mitigated-by: [built-by, source-reviewed]    # every one of these rules
//!   - id: A2
//!     threat: the office burns down
//!     accepted: { by: carol, until: 2027-06-01, because: backups are elsewhere }
//! ```

use std::path::Path;

use attest::LoadError;
use attest::sigstore::Pattern;
use attest::time::parse_time;
use attest::yaml::{Fields, Node, Problems, suggest};
use jiff::Timestamp;
use policy::Policy;

use super::list::THREATS;

/// One threat of an organisation's own.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) id: String,
    pub(super) threat: String,
    environments: Vec<Pattern>,
    answer: Answer,
}

/// What is done about it.
#[derive(Debug)]
enum Answer {
    /// Every one of these rules.
    Rules(Vec<String>),
    /// Somebody answers for it, until then.
    Accepted { by: String, until: Timestamp, because: String },
}

/// How a threat stands in an environment.
#[derive(Debug)]
pub(super) enum Stands {
    Mitigated(Vec<String>),
    /// Until when, and in whose words.
    Accepted(String),
    /// What is missing.
    Open(String),
}

impl Own {
    /// How it stands under a policy; nothing where it is about other environments.
    pub(super) fn under(&self, policy: &Policy, now: Timestamp) -> Option<Stands> {
        let environment = &policy.environment().text;
        if !self.environments.is_empty() && !self.environments.iter().any(|one| one.matches(environment)) {
            return None;
        }
        Some(match &self.answer {
            Answer::Rules(rules) => {
                let is_missing = |rule: &&String| !policy.asks_for(rule);
                let missing: Vec<&str> = rules.iter().filter(is_missing).map(String::as_str).collect();
                match missing.as_slice() {
                    [] => Stands::Mitigated(rules.clone()),
                    missing => Stands::Open(format!("{} is not asked for", missing.join(", "))),
                }
            }
            Answer::Accepted { by, until, because } if now < *until => {
                Stands::Accepted(format!("accepted by {by} until {until}: {because}"))
            }
            Answer::Accepted { by, until, .. } => {
                Stands::Open(format!("what {by} accepted ended at {until}"))
            }
        })
    }
}

/// Parses a list.
pub(super) fn parse(file: &Path, text: &str) -> Result<Vec<Own>, Vec<LoadError>> {
    let node = Node::parse(&file.display().to_string(), text).map_err(|e| vec![e])?;
    let mut problems = Problems::new();
    let list = list(&node, &mut problems);
    problems.finish(list)
}

fn list(node: &Node, problems: &mut Problems) -> Option<Vec<Own>> {
    let fields = Fields::read(node, "a list of threats", &["threats"], problems)?;
    let mut all: Vec<Own> = Vec::new();
    for item in fields.required("threats", problems).and_then(|n| problems.keep(n.list()))? {
        let Some(one) = own(item, problems) else { continue };
        if all.iter().any(|other| other.id == one.id) {
            let message = format!("{} stands here twice", one.id);
            problems.push(LoadError::new(&item.place, &message).fix("give each threat an id of its own"));
        }
        if THREATS.iter().any(|threat| threat.id == one.id) {
            let message = format!("{} is one of the chapter's threats", one.id);
            problems.push(LoadError::new(&item.place, &message).fix("give yours an id of its own, as in A1"));
        }
        all.push(one);
    }
    Some(all)
}

fn own(node: &Node, problems: &mut Problems) -> Option<Own> {
    let known = ["id", "threat", "environments", "mitigated-by", "accepted"];
    let fields = Fields::read(node, "a threat", &known, problems)?;
    let text = |key: &str, problems: &mut Problems| {
        let node = fields.required(key, problems)?;
        problems.keep(node.string()).map(str::to_owned)
    };
    let (id, threat) = (text("id", problems), text("threat", problems));
    let mut environments = Vec::new();
    for item in fields.optional("environments").map_or(Some(&[][..]), |n| problems.keep(n.list()))? {
        let pattern = Pattern::parse(problems.keep(item.string())?);
        environments.push(problems.keep(pattern.map_err(|e| item.mismatch(&e.to_string())))?);
    }
    let answer = match (fields.optional("mitigated-by"), fields.optional("accepted")) {
        (Some(rules), None) => Answer::Rules(names(rules, problems)?),
        (None, Some(accepted)) => accepted_by(accepted, problems)?,
        _ => {
            problems.push(
                LoadError::new(&node.place, "nobody says what is done about this threat")
                    .wanted("either `mitigated-by: [RULE]` or `accepted: { by, until, because }`")
                    .fix("name the rules that stop it, or who answers for it until when"),
            );
            return None;
        }
    };
    Some(Own { id: id?, threat: threat?, environments, answer })
}

/// Rules that there are, and that a policy can ask for.
fn names(node: &Node, problems: &mut Problems) -> Option<Vec<String>> {
    let known: Vec<&str> =
        policy::rules::all().filter(|rule| rule.read.is_some()).map(|rule| rule.name).collect();
    let mut names = Vec::new();
    for item in problems.keep(node.list())? {
        let name = problems.keep(item.string())?;
        if !known.contains(&name) {
            let error = item.mismatch("a rule that a policy can ask for");
            let fix = suggest(name, &known)
                .map_or("see docs/reference/rules.md".to_owned(), |near| format!("write {near}"));
            problems.push(error.fix(&fix));
            continue;
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        problems.push(node.mismatch("at least one rule"));
    }
    Some(names)
}

fn accepted_by(node: &Node, problems: &mut Problems) -> Option<Answer> {
    let fields = Fields::read(node, "`accepted`", &["by", "until", "because"], problems)?;
    let text = |key: &str, problems: &mut Problems| {
        let node = fields.required(key, problems)?;
        problems.keep(node.string()).map(str::to_owned)
    };
    let (by, because) = (text("by", problems), text("because", problems));
    let node = fields.required("until", problems)?;
    let date = problems.keep(node.string())?;
    let until = parse_time(date).or_else(|| parse_time(&format!("{date}T00:00:00Z")));
    let until = problems.keep(until.ok_or_else(|| node.mismatch("a date, as in 2027-06-01")))?;
    Some(Answer::Accepted { by: by?, until, because: because? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> String {
        let errors = parse(Path::new("own.yaml"), text).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said_with_its_place() {
        let rule = errors("threats:\n  - { id: A1, threat: x, mitigated-by: [source-review] }\n");
        assert!(rule.contains("own.yaml:2") && rule.contains("a rule that a policy can ask for"), "{rule}");
        let none = errors("threats:\n  - { id: A1, threat: x }\n");
        assert!(none.contains("nobody says what is done about this threat"), "{none}");
        let both = "threats:\n  - { id: A1, threat: x, mitigated-by: [built-by], accepted: { by: a, until: 2027-06-01, because: b } }\n";
        assert!(errors(both).contains("nobody says what is done"));
        let twice = "threats:\n  - { id: A1, threat: x, mitigated-by: [built-by] }\n  - { id: A1, threat: fire, mitigated-by: [built-by] }\n";
        assert!(errors(twice).contains("A1 stands here twice"));
        let date =
            errors("threats:\n  - { id: A1, threat: x, accepted: { by: a, until: soon, because: b } }\n");
        assert!(date.contains("a date, as in 2027-06-01"), "{date}");
        // a rule that no policy can leave out mitigates everywhere, and says nothing
        assert!(
            errors("threats:\n  - { id: A1, threat: x, mitigated-by: [policy-missing] }\n")
                .contains("can ask for")
        );
    }
}
