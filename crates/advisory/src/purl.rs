//! Package URLs: `pkg:TYPE/NAMESPACE/NAME@VERSION?QUALIFIERS#SUBPATH`, and which ecosystem of OSV they mean.

use std::collections::BTreeMap;
use std::fmt;

use crate::ecosystem::Ecosystem;

/// Longer ones are refused.
const MAX_BYTES: usize = 2048;

/// A package URL, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purl {
    /// `cargo`, `npm`, `deb`; in lower case.
    pub kind: String,
    /// What stands before the name, without slashes at its ends.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The version.
    pub version: Option<String>,
    /// `distro=debian-12` and the like.
    pub qualifiers: BTreeMap<String, String>,
}

/// Why a text is no package URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurlError(&'static str);

impl fmt::Display for PurlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no package URL: {}", self.0)
    }
}

impl std::error::Error for PurlError {}

/// Types that are one ecosystem.
const TYPES: [(&str, &str); 20] = [
    ("bioconductor", "Bioconductor"),
    ("bitnami", "Bitnami"),
    ("cargo", "crates.io"),
    ("composer", "Packagist"),
    ("conan", "ConanCenter"),
    ("cran", "CRAN"),
    ("gem", "RubyGems"),
    ("githubactions", "GitHub Actions"),
    ("golang", "Go"),
    ("hackage", "Hackage"),
    ("hex", "Hex"),
    ("julia", "Julia"),
    ("maven", "Maven"),
    ("npm", "npm"),
    ("nuget", "NuGet"),
    ("opam", "opam"),
    ("pub", "Pub"),
    ("pypi", "PyPI"),
    ("swift", "SwiftURL"),
    ("vscode-extension", "VSCode"),
];

/// Distributions, by type and namespace.
const DISTRIBUTIONS: [(&str, &str, &str); 20] = [
    ("apk", "alpaquita", "Alpaquita"),
    ("apk", "alpine", "Alpine"),
    ("apk", "chainguard", "Chainguard"),
    ("apk", "minimos", "MinimOS"),
    ("apk", "wolfi", "Wolfi"),
    ("deb", "debian", "Debian"),
    ("deb", "echo", "Echo"),
    ("deb", "ubuntu", "Ubuntu"),
    ("rpm", "almalinux", "AlmaLinux"),
    ("rpm", "azurelinux", "Azure Linux"),
    ("rpm", "mageia", "Mageia"),
    ("rpm", "openeuler", "openEuler"),
    ("rpm", "opensuse", "openSUSE"),
    ("rpm", "photon", "Photon OS"),
    ("rpm", "redhat", "Red Hat"),
    ("rpm", "rhel", "Red Hat"),
    ("rpm", "rocky", "Rocky Linux"),
    ("rpm", "rocky-linux", "Rocky Linux"),
    ("rpm", "rockylinux", "Rocky Linux"),
    ("rpm", "suse", "SUSE"),
];

