//! The API server's own schema, walked: every field that could hold an image, so that none is forgotten.
//!
//! Generous on purpose. A false alarm costs one line in the table with a reason; a field that was never looked at is a
//! way around the choke point.

use std::collections::BTreeSet;
use std::fmt;

use attest::json::ShapeError;
use attest::{Json, Object};

use super::fields::{OTHER_FIELDS, POD_FIELDS, POD_KINDS};

/// Words in a field's name that make it suspicious.
const SUSPICIOUS: [&str; 9] =
    ["image", "images", "artifact", "artifacts", "oci", "registry", "checkpoint", "restore", "rootfs"];
/// Deeper than any schema goes without a cycle.
const MAX_DEPTH: usize = 40;

/// One field of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// The kind's group.
    pub group: String,
    /// The kind's version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// Where, with `[*]` for lists and `.*` for maps.
    pub path: String,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = if self.group.is_empty() { "core" } else { &self.group };
        write!(f, "{group}/{} {} {}", self.version, self.kind, self.path)
    }
}

/// What the table and the schema say of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Fields of the schema that the table does not know: each could be a way around the choke point.
    pub unclassified: Vec<Field>,
    /// Entries of the table that no field of the schema stands for: the API moved, and the table did not.
    pub vanished: Vec<String>,
    /// How many fields were found and known.
    pub known: usize,
}

impl Coverage {
    /// Whether table and schema agree.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unclassified.is_empty() && self.vanished.is_empty()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for field in &self.unclassified {
            writeln!(f, "{field}: not classified; say in images/fields.rs whether it holds an image")?;
        }
        for entry in &self.vanished {
            writeln!(f, "{entry}: not in the schema any more; see what replaced it")?;
        }
        Ok(())
    }
}

/// Compares the table with all documents of one API server together (`/openapi/v3/…`, one [`Json`] each).
///
/// # Errors
/// [`ShapeError`] where a document has no `components.schemas`, or a reference leads nowhere.
pub fn coverage(documents: &[Json]) -> Result<Coverage, ShapeError> {
    let mut all = BTreeSet::new();
    for document in documents {
        all.extend(suspicious_fields(document)?);
    }
    Ok(compare(&all))
}

/// Compares the table with fields that were found.
#[must_use]
pub fn compare(found: &BTreeSet<Field>) -> Coverage {
    let mut table: Vec<(String, bool)> = entries().into_iter().map(|entry| (entry, false)).collect();
    let mut coverage = Coverage::default();
    for field in found {
        let group = if field.group.is_empty() { "core" } else { &field.group };
        let wanted = format!("{group} {} {}", field.kind, field.path);
        match table.iter_mut().find(|(entry, _)| *entry == wanted) {
            Some((_, seen)) => {
                *seen = true;
                coverage.known += 1;
            }
            None => coverage.unclassified.push(field.clone()),
        }
    }
    coverage.vanished = table.into_iter().filter(|(_, seen)| !seen).map(|(entry, _)| entry).collect();
    coverage
}

/// The table, as `group Kind path`.
fn entries() -> Vec<String> {
    let mut out = Vec::new();
    for (group, kind, prefix) in POD_KINDS {
        let group = if group.is_empty() { "core" } else { group };
        out.extend(POD_FIELDS.iter().map(|field| format!("{group} {kind} {prefix}{}", field.path)));
    }
    out.extend(OTHER_FIELDS.iter().map(|(group, kind, path, _)| format!("{group} {kind} {path}")));
    out
}

/// Every suspicious field of every top-level kind in one `/openapi/v3` document: text under a suspicious name, or
/// anywhere below one, and every field that may hold anything at all.
///
/// # Errors
/// [`ShapeError`] where the document has no `components.schemas`, or a reference leads nowhere.
pub fn suspicious_fields(document: &Json) -> Result<BTreeSet<Field>, ShapeError> {
    let components = document.as_object()?.optional_object("components")?;
    let Some(schemas) = components.map(|c| c.optional_object("schemas")).transpose()?.flatten() else {
        return Ok(BTreeSet::new());
    };
    let mut found = BTreeSet::new();
    for (name, schema) in schemas.iter() {
        let schema = schema.as_object().map_err(|e| e.within(name))?;
        // options of operations carry one entry for every group, and are never stored
        let [kind] = schema.optional_array("x-kubernetes-group-version-kind")? else { continue };
        let kind = kind.as_object()?;
        let mut walk = Walk { schemas, stack: vec![name.to_owned()], paths: BTreeSet::new() };
        walk.schema(schema, "", false)?;
        let text = |key| Ok::<_, ShapeError>(kind.optional_string(key)?.unwrap_or_default().to_owned());
        let (group, version, kind) = (text("group")?, text("version")?, text("kind")?);
        let field = |path| Field { group: group.clone(), version: version.clone(), kind: kind.clone(), path };
        // a list of a kind holds what the kind holds
        if !kind.ends_with("List") {
            found.extend(walk.paths.into_iter().map(field));
        }
    }
    Ok(found)
}

