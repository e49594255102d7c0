//! The build ran exactly this command.

use attest::yaml::{Node, Problems};
use attest::{Json, Object, Place};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "command",
    key: "command",
    summary: "the build ran this command",
    docs: "Met where the judged provenance says that exactly this command ran, word for word. For builders that take \
           the command from the requester; where it stands in reviewed source, `target` is enough.",
    example: "command: [make, CC=gcc]",
    threats: &["T11"],
    reads_provenance: true,
    read: Some(read),
    schema: || {
        Object::new().with("type", "array").with("items", string_schema()).with("minItems", 1_i64).into()
    },
};

#[derive(Debug)]
struct Command {
    words: Vec<String>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let items = problems.keep(node.list())?;
    let words: Option<Vec<String>> =
        items.iter().map(|i| problems.keep(i.string()).map(str::to_owned)).collect();
    let words = words?;
    if words.is_empty() {
        problems.push(node.mismatch("the words of a command"));
        return None;
    }
    Some(Box::new(Command { words, place: node.place.clone() }))
}

/// Words in brackets, so that `[a b]` and `[a, b]` look different.
fn show(words: &[String]) -> String {
    Json::from(words.to_vec()).to_string()
}

impl Order for Command {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let words = format!("what the command {} built", show(&self.words));
        (self.words != other.words).then(|| Beyond::only(words)).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("what another command than {} built", show(&self.words))
    }
}

impl Check for Command {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let finding = |message: &str, found: &str| {
            Finding::new(RULE.name, message, "build again with the command that the policy lists")
                .wanted(&show(&self.words), &self.place)
                .found(found)
        };
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        match &provenance.command {
            Some(words) if *words == self.words => Vec::new(),
            Some(words) => vec![
                finding("another command built it than the policy allows", &show(words))
                    .within(&describe(evidence))
                    .or(&format!("if the command is right, change {}, and have it reviewed", self.place)),
            ],
            None => vec![
                finding("the provenance does not say which command built it", "no command")
                    .within(&describe(evidence)),
            ],
        }
    }
}
