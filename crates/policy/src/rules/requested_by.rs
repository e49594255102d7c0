//! Somebody who may ask for it asks for it. People are checked too, after the artifact.

use attest::yaml::{Node, Problems};

use crate::facts::Facts;
use crate::finding::Finding;
use crate::rule::{
    Beyond, Check, NameKind, NameUse, Order, Rule, list_schema, names_beyond, names_of, or_list, read_names,
};

pub(crate) const RULE: Rule = Rule {
    name: "requested-by",
    key: "requested-by",
    summary: "somebody in one of these groups asks for the deployment",
    docs: "Met where the choke point authenticated the requester, the trust root maps that identity to a person (case \
           does not matter), and the person is in one of the listed groups of the trust root. A request without an \
           authenticated requester does not meet it.",
    example: "requested-by: [release-managers]",
    threats: &["T4"],
    reads_provenance: false,
    read: Some(read),
    schema: list_schema,
};

#[derive(Debug)]
struct RequestedBy(Vec<NameUse>);

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    Some(Box::new(RequestedBy(read_names(node, NameKind::Group, problems)?)))
}

impl Order for RequestedBy {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let more = names_beyond(&self.0, &other.0);
        more.map(|groups| Beyond::only(format!("what somebody who is only in {groups} asks for")))
            .into_iter()
            .collect()
    }

    fn outside(&self) -> String {
        format!("what nobody in {} asks for", or_list(&names_of(&self.0)))
    }
}

impl Check for RequestedBy {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let Some(first) = self.0.first() else { return Vec::new() };
        let groups = or_list(&names_of(&self.0));
        let finding = |message: &str, found: &str| {
            Finding::new(RULE.name, message, &format!("ask somebody in {groups} to deploy it"))
                .wanted(&format!("a request by somebody in {groups}"), &first.place)
                .found(found)
        };
        let Some(requester) = facts.case().request().requester.as_deref() else {
            return vec![finding(
                "nobody is known to have asked for this deployment",
                "no authenticated requester",
            )];
        };
        let Some(person) = facts.root().person(requester) else {
            return vec![
                finding("the requester is nobody the trust root knows", requester)
                    .or("add the identity to a person in the trust root, and have it reviewed"),
            ];
        };
        let is_member = |group: &NameUse| facts.root().group(&group.name).is_some_and(|g| g.contains(person));
        if self.0.iter().any(is_member) {
            return Vec::new();
        }
        vec![finding("the requester may not ask for this deployment", &format!("{person} ({requester})"))]
    }

    fn names(&self) -> &[NameUse] {
        &self.0
    }
}
