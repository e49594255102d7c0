//! A record from its bytes: strict about everything that matching rests on, blind to the rest.

use attest::claims::Severity;
use attest::json::{self, Limits, ShapeError, each};
use attest::{Json, Object};
use jiff::Timestamp;

use super::{Affected, Event, Package, Range, RangeKind, Record, RecordError, Unread};
use crate::cvss;
use crate::ecosystem::Ecosystem;

/// One record may be a distribution's whole kernel.
const MAX_AFFECTED: usize = 20_000;
const MAX_EVENTS: usize = 10_000;
const MAX_NAMES: usize = 2_000;
/// Names, ids and versions of more bytes are none.
const MAX_NAME: usize = 1_000;

impl Record {
    /// How large a record may be.
    pub const MAX_BYTES: usize = 16 << 20;

    /// Reads a record.
    ///
    /// # Errors
    /// [`Unread`] for what is not strict JSON, has another shape, has a range without a beginning, or one that
    /// begins where it ends; with the packages that it names nevertheless.
    pub fn parse(bytes: &[u8]) -> Result<Self, Box<Unread>> {
        // other people's databases put scores with fractions into fields that nobody reads here
        let limits = Limits { bytes: Self::MAX_BYTES, ..Limits::default() }.exact();
        let unread = |why| Box::new(Unread { id: None, packages: Vec::new(), why });
        let json = json::parse_with(bytes, limits).map_err(|e| unread(RecordError::Json(e)))?;
        let object = json.as_object().map_err(|e| unread(RecordError::Shape(e)))?;
        read(object).map_err(|e| {
            let id = object.string("id").ok().filter(|id| is_name(id)).map(str::to_owned);
            Box::new(Unread { id, packages: named(object), why: RecordError::Shape(e) })
        })
    }
}

fn read(object: &Object) -> Result<Record, ShapeError> {
    if let Some(version) = object.optional_string("schema_version")?.filter(|v| !v.starts_with("1.")) {
        return Err(ShapeError::new("schema_version", "1.x", version));
    }
    let whole = Said::read(object)?;
    let items = bounded("affected", object.optional_array("affected")?, MAX_AFFECTED)?;
    let affected = each("affected", items, |item| read_affected(item.as_object()?, &whole))?;
    Ok(Record {
        id: name(object, "id")?,
        aliases: names(object, "aliases")?,
        summary: object.optional_string("summary")?.map(str::to_owned),
        modified: time(object, "modified")?
            .ok_or_else(|| ShapeError::new("modified", "a time", "nothing"))?,
        withdrawn: time(object, "withdrawn")?,
        affected: affected.into_iter().flatten().collect(),
    })
}

/// Nothing for what has no package: only commits of a repository, which no name leads to.
fn read_affected(object: &Object, whole: &Said) -> Result<Option<Affected>, ShapeError> {
    let ranges = each("ranges", object.optional_array("ranges")?, |range| read_range(range.as_object()?))?;
    let Some(package) = object.optional_object("package")? else { return Ok(None) };
    let own = Said::read(object)?;
    Ok(Some(Affected {
        package: read_package(package).map_err(|e| e.within("package"))?,
        ranges,
        versions: each("versions", object.optional_array("versions")?, |v| v.as_str().map(str::to_owned))?,
        severity: own.worst().or_else(|| whole.worst()),
    }))
}

fn read_package(object: &Object) -> Result<Package, ShapeError> {
    let ecosystem = Ecosystem::read(&name(object, "ecosystem")?);
    Ok(Package { ecosystem, name: name(object, "name")? })
}

fn read_range(object: &Object) -> Result<Range, ShapeError> {
    let kind = match object.string("type")? {
        "SEMVER" => RangeKind::SemVer,
        "ECOSYSTEM" => RangeKind::Ecosystem,
        "GIT" => RangeKind::Git,
        other => return Err(ShapeError::new("type", "SEMVER, ECOSYSTEM or GIT", other)),
    };
    let items = bounded("events", object.array("events")?, MAX_EVENTS)?;
    let events = each("events", items, |event| read_event(event.as_object()?))?;
    let mut begins = events.iter().filter_map(|event| match event {
        Event::Introduced(version) => Some(version),
        _ => None,
    });
    let ends = |version: &String| {
        events.iter().any(|event| matches!(event, Event::Fixed(end) | Event::Limit(end) if end == version))
    };
    let first = begins.next();
    if first.is_none() {
        return Err(ShapeError::new("events", "a version that introduced it, or 0", "none"));
    }
    match first.into_iter().chain(begins).find(|version| ends(version)) {
        Some(version) => {
            let found = format!("{version}, which introduced and fixed it");
            Err(ShapeError::new("events", "versions that begin the range or end it", &found))
        }
        None => Ok(Range { kind, events }),
    }
}

