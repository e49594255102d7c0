//! The provenance is in a log that others watch.

use attest::yaml::{Fields, Node, Problems};
use attest::{Object, Place};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, NameKind, NameUse, Order, Rule, object_schema, string_schema};

pub(crate) const RULE: Rule = Rule {
    name: "logged",
    key: "logged",
    summary: "the provenance is in this log, and witnesses saw it",
    docs: "Met where the judged provenance carries, inline, a proof that its signature is in the log of this name in the \
           trust root, under a checkpoint that the log signed and at least `witnesses` different witnesses of the trust \
           root cosigned (omitted means 0). No lookup is made.",
    example: "logged: { log: builds, witnesses: 2 }",
    threats: &["T7"],
    reads_provenance: true,
    read: Some(read),
    schema: || {
        let count =
            Object::new().with("type", "integer").with("minimum", 0_i64).with("maximum", 100_i64).into();
        object_schema(&[("log", string_schema()), ("witnesses", count)], &["log"])
    },
};

#[derive(Debug)]
struct Logged {
    log: [NameUse; 1],
    witnesses: u64,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let fields = Fields::read(node, "`logged`", &["log", "witnesses"], problems)?;
    let log = fields.required("log", problems)?;
    let witnesses = match fields.optional("witnesses") {
        Some(node) => problems.keep(node.number(0, 100))?,
        None => 0,
    };
    Some(Box::new(Logged {
        log: [NameUse {
            name: problems.keep(log.string())?.to_owned(),
            kind: NameKind::Log,
            place: log.place.clone(),
        }],
        witnesses,
        place: node.place.clone(),
    }))
}

impl Order for Logged {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let words = if self.log_name() != other.log_name() {
            format!("what is in the log {}", self.log_name())
        } else if self.witnesses < other.witnesses {
            format!("what fewer than {} witnesses saw in the log {}", other.witnesses, self.log_name())
        } else {
            return Vec::new();
        };
        vec![Beyond::only(words)]
    }

    fn outside(&self) -> String {
        match self.witnesses {
            0 => format!("what is not in the log {}", self.log_name()),
            1 => format!("what no witness saw in the log {}", self.log_name()),
            n => format!("what fewer than {n} witnesses saw in the log {}", self.log_name()),
        }
    }
}

impl Check for Logged {
    fn names(&self) -> &[NameUse] {
        &self.log
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let finding = |message: &str, found: &str, fix: &str| {
            let wanted =
                format!("a proof for the log {}, seen by {} witnesses", self.log_name(), self.witnesses);
            Finding::new(RULE.name, message, fix).wanted(&wanted, &self.place).found(found)
        };
        let submit = "submit the bundle as the builder wrote it: the proof is in it";
        let Some(Judged { evidence, provenance: _, .. }) = facts.provenance() else { return Vec::new() };
        let fact = evidence.attestation().logged().iter().find(|f| f.log == self.log_name());
        let Some(fact) = fact else {
            let message = "nothing proves that the provenance is in the log";
            return vec![
                finding(message, "no proof for this log", submit)
                    .within(&describe(evidence))
                    .or("build it again with a builder that logs its signatures; an unlogged signature may be a stolen key's"),
            ];
        };
        let seen = u64::try_from(fact.witnesses.len()).unwrap_or(u64::MAX);
        if seen >= self.witnesses {
            return Vec::new();
        }
        let found = format!("{seen} of {}", self.witnesses);
        let message = "too few witnesses saw the log with this provenance in it";
        vec![
            finding(message, &found, "wait until the witnesses have cosigned, and fetch the bundle again")
                .within(&describe(evidence)),
        ]
    }
}

impl Logged {
    fn log_name(&self) -> &str {
        let [log] = &self.log;
        &log.name
    }
}
