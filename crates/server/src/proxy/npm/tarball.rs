//! What a package's own archive says that it is.

use std::io::{BufRead as _, BufReader};

use attest::json::Limits;
use attest::{Json, Object};

use crate::proxy::archive;

/// What the files of a package may have together.
const MAX_UNPACKED: u64 = 1 << 30;

/// The `package.json` of a package's archive. Installers leave out the first folder of each path, whatever it is called,
/// and some systems take capitals for small letters: so there may be only one file that could be it.
pub(super) fn package_json(tarball: &[u8]) -> Result<Object, String> {
    let mut packed = BufReader::new(tarball);
    let plain = flate2::bufread::GzDecoder::new(&mut packed);
    let could_be = |parts: &[&str]| match parts {
        [name] | [_, name] => name.eq_ignore_ascii_case("package.json"),
        _ => false,
    };
    let bytes = archive::only_file(plain, MAX_UNPACKED, could_be)?;
    if packed.fill_buf().is_ok_and(|rest| !rest.is_empty()) {
        return Err("something behind the end of the packed archive".to_owned());
    }
    let limits = Limits::default().exact();
    let json = attest::json::parse_with(&bytes, limits).map_err(|e| format!("package.json: {e}"))?;
    match json {
        Json::Object(object) => Ok(object),
        _ => Err("package.json is no object".to_owned()),
    }
}

/// What installers read in the document before they have the archive: so it must be what the archive says.
const INSTALLED: [&str; 11] = [
    "name",
    "version",
    "dependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "engines",
    "os",
    "cpu",
    "libc",
];

/// The first field of the document's version that says something else than the archive's `package.json`.
pub(super) fn difference(document: &Object, package: &Object) -> Option<&'static str> {
    if is_empty(document.get("bin")) != is_empty(package.get("bin")) {
        return Some("bin");
    }
    let said = |object: &Object, key: &str| {
        let spelled = if key == "bundleDependencies" { "bundledDependencies" } else { key };
        let value = object.get(key).or_else(|| object.get(spelled));
        value.filter(|value| !is_empty(Some(value))).map(in_order)
    };
    INSTALLED.into_iter().find(|key| {
        let (of_document, of_package) = (said(document, key), said(package, key));
        // npm leaves out of the one list what stands in the other
        of_document != of_package && !(*key == "dependencies" && is_left_out(document, package))
    })
}

/// Whether the dependencies differ by no more than the optional ones that stand in both lists of the archive.
fn is_left_out(document: &Object, package: &Object) -> bool {
    let empty = Object::new();
    let of = |object, key| Object::optional_object(object, key).ok().flatten();
    let (said, own) = (of(document, "dependencies"), of(package, "dependencies"));
    let optional = of(package, "optionalDependencies");
    let (said, own) = (said.unwrap_or(&empty), own.unwrap_or(&empty));
    let is_optional = |key: &str| optional.is_some_and(|optional| optional.get(key).is_some());
    said.iter().all(|(key, value)| own.get(key) == Some(value))
        && own.iter().all(|(key, _)| said.get(key).is_some() || is_optional(key))
}

fn is_empty(value: Option<&Json>) -> bool {
    match value {
        None | Some(Json::Null | Json::Bool(false)) => true,
        Some(Json::Object(object)) => object.is_empty(),
        Some(Json::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

/// Keys in an order of their own: in which they were written means nothing.
fn in_order(value: &Json) -> String {
    let Json::Object(object) = value else { return value.to_string() };
    let mut fields: Vec<String> =
        object.iter().map(|(key, value)| format!("{}:{}", Json::from(key), in_order(value))).collect();
    fields.sort();
    format!("{{{}}}", fields.join(","))
}
