//! `Cargo.lock`: every crate of a registry with its SHA-256.
//!
//! Cargo writes this file itself, always in one form, so it is read line by line, and a line in another form is an
//! error rather than a guess.

use attest::yaml::{LoadError, Place};
use attest::{Algorithm, Digest};

use super::wanted::{Check, Wanted, line, once};

/// The one registry that is served; the second is its name in a sparse index.
const REGISTRY: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

/// The crates that a `Cargo.lock` asks for.
///
/// # Errors
/// All problems, each with its line.
pub fn read(file: &str, text: &str) -> Result<Vec<Wanted>, Vec<LoadError>> {
    let mut wanted = Vec::new();
    let mut errors = Vec::new();
    let (packages, version) = packages(file, text, &mut errors);
    if !matches!(version, Some("3" | "4")) {
        errors.push(
            LoadError::new(&line(file, 1), "this form of Cargo.lock is not known")
                .wanted("version = 3 or version = 4")
                .found(version.map_or("no version", |v| v))
                .fix("run `cargo update --workspace` with a current cargo, which writes it anew"),
        );
    }
    for package in packages {
        match package.wanted() {
            Ok(found) => wanted.extend(found),
            Err(error) => errors.push(*error),
        }
    }
    if errors.is_empty() { once(wanted) } else { Err(errors) }
}

#[derive(Default)]
struct Package<'a> {
    place: Option<Place>,
    name: &'a str,
    version: &'a str,
    source: Option<&'a str>,
    checksum: Option<&'a str>,
}

fn packages<'a>(
    file: &str,
    text: &'a str,
    errors: &mut Vec<LoadError>,
) -> (Vec<Package<'a>>, Option<&'a str>) {
    let mut packages: Vec<Package<'a>> = Vec::new();
    let mut version = None;
    let mut in_list = false;
    let mut is_other = false;
    for (number, row) in (1..).zip(text.lines()) {
        if in_list {
            in_list = row != "]";
            continue;
        }
        if row.is_empty() || row.starts_with('#') {
            continue;
        }
        if let Some(table) = row.strip_prefix('[') {
            is_other = table != "[package]]";
            if !is_other {
                packages.push(Package { place: Some(line(file, number)), ..Package::default() });
            }
            continue;
        }
        let Some((key, value)) = row.split_once(" = ") else {
            errors.push(unknown(file, number, row));
            continue;
        };
        if value == "[" {
            in_list = true;
            continue;
        }
        let bare = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        match (packages.last_mut(), key, bare) {
            _ if is_other => {}
            (None, "version", None) => version = Some(value),
            (Some(package), "name", Some(text)) => package.name = text,
            (Some(package), "version", Some(text)) => package.version = text,
            (Some(package), "source", Some(text)) => package.source = Some(text),
            (Some(package), "checksum", Some(text)) => package.checksum = Some(text),
            (Some(_), "replace", Some(_)) => {}
            _ => errors.push(unknown(file, number, row)),
        }
    }
    (packages, version)
}

fn unknown(file: &str, number: usize, row: &str) -> LoadError {
    LoadError::new(&line(file, number), "no line that cargo writes into Cargo.lock")
        .found(&row.chars().take(80).collect::<String>())
        .fix("run `cargo generate-lockfile`, or `cargo update --workspace` to keep the versions")
}

impl Package<'_> {
    /// The crate's file; nothing for a package of the source itself.
    fn wanted(&self) -> Result<Option<Wanted>, Box<LoadError>> {
        let (Some(place), Some(source)) = (&self.place, self.source) else { return Ok(None) };
        let called = format!("{} {}", self.name, self.version);
        let error = |message: &str| LoadError::new(place, &format!("the crate {called} {message}"));
        if source.starts_with("git+") {
            return Err(Box::new(
                error("comes from git, where a name stands for no fixed bytes").found(source).fix(
                    "depend on a released version, or `cargo vendor` it into the repository and use a path",
                ),
            ));
        }
        if !REGISTRY.contains(&source) {
            return Err(Box::new(
                error("comes from another registry than crates.io")
                    .found(source)
                    .fix("declare its file by hand under `inputs`, and vendor it in portcullis/build.sh"),
            ));
        }
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
        };
        if !is_name(self.name) || !is_name(self.version) {
            return Err(Box::new(
                error("has no name or version that crates.io allows").fix("write it anew with cargo"),
            ));
        }
        let checksum = self.checksum.ok_or_else(|| {
            Box::new(error("has no checksum").fix("run `cargo update --workspace`, which writes it"))
        })?;
        let digest = Digest::from_hex(Algorithm::Sha256, checksum).map_err(|e| {
            Box::new(error(&format!("has no checksum that can be read: {e}")).found(checksum))
        })?;
        let stem = format!("{}-{}", self.name, self.version);
        Ok(Some(Wanted {
            name: format!("crates/{stem}.crate"),
            // a `+` in a path stands for a space on some servers
            uri: format!("https://static.crates.io/crates/{}/{}.crate", self.name, stem.replace('+', "%2B")),
            check: Check::Digest(digest),
            place: place.clone(),
        }))
    }
}
