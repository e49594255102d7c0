//! `licences`: what others made is under licences that the policy accepts.

use attest::parts::Part;
use attest::yaml::{Fields, Node, Problems};
use attest::{Json, LoadError, Place};
use spdx::{Expression, LicenseItem, LicenseReq, ParseMode};

use super::{RULE, lists, some_of};
use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{
    Beyond, NameKind, NameUse, Whom, any_of, list_schema, names_of, object_schema, or_list, read_names,
};

/// What lists of parts have in the wild: identifiers of older lists, and `+` behind those of GNU.
const LENIENT: ParseMode = ParseMode {
    allow_slash_as_or_operator: false,
    allow_imprecise_license_names: false,
    allow_postfix_plus_on_gpl: true,
    allow_deprecated: true,
    allow_unknown: false,
};
/// No licence needs more.
const MAX_EXPRESSION: usize = 2000;

#[derive(Debug)]
pub(super) struct Licences {
    listed: Vec<(LicenseReq, String)>,
    is_allowed: bool,
    pub(super) by: Vec<NameUse>,
    place: Place,
}

pub(super) fn schema() -> Json {
    let one = |key: &str| object_schema(&[(key, list_schema()), ("by", list_schema())], &[key]);
    any_of(vec![one("allowed"), one("denied")])
}

/// What is wrong with the parts of one list, by their names.
#[derive(Default)]
struct Wrong {
    unlicensed: Vec<String>,
    unreadable: Vec<String>,
    refused: Vec<String>,
}

