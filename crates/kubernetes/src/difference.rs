//! What differs between two objects, in words: `added --debug` at `spec.template.spec.containers[web].args`.

use std::collections::BTreeMap;
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

    /// The fields, without `null` ones. A map, because an object's own search is linear and a tenant writes the object.
    fn fields(self) -> BTreeMap<&'a str, Self> {
        let (Json::Object(value), Json::Object(shown)) = (self.value, self.shown) else {
            return BTreeMap::new();
        };
        let pair = |((key, value), (_, shown)): ((&'a str, &'a Json), (&'a str, &'a Json))| {
            (*value != Json::Null).then_some((key, Side { value, shown }))
        };
        value.iter().zip(shown.iter()).filter_map(pair).collect()
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
        (Json::Object(_), Json::Object(_)) => {
            both(&old.fields(), &new.fields(), found, |key| join(path, key));
        }
        (Json::Array(_), Json::Array(_)) => lists(path, &old.items(), &new.items(), found),
        _ => push(path, Some(old), Some(new), found),
    }
}

/// What stands under each key on either side, in the order of the keys.
fn both<'a>(
    old: &BTreeMap<&'a str, Side<'a>>,
    new: &BTreeMap<&'a str, Side<'a>>,
    found: &mut Vec<Difference>,
    place: impl Fn(&str) -> String,
) {
    let keys: std::collections::BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for key in keys {
        either(&place(key), old.get(key).copied(), new.get(key).copied(), found);
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
    let before = found.len();
    match (by_name(old), by_name(new)) {
        (Some(old), Some(new)) => {
            both(&old, &new, found, |name| format!("{path}[{}]", policy::one_line(name)));
        }
        _ => {
            missing(old, new).into_iter().for_each(|item| push(path, Some(item), None, found));
            missing(new, old).into_iter().for_each(|item| push(path, None, Some(item), found));
        }
    }
    if found.len() == before && before < MAX {
        found.push(Difference { path: path.to_owned(), old: None, new: None });
    }
}

/// The items by their names, where each has one of its own.
fn by_name<'a>(items: &[Side<'a>]) -> Option<BTreeMap<&'a str, Side<'a>>> {
    let named: BTreeMap<&str, Side<'a>> =
        items.iter().filter_map(|item| Some((item.name()?, *item))).collect();
    (named.len() == items.len()).then_some(named)
}

/// The items of `these` that have no partner in `those`, each partner counting once.
fn missing<'a>(these: &[Side<'a>], those: &[Side<'_>]) -> Vec<Side<'a>> {
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for item in those {
        *left.entry(item.value.to_string()).or_default() += 1;
    }
    let mut is_missing = |item: &&Side<'a>| match left.get_mut(&item.value.to_string()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    these.iter().filter(|item| is_missing(item)).take(MAX).copied().collect()
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
                "spec.m: true added",
                "spec.n: 1 removed",
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