fn read_event(object: &Object) -> Result<Event, ShapeError> {
    let mut pairs = object.iter().filter(|(_, value)| !matches!(value, Json::Null));
    let (Some((key, value)), None) = (pairs.next(), pairs.next()) else {
        return Err(ShapeError::new(
            "",
            "one of introduced, fixed, last_affected and limit",
            "none, or several",
        ));
    };
    let version = value.as_str().map_err(|e| e.within(key))?;
    if !is_name(version) {
        return Err(ShapeError::new(key, "a version of at most 1000 bytes", "something else"));
    }
    let version = version.to_owned();
    match key {
        "introduced" => Ok(Event::Introduced(version)),
        "fixed" => Ok(Event::Fixed(version)),
        "last_affected" => Ok(Event::LastAffected(version)),
        "limit" => Ok(Event::Limit(version)),
        other => Err(ShapeError::new("", "introduced, fixed, last_affected or limit", other)),
    }
}

/// The worst that a record says of itself or of a package in it.
pub(crate) fn severity(record: &Object) -> Result<Option<Severity>, ShapeError> {
    let mut worst = Said::read(record)?.worst();
    for item in record.optional_array("affected")? {
        worst = worst.max(item.as_object().and_then(Said::read).map_err(|e| e.within("affected"))?.worst());
    }
    Ok(worst)
}

/// What a record, or one package in it, says of how bad it is.
struct Said {
    plain: Option<Severity>,
    coarse: Option<Severity>,
}

impl Said {
    fn read(object: &Object) -> Result<Self, ShapeError> {
        let mut said = Self { plain: None, coarse: None };
        for item in object.optional_array("severity")? {
            let item = item.as_object().map_err(|e| e.within("severity"))?;
            let score = item.string("score").map_err(|e| e.within("severity"))?;
            match item.string("type").map_err(|e| e.within("severity"))? {
                "CVSS_V2" | "CVSS_V3" => said.plain = said.plain.max(cvss::band(score)),
                "CVSS_V4" => said.coarse = said.coarse.max(cvss::coarse_band(score)),
                _ => said.plain = said.plain.max(Severity::parse(score)),
            }
        }
        // these belong to each database: a word is taken, another shape says nothing
        for own in ["database_specific", "ecosystem_specific"] {
            if let Some(Json::Object(own)) = object.get(own) {
                let word = own.optional_string("severity").ok().flatten();
                said.plain = said.plain.max(word.and_then(Severity::parse));
            }
        }
        Ok(said)
    }

    fn worst(&self) -> Option<Severity> {
        self.plain.or(self.coarse)
    }
}

/// The packages of a record that cannot be read as a whole.
fn named(object: &Object) -> Vec<Package> {
    let items = object.optional_array("affected").unwrap_or_default().iter().take(MAX_AFFECTED);
    let package = |item: &Json| match item.as_object().ok()?.get("package") {
        Some(Json::Object(package)) => read_package(package).ok(),
        _ => None,
    };
    items.filter_map(package).collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control)
}

fn name(object: &Object, key: &str) -> Result<String, ShapeError> {
    let text = object.string(key)?;
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err(ShapeError::new(key, "1 to 1000 bytes without control characters", "something else"))
    }
}

fn names(object: &Object, key: &str) -> Result<Vec<String>, ShapeError> {
    let items = bounded(key, object.optional_array(key)?, MAX_NAMES)?;
    each(key, items, |item| item.as_str().map(str::to_owned))
}

fn bounded<'a>(key: &str, items: &'a [Json], most: usize) -> Result<&'a [Json], ShapeError> {
    if items.len() > most {
        return Err(ShapeError::new(key, &format!("at most {most} items"), &items.len().to_string()));
    }
    Ok(items)
}

fn time(object: &Object, key: &str) -> Result<Option<Timestamp>, ShapeError> {
    let Some(text) = object.optional_string(key)? else { return Ok(None) };
    let wrong = || ShapeError::new(key, "an RFC 3339 time in UTC, ending in Z", text);
    attest::time::parse_time(text).ok_or_else(wrong).map(Some)
}
