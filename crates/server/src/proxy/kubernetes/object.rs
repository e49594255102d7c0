//! From what a dry run gives back to what is judged, and then sent as it is.

use attest::{Json, Object};

use crate::proxy::kubernetes::path::Resource;

/// What the server writes into each new object, and takes from nobody.
const ASSIGNED: [&str; 6] =
    ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation", "selfLink"];
/// Labels by which a Job finds its Pods: they name the uid that the dry run made up.
const OF_JOBS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

/// The object that is judged and sent: what the dry run gave, at the version that was seen before it. Where the object is
/// another by then, the server says so, and nothing is stored.
pub(super) fn settled(mut object: Object, old: Option<&Object>, at: &Resource) -> Result<Object, String> {
    let (kind, version) = (text(&object, "kind"), text(&object, "apiVersion"));
    let wanted = match at.subresource.as_str() {
        "scale" => "autoscaling/v1".to_owned(),
        _ => at.api_version(),
    };
    if version != wanted || kind.is_empty() || kind == "Status" {
        return Err(format!("the dry run gave {kind} of {version}, where an object of {wanted} was wanted"));
    }
    match old {
        None => {
            if let Some(metadata) = inner(&mut object, &["metadata"]) {
                ASSIGNED.iter().for_each(|key| drop(metadata.remove(key)));
            }
            if kind == "Job" && at.group == "batch" {
                unbind_job(&mut object);
            }
        }
        Some(old) => {
            let seen = metadata(old, "resourceVersion");
            if seen.is_empty() {
                return Err("the object has no version: nobody could say whether it changed".to_owned());
            }
            let metadata = inner(&mut object, &["metadata"]).ok_or("the dry run gave no metadata")?;
            metadata.set("resourceVersion", seen);
        }
    }
    // who owns which field is the server's to say, from what changes
    if let Some(metadata) = inner(&mut object, &["metadata"]) {
        metadata.remove("managedFields");
    }
    Ok(object)
}

/// Takes out the uid of a Job that never was: the server makes another, and both would have to be one.
fn unbind_job(object: &mut Object) {
    let spec = object.object("spec").ok();
    if spec.is_some_and(|spec| spec.flag("manualSelector").unwrap_or(true)) {
        return;
    }
    for place in [&["metadata", "labels"][..], &["spec", "template", "metadata", "labels"]] {
        if let Some(labels) = inner(object, place) {
            OF_JOBS.iter().for_each(|key| drop(labels.remove(key)));
        }
    }
    if let Some(spec) = inner(object, &["spec"]) {
        spec.remove("selector");
    }
}

fn inner<'a>(object: &'a mut Object, path: &[&str]) -> Option<&'a mut Object> {
    path.iter().try_fold(object, |object, key| {
        let (_, value) = object.iter_mut().find(|(found, _)| found == key)?;
        match value {
            Json::Object(inner) => Some(inner),
            _ => None,
        }
    })
}

pub(super) fn text(object: &Object, key: &str) -> String {
    object.optional_string(key).ok().flatten().unwrap_or_default().to_owned()
}

pub(super) fn metadata(object: &Object, key: &str) -> String {
    let metadata = object.optional_object("metadata").ok().flatten();
    metadata.map(|metadata| text(metadata, key)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        match attest::json::parse(text.as_bytes()).unwrap() {
            Json::Object(object) => object,
            other => panic!("{other}"),
        }
    }

    fn at(group: &str, version: &str, subresource: &str) -> Resource {
        let text = str::to_owned;
        let (group, version, subresource) = (text(group), text(version), text(subresource));
        Resource { group, version, subresource, ..Resource::default() }
    }

    #[test]
    fn what_the_server_assigns_is_left_to_it() {
        let new = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p-x7","generateName":"p-","uid":"u",
            "resourceVersion":"1","creationTimestamp":"t","managedFields":[{}]},"spec":{}}"#;
        let settled = settled(object(new), None, &at("", "v1", "")).unwrap();
        let wanted =
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p-x7","generateName":"p-"},"spec":{}}"#;
        assert_eq!(settled, object(wanted));
    }

    #[test]
    fn a_change_is_bound_to_what_was_seen_and_not_to_what_the_dry_run_saw() {
        let old = object(r#"{"metadata":{"resourceVersion":"7"}}"#);
        let new =
            r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"uid":"u","resourceVersion":"8"}}"#;
        let bound = settled(object(new), Some(&old), &at("apps", "v1", "")).unwrap();
        assert_eq!(metadata(&bound, "resourceVersion"), "7");
        assert_eq!(metadata(&bound, "uid"), "u");
        let none = settled(object(new), Some(&object("{}")), &at("apps", "v1", "")).unwrap_err();
        assert!(none.contains("no version"), "{none}");
    }

    #[test]
    fn an_answer_that_is_not_the_object_is_none() {
        for (text, place) in [
            (r#"{"apiVersion":"v1","kind":"Status","status":"Success"}"#, at("", "v1", "")),
            (r#"{"apiVersion":"v1","kind":"Pod"}"#, at("apps", "v1", "")),
            (r#"{"apiVersion":"apps/v1","kind":"Deployment"}"#, at("apps", "v1", "scale")),
            (r#"{"apiVersion":"v1"}"#, at("", "v1", "")),
        ] {
            assert!(settled(object(text), None, &place).unwrap_err().contains("the dry run gave"), "{text}");
        }
    }

    #[test]
    fn a_job_finds_its_pods_by_the_uid_that_it_gets() {
        let job = |manual: &str| {
            let text = format!(
                r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"labels":{{"controller-uid":"u","a":"b"}}}},
                "spec":{{{manual}"selector":{{"matchLabels":{{"controller-uid":"u"}}}},
                "template":{{"metadata":{{"labels":{{"batch.kubernetes.io/controller-uid":"u","a":"b"}}}}}}}}}}"#
            );
            Json::from(settled(object(&text), None, &at("batch", "v1", "")).unwrap()).to_string()
        };
        let found = job("");
        assert!(!found.contains("controller-uid") && !found.contains("selector"), "{found}");
        assert_eq!(found.matches(r#""a":"b""#).count(), 2, "{found}");
        assert!(job(r#""manualSelector":true,"#).contains("matchLabels"));
    }
}
