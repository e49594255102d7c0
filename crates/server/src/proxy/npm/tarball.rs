//! What a package's own archive says that it is.

use std::collections::BTreeMap;
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

/// The scripts that installing runs, and the one that npm writes for what has a `binding.gyp`.
const AT_INSTALL: [&str; 3] = ["preinstall", "install", "postinstall"];
const NATIVE: (&str, Option<&str>) = ("install", Some("node-gyp rebuild"));

/// The first field of the document's version that says something else than the archive's `package.json`.
pub(super) fn difference(document: &Object, package: &Object) -> Option<&'static str> {
    if programs(document, package) != programs(package, package) {
        return Some("bin");
    }
    if runs_more(document, package) {
        return Some("scripts");
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

/// The programs that are installed, and what they run, without the ways to write it that mean the same. `package` has the
/// name of one that has none.
fn programs(of: &Object, package: &Object) -> BTreeMap<String, String> {
    let plain = |path: &str| path.trim_start_matches("./").trim_start_matches('/').to_owned();
    let last = |name: &str| name.rsplit(['/', '\\', ':']).next().unwrap_or_default().to_owned();
    match of.get("bin") {
        Some(Json::Object(all)) => {
            all.iter().filter_map(|(name, to)| Some((last(name), plain(to.as_str().ok()?)))).collect()
        }
        Some(Json::Array(all)) => {
            all.iter().filter_map(|to| to.as_str().ok()).map(|to| (last(to), plain(to))).collect()
        }
        Some(Json::String(to)) => {
            let name = package.string("name").unwrap_or_default();
            std::iter::once((last(name), plain(to))).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// Whether installing would run what the archive does not say: where installers read the whole document, they run the
/// scripts that stand there.
fn runs_more(document: &Object, package: &Object) -> bool {
    let Ok(said) = document.optional_object("scripts") else { return true };
    let own = package.optional_object("scripts").ok().flatten();
    // npm leaves this out where it writes the document
    let plain = |script: &str| {
        let script = script.strip_prefix("./").unwrap_or(script);
        script.strip_prefix("node_modules/.bin/").unwrap_or(script).to_owned()
    };
    let find = |of: Option<&Object>, when: &str| {
        let script = of.and_then(|scripts| scripts.get(when))?;
        Some(script.as_str().map_or_else(|_| script.to_string(), plain))
    };
    AT_INSTALL.iter().any(|when| {
        let script = find(said, when);
        script.is_some() && script != find(own, when) && (*when, script.as_deref()) != NATIVE
    })
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

#[cfg(test)]
mod tests {
    use attest::{Json, Object};

    use super::difference;

    fn read(text: &str) -> Object {
        match attest::json::parse(text.as_bytes()) {
            Ok(Json::Object(object)) => object.with("name", "@acme/shop").with("version", "1.0.0"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn installing_links_and_runs_what_the_archive_says_and_nothing_else() {
        let of = |document: &str, package: &str| difference(&read(document), &read(package));
        for (document, package) in [
            (r#"{"bin":{"shop":"cli.js"}}"#, r#"{"bin":"./cli.js"}"#),
            (r#"{"bin":{"shop":"cli.js"}}"#, r#"{"bin":{"shop":"./cli.js"}}"#),
            (r#"{"bin":{}}"#, "{}"),
            ("{}", r#"{"scripts":{"postinstall":"x"}}"#),
            (
                r#"{"scripts":{"postinstall":"x y"}}"#,
                r#"{"scripts":{"postinstall":"node_modules/.bin/x y"}}"#,
            ),
            (r#"{"gypfile":true,"scripts":{"install":"node-gyp rebuild"}}"#, "{}"),
            (r#"{"scripts":{"start":"node server.js"}}"#, "{}"),
        ] {
            assert_eq!(of(document, package), None, "{document} {package}");
        }
        for (document, package, key) in [
            (r#"{"bin":{"git":"cli.js"}}"#, r#"{"bin":{"shop":"cli.js"}}"#, "bin"),
            (r#"{"bin":{"shop":"x.js"}}"#, r#"{"bin":{"shop":"cli.js"}}"#, "bin"),
            (r#"{"bin":{"shop":"cli.js"}}"#, "{}", "bin"),
            ("{}", r#"{"bin":"cli.js"}"#, "bin"),
            (r#"{"scripts":{"preinstall":"evil"}}"#, "{}", "scripts"),
            (r#"{"scripts":{"postinstall":"evil"}}"#, r#"{"scripts":{"postinstall":"x"}}"#, "scripts"),
            (r#"{"scripts":{"postinstall":"node-gyp rebuild"}}"#, "{}", "scripts"),
            (r#"{"scripts":["evil"]}"#, "{}", "scripts"),
        ] {
            assert_eq!(of(document, package), Some(key), "{document} {package}");
        }
    }
}
