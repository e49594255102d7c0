//! OSV-Scanner 1 and 2: `results[].packages[]`, each with OSV records. It says neither when it ran nor how old its
//! database is.

use attest::claims::Severity;
use attest::json::{ShapeError, each};
use attest::{Json, Object};

use super::{Found, Report, band, component, id};
use crate::component::Component;
use crate::ecosystem::Ecosystem;
use crate::osv::severity;

pub(super) fn read(object: &Object) -> Result<Report, ShapeError> {
    let mut found = Vec::new();
    // an empty list says clean, an absent one says nothing
    for (index, result) in object.array("results")?.iter().enumerate() {
        let here = |e: ShapeError| e.within(&format!("results[{index}]"));
        let packages = result.as_object().and_then(|r| r.optional_array("packages")).map_err(here)?;
        for inner in each("packages", packages, |p| package(p.as_object()?)).map_err(here)? {
            found.extend(inner);
        }
    }
    Ok(Report {
        scanner: "https://github.com/google/osv-scanner".to_owned(),
        version: None,
        finished: None,
        database: None,
        scanned: Vec::new(),
        found,
    })
}

fn package(object: &Object) -> Result<Vec<Found>, ShapeError> {
    let package = object.object("package")?;
    let name = package.string("name").map_err(|e| e.within("package"))?;
    let version = package.optional_string("version").map_err(|e| e.within("package"))?;
    let ecosystem = package.optional_string("ecosystem").map_err(|e| e.within("package"))?;
    let component = Component {
        ecosystem: ecosystem.filter(|e| !e.is_empty()).map(Ecosystem::read),
        ..component(name, version.filter(|v| !v.is_empty()), None)
    };
    let groups = each("groups", object.optional_array("groups")?, |g| group(g.as_object()?))?;
    each("vulnerabilities", object.optional_array("vulnerabilities")?, |item| {
        let record = item.as_object()?;
        let id = id(record, "id")?;
        let of_group = groups.iter().filter(|(ids, _)| ids.contains(&id)).filter_map(|(_, s)| *s).max();
        Ok(Found {
            component: component.clone(),
            aliases: each("aliases", record.optional_array("aliases")?, |a| a.as_str().map(str::to_owned))?,
            severity: severity(record)?.max(of_group),
            id,
        })
    })
}

/// The records that mean one thing, and the worst score that any of them has.
fn group(object: &Object) -> Result<(Vec<String>, Option<Severity>), ShapeError> {
    let ids = each("ids", object.array("ids")?, |i: &Json| i.as_str().map(str::to_owned))?;
    Ok((ids, object.optional_string("max_severity")?.and_then(band)))
}
