//! Every image that an object brings to a node.
//!
//! The table in [`fields`] says which fields of which kinds those are; [`coverage`] walks the API server's own schema
//! and finds every field that the table does not know, so that what Kubernetes adds later makes a test fail.

pub mod coverage;
pub mod fields;

use attest::json::ShapeError;
use attest::{Json, Object};

use crate::path::Path;
use crate::review::GroupKind;
use fields::POD_FIELDS;

/// One use of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageUse {
    /// Where it stands, as in `spec.containers[0].image`.
    pub path: String,
    /// The same as a JSON pointer, for a patch: `/spec/containers/0/image`.
    pub pointer: String,
    /// Who uses it: the container's or the volume's name; empty where the place has none.
    pub container: String,
    /// The reference as it is written.
    pub reference: String,
}

/// A custom resource that holds images, as the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomImages {
    /// The kind as in [`GroupKind::name`]: `Rollout.argoproj.io`.
    pub kind: String,
    /// Where.
    pub paths: Vec<Path>,
}

/// The image uses of an object, in the order of the table, then of the object. A kind that holds none has none.
///
/// # Errors
/// [`ShapeError`] where something at, or on the way to, an image is of another kind than the schema says: what cannot
/// be read is not "no image".
pub fn images(
    kind: &GroupKind,
    object: &Object,
    custom: &[CustomImages],
) -> Result<Vec<ImageUse>, ShapeError> {
    let mut uses = Vec::new();
    if let Some(prefix) = pod_prefix(kind) {
        for field in POD_FIELDS.iter().filter(|f| f.holds_image) {
            let pattern = format!("{prefix}{}", field.path);
            // INVARIANT: the table's paths parse; a test reads every one
            if let Ok(path) = Path::parse(&pattern) {
                collect(&path, object, &mut uses)?;
            }
        }
    }
    for entry in custom.iter().filter(|entry| entry.kind == kind.name()) {
        for path in &entry.paths {
            collect(path, object, &mut uses)?;
        }
    }
    Ok(uses)
}

/// Where the pod's own fields begin in a kind that is one, or holds a template of one: `spec.template.` and the like.
#[must_use]
pub fn pod_prefix(kind: &GroupKind) -> Option<&'static str> {
    let found = fields::POD_KINDS.iter().find(|(group, name, _)| kind.group == *group && kind.kind == *name);
    found.map(|(_, _, prefix)| *prefix)
}

/// The pod, or the template of one, in an object of a kind that has it.
#[must_use]
pub fn pod_in<'a>(kind: &GroupKind, object: &'a Object) -> Option<&'a Object> {
    let prefix = pod_prefix(kind)?;
    prefix.split('.').filter(|key| !key.is_empty()).try_fold(object, |at, key| at.get(key)?.as_object().ok())
}

fn collect(path: &Path, object: &Object, uses: &mut Vec<ImageUse>) -> Result<(), ShapeError> {
    for found in path.find(object).map_err(|e| ShapeError::new(&e.at, e.wanted, e.found))? {
        if *found.value != Json::Null {
            let reference = found.value.as_str().map_err(|e| e.within(&found.at))?.to_owned();
            let (path, pointer) = (found.at, found.pointer);
            uses.push(ImageUse { path, pointer, container: found.holder, reference });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::GroupKind;

    fn object(text: &str) -> Object {
        attest::json::parse(text.as_bytes()).unwrap().as_object().unwrap().clone()
    }

    #[test]
    fn every_place_of_a_pod_is_found_and_named() {
        let pod = object(
            r#"{"spec":{"containers":[{"name":"a","image":"x/a"},{"name":"none"}],
            "initContainers":[{"name":"i","image":"x/i"}],"ephemeralContainers":[{"name":"e","image":"x/e"}],
            "volumes":[{"name":"v","image":{"reference":"x/v"}},{"name":"r","rbd":{"image":"disk"}}]}}"#,
        );
        let kind = GroupKind::of("v1", "Pod");
        let uses = images(&kind, &pod, &[]).unwrap();
        let short: Vec<String> =
            uses.iter().map(|u| format!("{} {} {}", u.path, u.container, u.reference)).collect();
        assert_eq!(
            short,
            [
                "spec.containers[0].image a x/a",
                "spec.ephemeralContainers[0].image e x/e",
                "spec.initContainers[0].image i x/i",
                "spec.volumes[0].image.reference v x/v",
            ]
        );
    }

    #[test]
    fn another_shape_on_the_way_is_an_error_and_not_no_image() {
        let kind = GroupKind::of("v1", "Pod");
        for (text, at) in [
            (r#"{"spec":{"containers":{"image":"x"}}}"#, "spec.containers"),
            (r#"{"spec":{"containers":["x"]}}"#, "spec.containers[0]"),
            (r#"{"spec":{"containers":[{"image":5}]}}"#, "spec.containers[0].image"),
            (r#"{"spec":[]}"#, "spec"),
            (r#"{"spec":{"volumes":[{"image":"x"}]}}"#, "spec.volumes[0].image"),
        ] {
            assert_eq!(images(&kind, &object(text), &[]).unwrap_err().path, at, "{text}");
        }
    }

    #[test]
    fn a_custom_kind_of_the_same_name_is_another_kind() {
        let kind = GroupKind::of("evil.example/v1", "Pod");
        let pod = object(r#"{"spec":{"containers":[{"name":"a","image":"x"}],"it":{"a":{"image":"y"}}}}"#);
        assert_eq!(images(&kind, &pod, &[]).unwrap(), []);
        let paths = vec![Path::parse("spec.it.*.image").unwrap()];
        let custom = [CustomImages { kind: "Pod.evil.example".to_owned(), paths }];
        assert_eq!(images(&kind, &pod, &custom).unwrap()[0].path, "spec.it.a.image");
    }
}
