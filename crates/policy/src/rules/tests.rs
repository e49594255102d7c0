//! The tests that the policy lists ran and passed.

use attest::claims::{TestOutcome, TestResult, TestedBuild};
use attest::yaml::{Fields, Node, Problems, Value};
use attest::{Evidence, Place, Predicate, Role};

use crate::facts::{Facts, describe};
use crate::finding::Finding;
use crate::rule::{
    Beyond, Check, NameKind, NameUse, Order, Rule, Whom, and_list, any_of, is_listed, list_schema, names_of,
    object_schema, or_list, read_names,
};

pub(crate) const RULE: Rule = Rule {
    name: "tests",
    key: "tests",
    summary: "these tests ran and passed",
    docs: "Met where, for every listed name, a test result about the artifact or its source carries that name, is signed \
           by somebody who holds the role tester (and stands in `by`, where that is given), and says PASSED. WARNED \
           is not passed. A result of a test that a builder ran itself names the build, and counts for the artifact of that \
           build alone: the same repository and commit as the judged provenance, even where another build gave the same bytes. Where such a result says WARNED or FAILED, it refuses even beside a PASSED one by another tester. What \
           nobody submits cannot refuse: the rule asks for a pass, not for the absence of failures.",
    example: "tests: [unit, integration]",
    threats: &["T1"],
    reads_provenance: false,
    read: Some(read),
    schema: || {
        any_of(vec![
            list_schema(),
            object_schema(&[("names", list_schema()), ("by", list_schema())], &["names"]),
        ])
    },
};

#[derive(Debug)]
struct Tests {
    names: Vec<(String, Place)>,
    by: Vec<NameUse>,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    if matches!(node.value, Value::List(_)) {
        return Some(Box::new(Tests { names: problems.keep(node.strings())?, by: Vec::new() }));
    }
    let fields = Fields::read(node, "`tests`", &["names", "by"], problems)?;
    let names = fields.required("names", problems)?;
    let by = match fields.optional("by") {
        Some(node) => read_names(node, NameKind::Role(Role::Tester), problems)?,
        None => Vec::new(),
    };
    Some(Box::new(Tests { names: problems.keep(names.strings())?, by }))
}

impl Order for Tests {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let (here, there) = (Whom::of(&self.by), Whom::of(&other.by));
        let mut ways = Vec::new();
        for (name, _) in &other.names {
            let mut add = |words: String| ways.push(Beyond::by(name, words));
            if !self.names.iter().any(|(own, _)| own == name) {
                add(format!("what has not passed the tests {name}"));
                continue;
            }
            if let Some(names) = here.beyond(&there) {
                add(format!("what passed the tests {name} by the word of {names} alone"));
            }
            // one result that is counted and did not pass refuses, whoever else says that they passed
            if let Some(names) = there.beyond(&here) {
                add(format!("what passed the tests {name}, and did not where {names} ran them"));
            }
        }
        ways
    }

    fn outside(&self) -> String {
        let names: Vec<&str> = self.names.iter().map(|(name, _)| name.as_str()).collect();
        format!("what has not passed the tests {}", and_list(&names))
    }
}

impl Check for Tests {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        self.names.iter().filter_map(|(name, place)| self.check_one(name, place, facts)).collect()
    }

    fn names(&self) -> &[NameUse] {
        &self.by
    }
}

impl Tests {
    fn check_one(&self, name: &str, place: &Place, facts: &Facts<'_>) -> Option<Finding> {
        let named = |e: &Evidence| match e.predicate() {
            Predicate::Test(test) if test.names.iter().any(|n| n == name) => Some(test.clone()),
            _ => None,
        };
        let all: Vec<(&Evidence, TestResult)> = facts.all().filter_map(|e| Some((e, named(e)?))).collect();
        let counts = |e: &Evidence| e.signers_with(Role::Tester).any(|s| is_listed(&self.by, &s.name));
        let is_ours = |t: &TestResult| t.of.as_ref().is_none_or(|of| is_of_judged(of, facts));
        let counted: Vec<&(&Evidence, TestResult)> =
            all.iter().filter(|(e, t)| counts(e) && is_ours(t)).collect();
        let finding = |message: String, found: String, fix: String| {
            Finding::new(RULE.name, &message, &fix)
                .wanted(&format!("{name}: PASSED{}", self.by_text()), place)
                .found(&found)
        };
        if let Some((evidence, test)) = counted.iter().find(|(_, t)| t.result != TestOutcome::Pass) {
            let word = if test.result == TestOutcome::Warn { "WARNED" } else { "FAILED" };
            let failed =
                if test.failed.is_empty() { String::new() } else { format!(": {}", test.failed.join(", ")) };
            let fix = format!("mend what fails, and run the tests {name} again on this artifact");
            let message = format!("the tests {name} did not pass");
            return Some(finding(message, format!("{word}{failed}"), fix).within(&describe(evidence)));
        }
        if !counted.is_empty() {
            return None;
        }
        let fix = format!(
            "run them and submit the result: portcullis attest test ARTIFACT --name {name} --result passed --key TESTER.key"
        );
        let foreign = all.iter().find(|(e, t)| counts(e) && !is_ours(t));
        if let Some((evidence, TestResult { of: Some(of), .. })) = foreign {
            let message =
                format!("the result of the tests {name} is of another build that gave the same bytes");
            let fix =
                "submit the result that the build of this artifact gave, from the same source".to_owned();
            let found = format!("{} of {}", of.commit.short(), of.repository);
            return Some(finding(message, found, fix).within(&describe(evidence)));
        }
        Some(match all.first() {
            Some((evidence, _)) => {
                let message =
                    format!("the result of the tests {name} is signed by somebody who may not say so");
                finding(message, describe(evidence), fix).within(&describe(evidence))
            }
            None => finding(
                format!("nothing says that the tests {name} ran"),
                if facts.has_unplaced() {
                    "none that is tied to this artifact: nothing says which commit it was built from"
                        .to_owned()
                } else {
                    "no result".to_owned()
                },
                fix,
            ),
        })
    }

    fn by_text(&self) -> String {
        if self.by.is_empty() {
            ", signed by a tester".to_owned()
        } else {
            format!(", signed by {}", or_list(&names_of(&self.by)))
        }
    }
}

/// Whether a tested build is the one whose provenance is judged. Without judged provenance nothing says so.
fn is_of_judged(of: &TestedBuild, facts: &Facts<'_>) -> bool {
    let source = facts.provenance().and_then(|judged| judged.provenance.source.as_ref());
    source.is_some_and(|s| s.repository == of.repository && s.commit().as_ref() == Some(&of.commit))
}
