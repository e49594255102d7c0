//! The answer, for people and for programs.

use attest::{Json, Object};
use inventory::audit::{NotTold, Untold};
use policy::one_line;

use super::{Findings, Group, Workload};
use crate::command::advisories::tell::{database, exposed, lines, unread};
use crate::command::audit::{counted, tell::number};

/// So many workloads of an advisory are named in text, and so many of whom nobody can tell; JSON names all of the former.
const NAMED: usize = 20;

pub(super) fn text(findings: &Findings) -> String {
    let running = counted(findings.exposed.running, "deployment runs", "deployments run");
    let newest = findings.dump.newest.map(|t| format!(", the newest of {t}")).unwrap_or_default();
    let mut out = format!(
        "{running}, of {} made of {}\nlooked up in {} advisories{newest}\n",
        many(findings.artifacts, "artifact", "artifacts"),
        many(findings.components, "component", "components"),
        findings.dump.records
    );
    for group in findings.groups.values() {
        out += &one(group, findings);
    }
    for (why, untold) in &findings.exposed.untold {
        out += &not_told(*why, untold);
    }
    out += &unread(&findings.unread);
    out += &end(findings);
    out
}

fn one(group: &Group, findings: &Findings) -> String {
    let mut out = format!("\n{}\n", one_line(&group.exposure.component.label()));
    for (label, text) in lines(&group.exposure, findings.worst) {
        out += &format!("  {label:<9} {}\n", one_line(&text));
    }
    let count = group.workloads.len();
    out += &format!("  runs in   {}\n", many(count, "workload", "workloads"));
    for workload in group.workloads.iter().take(NAMED) {
        out += &format!("  - {}\n", one_line(&workload.words()));
    }
    if count > NAMED {
        out += &format!("  - and {} more: --format json names all\n", count - NAMED);
    }
    out
}

fn not_told(why: NotTold, untold: &Untold) -> String {
    let count = counted(untold.count, "deployment", "deployments");
    let mut out = format!("\nnobody can tell what all is in {count}: {why}\n");
    for subject in &untold.named {
        let record = subject.record.map(|record| format!("  record {record}")).unwrap_or_default();
        let artifact = if subject.artifact.starts_with(&subject.name) {
            subject.artifact.clone()
        } else {
            format!("{}  {}", subject.name, subject.artifact)
        };
        out += &format!("  - {}{record}\n", one_line(&artifact));
    }
    out
}

fn end(findings: &Findings) -> String {
    let exposed = &findings.exposed;
    let mut out = String::from("\n");
    if exposed.undecided > 0 {
        let runs = counted(exposed.undecided, "runs, and nobody decided it", "run, and nobody decided them");
        out += &format!("{runs}: see portcullis running\n");
    }
    if exposed.suppressed > 0 {
        out += &format!("said not to matter: {}\n", exposed.suppressed);
    }
    let worst = findings.worst.name();
    if exposed.below > 0 {
        out += &format!("less bad than {worst}, and not listed: {}\n", exposed.below);
    }
    out + &match exposed.affected {
        0 => format!("nothing that runs is known to be {worst} or worse\n"),
        affected => format!(
            "{} by what is {worst} or worse: {}\n",
            counted(affected, "deployment is affected", "deployments are affected"),
            many(findings.groups.len(), "advisory", "advisories")
        ),
    }
}

impl Workload {
    fn words(&self) -> String {
        let digest = self.digest.as_ref().map(|digest| format!("@{}", digest.short())).unwrap_or_default();
        let artifact = format!("{}{digest}", self.artifact);
        let name = if self.name == self.artifact { artifact } else { format!("{}  {artifact}", self.name) };
        let record = self.record.map(|record| format!("  record {record}")).unwrap_or_default();
        format!("{}  {name}{record}", self.environment)
    }

    fn to_json(&self) -> Json {
        let mut object = Object::new()
            .with("environment", self.environment.as_str())
            .with("workload", self.name.as_str())
            .with("artifact", self.artifact.as_str());
        object.set_some("digest", self.digest.as_ref().map(ToString::to_string));
        object.set_some("record", self.record.map(number));
        object.into()
    }
}

pub(super) fn to_json(findings: &Findings) -> Json {
    let exposure = &findings.exposed;
    let groups = findings.groups.values().map(|group| {
        let workloads = group.workloads.iter().map(|workload| workload.to_json()).collect();
        let object = exposed(Object::new(), &group.exposure, findings.worst);
        Json::from(object.with("workloads", Json::Array(workloads)))
    });
    let untold = exposure.untold.iter().map(|(why, untold)| {
        let named = untold.named.iter().map(|subject| {
            let mut object = Object::new()
                .with("workload", subject.name.as_str())
                .with("artifact", subject.artifact.as_str());
            object.set_some("record", subject.record.map(number));
            Json::from(object)
        });
        let object = Object::new().with("reason", why.name()).with("why", why.to_string());
        Json::from(object.with("count", number(untold.count)).with("named", Json::Array(named.collect())))
    });
    let (digest, version) = &findings.root;
    Object::new()
        .with("at", findings.at.to_string())
        .with("trust_root", digest.to_string())
        .with("trust_root_version", number(*version))
        .with("worst", findings.worst.name())
        .with("running", number(exposure.running))
        .with("affected", number(exposure.affected))
        .with("advisories", Json::Array(groups.collect()))
        .with("untold", Json::Array(untold.collect()))
        .with("undecided", number(exposure.undecided))
        .with("suppressed", number(exposure.suppressed))
        .with("below", number(exposure.below))
        .with("database", database(&findings.dump, &findings.unread))
        .into()
}

fn many(count: usize, one: &str, many: &str) -> String {
    counted(u64::try_from(count).unwrap_or(u64::MAX), one, many)
}
