//! A recent enough scan found nothing worse than the policy accepts.

use attest::claims::{Scan, Severity};
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};
use attest::{Evidence, Object, Place, Predicate, Role};

use super::built_within::{read_span, span_schema};
use crate::facts::{Facts, describe};
use crate::finding::Finding;
use crate::rule::{
    Beyond, Check, NameKind, NameUse, Order, Rule, Whom, is_listed, list_schema, object_schema, or_list,
    read_names,
};

pub(crate) const RULE: Rule = Rule {
    name: "scanned",
    key: "scanned",
    summary: "a recent scan found nothing worse than is accepted",
    docs: "Only scans about the artifact or its source count that are signed by somebody who holds the role scanner (and \
           stands in `by`, where that is given). Met where at least one of them is at most `within` old and none of \
           those that are lists a vulnerability worse than `worst` (none, low, medium, high, critical; omitted means \
           none is accepted, so `worst: none`). The age runs from the oldest of: when the scan finished, when the \
           scanner's database was updated, and when a witness saw the signature. A scan that finished more than 60 s \
           after the time of the case does not count. A vulnerability without a severity that can be read is critical.",
    example: "scanned: { within: 7d, worst: medium }",
    threats: &["T8"],
    reads_provenance: false,
    read: Some(read),
    schema: || {
        let words: Vec<&str> = Severity::ALL.iter().map(|s| s.name()).collect();
        let worst = Object::new().with("enum", words).into();
        object_schema(&[("within", span_schema()), ("worst", worst), ("by", list_schema())], &["within"])
    },
};

#[derive(Debug)]
struct Scanned {
    within: Span,
    worst: Severity,
    by: Vec<NameUse>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let fields = Fields::read(node, "`scanned`", &["within", "worst", "by"], problems)?;
    let within = fields.required("within", problems)?;
    let worst = match fields.optional("worst") {
        None => Severity::Negligible,
        Some(node) => {
            let word = problems.keep(node.string())?;
            let wanted = node.mismatch("none, low, medium, high or critical");
            let severity = Severity::ALL.into_iter().find(|s| s.name() == word);
            problems.keep(severity.ok_or(wanted))?
        }
    };
    let by = match fields.optional("by") {
        Some(node) => read_names(node, NameKind::Role(Role::Scanner), problems)?,
        None => Vec::new(),
    };
    Some(Box::new(Scanned {
        within: problems.keep(read_span(within))?,
        worst,
        by,
        place: node.place.clone(),
    }))
}

impl Order for Scanned {
    /// A longer span counts older scans, and one of those may have found what a newer one by somebody else has not.
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let (here, there) = (Whom::of(&self.by), Whom::of(&other.by));
        let mut ways = Vec::new();
        if self.within > other.within {
            let words =
                format!("what was scanned more than {} ago, and at most {}", other.within, self.within);
            ways.push(Beyond::by("absent", words));
        }
        if let Some(names) = here.beyond(&there) {
            ways.push(Beyond::by("absent", format!("what was scanned by {names} alone")));
        }
        if self.worst > other.worst && there.count_common(&here) != Some(0) {
            let words = format!("what has vulnerabilities that are {}", self.words_beyond(other));
            ways.push(Beyond::by("bad", words));
        }
        if other.worst == Severity::Critical {
            return ways;
        }
        let worse = format!("found to have vulnerabilities worse than {}", other.worst.name());
        if other.within > self.within && there.has_two(&here) {
            let words =
                format!("what was {worse} more than {} ago, and not since by somebody else", self.within);
            ways.push(Beyond::by("bad", words));
        }
        if let Some(names) = there.beyond(&here) {
            ways.push(Beyond::by("bad", format!("what was {worse} by {names}, and not by others")));
        }
        ways
    }

    fn outside(&self) -> String {
        let worst = self.worst.name();
        format!("what was not scanned within {}, or has vulnerabilities worse than {worst}", self.within)
    }
}

impl Check for Scanned {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let scans: Vec<(&Evidence, &Scan)> = facts
            .all()
            .filter_map(|e| match e.predicate() {
                Predicate::Scan(scan) => Some((e, scan)),
                _ => None,
            })
            .filter(|(e, _)| e.signers_with(Role::Scanner).any(|s| is_listed(&self.by, &s.name)))
            .collect();
        let at = facts.case().at();
        let age = |(evidence, scan): &(&Evidence, &Scan)| {
            let times = [Some(scan.finished), scan.database_updated, evidence.attestation().time()];
            let oldest = times.into_iter().flatten().min().unwrap_or(scan.finished);
            Span::between(oldest, at)
        };
        let is_from_future = |scan: &Scan| Span::between(at, scan.finished).as_seconds() > 60;
        let recent: Vec<_> = scans.iter().filter(|s| age(s) <= self.within && !is_from_future(s.1)).collect();
        let finding = |message: &str, found: &str, fix: &str| {
            Finding::new(RULE.name, message, fix)
                .wanted(
                    &format!("a scan within {}, nothing worse than {}", self.within, self.worst.name()),
                    &self.place,
                )
                .found(found)
        };
        let again = "scan it again and submit the result: portcullis attest scan ARTIFACT --scanner URI --key SCANNER.key";
        if let Some((evidence, scan)) = recent.iter().find(|(_, s)| self.is_too_bad(s)) {
            let bad: Vec<String> = scan
                .vulnerabilities
                .iter()
                .filter(|v| v.severity > self.worst)
                .take(5)
                .map(|v| format!("{} ({})", v.id, v.severity.name()))
                .collect();
            let count = scan.vulnerabilities.iter().filter(|v| v.severity > self.worst).count();
            let more = if count > 5 { format!(" and {} more", count - 5) } else { String::new() };
            let fix = "update what is vulnerable, build and scan again";
            let message = "a scan found vulnerabilities worse than the policy accepts";
            return vec![
                finding(message, &format!("{}{more}", bad.join(", ")), fix).within(&describe(evidence)),
            ];
        }
        if !recent.is_empty() {
            return Vec::new();
        }
        vec![match scans.iter().min_by_key(|s| age(s)) {
            Some(newest @ (evidence, _)) => {
                let found = format!("a scan whose knowledge is {} old", age(newest));
                finding("the scan is too old, or claims a time to come", &found, again)
                    .within(&describe(evidence))
            }
            None => {
                finding("nothing says that it was scanned", "no scan by a scanner of the trust root", again)
            }
        }]
    }

    fn names(&self) -> &[NameUse] {
        &self.by
    }
}

impl Scanned {
    /// `medium or high`: worse than the other accepts, and accepted here.
    fn words_beyond(&self, other: &Self) -> String {
        let between = Severity::ALL.into_iter().filter(|s| *s > other.worst && *s <= self.worst);
        or_list(&between.map(Severity::name).collect::<Vec<_>>())
    }

    fn is_too_bad(&self, scan: &Scan) -> bool {
        scan.vulnerabilities.iter().any(|v| v.severity > self.worst)
    }
}
