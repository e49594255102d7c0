//! Where one policy stands against another: patterns of environments and artifacts, met and subtracted exactly.

use attest::trust::segments_match;
use attest::{Json, Object};

use crate::book::Book;
use crate::policy::Policy;

/// A set of deployments: those into an environment of the pattern, of an artifact of one of the patterns, but for what
/// stands in `except`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region {
    /// The environment's pattern.
    pub environment: String,
    /// The artifacts' patterns; none stands within another.
    pub artifacts: Vec<String>,
    /// Environment and artifact of what is taken out.
    pub except: Vec<(String, String)>,
}

impl Region {
    /// What both policies guard.
    pub(super) fn common(before: &Policy, after: &Policy) -> Option<Self> {
        let environment = meet(&before.environment().text, &after.environment().text)?;
        let pairs = before.artifacts().iter().flat_map(|a| after.artifacts().iter().map(move |b| (a, b)));
        let artifacts: Vec<String> = pairs.filter_map(|(a, b)| meet(&a.text, &b.text)).collect();
        (!artifacts.is_empty()).then(|| Self {
            environment,
            artifacts: largest(artifacts),
            except: Vec::new(),
        })
    }

    /// What a policy guards and no policy of the book does.
    ///
    /// A pattern stands for as many names as there are texts wherever it has a `*`. So others cover all of it only where
    /// one of them does alone: a name with fresh texts in place of every `*` is in no narrower pattern.
    pub(super) fn left_over(policy: &Policy, book: &Book) -> Option<Self> {
        let environment = &policy.environment().text;
        let artifacts: Vec<String> = policy.artifacts().iter().map(|a| a.text.clone()).collect();
        let mut left = Vec::new();
        let mut except = Vec::new();
        for artifact in largest(artifacts) {
            let cuts: Vec<(String, String)> = cuts(environment, &artifact, book).collect();
            if cuts.iter().any(|(e, a)| e == environment && *a == artifact) {
                continue;
            }
            left.push(artifact);
            except.extend(cuts);
        }
        except.sort();
        except.dedup();
        (!left.is_empty()).then(|| Self { environment: environment.clone(), artifacts: left, except })
    }

    /// Whether a deployment is in it.
    #[must_use]
    pub fn covers(&self, environment: &str, uri: &str) -> bool {
        let is_in = |e: &str, a: &str| segments_match(e, environment) && segments_match(a, uri);
        self.artifacts.iter().any(|artifact| is_in(&self.environment, artifact))
            && !self.except.iter().any(|(e, a)| is_in(e, a))
    }

    /// Whether some deployment into an environment, or one of a pattern, is in it.
    #[must_use]
    pub fn reaches(&self, environment: &str) -> bool {
        let Some(both) = meet(&self.environment, environment) else { return false };
        let is_out = |artifact: &String| {
            self.except.iter().any(|(e, a)| is_within(&both, e) && is_within(artifact, a))
        };
        !self.artifacts.iter().all(is_out)
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let pair = |(environment, artifact): &(String, String)| {
            Json::from(
                Object::new().with("environment", environment.as_str()).with("artifact", artifact.as_str()),
            )
        };
        Object::new()
            .with("environment", self.environment.as_str())
            .with("artifacts", self.artifacts.clone())
            .with("except", Json::Array(self.except.iter().map(pair).collect()))
            .into()
    }
}

/// What of an environment and an artifact some policy of the book guards.
fn cuts(environment: &str, artifact: &str, book: &Book) -> impl Iterator<Item = (String, String)> {
    book.policies().iter().flat_map(move |policy| {
        let environment = meet(environment, &policy.environment().text);
        let artifacts = policy.artifacts().iter().filter_map(move |a| meet(artifact, &a.text));
        artifacts.filter_map(move |a| Some((environment.clone()?, a)))
    })
}

/// The pattern of the names that match both patterns. A `*` is no empty segment.
pub(super) fn meet(a: &str, b: &str) -> Option<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('/').collect(), b.split('/').collect());
    if a.len() != b.len() {
        return None;
    }
    let segment = |(a, b): (&&str, &&str)| match (*a, *b) {
        (a, b) if a == b => Some(a.to_owned()),
        ("*", other) | (other, "*") if !other.is_empty() => Some(other.to_owned()),
        _ => None,
    };
    let segments: Option<Vec<String>> = a.iter().zip(&b).map(segment).collect();
    Some(segments?.join("/"))
}

/// The patterns without those that stand within another.
fn largest(mut patterns: Vec<String>) -> Vec<String> {
    patterns.sort();
    patterns.dedup();
    let all = patterns.clone();
    patterns.retain(|pattern| !all.iter().any(|wide| pattern != wide && is_within(pattern, wide)));
    patterns
}

/// Whether every name that matches the one pattern matches the other.
pub(super) fn is_within(narrow: &str, wide: &str) -> bool {
    meet(narrow, wide).as_deref() == Some(narrow)
}

#[cfg(test)]
mod tests {
    use super::{largest, meet};

    #[test]
    fn patterns_meet_segment_by_segment() {
        for (a, b, both) in [
            ("prod/*", "*/shop", Some("prod/shop")),
            ("*/*", "prod/*", Some("prod/*")),
            ("prod/*", "staging/*", None),
            ("prod/*", "prod/*/eu", None),
            ("pkg:x//y", "pkg:x/*/y", None),
            ("https://r/*", "https://*/shop", Some("https://r/shop")),
        ] {
            assert_eq!(meet(a, b).as_deref(), both, "{a} {b}");
            assert_eq!(meet(b, a).as_deref(), both, "{b} {a}");
        }
        let some = ["r/*", "r/shop", "*/shop", "q"].map(str::to_owned).to_vec();
        assert_eq!(largest(some), ["*/shop", "q", "r/*"]);
    }
}
