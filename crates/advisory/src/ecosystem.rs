//! Where a package comes from: OSV's names of ecosystems, their releases, their orders, their names for packages.

use std::fmt;

use crate::order::Order;

/// An ecosystem as OSV writes it: a family, and for distributions a release, as in `Debian:12`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ecosystem {
    /// `Debian`, `npm`, `crates.io`.
    pub family: String,
    /// `12`, `v3.19`, `enterprise_linux:8::appstream`; nothing where every release is meant, or none is known.
    pub release: Option<String>,
}

/// Each family whose order is known. What is not here is compared by lists of versions alone.
const FAMILIES: [(&str, Order); 45] = [
    ("AlmaLinux", Order::Rpm),
    ("Alpaquita", Order::Apk),
    ("Alpine", Order::Apk),
    ("Azure Linux", Order::Rpm),
    ("BellSoft Hardened Containers", Order::Apk),
    ("Bioconductor", Order::SemVer),
    ("Bitnami", Order::SemVer),
    ("Chainguard", Order::Apk),
    ("CleanStart", Order::Apk),
    ("ConanCenter", Order::SemVer),
    ("CRAN", Order::Cran),
    ("crates.io", Order::SemVer),
    ("Debian", Order::Dpkg),
    ("Echo", Order::Dpkg),
    ("GHC", Order::Hackage),
    ("GitHub Actions", Order::SemVer),
    ("Go", Order::SemVer),
    ("Hackage", Order::Hackage),
    ("Hex", Order::SemVer),
    ("Julia", Order::SemVer),
    ("Kubernetes", Order::SemVer),
    ("Mageia", Order::Rpm),
    ("Maven", Order::Maven),
    ("MinimOS", Order::Apk),
    ("npm", Order::SemVer),
    ("NuGet", Order::NuGet),
    ("opam", Order::Dpkg),
    ("openEuler", Order::Rpm),
    ("openSUSE", Order::Rpm),
    ("Packagist", Order::Packagist),
    ("Photon OS", Order::Rpm),
    ("Pub", Order::Pub),
    ("PyPI", Order::PyPi),
    ("Red Hat", Order::Rpm),
    ("Rocky Linux", Order::Rpm),
    ("RubyGems", Order::RubyGems),
    ("Root:Alpine", Order::Apk),
    ("Root:Debian", Order::Dpkg),
    ("Root:Ubuntu", Order::Dpkg),
    ("SUSE", Order::Rpm),
    ("SwiftURL", Order::SemVer),
    ("TuxCare", Order::Rpm),
    ("Ubuntu", Order::Dpkg),
    ("VSCode", Order::SemVer),
    ("Wolfi", Order::Apk),
];

impl Ecosystem {
    /// A family without a release.
    #[must_use]
    pub fn family(family: &str) -> Self {
        Self { family: family.to_owned(), release: None }
    }

    /// Reads OSV's form.
    #[must_use]
    pub fn read(text: &str) -> Self {
        // Root rebuilds other ecosystems' packages under their orders
        let (family, release) = match text.strip_prefix("Root:").map(|rest| rest.split_once(':')) {
            Some(Some((inner, release))) => (format!("Root:{inner}"), Some(release)),
            Some(None) => (text.to_owned(), None),
            None => match text.split_once(':') {
                Some((family, release)) => (family.to_owned(), Some(release)),
                None => (text.to_owned(), None),
            },
        };
        Self { family, release: release.filter(|r| !r.is_empty()).map(str::to_owned) }
    }

    /// How its versions are ordered; nothing where nobody knows.
    #[must_use]
    pub fn order(&self) -> Option<Order> {
        FAMILIES.iter().find(|(name, _)| *name == self.family).map(|(_, order)| *order)
    }

    /// Every family with an order, for the documentation and its test.
    pub fn known() -> impl Iterator<Item = (&'static str, Order)> {
        FAMILIES.into_iter()
    }

    /// One spelling of a package's name: two spellings of one package must meet.
    #[must_use]
    pub fn normal_name(&self, name: &str) -> String {
        match self.family.as_str() {
            // PEP 503
            "PyPI" => {
                let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
                parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
            }
            "crates.io" => name.replace('_', "-").to_ascii_lowercase(),
            "NuGet" | "Packagist" | "GitHub Actions" | "VSCode" | "Bitnami" => name.to_ascii_lowercase(),
            "SwiftURL" => {
                let name = name.strip_prefix("https://").unwrap_or(name);
                name.strip_suffix(".git").unwrap_or(name).to_ascii_lowercase()
            }
            _ => name.to_owned(),
        }
    }

    /// A version without what only this ecosystem's tools write in front of it: Go's own are `go1.21.3`.
    #[must_use]
    pub fn normal_version<'a>(&self, version: &'a str) -> &'a str {
        let is_number = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit());
        match self.family.as_str() {
            "Go" => version.strip_prefix("go").filter(is_number).unwrap_or(version),
            _ => version,
        }
    }

    /// Whether what is said of `self` holds for a package of `installed`. Only two releases that are plainly different
    /// keep them apart; an unknown release may be any.
    #[must_use]
    pub fn covers(&self, installed: &Self) -> bool {
        if self.family != installed.family {
            return false;
        }
        let numbers = match self.family.as_str() {
            "Debian" | "AlmaLinux" | "Rocky Linux" | "Red Hat" => 1,
            "Alpine" | "Ubuntu" => 2,
            _ => return true,
        };
        let release = |ecosystem: &'_ Self| {
            let text = ecosystem.release.clone()?;
            if self.family == "Red Hat" {
                release(&red_hat(&text)?, numbers)
            } else {
                release(&text, numbers)
            }
        };
        match (release(self), release(installed)) {
            (Some(said), Some(installed)) => said == installed,
            _ => true,
        }
    }
}

/// The first numbers of a release: `v3.19.1` and `alpine-3.19` are both `3`, `19`.
fn release(text: &str, numbers: usize) -> Option<Vec<String>> {
    let start = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = start.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(start.len());
    let parts = start.get(..end)?.split('.').filter(|p| !p.is_empty()).take(numbers);
    let parts: Vec<String> = parts.map(str::to_owned).collect();
    (parts.len() == numbers).then_some(parts)
}

/// Where Red Hat's streams say the release of the system: `enterprise_linux:8::appstream`, `openshift:4.12::el8`.
fn red_hat(text: &str) -> Option<String> {
    if let Some((_, release)) = text.split_once("::el") {
        return Some(release.to_owned());
    }
    let is_system = ["enterprise_linux:", "rhel", "redhat-"].iter().any(|start| text.starts_with(start));
    is_system.then(|| text.to_owned())
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.family)?;
        self.release.iter().try_for_each(|release| write!(f, ":{release}"))
    }
}
