//! `go.sum`: every module's archive and go.mod, in the layout in which `GOPROXY=file:///build/inputs/go` reads them.

use attest::yaml::{LoadError, Place};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wanted::{Check, Wanted, line, once};

const PROXY: &str = "https://proxy.golang.org";

/// The files that a `go.sum` asks for.
///
/// # Errors
/// All problems, each with its line.
pub fn read(file: &str, text: &str) -> Result<Vec<Wanted>, Vec<LoadError>> {
    let mut wanted = Vec::new();
    let mut errors = Vec::new();
    for (number, row) in (1..).zip(text.lines()) {
        let place = line(file, number);
        match one(row, &place) {
            Ok(found) => wanted.extend(found),
            Err(error) => errors.push(*error),
        }
    }
    if errors.is_empty() { once(wanted) } else { Err(errors) }
}

fn one(row: &str, place: &Place) -> Result<Option<Wanted>, Box<LoadError>> {
    let words: Vec<&str> = row.split_ascii_whitespace().collect();
    let [module, version, hash] = words.as_slice() else {
        if words.is_empty() {
            return Ok(None);
        }
        return Err(Box::new(
            LoadError::new(place, "no line of go.sum")
                .wanted("MODULE VERSION HASH")
                .found(&row.chars().take(80).collect::<String>())
                .fix("run `go mod tidy`, which writes it"),
        ));
    };
    let is_hash =
        hash.strip_prefix("h1:").and_then(|h| STANDARD.decode(h).ok()).is_some_and(|h| h.len() == 32);
    if !is_hash {
        return Err(Box::new(
            LoadError::new(place, &format!("{module} has a hash that cannot be read"))
                .wanted("h1: and 44 characters of base64")
                .found(hash)
                .fix("run `go mod tidy` and `go mod verify`"),
        ));
    }
    let (version, is_mod) = version.strip_suffix("/go.mod").map_or((*version, false), |v| (v, true));
    if !is_module(module) || !is_version(version) {
        return Err(Box::new(
            LoadError::new(place, "no module path or no version that Go allows")
                .found(&format!("{module} {version}"))
                .fix("run `go mod tidy`"),
        ));
    }
    let kind = if is_mod { "mod" } else { "zip" };
    let path = format!("{}/@v/{}.{kind}", escaped(module), escaped(version));
    Ok(Some(Wanted {
        uri: format!("{PROXY}/{path}"),
        name: format!("go/{path}"),
        check: if is_mod { Check::GoMod((*hash).to_owned()) } else { Check::GoZip((*hash).to_owned()) },
        place: place.clone(),
    }))
}

/// The proxy protocol writes an upper-case letter as `!` and its lower-case one.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if character.is_ascii_uppercase() {
            out.push('!');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

fn is_module(path: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    path.split('/').all(is_part)
}

fn is_version(version: &str) -> bool {
    version.starts_with('v') && version.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b))
}