impl Purl {
    /// Parses one.
    ///
    /// # Errors
    /// [`PurlError`] for another scheme, no type, no name, a bad escape, or more than 2048 bytes.
    pub fn parse(text: &str) -> Result<Self, PurlError> {
        if text.len() > MAX_BYTES {
            return Err(PurlError("longer than 2048 bytes"));
        }
        let rest = text.strip_prefix("pkg:").ok_or(PurlError("it does not begin with pkg:"))?;
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest).trim_start_matches('/');
        let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let (kind, path) = path.split_once('/').ok_or(PurlError("no type, or no name"))?;
        let is_kind = |k: &str| {
            k.starts_with(|c: char| c.is_ascii_alphabetic())
                && k.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b))
        };
        if !is_kind(kind) {
            return Err(PurlError("the type is letters, digits and -.+, and begins with a letter"));
        }
        // an @ in front belongs to an npm scope that somebody did not escape
        let at = path.rfind('@').filter(|at| *at > 0 && !path.get(*at..).is_some_and(|v| v.contains('/')));
        let (path, version) = at.and_then(|at| path.split_at_checked(at)).unwrap_or((path, ""));
        let parts: Result<Vec<String>, PurlError> =
            path.split('/').filter(|p| !p.is_empty()).map(decode).collect();
        let mut parts = parts?;
        let name = parts.pop().ok_or(PurlError("no name"))?;
        let version = decode(version.strip_prefix('@').unwrap_or(version))?;
        Ok(Self {
            kind: kind.to_ascii_lowercase(),
            namespace: (!parts.is_empty()).then(|| parts.join("/")),
            name,
            version: (!version.is_empty()).then_some(version),
            qualifiers: read_qualifiers(qualifiers)?,
        })
    }

    /// The ecosystem that OSV has for it, with the release that the qualifier `distro` names.
    #[must_use]
    pub fn ecosystem(&self) -> Option<Ecosystem> {
        if let Some((_, family)) = TYPES.iter().find(|(kind, _)| *kind == self.kind) {
            return Some(Ecosystem::family(family));
        }
        let namespace = self.namespace.as_deref().unwrap_or_default().to_ascii_lowercase();
        let (.., family) =
            DISTRIBUTIONS.iter().find(|(kind, space, _)| *kind == self.kind && *space == namespace)?;
        let release = self.qualifiers.get("distro").or_else(|| self.qualifiers.get("distro_version"));
        Some(Ecosystem { family: (*family).to_owned(), release: release.cloned() })
    }

    /// The name that OSV has for it.
    #[must_use]
    pub fn package(&self) -> String {
        let joined = |sign: &str| match &self.namespace {
            Some(namespace) => format!("{namespace}{sign}{}", self.name),
            None => self.name.clone(),
        };
        match self.kind.as_str() {
            "maven" => joined(":"),
            "vscode-extension" | "npm" | "golang" | "composer" | "swift" | "githubactions" => joined("/"),
            _ => self.name.clone(),
        }
    }

    /// The version as its ecosystem writes it: rpm's and dpkg's epoch may stand among the qualifiers.
    #[must_use]
    pub fn full_version(&self) -> Option<String> {
        let version = self.version.as_ref()?;
        match self.qualifiers.get("epoch").filter(|_| !version.contains(':')) {
            Some(epoch) if matches!(self.kind.as_str(), "rpm" | "deb") => Some(format!("{epoch}:{version}")),
            _ => Some(version.clone()),
        }
    }

    /// The source package that it was built from, with its version where that is another: `upstream=openssl@3.0.11`.
    #[must_use]
    pub fn source(&self) -> Option<(String, Option<String>)> {
        let upstream = self.qualifiers.get("upstream").or_else(|| self.qualifiers.get("source"))?;
        // rpm names the source's file: openssl-3.0.7-24.el9.src.rpm
        if let Some(stem) = upstream.strip_suffix(".src.rpm") {
            let mut parts = stem.rsplitn(3, '-').skip(2);
            return parts.next().map(|name| (name.to_owned(), None));
        }
        let (name, version) =
            upstream.split_once('@').map_or((upstream.as_str(), None), |(n, v)| (n, Some(v)));
        (!name.is_empty()).then(|| (name.to_owned(), version.map(str::to_owned)))
    }

    /// Whether what is said of `self` is said of `other`: no version means every version, and qualifiers that are
    /// named must be there.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        let name = |purl: &Self| match purl.ecosystem() {
            Some(ecosystem) => ecosystem.normal_name(&purl.package()),
            None => purl.package(),
        };
        self.kind == other.kind
            && self.namespace == other.namespace
            && name(self) == name(other)
            && self.version.as_ref().is_none_or(|version| other.version.as_ref() == Some(version))
            && self.qualifiers.iter().all(|(key, value)| other.qualifiers.get(key) == Some(value))
    }
}

fn read_qualifiers(text: &str) -> Result<BTreeMap<String, String>, PurlError> {
    let mut qualifiers = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(PurlError("a qualifier without a value"))?;
        if qualifiers.insert(key.to_ascii_lowercase(), decode(value)?).is_some() {
            return Err(PurlError("a qualifier twice"));
        }
    }
    Ok(qualifiers)
}

/// Percent-decoding. What it comes to is text, without control characters.
pub(crate) fn decode(text: &str) -> Result<String, PurlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit =
            |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(PurlError("a % that is not followed by two hex digits")),
        }
    }
    let decoded = String::from_utf8(bytes).map_err(|_| PurlError("escapes that are not UTF-8"))?;
    if decoded.chars().any(char::is_control) {
        return Err(PurlError("control characters"));
    }
    Ok(decoded)
}
