//! The answer, for people and for programs.

use advisory::vex::{Statement, Status};
use advisory::{Certainty, Component, Exposure};
use attest::claims::Severity;
use attest::{Json, Object};
use inventory::advisories::Tally;
use policy::one_line;

use super::Findings;

pub(super) fn text(findings: &Findings) -> String {
    let components: usize = findings.artifacts.iter().map(|a| a.components.len()).sum();
    let newest = findings.dump.newest.map(|t| format!(", the newest of {t}")).unwrap_or_default();
    let mut out =
        format!("looked up {components} components in {} advisories{newest}\n", findings.dump.records);
    let mut last = None;
    for (index, exposure) in &findings.exposures {
        if last != Some(index) {
            let artifact = findings.artifacts.get(*index);
            let (label, file) = artifact.map(|a| (a.label.as_str(), a.file.as_str())).unwrap_or_default();
            let by = if label == file { String::new() } else { format!(" ({})", one_line(file)) };
            out += &format!("\n{}{by}\n", one_line(label));
            last = Some(index);
        }
        out += &one(exposure, findings.worst);
    }
    out += &rest(findings);
    let bad = findings.bad().count();
    out += &match bad {
        0 => format!("\nnothing is {} or worse\n", findings.worst.name()),
        _ => format!("\n{bad} of {} are {} or worse\n", findings.exposures.len(), findings.worst.name()),
    };
    out
}

fn one(exposure: &Exposure, worst: Severity) -> String {
    let mut out = format!("  {}\n", one_line(&exposure.component.label()));
    for (label, text) in lines(exposure, worst) {
        out += &format!("    {label:<9} {}\n", one_line(&text));
    }
    out
}

/// What there is to say of a component with an advisory.
pub(super) fn lines(exposure: &Exposure, worst: Severity) -> Vec<(&'static str, String)> {
    let Exposure { component, found, vex } = exposure;
    let aliases =
        if found.aliases.is_empty() { String::new() } else { format!(" ({})", found.aliases.join(", ")) };
    let counts = if exposure.is_at_least(worst) { "" } else { ", not counted" };
    let mut lines = vec![
        ("advisory", format!("{}{aliases}", found.id)),
        ("severity", format!("{}{counts}", severity(found.severity))),
        ("installed", component.version.clone().unwrap_or_else(|| "not known".to_owned())),
        ("fixed", found.fixed.clone().unwrap_or_else(|| "no fixed version is known".to_owned())),
    ];
    lines.extend(found.summary.clone().map(|summary| ("what", summary)));
    let sure = if found.certainty == Certainty::Unknown { "nobody can tell: " } else { "" };
    lines.push(("why", format!("{sure}{}", found.why)));
    lines.extend(vex.as_ref().map(|statement| ("vex", word(statement))));
    lines
}

fn severity(severity: Option<Severity>) -> &'static str {
    severity.map_or("not rated, so taken as critical", Severity::name)
}

fn word(statement: &Statement) -> String {
    let reason = match &statement.status {
        Status::NotAffected(reason) => format!(", {}", reason.name()),
        _ => String::new(),
    };
    format!("{}{reason}, says {} at {}", statement.status.name(), statement.author, statement.at)
}

/// What no advisory could be looked up for, and what could not be read.
fn rest(findings: &Findings) -> String {
    let mut out = String::new();
    let nameless = nameless(findings);
    if !nameless.is_empty() {
        out += &format!("\nof no ecosystem that has advisories: {}\n", nameless.len());
        out += &nameless.iter().map(|c| format!("  {}\n", one_line(&c.label()))).collect::<String>();
    }
    out + &unread(&findings.unread)
}

/// Advisories of which nobody knows whom they speak of.
pub(super) fn unread(unread: &[String]) -> String {
    if unread.is_empty() {
        return String::new();
    }
    let lines: String = unread.iter().map(|why| format!("  {}\n", one_line(why))).collect();
    format!("\nadvisories that cannot be read: {}\n{lines}", unread.len())
}

fn nameless(findings: &Findings) -> Vec<&Component> {
    let all = findings.artifacts.iter().flat_map(|artifact| &artifact.components);
    all.filter(|component| component.ecosystem.is_none()).collect()
}

pub(super) fn to_json(findings: &Findings) -> Json {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let artifacts = findings.artifacts.iter().map(|artifact| {
        let object = Object::new()
            .with("name", artifact.label.as_str())
            .with("file", artifact.file.as_str())
            .with("digest", artifact.digests.to_json())
            .with("components", count(artifact.components.len()));
        Json::from(object)
    });
    let exposures = findings.exposures.iter().map(|(index, exposure)| {
        let object = Object::new().with("artifact", count(*index));
        Json::from(exposed(object, exposure, findings.worst))
    });
    let nameless = nameless(findings).into_iter().map(|c| Json::from(c.label()));
    Object::new()
        .with("worst", findings.worst.name())
        .with("found", count(findings.bad().count()))
        .with("artifacts", Json::Array(artifacts.collect()))
        .with("exposures", Json::Array(exposures.collect()))
        .with("without_ecosystem", Json::Array(nameless.collect()))
        .with("database", database(&findings.dump, &findings.unread))
        .into()
}

pub(super) fn database(dump: &Tally, unread: &[String]) -> Object {
    let records = i64::try_from(dump.records).unwrap_or(i64::MAX);
    let mut database = Object::new().with("advisories", records);
    database.set_some("newest", dump.newest.map(|t| t.to_string()));
    database.with("unread", unread.to_vec())
}

pub(super) fn exposed(mut object: Object, exposure: &Exposure, worst: Severity) -> Object {
    let Exposure { component, found, vex } = exposure;
    let mut part = Object::new().with("name", component.name.as_str());
    part.set_some("ecosystem", component.ecosystem.as_ref().map(ToString::to_string));
    part.set_some("version", component.version.as_deref());
    part.set_some("purl", component.purl.as_deref());
    object.set("component", part);
    object.set("advisory", found.id.as_str());
    object.set("aliases", found.aliases.clone());
    object.set_some("summary", found.summary.as_deref());
    object.set_some("severity", found.severity.map(Severity::name));
    object.set("certainty", if found.certainty == Certainty::Affected { "affected" } else { "unknown" });
    object.set_some("range", found.range.as_deref());
    object.set_some("fixed", found.fixed.as_deref());
    object.set("why", found.why.as_str());
    object.set("counted", exposure.is_at_least(worst));
    object.set_some("vex", vex.as_ref().map(said));
    object
}

fn said(statement: &Statement) -> Object {
    let mut object = Object::new()
        .with("status", statement.status.name())
        .with("author", statement.author.as_str())
        .with("document", statement.document.as_str())
        .with("at", statement.at.to_string());
    if let Status::NotAffected(reason) = &statement.status {
        object.set("justification", reason.name());
    }
    object.set_some("notes", statement.notes.as_deref());
    object
}
