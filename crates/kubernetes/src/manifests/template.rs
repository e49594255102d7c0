//! Manifests that people can read, with places where values go: `${name}`.

use std::collections::BTreeMap;

use attest::yaml::{Node, Value};
use attest::{Json, LoadError, Object};

use super::ManifestError;

/// The values of a template by their names.
pub(super) type Values = BTreeMap<&'static str, Json>;

/// The marks around the name of a value that is put in later, by the chart: characters that Unicode gives to nobody.
pub(super) const MARK: (char, char) = ('\u{e000}', '\u{e001}');

/// A value of the chart.
pub(super) fn mark(name: &str) -> String {
    format!("{}{name}{}", MARK.0, MARK.1)
}

/// Whether a text is a value of the chart.
pub(super) fn is_mark(text: &str) -> bool {
    text.starts_with(MARK.0)
}

/// The objects of a template, filled in.
pub(super) fn fill(name: &str, text: &str, values: &Values) -> Result<Vec<Json>, ManifestError> {
    text.split("\n---\n").map(|part| Ok(filled(&Node::parse(name, part).map_err(broken)?, values))).collect()
}

fn broken(error: LoadError) -> ManifestError {
    ManifestError::new("a template of ours is broken", "YAML", &error.to_string(), "please report it")
}

/// A document without places to fill.
pub(super) fn json(node: &Node) -> Json {
    filled(node, &Values::new())
}

fn filled(node: &Node, values: &Values) -> Json {
    match &node.value {
        Value::Scalar { text, plain } => scalar(text, *plain, values),
        Value::List(items) => Json::Array(items.iter().flat_map(|item| listed(item, values)).collect()),
        Value::Map(pairs) => {
            let pair = |(key, value): &(Node, Node)| match &key.value {
                Value::Scalar { text, .. } => Some((text.clone(), filled(value, values))),
                Value::List(_) | Value::Map(_) => None,
            };
            Json::Object(pairs.iter().filter_map(pair).collect::<Object>())
        }
    }
}

/// An item of a list: a value that is a list itself stands for all of its items.
fn listed(item: &Node, values: &Values) -> Vec<Json> {
    match (&item.value, filled(item, values)) {
        (Value::Scalar { .. }, Json::Array(items)) => items,
        (_, one) => vec![one],
    }
}

fn scalar(text: &str, plain: bool, values: &Values) -> Json {
    let whole = text.strip_prefix("${").and_then(|t| t.strip_suffix('}'));
    if let Some(value) = whole.and_then(|name| values.get(name)) {
        return value.clone();
    }
    if plain && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_or_else(|_| Json::from(text), Json::Int);
    }
    if plain && matches!(text, "true" | "false") {
        return Json::Bool(text == "true");
    }
    let put = |text: String, (name, value): (&&str, &Json)| match value {
        Json::String(value) => text.replace(&format!("${{{name}}}"), value),
        _ => text,
    };
    Json::String(values.iter().fold(text.to_owned(), put))
}
