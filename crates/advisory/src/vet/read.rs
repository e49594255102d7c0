//! The files of cargo-vet, and the crates of a lock file.

use std::collections::{BTreeMap, BTreeSet};

use attest::{Algorithm, Digest};
use semver::VersionReq;
use toml::{Table, Value};

use super::{Audits, Entry, Locked, SAFE_TO_DEPLOY, SAFE_TO_RUN, Said, VetError};

/// The one registry of which cargo-vet's audits speak, by its two names.
const CRATES_IO: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

type Criteria = BTreeMap<String, BTreeSet<String>>;

impl Audits {
    /// Reads `audits.toml`, `config.toml`, and `imports.lock` where it is there. Of the configuration counts which
    /// imports there are, how their criteria are mapped, and what is excluded; never an exemption.
    ///
    /// # Errors
    /// [`VetError`] with the file and what is wrong in it.
    pub fn read(audits: &str, config: &str, imports: Option<&str>) -> Result<Self, VetError> {
        let mut all = Self::default();
        let file = "audits.toml";
        let own = table(file, audits)?;
        all.implies = criteria(&own).map_err(|why| error(file, why))?;
        let same = |found: BTreeSet<String>| found;
        all.take_in(&own, file, &[], &same).map_err(|why| error(file, why))?;
        let config = table("config.toml", config)?;
        let Some(imports) = imports else { return Ok(all) };
        let imports = table("imports.lock", imports)?;
        all.take_in_imports(&config, &imports).map_err(|why| error("imports.lock", why))?;
        Ok(all)
    }

    fn take_in_imports(&mut self, config: &Table, imports: &Table) -> Result<(), String> {
        let known = inner(config, "imports")?;
        for (name, value) in inner(imports, "audits")?.into_iter().flatten() {
            // what the configuration does not name any more is no import
            let Some(settings) = known.and_then(|k| k.get(name)) else { continue };
            let settings = settings.as_table().ok_or(format!("imports.{name} is no table"))?;
            let theirs = value.as_table().ok_or(format!("audits.{name} is no table"))?;
            let implied = Self { implies: criteria(theirs)?, ..Self::default() };
            let map: Criteria = match inner(settings, "criteria-map")? {
                Some(map) => {
                    map.iter().map(|(k, v)| Ok((k.clone(), texts(v)?))).collect::<Result<_, String>>()?
                }
                None => Criteria::new(),
            };
            let mapped = |found: BTreeSet<String>| {
                let all = found.iter().flat_map(|one| implied.implied(one));
                all.flat_map(|one| match map.get(&one) {
                    Some(ours) => ours.clone(),
                    None if [SAFE_TO_DEPLOY, SAFE_TO_RUN].contains(&one.as_str()) => BTreeSet::from([one]),
                    None => BTreeSet::new(),
                })
                .collect()
            };
            let excluded = settings.get("exclude").map(texts).transpose()?.unwrap_or_default();
            let excluded: Vec<&str> = excluded.iter().map(String::as_str).collect();
            self.take_in(theirs, name, &excluded, &mapped)?;
        }
        Ok(())
    }

    fn take_in(
        &mut self,
        table: &Table,
        by: &str,
        excluded: &[&str],
        mapped: &dyn Fn(BTreeSet<String>) -> BTreeSet<String>,
    ) -> Result<(), String> {
        for (name, value) in inner(table, "audits")?.into_iter().flatten() {
            if excluded.contains(&name.as_str()) {
                continue;
            }
            let list = value.as_array().ok_or(format!("audits.{name} is no list"))?;
            for (index, item) in list.iter().enumerate() {
                let at = |why: String| format!("audits.{name}[{index}]: {why}");
                let item = item.as_table().ok_or(at("no table".to_owned()))?;
                if let Some(said) = said(item).map_err(at)? {
                    let who =
                        item.get("who").map(texts_in_order).transpose().map_err(at)?.unwrap_or_default();
                    let found = item.get("criteria").ok_or(at("no criteria".to_owned()))?;
                    let criteria = mapped(texts(found).map_err(at)?);
                    let entry = Entry { who, criteria, said, by: by.to_owned() };
                    self.entries.entry(name.clone()).or_default().push(entry);
                }
            }
        }
        Ok(())
    }
}

