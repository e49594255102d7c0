//! SARIF 2.1.0, as far as scanners for vulnerabilities agree on it: one run, its tool, its results, and the property
//! `security-severity` of a result or its rule. It does not say how old a database is.

use std::collections::BTreeMap;

use attest::claims::Severity;
use attest::json::{ShapeError, each};
use attest::{Json, Object};
use jiff::Timestamp;

use super::{Found, Report, band, component, id, time};

pub(super) fn read(object: &Object) -> Result<Report, ShapeError> {
    let version = object.string("version")?;
    if version != "2.1.0" {
        return Err(ShapeError::new("version", "2.1.0", version));
    }
    match object.array("runs")? {
        [run] => run.as_object().and_then(one_run).map_err(|e| e.within("runs[0]")),
        runs => {
            Err(ShapeError::new("runs", "one run: a statement is about one scan", &runs.len().to_string()))
        }
    }
}

fn one_run(run: &Object) -> Result<Report, ShapeError> {
    let tool = run.object("tool")?;
    let driver = tool.object("driver").map_err(|e| e.within("tool"))?;
    let inner = |e: ShapeError| e.within("tool.driver");
    let name = driver.string("name").map_err(inner)?;
    let uri = driver.optional_string("informationUri").map_err(inner)?;
    let version = match driver.optional_string("semanticVersion").map_err(inner)? {
        Some(version) => Some(version),
        None => driver.optional_string("version").map_err(inner)?,
    };
    let rules = each("rules", driver.optional_array("rules").map_err(inner)?, |r| rule(r.as_object()?))
        .map_err(inner)?
        .into_iter()
        .collect();
    // null is "the scan could not run", and an absent list the same
    let results = each("results", run.array("results")?, |r| result(r.as_object()?, &rules))?;
    Ok(Report {
        scanner: uri.unwrap_or(name).to_owned(),
        version: version.map(str::to_owned),
        finished: ended(run)?,
        database: None,
        scanned: Vec::new(),
        found: results.into_iter().flatten().collect(),
    })
}

/// How bad what a rule finds is, and its other names.
type Rule = (Option<Severity>, Vec<String>);

fn rule(object: &Object) -> Result<(String, Rule), ShapeError> {
    let names = object.optional_array("deprecatedIds")?;
    let names = each("deprecatedIds", names, |name| name.as_str().map(str::to_owned))?;
    Ok((id(object, "id")?, (security_severity(object)?, names)))
}

/// What is no failure is nothing found. A suppressed result is one that somebody found.
fn result(object: &Object, rules: &BTreeMap<String, Rule>) -> Result<Option<Found>, ShapeError> {
    if matches!(object.optional_string("kind")?, Some("pass" | "notApplicable" | "informational")) {
        return Ok(None);
    }
    let id = id(object, "ruleId")?;
    let (of_rule, aliases) = rules.get(&id).cloned().unwrap_or_default();
    let severity = security_severity(object)?.or(of_rule);
    Ok(Some(Found { component: component("", None, None), id, aliases, severity }))
}

/// A text by GitHub's convention, and a number in what some tools write.
fn security_severity(object: &Object) -> Result<Option<Severity>, ShapeError> {
    let Some(properties) = object.optional_object("properties")? else { return Ok(None) };
    Ok(match properties.get("security-severity") {
        Some(Json::String(text)) => band(text),
        Some(number @ (Json::Int(_) | Json::Number(_))) => band(&number.to_string()),
        _ => None,
    })
}

/// The end of the last invocation; one that failed makes the run no scan.
fn ended(run: &Object) -> Result<Option<Timestamp>, ShapeError> {
    let times = each("invocations", run.optional_array("invocations")?, |item| {
        let one = item.as_object()?;
        if one.get("executionSuccessful").is_some_and(|v| *v == Json::Bool(false)) {
            return Err(ShapeError::new("executionSuccessful", "true", "false"));
        }
        time(one, "endTimeUtc")
    })?;
    Ok(times.into_iter().flatten().max())
}
