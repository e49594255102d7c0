//! What differs between two objects, in words: `added --debug` at `spec.template.spec.containers[web].args`.

use std::fmt;

use attest::{Json, Object};

/// No more than this many differences are listed; who reads more has the two objects.
const MAX: usize = 64;
const MAX_VALUE: usize = 120;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where; items of lists are named by their `name`, where every item has one.
    pub path: String,
    /// What stood there.
    pub old: Option<String>,
    /// What stands there.
    pub new: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.old, &self.new) {
            (None, Some(new)) => write!(f, "{}: {new} added", self.path),
            (Some(old), None) => write!(f, "{}: {old} removed", self.path),
            (Some(old), Some(new)) if old == new => write!(f, "{}: changed, not shown", self.path),
            (Some(old), Some(new)) => write!(f, "{}: {old} became {new}", self.path),
            (None, None) => write!(f, "{}: another order", self.path),
        }
    }
}

/// Everything that differs, at most 64. Values that look secret are compared, and not shown.
#[must_use]
pub fn difference(old: &Object, new: &Object) -> Vec<Difference> {
    let mut found = Vec::new();
    let (old, new) = (Json::Object(old.clone()), Json::Object(new.clone()));
    let (mut old_shown, mut new_shown) = (old.clone(), new.clone());
    attest::redact::redact(&mut old_shown);
    attest::redact::redact(&mut new_shown);
    values("", Side { value: &old, shown: &old_shown }, Side { value: &new, shown: &new_shown }, &mut found);
    found
}

/// A value, and the same with secrets taken out: both have one shape.
#[derive(Clone, Copy)]
struct Side<'a> {
    value: &'a Json,
    shown: &'a Json,
}

impl<'a> Side<'a> {
    fn text(self) -> String {
        let text = self.shown.to_string();
        if text.chars().count() <= MAX_VALUE {
            return policy::one_line(&text);
        }
        policy::one_line(&format!("{}…", text.chars().take(MAX_VALUE).collect::<String>()))
    }

    fn get(self, key: &str) -> Option<Self> {
        let (Json::Object(value), Json::Object(shown)) = (self.value, self.shown) else { return None };
        Some(Side { value: value.get(key)?, shown: shown.get(key)? })
    }

    fn items(self) -> Vec<Side<'a>> {
        let (Json::Array(value), Json::Array(shown)) = (self.value, self.shown) else { return Vec::new() };
        value.iter().zip(shown).map(|(value, shown)| Side { value, shown }).collect()
    }

    fn name(self) -> Option<&'a str> {
        self.value.as_object().ok()?.optional_string("name").ok()?
    }
}

fn values(path: &str, old: Side<'_>, new: Side<'_>, found: &mut Vec<Difference>) {
    if old.value == new.value || found.len() >= MAX {
        return;
    }
    match (old.value, new.value) {
        (Json::Object(a), Json::Object(b)) => {
            let more = b.iter().map(|(key, _)| key).filter(|key| a.get(key).is_none());
            for key in a.iter().map(|(key, _)| key).chain(more) {
                let place = join(path, key);
                either(&place, old.get(key), new.get(key), found);
            }
        }
        (Json::Array(_), Json::Array(_)) => lists(path, &old.items(), &new.items(), found),
        _ => push(path, Some(old), Some(new), found),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { policy::one_line(key) } else { format!("{path}.{}", policy::one_line(key)) }
}

fn either(path: &str, old: Option<Side<'_>>, new: Option<Side<'_>>, found: &mut Vec<Difference>) {
    match (old, new) {
        (Some(old), Some(new)) => values(path, old, new, found),
        (None, None) => {}
        (old, new) => push(path, old, new, found),
    }
}

fn push(path: &str, old: Option<Side<'_>>, new: Option<Side<'_>>, found: &mut Vec<Difference>) {
    if found.len() < MAX {
        found.push(Difference { path: path.to_owned(), old: old.map(Side::text), new: new.map(Side::text) });
    }
}

fn lists<'a>(path: &str, old: &[Side<'a>], new: &[Side<'a>], found: &mut Vec<Difference>) {
    let named = |items: &[Side<'_>]| items.iter().all(|item| item.name().is_some());
    let before = found.len();
    if named(old) && named(new) {
        let find = |items: &[Side<'a>], name: &str| items.iter().find(|i| i.name() == Some(name)).copied();
        let names = old.iter().filter_map(|i| i.name());
        let more = new.iter().filter_map(|i| i.name()).filter(|name| find(old, name).is_none());
        for name in names.chain(more) {
            either(&format!("{path}[{}]", policy::one_line(name)), find(old, name), find(new, name), found);
        }
    } else {
        for item in missing(old, new) {
            push(path, Some(item), None, found);
        }
        for item in missing(new, old) {
            push(path, None, Some(item), found);
        }
    }
    if found.len() == before && before < MAX {
        found.push(Difference { path: path.to_owned(), old: None, new: None });
    }
}

/// The items of `these` that have no partner in `those`, each partner counting once.
fn missing<'a>(these: &[Side<'a>], those: &[Side<'_>]) -> Vec<Side<'a>> {
    let mut left: Vec<&Json> = those.iter().map(|side| side.value).collect();
    let mut out = Vec::new();
    for item in these {
        // a list of thousands against thousands is not worth a quadratic look: its length is bounded here
        match left.iter().take(4096).position(|other| *other == item.value) {
            Some(at) => drop(left.swap_remove(at)),
            None => out.push(*item),
        }
    }
    out.truncate(MAX);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(old: &str, new: &str) -> Vec<String> {
        let object = |t: &str| attest::json::parse(t.as_bytes()).unwrap().as_object().unwrap().clone();
        difference(&object(old), &object(new)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_person_reads_what_changed() {
        let old = r#"{"spec":{"c":[{"name":"web","args":["--port=1"],"image":"a"},{"name":"x"}],"n":1}}"#;
        let new = r#"{"spec":{"c":[{"name":"x"},{"name":"web","args":["--port=1","--debug"],"image":"b"}],"m":true}}"#;
        assert_eq!(
            diff(old, new),
            [
                r#"spec.c[web].args: "--debug" added"#,
                r#"spec.c[web].image: "a" became "b""#,
                "spec.n: 1 removed",
                "spec.m: true added",
            ]
        );
        assert_eq!(diff(r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#), ["a: another order"]);
        assert_eq!(diff(new, new), Vec::<String>::new());
    }

    #[test]
    fn secrets_are_compared_and_not_shown() {
        let env = |v: &str| format!(r#"{{"env":[{{"name":"DB_PASSWORD","value":"{v}"}}]}}"#);
        let found = diff(&env("hunter2"), &env("hunter3"));
        assert_eq!(found, ["env[DB_PASSWORD].value: changed, not shown"]);
        let secret = |v: &str| format!(r#"{{"kind":"Secret","data":{{"a":"{v}"}}}}"#);
        assert!(!diff(&secret("hunter2"), &secret("hunter3")).concat().contains("hunter"));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let many = |n: i32| {
            format!("{{{}}}", (0..1000).map(|i| format!(r#""k{i}":{n}"#)).collect::<Vec<_>>().join(","))
        };
        assert_eq!(diff(&many(1), &many(2)).len(), 64);
    }
}
