//! A tree of what came from where, for every command that shows one: as text, as a picture, as JSON.

mod svg;

pub(crate) use svg::to_svg;

use attest::{Json, Object};

/// One thing, and what is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Branch {
    /// What it is of the one above: `input`, `built from`.
    pub(crate) relation: String,
    /// What kind of thing it is: `artifact`, `commit`.
    pub(crate) kind: &'static str,
    /// Its whole name, for programs.
    pub(crate) name: String,
    /// Its name as people read it.
    pub(crate) label: String,
    /// What is below it.
    pub(crate) below: Vec<Branch>,
}

impl Branch {
    pub(crate) fn new(relation: &str, kind: &'static str, name: &str, label: &str) -> Self {
        Self {
            relation: relation.to_owned(),
            kind,
            name: name.to_owned(),
            label: policy::one_line(label),
            below: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, below: impl IntoIterator<Item = Branch>) -> Self {
        self.below.extend(below);
        self
    }

    pub(crate) fn to_json(&self) -> Json {
        let below = Json::Array(self.below.iter().map(Self::to_json).collect());
        Object::new()
            .with("relation", self.relation.as_str())
            .with("kind", self.kind)
            .with("name", self.name.as_str())
            .with("label", self.label.as_str())
            .with("below", below)
            .into()
    }
}

/// The tree as text.
pub(crate) fn draw(root: &Branch) -> String {
    let mut out = format!("{}\n", root.label);
    draw_below(root, "", &mut out);
    out
}

fn draw_below(branch: &Branch, indent: &str, out: &mut String) {
    for (place, below) in branch.below.iter().enumerate() {
        let (line, further) =
            if place + 1 == branch.below.len() { ("└─", "   ") } else { ("├─", "│  ") };
        out.push_str(&format!("{indent}{line} {} {}\n", below.relation, below.label));
        draw_below(below, &format!("{indent}{further}"), out);
    }
}
