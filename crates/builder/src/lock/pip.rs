//! A hash-pinned `requirements.txt`, and the one file of each release that fits the toolchain.

use std::collections::BTreeSet;

use attest::yaml::{LoadError, Place};
use attest::{Algorithm, Digest};

use super::wanted::{Check, Wanted, line};

/// The Python of the toolchain: what Debian bookworm has.
const PYTHON: u32 = 11;
/// Its C library.
const GLIBC: u32 = 36;
/// The machine that builds is the one that resolves.
const ARCH: &str = std::env::consts::ARCH;
const HASH: &str = "--hash=sha256:";

/// A requirement with its version and hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The project's name as PyPI normalizes it.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// The files that may stand for it: SHA-256.
    pub hashes: BTreeSet<Digest>,
    /// Whether it is needed only in some environments.
    pub is_conditional: bool,
    /// Where it stands.
    pub place: Place,
}

/// The requirements of a `requirements.txt`.
///
/// # Errors
/// All problems, each with its line.
pub fn read(file: &str, text: &str) -> Result<Vec<Pinned>, Vec<LoadError>> {
    let mut pinned: Vec<Pinned> = Vec::new();
    let mut errors = Vec::new();
    for (number, row) in logical_lines(text) {
        let place = line(file, number);
        match requirement(&row, &place) {
            Ok(next) => match pinned.iter().find(|p| p.name == next.name) {
                Some(first) => errors.push(
                    LoadError::new(
                        &place,
                        &format!("{} stands here again, after line {}", next.name, first.place.line),
                    )
                    .fix("keep one of the two"),
                ),
                None => pinned.push(next),
            },
            Err(error) => errors.push(*error),
        }
    }
    if errors.is_empty() { Ok(pinned) } else { Err(errors) }
}

/// Lines without comments, continued ones put together, each with the number of its first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut is_continued = false;
    for (number, row) in (1..).zip(text.lines()) {
        let row = match row.find(" #") {
            _ if row.trim_start().starts_with('#') => "",
            Some(at) => row.get(..at).unwrap_or_default(),
            None => row,
        };
        let row = row.trim_end();
        let content = row.strip_suffix('\\').unwrap_or(row);
        match lines.last_mut() {
            Some((_, whole)) if is_continued => {
                whole.push(' ');
                whole.push_str(content);
            }
            _ => lines.push((number, content.to_owned())),
        }
        is_continued = row.ends_with('\\');
    }
    lines.retain(|(_, row)| !row.trim().is_empty());
    lines
}

fn requirement(row: &str, place: &Place) -> Result<Pinned, Box<LoadError>> {
    let row = row.trim();
    if row.starts_with('-') {
        return Err(Box::new(
            LoadError::new(place, "an option has no place in a file whose every byte is pinned")
                .found(row.split_ascii_whitespace().next().unwrap_or(row))
                .fix("remove it, or write the file with `pip-compile --generate-hashes --no-emit-index-url`"),
        ));
    }
    let (what, hashes) = row.split_at(row.find(" --").unwrap_or(row.len()));
    let (what, marker) = what.split_once(';').map_or((what, None), |(what, marker)| (what, Some(marker)));
    let shown = what.trim();
    if shown.contains('@') || shown.contains("://") {
        return Err(Box::new(
            LoadError::new(place, "a requirement by URL, where a name and version are wanted")
                .found(shown)
                .fix("require a released version, or declare its file under `inputs`"),
        ));
    }
    let pin = || {
        LoadError::new(place, &format!("`{shown}` names no exact version"))
            .wanted("NAME==VERSION --hash=sha256:…")
            .fix("write the file with `pip-compile --generate-hashes` or `uv pip compile --generate-hashes`")
    };
    let (name, version) = shown.split_once("==").ok_or_else(pin)?;
    let name = normalized(name.split('[').next().unwrap_or(name).trim());
    let version = version.trim();
    let is_plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+!".contains(&b))
    };
    if !is_plain(&name) || !is_plain(version) || version.starts_with('=') {
        return Err(Box::new(pin()));
    }
    let hashes = read_hashes(hashes, &name, place)?;
    Ok(Pinned {
        name,
        version: version.to_owned(),
        hashes,
        is_conditional: marker.is_some(),
        place: place.clone(),
    })
}