struct Walk<'a> {
    schemas: &'a Object,
    stack: Vec<String>,
    paths: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn schema(&mut self, schema: &'a Object, path: &str, suspicious: bool) -> Result<(), ShapeError> {
        if self.stack.len() > MAX_DEPTH {
            return Err(ShapeError::new(path, "a schema of finite depth", "one that goes on and on"));
        }
        if suspicious && matches!(schema.optional_string("type")?, Some("string")) {
            self.paths.insert(path.to_owned());
        }
        self.references(schema, path, suspicious)?;
        if let Some(properties) = schema.optional_object("properties")? {
            for (key, value) in properties.iter() {
                let place = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                let is_suspicious = suspicious || is_suspicious(key);
                self.schema(value.as_object().map_err(|e| e.within(&place))?, &place, is_suspicious)?;
            }
        }
        if let Some(items) = schema.optional_object("items")? {
            self.schema(items, &format!("{path}[*]"), suspicious)?;
        }
        if let Some(Json::Object(values)) = schema.get("additionalProperties") {
            self.schema(values, &format!("{path}.*"), suspicious)?;
        }
        Ok(())
    }

    fn references(&mut self, schema: &'a Object, path: &str, suspicious: bool) -> Result<(), ShapeError> {
        if let Some(target) = schema.optional_string("$ref")? {
            self.follow(target, path, suspicious)?;
        }
        for key in ["allOf", "oneOf", "anyOf"] {
            for part in schema.optional_array(key)? {
                self.schema(part.as_object()?, path, suspicious)?;
            }
        }
        Ok(())
    }

    fn follow(&mut self, target: &str, path: &str, suspicious: bool) -> Result<(), ShapeError> {
        let name = target.rsplit('/').next().unwrap_or_default();
        if name.ends_with(".RawExtension") {
            self.paths.insert(path.to_owned());
        }
        if self.stack.iter().any(|known| known == name) {
            return Ok(()); // a cycle: its fields are listed where it began
        }
        let next = self.schemas.get(name).ok_or_else(|| ShapeError::new(path, target, "nothing"))?;
        self.stack.push(name.to_owned());
        let outcome = self.schema(next.as_object()?, path, suspicious);
        self.stack.pop();
        outcome
    }
}

/// Whether one of the name's words says "image", or something that becomes one.
fn is_suspicious(name: &str) -> bool {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut was_upper = true;
    for c in name.chars() {
        if c.is_ascii_uppercase() && !was_upper {
            words.push(std::mem::take(&mut word));
        }
        was_upper = c.is_ascii_uppercase();
        word.push(c.to_ascii_lowercase());
    }
    words.push(word);
    words.iter().any(|word| SUSPICIOUS.iter().any(|s| word == s || (s.len() > 4 && word.ends_with(s))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(schemas: &str) -> Vec<String> {
        let text = format!(r#"{{"components":{{"schemas":{{{schemas}}}}}}}"#);
        let document = attest::json::parse(text.as_bytes()).unwrap();
        suspicious_fields(&document).unwrap().into_iter().map(|f| f.path).collect()
    }

    const TOP: &str =
        r#""T":{"x-kubernetes-group-version-kind":[{"group":"","version":"v1","kind":"T"}],"properties":"#;

    #[test]
    fn a_new_field_is_found_wherever_it_hides() {
        for (properties, wanted) in [
            (r#"{"image":{"type":"string"}}"#, "image"),
            (r#"{"a":{"items":{"properties":{"runImage":{"type":"string"}}}}}"#, "a[*].runImage"),
            (r#"{"a":{"additionalProperties":{"properties":{"ociRef":{"type":"string"}}}}}"#, "a.*.ociRef"),
            (
                r#"{"images":{"items":{"properties":{"names":{"items":{"type":"string"}}}}}}"#,
                "images[*].names[*]",
            ),
            (r#"{"restoreFrom":{"type":"string"}}"#, "restoreFrom"),
            (r#"{"a":{"oneOf":[{"properties":{"artifact":{"type":"string"}}}]}}"#, "a.artifact"),
        ] {
            assert_eq!(paths(&format!("{TOP}{properties}}}")), [wanted], "{properties}");
        }
        for innocent in ["imagination", "society", "name", "registration"] {
            assert!(!is_suspicious(innocent), "{innocent}");
        }
    }

    #[test]
    fn cycles_end_and_dangling_references_are_errors() {
        let cycle = format!(
            r##"{TOP}{{"a":{{"$ref":"#/components/schemas/U"}}}}}},
            "U":{{"properties":{{"image":{{"type":"string"}},"u":{{"allOf":[{{"$ref":"#/components/schemas/U"}}]}}}}}}"##
        );
        assert_eq!(paths(&cycle), ["a.image"]);
        let text = format!(r##"{{"components":{{"schemas":{{{TOP}{{"a":{{"$ref":"#/x/Gone"}}}}}}}}}}}}"##);
        let error = suspicious_fields(&attest::json::parse(text.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "a: wanted #/x/Gone, found nothing");
    }

    #[test]
    fn an_unknown_and_a_vanished_field_are_both_named() {
        let field = |path: &str| Field {
            group: String::new(),
            version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            path: path.to_owned(),
        };
        let one = BTreeSet::from([field("spec.containers[*].image"), field("spec.sidecars[*].image")]);
        let coverage = compare(&one);
        assert_eq!(coverage.unclassified, [field("spec.sidecars[*].image")]);
        assert_eq!(coverage.known, 1);
        assert!(coverage.vanished.contains(&"core Pod spec.initContainers[*].image".to_owned()));
        assert!(!coverage.is_complete());
    }
}
