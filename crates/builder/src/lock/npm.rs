//! `package-lock.json`, versions 2 and 3: every package with its SHA-512.

use std::collections::BTreeMap;

use attest::yaml::{LoadError, Place};
use attest::{Algorithm, Digest, Json, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wanted::{Check, Wanted, line, once};

const REGISTRY: &str = "https://registry.npmjs.org";

/// The packages that a `package-lock.json` asks for.
///
/// # Errors
/// All problems, each with its line.
pub fn read(file: &str, text: &str) -> Result<Vec<Wanted>, Vec<LoadError>> {
    let packages = packages(file, text).map_err(|e| vec![*e])?;
    let lines = lines(text);
    let mut wanted = Vec::new();
    let mut errors = Vec::new();
    for (path, entry) in packages.iter() {
        let place = line(file, lines.get(path).copied().unwrap_or(1));
        match entry.as_object() {
            Ok(entry) => match one(path, entry, &place) {
                Ok(found) => wanted.extend(found),
                Err(error) => errors.push(*error),
            },
            Err(_) => errors.push(LoadError::new(&place, &format!("`{path}` is no object"))),
        }
    }
    if errors.is_empty() { once(wanted) } else { Err(errors) }
}

fn packages(file: &str, text: &str) -> Result<Object, Box<LoadError>> {
    let json = attest::json::parse(text.as_bytes()).map_err(|e| {
        let before = text.as_bytes().get(..e.offset).unwrap_or_default();
        let number = before.iter().filter(|b| **b == b'\n').count() + 1;
        LoadError::new(&line(file, number), &format!("no JSON: {e}"))
            .fix("run `npm install --package-lock-only`")
    })?;
    let old = |found: &str| {
        LoadError::new(&line(file, 1), "this form of package-lock.json is not known")
            .wanted("\"lockfileVersion\": 2 or 3, with \"packages\"")
            .found(found)
            .fix("run `npm install --package-lock-only` with npm 7 or newer")
    };
    let object = json.as_object().map_err(|e| old(&e.found))?;
    let version = object.int("lockfileVersion").map_err(|e| old(&e.found))?;
    if !matches!(version, 2 | 3) {
        return Err(Box::new(old(&version.to_string())));
    }
    Ok(object.object("packages").map_err(|e| old(&e.found))?.clone())
}

/// The lines on which objects begin, by their keys; nothing where the file was written by something else than npm.
fn lines(text: &str) -> BTreeMap<&str, usize> {
    let mut lines = BTreeMap::new();
    for (number, row) in (1..).zip(text.lines()) {
        if let Some(key) = row.trim_start().strip_prefix('"').and_then(|r| r.strip_suffix("\": {")) {
            lines.entry(key).or_insert(number);
        }
    }
    lines
}

/// The file of one entry; nothing for the project itself, a workspace of it, and what stands inside another package.
fn one(path: &str, entry: &Object, place: &Place) -> Result<Option<Wanted>, Box<LoadError>> {
    let Some((_, folder)) = path.rsplit_once("node_modules/") else { return Ok(None) };
    let is_true = |key: &str| matches!(entry.get(key), Some(Json::Bool(true)));
    // what another package brings along inside its own archive has no digest of its own
    if is_true("link") || is_true("inBundle") && entry.get("integrity").is_none() {
        return Ok(None);
    }
    let error = |message: &str| LoadError::new(place, &format!("the package `{path}` {message}"));
    let text = |key: &str| match entry.get(key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Box::new(error(&format!("has a `{key}` that is no text")))),
    };
    let name = text("name")?.unwrap_or(folder);
    let version = text("version")?.unwrap_or_default();
    let resolved = text("resolved")?;
    if let Some(from) = resolved.filter(|r| !r.starts_with("https://")) {
        let is_git = from.starts_with("git");
        let why = if is_git {
            "comes from git, where a name stands for no fixed bytes"
        } else {
            "comes from no registry"
        };
        return Err(Box::new(
            error(why)
                .found(from)
                .fix("depend on a released version, or move it into a workspace of the repository"),
        ));
    }
    if !is_name(name) || !is_version(version) {
        return Err(Box::new(
            error("has no name or version that npm allows").fix("write the file anew with npm"),
        ));
    }
    let base = name.rsplit('/').next().unwrap_or(name);
    let uri = match resolved {
        Some(uri) => uri.split('#').next().unwrap_or(uri).to_owned(),
        None => format!("{REGISTRY}/{name}/-/{base}-{version}.tgz"),
    };
    let digest = integrity(text("integrity")?).map_err(|why| {
        Box::new(
            error(&why)
                .wanted("\"integrity\": \"sha512-…\"")
                .found(text("integrity").ok().flatten().unwrap_or("nothing"))
                .fix("delete `node_modules` and the entry, and run `npm install --package-lock-only`"),
        )
    })?;
    let name = format!("npm/{name}/{base}-{version}.tgz");
    Ok(Some(Wanted { name, uri, check: Check::Digest(digest), place: place.clone() }))
}

/// The strongest digest among those listed. SHA-1 decides nothing.
fn integrity(text: Option<&str>) -> Result<Digest, String> {
    let text = text.ok_or("has no integrity")?;
    let known =
        [("sha512-", Algorithm::Sha512), ("sha384-", Algorithm::Sha384), ("sha256-", Algorithm::Sha256)];
    for (prefix, algorithm) in known {
        let mut listed = text.split_ascii_whitespace().filter_map(|word| word.strip_prefix(prefix));
        if let Some(value) = listed.next() {
            let value = value.split('?').next().unwrap_or(value);
            let bytes =
                STANDARD.decode(value).map_err(|_| "has an integrity that is no base64".to_owned())?;
            return Digest::from_bytes(algorithm, bytes).map_err(|e| format!("has a wrong integrity: {e}"));
        }
    }
    Err("has no integrity that still means something".to_owned())
}

/// `name` or `@scope/name`, of characters that mean the same in a path and in a URI.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
    };
    match name.strip_prefix('@').map(|scoped| scoped.split_once('/')) {
        Some(Some((scope, name))) => is_part(scope) && is_part(name),
        Some(None) => false,
        None => is_part(name),
    }
}

fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b))
}