/// Of a commit (`1.0.0@git:…`) says an audit nothing that a registry's file could be.
fn said(item: &Table) -> Result<Option<Said>, String> {
    let text = |key: &str| match item.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim())),
        Some(_) => Err(format!("{key} is no text")),
    };
    let said = match (text("version")?, text("delta")?, text("violation")?) {
        (Some(version), None, None) => Said::Full(version.to_owned()),
        (None, Some(delta), None) => {
            let (from, to) = delta.split_once("->").ok_or(format!("delta `{delta}` is not FROM -> TO"))?;
            Said::Delta(from.trim().to_owned(), to.trim().to_owned())
        }
        (None, None, Some(of)) => {
            Said::Violation(VersionReq::parse(of).map_err(|e| format!("violation `{of}`: {e}"))?)
        }
        _ => return Err("wanted one of version, delta and violation".to_owned()),
    };
    let is_of_registry = match &said {
        Said::Full(version) => !version.contains('@'),
        Said::Delta(from, to) => !from.contains('@') && !to.contains('@'),
        Said::Violation(_) => true,
    };
    Ok(is_of_registry.then_some(said))
}

/// What each criterion of a file implies.
fn criteria(table: &Table) -> Result<Criteria, String> {
    let mut all = Criteria::new();
    for (name, value) in inner(table, "criteria")?.into_iter().flatten() {
        let one = value.as_table().ok_or(format!("criteria.{name} is no table"))?;
        let implies =
            one.get("implies").map(texts).transpose().map_err(|why| format!("criteria.{name}: {why}"))?;
        all.insert(name.clone(), implies.unwrap_or_default());
    }
    Ok(all)
}

/// The packages of a `Cargo.lock` that came from somewhere; those without a source are the workspace's own.
///
/// # Errors
/// [`VetError`] where it is no lock file, or a crate of crates.io has no checksum.
pub fn locked(text: &str) -> Result<Vec<Locked>, VetError> {
    let file = "Cargo.lock";
    let table = table(file, text)?;
    let packages = table.get("package").and_then(Value::as_array);
    let packages = packages.ok_or_else(|| error(file, "no list of packages".to_owned()))?;
    let mut all = Vec::new();
    for (index, package) in packages.iter().enumerate() {
        let at = |why: &str| error(file, format!("package[{index}]: {why}"));
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let Some(source) = text("source") else { continue };
        let name = text("name").ok_or_else(|| at("no name"))?.to_owned();
        let version = text("version").ok_or_else(|| at("no version"))?.to_owned();
        let digest = if CRATES_IO.contains(&source) {
            let checksum = text("checksum").ok_or_else(|| at("no checksum"))?;
            Some(Digest::from_hex(Algorithm::Sha256, checksum).map_err(|e| at(&e.to_string()))?)
        } else {
            None
        };
        all.push(Locked { name, version, digest });
    }
    Ok(all)
}

fn table(file: &str, text: &str) -> Result<Table, VetError> {
    text.parse::<Table>().map_err(|e| error(file, e.message().to_owned()))
}

fn error(file: &str, why: String) -> VetError {
    VetError { file: file.to_owned(), why }
}

fn inner<'t>(table: &'t Table, key: &str) -> Result<Option<&'t Table>, String> {
    table.get(key).map(|value| value.as_table().ok_or(format!("{key} is no table"))).transpose()
}

fn texts(value: &Value) -> Result<BTreeSet<String>, String> {
    Ok(texts_in_order(value)?.into_iter().collect())
}

/// A text, or a list of them.
fn texts_in_order(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(items) => {
            let text = |item: &Value| item.as_str().map(str::to_owned).ok_or("not a text".to_owned());
            items.iter().map(text).collect()
        }
        _ => Err("neither a text nor a list of texts".to_owned()),
    }
}
