//! The JSON Schema of the language, made from the table of rules: editors complete and check with it.

use attest::{Json, Object};

use crate::rule::{any_of, list_schema, object_schema, string_schema};
use crate::rules::{self, built_within::span_schema};

/// The schema of a policy file (JSON Schema 2020-12).
#[must_use]
pub fn schema() -> Json {
    let date = Object::new().with("type", "string").with("pattern", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$").into();
    let entry = object_schema(&[("from", date), ("require", require_schema())], &["from", "require"]);
    let words = |words: &[&str]| Json::from(Object::new().with("enum", words.to_vec()));
    let breakglass = object_schema(
        &[("group", string_schema()), ("expires", span_schema()), ("reviewed-within", span_schema())],
        &["group", "expires", "reviewed-within"],
    );
    let whole = object_schema(
        &[
            (
                "environment",
                described(string_schema(), "what this policy guards, as in prod/shop; `*` is one segment"),
            ),
            (
                "artifact",
                described(
                    any_of(vec![string_schema(), list_schema()]),
                    "what may be here: repository or package URIs",
                ),
            ),
            (
                "mode",
                described(words(&["enforce", "dry-run"]), "whether a refusal refuses; omitted means enforce"),
            ),
            ("require", described(require_schema(), "what must be true; every rule is asked")),
            (
                "upcoming",
                described(
                    Object::new().with("type", "array").with("items", entry).into(),
                    "judged and shown as warnings until the date, then required too",
                ),
            ),
            (
                "on-outage",
                described(
                    words(&["reject", "admit"]),
                    "what happens when our own parts fail; omitted means reject",
                ),
            ),
            (
                "standing",
                described(
                    span_schema(),
                    "how long what was admitted may be made again from the same template; 0d is never; omitted means 7d",
                ),
            ),
            ("breakglass", described(breakglass, "who may bypass the policy, for how long")),
        ],
        &["environment", "artifact", "require"],
    );
    let mut schema = Object::new()
        .with("$schema", "https://json-schema.org/draft/2020-12/schema")
        .with("title", "Portcullis policy");
    if let Json::Object(whole) = whole {
        for (key, value) in whole.iter() {
            schema.set(key, value.clone());
        }
    }
    schema.into()
}

fn require_schema() -> Json {
    let field = |r: &'static crate::rule::Rule| described((r.schema)(), r.summary);
    let known = || rules::all().filter(|r| r.read.is_some());
    let source: Vec<(&str, Json)> =
        known().filter_map(|r| Some((r.key.strip_prefix("source.")?, field(r)))).collect();
    let mut fields: Vec<(&str, Json)> =
        known().filter(|r| !r.key.starts_with("source.")).map(|r| (r.key, field(r))).collect();
    fields.push(("source", described(object_schema(&source, &[]), "where it came from")));
    object_schema(&fields, &[])
}

fn described(schema: Json, text: &str) -> Json {
    match schema {
        Json::Object(object) => object.with("description", text).into(),
        other => other,
    }
}