impl Licences {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "`licences`", &["allowed", "denied", "by"], problems)?;
        let (list, is_allowed) = match (fields.optional("allowed"), fields.optional("denied")) {
            (Some(list), None) => (list, true),
            (None, Some(list)) => (list, false),
            _ => {
                problems.push(node.mismatch("`allowed` or `denied`, and not both"));
                return None;
            }
        };
        let mut listed = Vec::new();
        for (text, place) in problems.keep(list.strings())? {
            listed.push((problems.keep(one_licence(&text, &place))?, text));
        }
        if listed.is_empty() {
            problems.push(list.mismatch("at least one licence").found("an empty list"));
            return None;
        }
        let by = match fields.optional("by") {
            Some(node) => read_names(node, NameKind::Signer, problems)?,
            None => Vec::new(),
        };
        Some(Self { listed, is_allowed, by, place: node.place.clone() })
    }

    /// Whether a licence that a part may be used under is one that the policy accepts.
    fn accepts(&self, used: &LicenseReq) -> bool {
        if self.is_allowed {
            self.listed.iter().any(|(own, _)| own == used)
        } else {
            !self.listed.iter().any(|(own, _)| family(own) == family(used))
        }
    }

    pub(super) fn check(&self, facts: &Facts<'_>, judged: &Judged<'_>) -> Vec<Finding> {
        let by = match names_of(&self.by) {
            names if names.is_empty() => judged.builders.iter().map(String::as_str).collect(),
            names => names,
        };
        let lists = lists(facts, &by);
        if lists.is_empty() {
            let fix = "submit a list of its parts, signed: a CycloneDX or SPDX statement about the artifact";
            let message = "nothing says which licences the parts of the artifact have";
            return vec![self.finding(message, &format!("no list of parts by {}", or_list(&by)), fix)];
        }
        let mut findings = Vec::new();
        for (evidence, parts) in lists {
            let found = match parts {
                Ok(parts) => self.judge(&parts),
                Err(e) => {
                    let fix = "write CycloneDX 1.4 to 1.7 or SPDX 2.2 to 2.3, as JSON, and sign it";
                    vec![self.finding("the list of parts cannot be read", &e.to_string(), fix)]
                }
            };
            findings.extend(found.into_iter().map(|finding| finding.within(&describe(evidence))));
        }
        findings
    }

    fn judge(&self, parts: &[Part]) -> Vec<Finding> {
        let mut wrong = Wrong::default();
        for part in parts {
            self.sort(part, &mut wrong);
        }
        let replace = "use another part, or have the licence accepted in the policy";
        let say = "name its licence in the list of parts, as an SPDX expression";
        [
            ("a part has a licence that the policy does not accept", wrong.refused, replace),
            ("nothing says which licence a part has", wrong.unlicensed, say),
            ("the licence of a part is no SPDX expression", wrong.unreadable, say),
        ]
        .into_iter()
        .filter(|(_, names, _)| !names.is_empty())
        .map(|(message, names, fix)| self.finding(message, &some_of(&names), fix))
        .collect()
    }

    fn sort(&self, part: &Part, wrong: &mut Wrong) {
        let label = part.label();
        if part.licences.is_empty() {
            wrong.unlicensed.push(label);
            return;
        }
        for text in &part.licences {
            let named = || format!("{label} ({})", text.chars().take(100).collect::<String>());
            match read_expression(text) {
                None => wrong.unreadable.push(named()),
                Some(expression) if !expression.evaluate(|used| self.accepts(used)) => {
                    wrong.refused.push(named())
                }
                Some(_) => {}
            }
        }
    }

    fn finding(&self, message: &str, found: &str, fix: &str) -> Finding {
        Finding::new(RULE.name, message, fix).wanted(&self.wanted(), &self.place).found(found)
    }

    fn wanted(&self) -> String {
        let listed: Vec<&str> = self.listed.iter().map(|(_, text)| text.as_str()).collect();
        let word = if self.is_allowed { "under" } else { "under others than" };
        format!("parts that may be used {word} {}", or_list(&listed))
    }

    /// What meets these licences, or none where none are asked for, and not those of `there`.
    pub(super) fn beyond(here: Option<&Self>, there: &Self) -> Vec<Beyond> {
        let Some(here) = here else {
            return vec![Beyond::by("licences", format!("what {}", there.outside()))];
        };
        let free = match (here.is_allowed, there.is_allowed) {
            (true, _) => here.listed.iter().filter(|(own, _)| !there.accepts(own)).collect(),
            (false, true) => return vec![Beyond::by("licences", format!("what {}", there.outside()))],
            (false, false) => there.listed.iter().filter(|(own, _)| here.accepts(own)).collect::<Vec<_>>(),
        };
        let free: Vec<&str> = free.into_iter().map(|(_, text)| text.as_str()).collect();
        let mut ways = Vec::new();
        if !free.is_empty() {
            ways.push(Beyond::by("licences", format!("what has parts under {}", or_list(&free))));
        }
        if names_of(&here.by) != names_of(&there.by) {
            let whose = |by: &[NameUse]| match names_of(by) {
                names if names.is_empty() => "its builder".to_owned(),
                names => or_list(&names),
            };
            let (ours, theirs) = (Whom::of(&here.by), Whom::of(&there.by));
            // without `by` it is the builder's list that counts: nobody's of those who are named
            if here.by.is_empty() || there.by.is_empty() || ours.beyond(&theirs).is_some() {
                let words = format!("what has a list of its parts by {} alone", whose(&here.by));
                ways.push(Beyond::by("licences absent", words));
            }
            if here.by.is_empty() || there.by.is_empty() || theirs.beyond(&ours).is_some() {
                let words = format!("what {} in a list by {}", there.outside(), whose(&there.by));
                ways.push(Beyond::by("licences", words));
            }
        }
        ways
    }

    pub(super) fn outside(&self) -> String {
        let listed: Vec<&str> = self.listed.iter().map(|(_, text)| text.as_str()).collect();
        let word =
            if self.is_allowed { "that cannot be used under" } else { "that can be used under nothing but" };
        format!("has parts {word} {}, or whose licence is not known", or_list(&listed))
    }
}

fn one_licence(text: &str, place: &Place) -> Result<LicenseReq, LoadError> {
    let wanted = |found: &str| {
        LoadError::new(place, &format!("`{text}` is no licence of SPDX's list"))
            .wanted("one identifier, with an exception where there is one, or LicenseRef-NAME")
            .found(found)
            .fix("write it as in MIT, Apache-2.0 or GPL-2.0-only WITH Classpath-exception-2.0")
    };
    let expression = Expression::parse(text).map_err(|e| wanted(&e.reason.to_string()))?;
    let mut all = expression.requirements();
    match (all.next(), all.next()) {
        (Some(one), None) => Ok(one.req.clone()),
        _ => Err(wanted("an expression of several")),
    }
}

