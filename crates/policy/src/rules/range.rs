//! Ranges of versions, compared exactly, with the semantics that pre-releases have in Cargo.

use std::collections::BTreeSet;

use semver::{Prerelease, Version, VersionReq};

/// A version that is in `here` and not in `there`; nothing where every version of the one is in the other.
///
/// Whether a version is in a range hangs on how each of its numbers compares with the numbers that the range names, and
/// on nothing else. So one version for each way to compare with all of them decides about all versions. A pre-release is
/// in a range only where that names one of the same version, so those are few.
pub(crate) fn beyond(here: &VersionReq, there: &VersionReq) -> Option<Version> {
    let named = || here.comparators.iter().chain(&there.comparators);
    let majors = values(named().map(|c| c.major));
    let minors = values(named().filter_map(|c| c.minor));
    let patches = values(named().filter_map(|c| c.patch));
    let is_beyond = |version: &Version| here.matches(version) && !there.matches(version);
    for major in majors {
        for minor in &minors {
            let mut versions = patches.iter().map(|patch| Version::new(major, *minor, *patch));
            if let Some(found) = versions.find(is_beyond) {
                return Some(found);
            }
        }
    }
    let labels: BTreeSet<Prerelease> = named().flat_map(|c| around(&c.pre)).collect();
    let triples = named().filter_map(|c| Some(Version::new(c.major, c.minor?, c.patch?)));
    triples
        .flat_map(|v| labels.iter().map(move |pre| Version { pre: pre.clone(), ..v.clone() }))
        .find(is_beyond)
}

/// A number of each interval that the named ones leave, and the named ones.
fn values(named: impl Iterator<Item = u64>) -> BTreeSet<u64> {
    named.flat_map(|n| [n, n.saturating_add(1)]).chain([0]).collect()
}

/// The lowest pre-release, this one, and the next: in SemVer's order nothing is between `x` and `x.0`.
fn around(pre: &Prerelease) -> impl Iterator<Item = Prerelease> {
    let next = (!pre.is_empty()).then(|| format!("{pre}.0"));
    let texts = [Some("0".to_owned()), (!pre.is_empty()).then(|| pre.to_string()), next];
    texts.into_iter().flatten().filter_map(|text| Prerelease::new(&text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: [&str; 26] = [
        "*",
        ">=1.4.2",
        ">=1.4.3",
        ">1.4.2",
        "<1.4.2",
        "<=1.4.2",
        "=1.4.2",
        "^1.4.2",
        "~1.4.2",
        "^0.4.2",
        "^0.0.2",
        "^0",
        "~1",
        "1.*",
        "1.4.*",
        ">=1.4.2-rc.1",
        ">1.4.2-rc.1",
        "=1.4.2-rc.1",
        "<1.4.2-rc.1",
        "^1.4.2-rc.1",
        "~1.4.2-rc.1.0",
        ">=1.4, <2",
        ">=1.4.2-rc.1, <1.4.2",
        ">=1, <1.4.2-rc.2",
        "<=1",
        ">2",
    ];

    /// Many versions by brute force: whatever they show, the comparison found; and what it found is so.
    #[test]
    fn a_range_goes_beyond_another_where_a_version_says_so() {
        let labels = ["", "0", "alpha", "rc.0", "rc.1", "rc.1.0", "rc.1.0.0", "rc.2", "rc.10", "rc.a", "zz"];
        let mut versions = Vec::new();
        for (major, minor, patch) in
            (0..4).flat_map(|a| (0..7).flat_map(move |b| (0..5).map(move |c| (a, b, c))))
        {
            for label in labels {
                let mut version = Version::new(major, minor, patch);
                version.pre = Prerelease::new(label).unwrap();
                versions.push(version);
            }
        }
        let mut beyond_some = 0;
        for (a, b) in RANGES.iter().flat_map(|a| RANGES.iter().map(move |b| (a, b))) {
            let (here, there) = (VersionReq::parse(a).unwrap(), VersionReq::parse(b).unwrap());
            let tried = versions.iter().find(|v| here.matches(v) && !there.matches(v));
            match beyond(&here, &there) {
                Some(found) => assert!(here.matches(&found) && !there.matches(&found), "{a} {b}: {found}"),
                None => assert_eq!(tried, None, "{a} goes beyond {b}"),
            }
            beyond_some += usize::from(tried.is_some());
        }
        assert!(beyond_some > 300, "{beyond_some}");
        assert_eq!(
            beyond(&VersionReq::parse("^1.4").unwrap(), &VersionReq::parse(">=1.4, <2").unwrap()),
            None
        );
    }
}
