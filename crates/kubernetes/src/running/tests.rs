//! A Pod in every state that a node reports.

use super::*;

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn read(spec: &str, status: &str) -> Result<Pod, ShapeError> {
    let text = format!(
        r#"{{"kind":"Pod","metadata":{{"uid":"u","name":"web","namespace":"shop","creationTimestamp":"2026-11-23T01:00:00Z",
        "ownerReferences":[{{"apiVersion":"v1","kind":"Node","name":"n","uid":"0"}},
        {{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-1","uid":"rs","controller":true}}]}},
        "spec":{{"nodeName":"node-1",{spec}}},"status":{status}}}"#
    );
    Pod::read(attest::json::parse(text.as_bytes()).unwrap().as_object().unwrap())
}

#[test]
fn every_container_has_what_its_node_says_of_it() {
    let spec = format!(
        r#""containers":[{{"name":"a","image":"r.example/a@{A}"}}],
        "initContainers":[{{"name":"i","image":"r.example/i@{A}"}},
          {{"name":"s","image":"r.example/s@{A}","restartPolicy":"Always"}}],
        "ephemeralContainers":[{{"name":"e","image":"r.example/e:1"}}],
        "volumes":[{{"name":"v","image":{{"reference":"r.example/v@{A}"}}}}]"#
    );
    let status = format!(
        r#"{{"containerStatuses":[{{"name":"a","image":"x","imageID":"r.example/a@{B}",
            "state":{{"running":{{"startedAt":"2026-11-23T01:00:05Z"}}}}}},{{"name":"ghost","image":"r.example/ghost","imageID":""}}],
          "initContainerStatuses":[{{"name":"i","imageID":"r.example/i@{A}","state":{{"terminated":{{"startedAt":"2026-11-23T01:00:01Z"}}}}}},
            {{"name":"s","imageID":"{A}","state":{{"waiting":{{"reason":"PodInitializing"}}}}}}],
          "ephemeralContainerStatuses":[{{"name":"e","imageID":"docker-pullable://r.example/e@{B}"}}]}}"#
    );
    let pod = read(&spec, &status).unwrap();
    assert_eq!((pod.node.as_deref(), pod.is_mirror), (Some("node-1"), false));
    assert_eq!(pod.controller.as_ref().unwrap().workload("shop"), "shop/ReplicaSet/web-1");
    let mut short: Vec<String> = pod
        .containers
        .iter()
        .map(|c| {
            let compared = match c.comparison() {
                Comparison::Same => "same".to_owned(),
                Comparison::Other(digest) => format!("other {}", &digest.hex()[..1]),
                Comparison::Unknown => "unknown".to_owned(),
            };
            let decided = c.decided_as().map(|digest| digest.hex()[..1].to_owned()).unwrap_or_default();
            format!("{} {:?} {} {compared} as {decided}", c.name, c.role, c.state.name())
        })
        .collect();
    short.sort();
    assert_eq!(
        short,
        [
            "a Main running other b as a",
            // what was judged by its tag is looked for by what runs
            "e Ephemeral waiting unknown as b",
            "ghost Main waiting unknown as ",
            "i Init terminated same as a",
            // the runtime names the image's configuration
            "s Sidecar waiting unknown as a",
            "v Volume waiting unknown as a",
        ]
    );
}

#[test]
fn a_status_of_another_shape_is_an_error_and_not_nothing_that_runs() {
    let spec = r#""containers":[{"name":"a","image":"x"}]"#;
    for (status, path) in [
        (r#"{"containerStatuses":{}}"#, "containerStatuses"),
        (r#"{"containerStatuses":[{"image":"x"}]}"#, "containerStatuses[0].name"),
        (r#"{"containerStatuses":[{"name":"a","state":[]}]}"#, "containerStatuses[0].state"),
    ] {
        assert_eq!(read(spec, status).unwrap_err().path, path, "{status}");
    }
    assert!(read(r#""containers":[{"name":"a","image":5}]"#, "{}").is_err());
}

#[test]
fn a_container_of_the_same_name_in_another_list_is_another() {
    let spec = format!(
        r#""containers":[{{"name":"a","image":"r.example/a@{A}"}}],"ephemeralContainers":[{{"name":"b","image":"r.example/b@{A}"}}]"#
    );
    let status = format!(r#"{{"ephemeralContainerStatuses":[{{"name":"a","imageID":"r.example/a@{B}"}}]}}"#);
    let pod = read(&spec, &status).unwrap();
    assert_eq!(pod.containers[0].comparison(), Comparison::Unknown);
    assert_eq!((pod.containers.len(), pod.containers[2].role), (3, Role::Ephemeral));
}