fn read_hashes(text: &str, name: &str, place: &Place) -> Result<BTreeSet<Digest>, Box<LoadError>> {
    let mut hashes = BTreeSet::new();
    for word in text.split_ascii_whitespace() {
        let digest = word.strip_prefix(HASH).and_then(|hex| Digest::from_hex(Algorithm::Sha256, hex).ok());
        hashes.insert(digest.ok_or_else(|| {
            LoadError::new(place, &format!("{name} has a hash that cannot be read"))
                .wanted("--hash=sha256: and 64 lower-case hex digits")
                .found(word)
                .fix("write the file anew with `pip-compile --generate-hashes`")
        })?);
    }
    if hashes.is_empty() {
        return Err(Box::new(
            LoadError::new(place, &format!("{name} has no hash, so nobody knows which bytes are meant"))
                .wanted("--hash=sha256:…")
                .fix("write the file with `pip-compile --generate-hashes` or `uv pip compile --generate-hashes`"),
        ));
    }
    Ok(hashes)
}

/// PEP 503: lower case, and one `-` for each run of `-`, `_` and `.`.
fn normalized(name: &str) -> String {
    let lower = name.to_ascii_lowercase().replace(['_', '.'], "-");
    lower.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

impl Pinned {
    /// Where PyPI lists the files of a project (PEP 503).
    #[must_use]
    pub fn index(&self) -> String {
        format!("https://pypi.org/simple/{}/", self.name)
    }

    /// The file to use, of those that PyPI's page links to: pinned, and the best that fits the toolchain. Nothing where
    /// the requirement is for other environments.
    ///
    /// # Errors
    /// [`LoadError`] where no file is both.
    pub fn choose(&self, page: &str) -> Result<Option<Wanted>, Box<LoadError>> {
        let candidates = links(page).filter_map(|link| self.candidate(&link));
        let best = candidates.max_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
        match best {
            Some((_, wanted)) => Ok(Some(wanted)),
            None if self.is_conditional => Ok(None),
            None => Err(Box::new(
                LoadError::new(
                    &self.place,
                    &format!("no file of {} {} is pinned and fits", self.name, self.version),
                )
                .wanted(&format!(
                    "a wheel for Python 3.{PYTHON} on {ARCH} Linux, or the source archive, with its hash"
                ))
                .fix(
                    "write the file anew with `pip-compile --generate-hashes`, which lists every file's hash",
                ),
            )),
        }
    }

    fn candidate(&self, link: &str) -> Option<(u32, Wanted)> {
        let (uri, hex) = link.split_once("#sha256=")?;
        let digest = Digest::from_hex(Algorithm::Sha256, hex).ok()?;
        let name = uri.strip_prefix("https://")?.rsplit('/').next()?.replace("%2B", "+").replace("%2b", "+");
        let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+!".contains(&b));
        if !is_plain || name.starts_with('.') || !self.hashes.contains(&digest) {
            return None;
        }
        let fitness = fitness(&name)?;
        let wanted = Wanted {
            name: format!("python/{name}"),
            uri: uri.to_owned(),
            check: Check::Digest(digest),
            place: self.place.clone(),
        };
        Some((fitness, wanted))
    }
}

/// Where the links of a page lead.
fn links(page: &str) -> impl Iterator<Item = String> {
    let ends = page.split("href=\"").skip(1);
    ends.filter_map(|rest| rest.split('"').next()).map(|link| link.replace("&amp;", "&"))
}

/// How well a file fits the toolchain, the more the better; nothing where it does not.
fn fitness(name: &str) -> Option<u32> {
    let Some(stem) = name.strip_suffix(".whl") else {
        return (name.ends_with(".tar.gz") || name.ends_with(".zip")).then_some(1);
    };
    let mut tags = stem.rsplitn(4, '-');
    let (platform, abi, python) = (tags.next()?, tags.next()?, tags.next()?);
    let any = |tags: &str, fits: &dyn Fn(&str) -> bool| tags.split('.').any(fits);
    let own = format!("cp3{PYTHON}");
    if platform == "any" {
        return any(python, &|t| t == "py3" || t == "cp3" || t == own || t == format!("py3{PYTHON}"))
            .then_some(2);
    }
    if !any(platform, &is_platform) {
        return None;
    }
    if any(python, &|t| t == own) && any(abi, &|t| t == own) {
        return Some(4);
    }
    let older =
        |tag: &str| tag.strip_prefix("cp3").and_then(|v| v.parse().ok()).is_some_and(|v: u32| v <= PYTHON);
    (any(abi, &|t| t == "abi3") && any(python, &older) || any(python, &|t| t == "py3") && abi == "none")
        .then_some(3)
}

fn is_platform(tag: &str) -> bool {
    let Some(kind) = tag.strip_suffix(ARCH).and_then(|t| t.strip_suffix('_')) else { return false };
    let glibc = kind.strip_prefix("manylinux_2_").and_then(|v| v.parse().ok());
    matches!(kind, "linux" | "manylinux1" | "manylinux2010" | "manylinux2014")
        || glibc.is_some_and(|v: u32| v <= GLIBC)
}
