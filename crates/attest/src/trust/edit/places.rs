//! Where things stand in a trust root.

use jiff::Timestamp;

use crate::key::PublicKey;
use crate::time::parse_time;
use crate::yaml::{Node, Value};

/// A key at one of its places.
#[derive(Clone, Debug)]
pub(super) struct Occurrence<'a> {
    pub(super) name: &'a str,
    pub(super) key: PublicKey,
    pub(super) map: &'a Node,
}

impl Occurrence<'_> {
    /// Everything but the key itself, without places.
    pub(super) fn conditions(&self) -> Vec<String> {
        let one = |name: &str| field(self.map, name).map(words).unwrap_or_default();
        ["scheme", "from", "until", "revoked"].into_iter().map(one).collect()
    }
}

/// The value of a key in a map.
pub(super) fn field<'a>(map: &'a Node, name: &str) -> Option<&'a Node> {
    let Value::Map(pairs) = &map.value else { return None };
    pairs.iter().find(|(k, _)| is_text(k, name)).map(|(_, v)| v)
}

/// Section, name and map of everybody who may have keys.
pub(super) fn principals(root: &Node) -> impl Iterator<Item = (&str, &str, &Node)> {
    let without = ["groups", "logs", "witnesses", "sigstore", "version"];
    pairs(root)
        .filter(move |(section, _)| !without.contains(section))
        .flat_map(|(section, names)| pairs(names).map(move |(name, map)| (section, name, map)))
}

/// Every key at every place, in the order of the text.
pub(super) fn occurrences(root: &Node) -> Vec<Occurrence<'_>> {
    let mut found = Vec::new();
    for (_, name, map) in principals(root) {
        let Some(Value::List(items)) = field(map, "keys").map(|n| &n.value) else { continue };
        for map in items {
            let text = field(map, "key").and_then(|n| n.string().ok());
            let keys = text.and_then(|text| PublicKey::from_listed(text).ok()).unwrap_or_default();
            found.extend(keys.into_iter().map(|key| Occurrence { name, key, map }));
        }
    }
    found
}

/// The places of some keys, each once: an OpenPGP block is one place of all its keys.
pub(super) fn places_of(root: &Node, wanted: impl Fn(&Occurrence<'_>) -> bool) -> Vec<Occurrence<'_>> {
    let mut found: Vec<Occurrence<'_>> = occurrences(root).into_iter().filter(wanted).collect();
    found.dedup_by(|a, b| std::ptr::eq(a.map, b.map));
    found
}

/// A text in double quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A time or a date, as trust roots have them.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    if text.len() == 10 { parse_time(&format!("{text}T00:00:00Z")) } else { parse_time(text) }
}

fn pairs(map: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let pairs = match &map.value {
        Value::Map(pairs) => pairs.as_slice(),
        _ => &[],
    };
    pairs.iter().filter_map(|(key, value)| match &key.value {
        Value::Scalar { text, .. } => Some((text.as_str(), value)),
        _ => None,
    })
}

fn is_text(node: &Node, wanted: &str) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if text == wanted)
}

fn words(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, .. } => text.clone(),
        Value::List(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Map(_) => {
            pairs(node).map(|(key, value)| format!("{key}: {}", words(value))).collect::<Vec<_>>().join(", ")
        }
    }
}
