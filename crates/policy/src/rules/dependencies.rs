//! Nothing went into the build that is denied, and everything is pinned.

use attest::yaml::{Fields, Node, Problems};
use attest::{Object, Place};

use crate::facts::{Facts, Judged, describe};
use crate::finding::Finding;
use crate::rule::{Beyond, Check, Order, Rule, list_schema, object_schema, or_list};

pub(crate) const RULE: Rule = Rule {
    name: "dependencies",
    key: "dependencies",
    summary: "no denied package took part, and every dependency is pinned by digest",
    docs: "Reads every dependency of the judged provenance, tools included, but not the source. `denied` lists package \
           URLs: one with a version denies that version, one without denies all; namespace and name are compared \
           without regard to case, qualifiers and subpath are left out; a dependency that is named by another kind of URI \
           is none of them. `pinned: true` asks that every dependency has a \
           digest that decides (sha256, sha384, sha512 or a git object id). A dependency without a version is taken for \
           the denied one.",
    example: "dependencies: { denied: [\"pkg:npm/event-stream@3.3.6\"], pinned: true }",
    threats: &["T8", "T11"],
    reads_provenance: true,
    read: Some(read),
    schema: || {
        let yes = Object::new().with("const", true).into();
        object_schema(&[("denied", list_schema()), ("pinned", yes)], &[])
    },
};

#[derive(Debug)]
struct Dependencies {
    denied: Vec<(PackageUrl, String, Place)>,
    pinned: bool,
    place: Place,
}

/// What of a package URL is compared.
#[derive(Debug, PartialEq, Eq)]
struct PackageUrl {
    name: String,
    version: Option<String>,
}

/// Splits `pkg:type/namespace/name@version?qualifiers#subpath`. Percent escapes of `@` and `/` are undone, so that
/// `%40scope` and `@scope` are one name.
fn parse(text: &str) -> Option<PackageUrl> {
    let rest = text.strip_prefix("pkg:")?;
    let rest = rest.split(['?', '#']).next()?;
    let last = rest.rfind('/')?;
    let (name, version) = match rest.get(last..)?.split_once('@') {
        Some((_, version)) => (rest.get(..rest.len() - version.len() - 1)?, Some(version)),
        None => (rest, None),
    };
    let plain = |t: &str| {
        t.replace("%40", "@").replace("%2F", "/").replace("%2f", "/").replace("%2B", "+").replace("%2b", "+")
    };
    let name = plain(name.trim_matches('/')).to_lowercase();
    name.contains('/').then(|| PackageUrl { name, version: version.map(plain) })
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let fields = Fields::read(node, "`dependencies`", &["denied", "pinned"], problems)?;
    let mut denied = Vec::new();
    for (text, place) in
        fields.optional("denied").and_then(|n| problems.keep(n.strings())).unwrap_or_default()
    {
        let wanted = attest::LoadError::new(&place, &format!("`{text}` is no package URL"))
            .wanted("pkg:TYPE/NAME, or pkg:TYPE/NAME@VERSION")
            .found(&text)
            .fix("write it as in pkg:npm/event-stream@3.3.6");
        denied.push((problems.keep(parse(&text).ok_or(wanted))?, text, place));
    }
    let pinned = match fields.optional("pinned") {
        Some(node) => problems.keep(node.boolean())?,
        None => false,
    };
    if denied.is_empty() && !pinned {
        problems.push(
            node.mismatch("`denied`, or `pinned: true`").fix("leave the rule out, if nothing is asked"),
        );
        return None;
    }
    Some(Box::new(Dependencies { denied, pinned, place: node.place.clone() }))
}

impl Order for Dependencies {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let denies = |url: &PackageUrl| {
            let same = |own: &PackageUrl| own.name == url.name && (own.version.is_none() || own == url);
            self.denied.iter().any(|(own, ..)| same(own))
        };
        let free = other.denied.iter().filter(|(url, ..)| !denies(url));
        let words = |text: &str| format!("what has {text} among its dependencies");
        let mut ways: Vec<Beyond> = free.map(|(_, text, _)| Beyond::by(text, words(text))).collect();
        if other.pinned && !self.pinned {
            ways.push(Beyond::by("", "what has a dependency without a digest".to_owned()));
        }
        ways
    }

    fn outside(&self) -> String {
        let denied: Vec<&str> = self.denied.iter().map(|(_, text, _)| text.as_str()).collect();
        match (denied.as_slice(), self.pinned) {
            ([], _) => "what has a dependency without a digest".to_owned(),
            (denied, false) => format!("what has {} among its dependencies", or_list(denied)),
            (denied, true) => {
                format!("what has {} among its dependencies, or one without a digest", or_list(denied))
            }
        }
    }
}

impl Check for Dependencies {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let Some(Judged { evidence, provenance, .. }) = facts.provenance() else { return Vec::new() };
        let mut findings = Vec::new();
        for dependency in &provenance.dependencies {
            if let Some((_, text, place)) = self.denied.iter().find(|(url, ..)| denies(url, &dependency.uri))
            {
                findings.push(
                    Finding::new(
                        RULE.name,
                        "a denied package took part in the build",
                        "use a version that is not denied, and build again",
                    )
                    .wanted(&format!("a build without {text}"), place)
                    .found(&dependency.uri),
                );
            }
            if self.pinned && dependency.digests.is_empty() {
                findings.push(
                    Finding::new(
                        RULE.name,
                        "a dependency is not pinned by a digest",
                        "pin it in the build definition: portcullis builder lock",
                    )
                    .wanted("a digest for every dependency", &self.place)
                    .found(&dependency.uri),
                );
            }
        }
        findings.into_iter().map(|f| f.within(&describe(evidence))).collect()
    }
}

fn denies(denied: &PackageUrl, uri: &str) -> bool {
    parse(uri).is_some_and(|used| {
        used.name == denied.name
            && (denied.version.is_none() || used.version == denied.version || used.version.is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::{denies, parse};

    #[test]
    fn a_package_url_denies_what_it_names() {
        let denied = |denied: &str, used: &str| denies(&parse(denied).unwrap(), used);
        assert!(denied("pkg:npm/left-pad", "pkg:npm/left-pad@1.3.0"));
        assert!(denied("pkg:npm/%40acme/shop@1.0.0", "pkg:npm/@acme/shop@1.0.0?arch=x"));
        assert!(denied("pkg:npm/Left-Pad@1.3.0", "pkg:npm/left-pad@1.3.0#sub"));
        assert!(
            denied("pkg:npm/left-pad@1.3.0", "pkg:npm/left-pad"),
            "an unknown version may be the denied one"
        );
        assert!(!denied("pkg:npm/left-pad@1.3.0", "pkg:npm/left-pad@1.3.1"));
        assert!(!denied("pkg:npm/left-pad", "pkg:npm/left-padding@1"));
        assert!(!denied("pkg:npm/left-pad", "pkg:cargo/left-pad@1"));
        assert!(parse("pkg:npm").is_none() && parse("left-pad").is_none());
    }
}