fn read_expression(text: &str) -> Option<Expression> {
    if text.len() > MAX_EXPRESSION {
        return None;
    }
    Expression::parse_mode(text, LENIENT).ok()
}

/// The licence without what makes it wider: `GPL-3.0` of `GPL-3.0-or-later`.
fn family(one: &LicenseReq) -> String {
    match &one.license {
        LicenseItem::Spdx { id, .. } => {
            let name = id.name;
            let plain = name.strip_suffix("-or-later").or_else(|| name.strip_suffix("-only")).unwrap_or(name);
            plain.trim_end_matches('+').to_owned()
        }
        LicenseItem::Other(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(rule: &str, licence: &str) -> &'static str {
        let node = Node::parse("p.yaml", rule).unwrap();
        let licences = Licences::read(&node, &mut Problems::new()).unwrap();
        let licences_of_part = (!licence.is_empty()).then(|| licence.to_owned()).into_iter().collect();
        let mut wrong = Wrong::default();
        licences
            .sort(&Part { name: "x".to_owned(), licences: licences_of_part, ..Part::default() }, &mut wrong);
        match (wrong.refused.len(), wrong.unreadable.len(), wrong.unlicensed.len()) {
            (0, 0, 0) => "accepted",
            (1, 0, 0) => "refused",
            (0, 1, 0) => "unreadable",
            (0, 0, 1) => "unlicensed",
            _ => "several",
        }
    }

    #[test]
    fn an_expression_is_met_or_not() {
        let allowed =
            "{ allowed: [MIT, Apache-2.0, GPL-2.0-only WITH Classpath-exception-2.0, LicenseRef-acme] }";
        let denied = "{ denied: [AGPL-3.0-only, GPL-3.0-or-later] }";
        for (licence, by_allowed, by_denied) in [
            ("MIT", "accepted", "accepted"),
            ("MIT OR AGPL-3.0-only", "accepted", "accepted"),
            ("MIT AND AGPL-3.0-only", "refused", "refused"),
            ("AGPL-3.0-or-later", "refused", "refused"),
            ("AGPL-3.0", "refused", "refused"),
            ("AGPL-3.0+", "refused", "refused"),
            ("GPL-3.0-only WITH Classpath-exception-2.0", "refused", "refused"),
            ("GPL-2.0-only WITH Classpath-exception-2.0", "accepted", "accepted"),
            ("GPL-2.0-only", "refused", "accepted"),
            ("(MIT OR Zlib) AND Apache-2.0", "accepted", "accepted"),
            ("LicenseRef-acme", "accepted", "accepted"),
            ("LicenseRef-other", "refused", "accepted"),
            ("MIT License", "unreadable", "unreadable"),
            ("MIT/Apache-2.0", "unreadable", "unreadable"),
            ("MIT OR", "unreadable", "unreadable"),
            ("", "unlicensed", "unlicensed"),
        ] {
            assert_eq!(judged(allowed, licence), by_allowed, "{licence} under {allowed}");
            assert_eq!(judged(denied, licence), by_denied, "{licence} under {denied}");
        }
        let long = vec!["MIT"; 1000].join(" AND ");
        assert_eq!(judged(allowed, &long), "unreadable");
        let deep = format!("{}MIT{}", "(".repeat(900), ")".repeat(900));
        assert_eq!(judged(allowed, &deep), "accepted");
    }

    #[test]
    fn what_is_no_licence_is_refused_where_it_is_written() {
        for bad in [
            "{ allowed: [] }",
            "{ allowed: [MIT OR Zlib] }",
            "{ allowed: [my own] }",
            "{ allowed: [MIT], denied: [Zlib] }",
            "{ by: [x] }",
        ] {
            let mut problems = Problems::new();
            let node = Node::parse("p.yaml", bad).unwrap();
            assert!(Licences::read(&node, &mut problems).is_none(), "{bad}");
            assert!(problems.finish(Some(())).is_err(), "{bad}");
        }
    }
}
