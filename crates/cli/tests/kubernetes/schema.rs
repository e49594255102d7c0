//! What the live API server's own schema says about where images stand.

use std::collections::{BTreeMap, BTreeSet};

use attest::json::Limits;
use attest::{Json, Object};

use super::cluster::Cluster;

/// Every schema of the server, by name.
pub struct Schemas(BTreeMap<String, Json>);

/// No document of the API nests deeper; a schema that contains itself is cut here.
const DEPTH: usize = 24;

impl Schemas {
    /// Fetches every document below `/openapi/v3`.
    pub fn fetch(cluster: &Cluster) -> Self {
        let mut all = BTreeMap::new();
        for document in Self::documents(cluster) {
            let schemas = at(&document, &["components", "schemas"]).and_then(|s| s.as_object().ok());
            for (name, schema) in schemas.into_iter().flat_map(Object::iter) {
                all.insert(name.to_owned(), schema.clone());
            }
        }
        Self(all)
    }

    /// The documents themselves, as they came.
    pub fn documents(cluster: &Cluster) -> Vec<Json> {
        let index = read(cluster, "/openapi/v3");
        let paths = at(&index, &["paths"]).unwrap().as_object().unwrap();
        let address =
            |entry: &Json| entry.as_object().unwrap().string("serverRelativeURL").unwrap().to_owned();
        paths.iter().map(|(_, entry)| read(cluster, &address(entry))).collect()
    }

    /// Every place in every kind where a text whose name sounds like an image may stand, as in
    /// `apps/v1 Deployment spec.template.spec.containers[*].image`.
    pub fn image_like(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for schema in self.0.values() {
            // a list holds the same objects, and nobody sends one for admission
            for kind in kinds(schema).into_iter().filter(|kind| !kind.ends_with("List")) {
                self.walk(schema, &kind, String::new(), &mut Vec::new(), &mut found);
            }
        }
        found
    }

    fn walk(
        &self,
        schema: &Json,
        kind: &str,
        path: String,
        seen: &mut Vec<String>,
        found: &mut BTreeSet<String>,
    ) {
        let Ok(object) = schema.as_object() else { return };
        if seen.len() > DEPTH {
            return;
        }
        for name in references(object) {
            // a schema that contains itself is looked at once on each way down
            if let Some(next) = self.0.get(&name).filter(|_| !seen.contains(&name)) {
                seen.push(name);
                self.walk(next, kind, path.clone(), seen, found);
                seen.pop();
            }
        }
        if at(schema, &["type"]).is_some_and(|t| t == &Json::from("string")) && is_image_like(&path) {
            found.insert(format!("{kind} {path}"));
        }
        if let Some(items) = object.get("items") {
            self.walk(items, kind, format!("{path}[*]"), seen, found);
        }
        if let Some(values) = object.get("additionalProperties") {
            self.walk(values, kind, format!("{path}.*"), seen, found);
        }
        let properties = object.get("properties").and_then(|p| p.as_object().ok());
        for (name, property) in properties.into_iter().flat_map(Object::iter) {
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            self.walk(property, kind, path, seen, found);
        }
    }
}

/// `image`, `imageID`, `volumes[*].image.reference`, and whatever else has an image in its last two names.
fn is_image_like(path: &str) -> bool {
    let last: Vec<&str> = path.rsplit('.').take(2).collect();
    last.iter().any(|name| name.to_lowercase().contains("image"))
}

fn references(object: &Object) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |object: &Object| {
        if let Ok(text) = object.string("$ref") {
            names.extend(text.rsplit('/').next().map(str::to_owned));
        }
    };
    add(object);
    for key in ["allOf", "oneOf", "anyOf"] {
        if let Some(Json::Array(items)) = object.get(key) {
            items.iter().filter_map(|item| item.as_object().ok()).for_each(&mut add);
        }
    }
    names
}

/// `apps/v1 Deployment`; `v1 Pod`.
fn kinds(schema: &Json) -> Vec<String> {
    let Some(Json::Array(kinds)) = at(schema, &["x-kubernetes-group-version-kind"]) else {
        return Vec::new();
    };
    let text = |kind: &Json, key: &str| kind.as_object().unwrap().string(key).unwrap_or_default().to_owned();
    let name = |kind: &Json| {
        let group = text(kind, "group");
        let version = text(kind, "version");
        let group = if group.is_empty() { version } else { format!("{group}/{version}") };
        format!("{group} {}", text(kind, "kind"))
    };
    kinds.iter().map(name).collect()
}

fn read(cluster: &Cluster, path: &str) -> Json {
    let (status, body) = cluster.get(path).unwrap();
    assert_eq!(status, 200, "{path}");
    let limits = Limits { bytes: 64 << 20, depth: 64, values: 5_000_000, exact_numbers: true };
    attest::json::parse_with(&body, limits).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A value inside a value.
pub fn at<'j>(json: &'j Json, path: &[&str]) -> Option<&'j Json> {
    path.iter().try_fold(json, |json, key| json.as_object().ok()?.get(key))
}
