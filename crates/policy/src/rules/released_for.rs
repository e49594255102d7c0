//! Somebody released the artifact for this environment.

use attest::yaml::{Fields, Node, Problems, Value};
use attest::{Place, Predicate, Role};

use crate::facts::{Facts, describe};
use crate::finding::Finding;
use crate::rule::{
    Beyond, Check, NameKind, NameUse, Order, Rule, Whom, any_of, is_listed, list_schema, object_schema,
    read_names, string_schema,
};

pub(crate) const RULE: Rule = Rule {
    name: "released-for",
    key: "released-for",
    summary: "the artifact was explicitly allowed for this environment",
    docs: "Met where a release about the artifact names this word among its environments and is signed by somebody who \
           holds the role releaser (and stands in `by`, where that is given). Chapter 14: do not allow \"test\" binaries \
           in production.",
    example: "released-for: prod",
    threats: &["T4", "T8"],
    reads_provenance: false,
    read: Some(read),
    schema: || {
        any_of(vec![
            string_schema(),
            object_schema(&[("environment", string_schema()), ("by", list_schema())], &["environment"]),
        ])
    },
};

#[derive(Debug)]
struct ReleasedFor {
    environment: String,
    by: Vec<NameUse>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let place = node.place.clone();
    if matches!(node.value, Value::Scalar { .. }) {
        let environment = problems.keep(node.string())?.to_owned();
        return Some(Box::new(ReleasedFor { environment, by: Vec::new(), place }));
    }
    let fields = Fields::read(node, "`released-for`", &["environment", "by"], problems)?;
    let environment = fields.required("environment", problems)?;
    let by = match fields.optional("by") {
        Some(node) => read_names(node, NameKind::Role(Role::Releaser), problems)?,
        None => Vec::new(),
    };
    Some(Box::new(ReleasedFor { environment: problems.keep(environment.string())?.to_owned(), by, place }))
}

impl Order for ReleasedFor {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let who = Whom::of(&self.by).beyond(&Whom::of(&other.by));
        let words = match who {
            _ if self.environment != other.environment => {
                format!("what was released for {}", self.environment)
            }
            Some(names) => format!("what only {names} released for {}", self.environment),
            None => return Vec::new(),
        };
        vec![Beyond::only(words)]
    }

    fn outside(&self) -> String {
        format!("what was not released for {}", self.environment)
    }
}

impl Check for ReleasedFor {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut others = Vec::new();
        for evidence in facts.about_artifact() {
            let Predicate::Release(release) = evidence.predicate() else { continue };
            let counts = evidence.signers_with(Role::Releaser).any(|s| is_listed(&self.by, &s.name));
            if counts && release.environments.contains(&self.environment) {
                return Vec::new();
            }
            let environments = crate::rule::and_list(&release.environments);
            let environments =
                if environments.is_empty() { "no environment".to_owned() } else { environments };
            others.push(format!("for {environments}: {}", describe(evidence)));
        }
        let found = if others.is_empty() { "no release".to_owned() } else { others.join("; ") };
        let fix = format!(
            "have a releaser release it: portcullis attest release ARTIFACT --purl PURL --for {} --key RELEASER.key",
            self.environment
        );
        vec![
            Finding::new(RULE.name, &format!("it was not released for {}", self.environment), &fix)
                .wanted(&format!("a release for {}", self.environment), &self.place)
                .found(&found),
        ]
    }

    fn names(&self) -> &[NameUse] {
        &self.by
    }
}
