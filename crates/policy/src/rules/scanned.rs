//! A recent enough scan found nothing worse than the policy accepts.

use attest::claims::{Scan, Severity};
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};
use attest::{Evidence, Object, Place, Predicate, Role};
use jiff::Timestamp;

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
           scanner's database was updated, and when a witness saw the signature. With `database-within`, the database has \
           its own bound instead: a scan counts only where it says when its database was updated, and where that (or the \
           end of the scan, if earlier) is at most `database-within` ago. A scan that finished more than 60 s \
           after the time of the case does not count. A vulnerability without a severity that can be read is critical.",
    example: "scanned: { within: 7d, worst: medium, database-within: 2d }",
    threats: &["T8"],
    reads_provenance: false,
    read: Some(read),
    schema: || {
        let words: Vec<&str> = Severity::ALL.iter().map(|s| s.name()).collect();
        let worst = Object::new().with("enum", words).into();
        let fields = [
            ("within", span_schema()),
            ("worst", worst),
            ("database-within", span_schema()),
            ("by", list_schema()),
        ];
        object_schema(&fields, &["within"])
    },
};

#[derive(Debug)]
struct Scanned {
    within: Span,
    worst: Severity,
    /// How old the scanner's database may be, where it has a bound of its own.
    database: Option<Span>,
    by: Vec<NameUse>,
    place: Place,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let fields = Fields::read(node, "`scanned`", &["within", "worst", "database-within", "by"], problems)?;
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
    let database = match fields.optional("database-within") {
        Some(node) => Some(problems.keep(read_span(node))?),
        None => None,
    };
    let by = match fields.optional("by") {
        Some(node) => read_names(node, NameKind::Role(Role::Scanner), problems)?,
        None => Vec::new(),
    };
    Some(Box::new(Scanned {
        within: problems.keep(read_span(within))?,
        worst,
        database,
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
        ways.extend(self.database_beyond(other).map(|words| Beyond::by("absent", words)));
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
        if let Some(words) = other.database_beyond(self).filter(|_| there.has_two(&here)) {
            let words = format!("{words}, if that scan found something worse than {}", other.worst.name());
            ways.push(Beyond::by("bad", words));
        }
        if let Some(names) = there.beyond(&here) {
            ways.push(Beyond::by("bad", format!("what was {worse} by {names}, and not by others")));
        }
        ways
    }

    fn outside(&self) -> String {
        let worst = self.worst.name();
        let database = self.database.map_or(String::new(), |span| format!(", with a database within {span}"));
        format!(
            "what was not scanned within {}{database}, or has vulnerabilities worse than {worst}",
            self.within
        )
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
        let recent: Vec<_> = scans.iter().filter(|s| self.stale(s, at).is_none()).collect();
        let finding = |message: &str, found: &str, fix: &str| {
            Finding::new(RULE.name, message, fix).wanted(&self.wanted(), &self.place).found(found)
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
        let newest = scans.iter().min_by_key(|s| self.age(s, at));
        vec![match newest.and_then(|newest| Some((newest, self.stale(newest, at)?))) {
            Some(((evidence, _), (message, found))) => {
                finding(message, &found, again).within(&describe(evidence))
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

    fn wanted(&self) -> String {
        let database = self.database.map_or(String::new(), |span| format!(", a database within {span}"));
        format!("a scan within {}{database}, nothing worse than {}", self.within, self.worst.name())
    }

    /// How old what a scan says is: the database has no part in it where it has a bound of its own.
    fn age(&self, (evidence, scan): &(&Evidence, &Scan), at: Timestamp) -> Span {
        let database = scan.database_updated.filter(|_| self.database.is_none());
        let times = [Some(scan.finished), database, evidence.attestation().time()];
        Span::between(times.into_iter().flatten().min().unwrap_or(scan.finished), at)
    }

    /// Why a scan does not count at a time, and what was found instead; nothing where it counts.
    fn stale(&self, one: &(&Evidence, &Scan), at: Timestamp) -> Option<(&'static str, String)> {
        let (age, (_, scan)) = (self.age(one, at), one);
        if age > self.within || Span::between(at, scan.finished).as_seconds() > 60 {
            let found = format!("a scan whose knowledge is {age} old");
            return Some(("the scan is too old, or claims a time to come", found));
        }
        let bound = self.database?;
        let Some(updated) = scan.database_updated else {
            let found = "a scan that does not say when its database was updated".to_owned();
            return Some(("nothing says how old the scanner's database was", found));
        };
        // a database from after the scan is none that it used
        let age = Span::between(updated.min(scan.finished), at);
        (age > bound).then(|| ("the scanner's database is too old", format!("a database that is {age} old")))
    }

    /// Which databases count here and not there, in words.
    fn database_beyond(&self, other: &Self) -> Option<String> {
        match (self.database, other.database) {
            (None, Some(most)) => {
                Some(format!("what was scanned with a database of unknown age, or one more than {most} old"))
            }
            (Some(here), there) if here > there.unwrap_or(other.within) => {
                let there = there.unwrap_or(other.within);
                Some(format!("what was scanned with a database more than {there} old, and at most {here}"))
            }
            _ => None,
        }
    }

    fn is_too_bad(&self, scan: &Scan) -> bool {
        scan.vulnerabilities.iter().any(|v| v.severity > self.worst)
    }
}
