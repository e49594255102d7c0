//! What of a request is a deployment, who is behind it, and what is refused before anything is judged.

mod world;

use kubernetes::{Context, Deployment, Judged, Nothing, Review, ReviewErrorKind, Subject, requests, unread};
use world::{Ask, ask, data, image, object, pod, standard, workload};

fn subject(ask: &Ask) -> Subject {
    Subject::of(&ask.review(), &standard(), Some(b"key"))
}

fn judged(ask: &Ask) -> Judged {
    match subject(ask) {
        Subject::Judged(judged) => judged,
        other => panic!("{other:?}"),
    }
}

fn deployments(ask: &Ask) -> Vec<Deployment> {
    let context = Context { secret_key: Some(b"key"), ..Context::default() };
    requests(&ask.review(), &judged(ask), &standard(), &context)
}

#[test]
fn the_reviews_of_another_project_are_read() {
    let Some(dir) = data("admission-review") else { return };
    for file in std::fs::read_dir(dir).unwrap() {
        let review = Review::parse(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        assert_eq!(
            (review.title().as_str(), review.user.username.as_str()),
            ("Pod default/nginx", "kubernetes-admin")
        );
        let Subject::Judged(judged) = Subject::of(&review, &standard(), None) else { panic!() };
        assert_eq!(judged.uses[0].image.path, "spec.containers[0].image");
        let made = requests(&review, &judged, &standard(), &Context::default());
        assert_eq!(
            (made[0].artifact.uri(), made[0].environment.as_str()),
            ("docker.io/library/alpine", "unclaimed/default")
        );
        assert!(made[0].artifact.digests().is_empty(), "a tag is no digest");
        assert!(!made[0].body.to_string().contains("managedFields"));
    }
}

#[test]
fn every_pod_of_the_pod_security_tests_is_read() {
    let Some(dir) = data("pod-security") else { return };
    let (mut count, mut folders) = (0, vec![dir]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let images =
                text.lines().filter(|l| l.trim_start_matches(['-', ' ']).starts_with("image: ")).count();
            let json = yaml_to_json(&attest::yaml::Node::parse("pod.yaml", &text).unwrap());
            let mut ask = ask("CREATE", "v1", "Pod");
            ask.object = Some(json.as_object().unwrap().clone());
            if let Some(object) = &mut ask.object {
                object.remove("metadata");
            }
            assert_eq!(judged(&ask).uses.len(), images, "{}", path.display());
            count += 1;
        }
    }
    assert_eq!(count, 142);
}

fn yaml_to_json(node: &attest::yaml::Node) -> attest::Json {
    use attest::yaml::Value;
    match &node.value {
        Value::Scalar { text, plain: true } => {
            attest::json::parse(text.as_bytes()).unwrap_or(text.as_str().into())
        }
        Value::Scalar { text, .. } => text.as_str().into(),
        Value::List(items) => attest::Json::Array(items.iter().map(yaml_to_json).collect()),
        Value::Map(pairs) => {
            let key = |node: &attest::yaml::Node| match &node.value {
                Value::Scalar { text, .. } => text.clone(),
                _ => panic!(),
            };
            attest::Json::Object(pairs.iter().map(|(k, v)| (key(k), yaml_to_json(v))).collect())
        }
    }
}

#[test]
fn what_is_no_review_is_an_error_with_its_place_and_its_uid() {
    let good = {
        let mut ask = ask("CREATE", "v1", "Pod");
        ask.object = Some(pod("x"));
        ask.json().to_string()
    };
    assert!(Review::parse(good.as_bytes()).is_ok());
    for (from, to, place) in [
        (
            r#""admission.k8s.io/v1""#,
            r#""admission.k8s.io/v1beta1""#,
            "apiVersion: wanted admission.k8s.io/v1, found admission.k8s.io/v1beta1",
        ),
        (
            r#""operation":"CREATE""#,
            r#""operation":"create""#,
            "request.operation: wanted CREATE, UPDATE, DELETE or CONNECT",
        ),
        (
            r#""username":"alice""#,
            r#""username":["alice"]"#,
            "request.userInfo.username: wanted a string, found a list",
        ),
        (
            r#""username":"alice""#,
            r#""username":"""#,
            "request.userInfo.username: wanted the name of who asks, found nothing",
        ),
        (r#""system:authenticated""#, "7", "request.userInfo.groups[0]: wanted a string, found a number"),
        (
            r#"{"name":"web","namespace":"shop"}"#,
            r#"{"name":"web","namespace":"bank"}"#,
            "request.object.metadata: wanted shop/web, as the request says, found bank/web",
        ),
        (
            r#"{"name":"web","namespace":"shop"}"#,
            r#"{"name":"db","namespace":"shop"}"#,
            "request.object.metadata: wanted shop/web, as the request says, found shop/db",
        ),
        (
            r#""apiVersion":"v1","kind":"Pod""#,
            r#""apiVersion":"v1","kind":"ConfigMap""#,
            "request.object.kind: wanted Pod, as the request says, found ConfigMap",
        ),
        (
            r#""operation":"CREATE""#,
            r#""operation":"UPDATE""#,
            "request.oldObject: wanted an object, found nothing",
        ),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from}");
        let error = Review::parse(bad.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(place), "{error}\n{place}");
        assert_eq!(error.uid.as_deref(), Some("1299d386-525b-4032-98ae-1949f69f9cfc"));
    }
    let twice = good.replace(r#""name":"web","image""#, r#""image":"innocent","name":"web","image""#);
    let error = Review::parse(twice.as_bytes()).unwrap_err();
    assert!(
        matches!(&error.kind, ReviewErrorKind::Json(e) if e.to_string().contains("duplicate key \"image\""))
    );
    assert!(error.uid.is_some(), "the uid stands near the start");
    let cut = Review::parse(&good.as_bytes()[..200]).unwrap_err();
    assert!(
        cut.uid.is_some()
            && kubernetes::answer_malformed(&cut).unwrap().to_string().contains("\"allowed\":false")
    );
    let huge = format!("{good}{}", " ".repeat(9 << 20));
    assert!(Review::parse(huge.as_bytes()).unwrap_err().to_string().contains("larger than 8388608 bytes"));
    let deep = good.replace(r#""image":"x""#, &format!(r#""image":{}1{}"#, "[".repeat(200), "]".repeat(200)));
    assert!(Review::parse(deep.as_bytes()).unwrap_err().to_string().contains("nested deeper than 64 levels"));
}

#[test]
fn unknown_fields_and_numbers_of_every_kind_are_let_be() {
    let mut ask = ask("CREATE", "example.com/v1", "Thing");
    ask.object = Some(object(r#"{"spec":{"ratio":1.5,"big":18446744073709551615,"text":"1.5"}}"#));
    let text = ask.json().to_string().replacen("{", r#"{"new":{"a":0.1},"#, 1);
    let review = Review::parse(text.as_bytes()).unwrap();
    let object = review.object.unwrap().to_string();
    assert!(object.contains(r#""ratio":1.5,"big":18446744073709551615,"text":"1.5""#), "{object}");
}

#[test]
fn what_is_nothing_to_judge_is_an_exact_list() {
    let web = image("shop", 'a');
    let with =
        |operation, api, kind, subresource, object: Option<&attest::Object>, old: Option<&attest::Object>| {
            let mut ask = ask(operation, api, kind);
            ask.subresource = subresource;
            (ask.object, ask.old) = (object.cloned(), old.cloned());
            subject(&ask)
        };
    let (pod, deployment) = (pod(&web), workload(&web));
    let empty = object("{}");
    for (found, name) in [
        (with("DELETE", "v1", "Pod", "", None, Some(&pod)), "delete"),
        (with("DELETE", "v1", "ConfigMap", "", None, None), "delete"),
        (with("CONNECT", "v1", "PodExecOptions", "exec", Some(&empty), None), "connect"),
        (with("CONNECT", "v1", "PodAttachOptions", "attach", Some(&empty), None), "connect"),
        (with("UPDATE", "autoscaling/v1", "Scale", "scale", Some(&empty), Some(&empty)), "scale"),
        (with("UPDATE", "apps/v1", "Deployment", "status", Some(&deployment), Some(&deployment)), "status"),
        (with("UPDATE", "v1", "Pod", "resize", Some(&pod), Some(&pod)), "resize"),
        (with("CREATE", "policy/v1", "Eviction", "eviction", Some(&empty), None), "eviction"),
        (with("CREATE", "v1", "Binding", "binding", Some(&empty), None), "binding"),
        (with("CREATE", "v1", "Service", "", Some(&empty), None), "not-deployed"),
        (with("CREATE", "coordination.k8s.io/v1", "Lease", "", Some(&empty), None), "not-deployed"),
        // the same kind in another group is not the guarded one
        (with("CREATE", "evil.example/v1", "ConfigMap", "", Some(&empty), None), "not-deployed"),
    ] {
        assert!(matches!(&found, Subject::Nothing(n) if n.name() == name), "{name}: {found:?}");
    }
    assert_eq!(
        with("CONNECT", "v1", "PodExecOptions", "exec", None, None),
        Subject::Nothing(Nothing::Connect("exec".to_owned()))
    );
}

#[test]
fn what_goes_already_may_go_and_may_not_become_something_else() {
    let going = |image: &str| {
        let mut pod = pod(image);
        let metadata =
            attest::Object::new().with("name", "web").with("deletionTimestamp", "2026-11-22T00:00:00Z");
        pod.set("metadata", metadata);
        pod
    };
    let mut ask = ask("UPDATE", "v1", "Pod");
    (ask.object, ask.old) = (Some(going(&image("shop", 'a'))), Some(going(&image("shop", 'a'))));
    assert_eq!(subject(&ask), Subject::Nothing(Nothing::Deleting));
    ask.object = Some(going(&image("evil", 'b')));
    assert!(!judged(&ask).uses[0].unchanged);
    // a time that only the new object has was written by the requester
    (ask.object, ask.old) = (Some(going(&image("shop", 'a'))), Some(pod(&image("shop", 'a'))));
    assert!(matches!(subject(&ask), Subject::Judged(_)));
}

#[test]
fn the_clusters_certificate_is_its_publishers_alone() {
    let mut ask = ask("CREATE", "v1", "ConfigMap");
    ask.name = "kube-root-ca.crt";
    ask.object = Some(object(r#"{"metadata":{"name":"kube-root-ca.crt"},"data":{"ca.crt":"x"}}"#));
    assert!(matches!(subject(&ask), Subject::Judged(_)), "anybody else's is judged");
    ask.user = "system:serviceaccount:kube-system:root-ca-cert-publisher";
    assert_eq!(subject(&ask), Subject::Nothing(Nothing::ClusterCertificate));
    ask.name = "flags";
    ask.object = Some(object(r#"{"metadata":{"name":"flags"},"data":{"ca.crt":"x"}}"#));
    assert!(matches!(subject(&ask), Subject::Judged(_)), "and another object of the publisher's");
}

#[test]
fn a_subresource_that_changes_what_is_judged_is_judged() {
    for subresource in ["status", "resize", "scale", "ephemeralcontainers", "anything"] {
        let mut ask = ask("UPDATE", "v1", "Pod");
        ask.subresource = subresource;
        (ask.object, ask.old) = (Some(pod(&image("evil", 'b'))), Some(pod(&image("shop", 'a'))));
        let uses = judged(&ask).uses;
        assert!(!uses[0].unchanged, "{subresource}");
    }
    let mut ask = ask("UPDATE", "v1", "ConfigMap");
    ask.subresource = "status";
    (ask.object, ask.old) = (Some(object(r#"{"data":{"a":"2"}}"#)), Some(object(r#"{"data":{"a":"1"}}"#)));
    let configuration = judged(&ask).configuration.unwrap();
    assert!(!configuration.unchanged);
    assert_eq!(configuration.changes[0].to_string(), r#"data.a: "1" became "2""#);
}

#[test]
fn an_update_is_unchanged_only_container_by_container() {
    let (a, b) = (image("shop", 'a'), image("tool", 'b'));
    let two = |x: &str, y: &str| {
        object(&format!(
            r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"x","image":"{x}"}},{{"name":"y","image":"{y}"}}]}}}}}}}}"#
        ))
    };
    let unchanged = |old: &attest::Object, new: &attest::Object| {
        let mut ask = ask("UPDATE", "apps/v1", "Deployment");
        (ask.object, ask.old) = (Some(new.clone()), Some(old.clone()));
        judged(&ask).uses.iter().map(|u| u.unchanged).collect::<Vec<_>>()
    };
    assert_eq!(unchanged(&two(&a, &b), &two(&a, &b)), [true, true]);
    assert_eq!(unchanged(&two(&a, &b), &two(&b, &a)), [false, false], "the same set, other containers");
    assert_eq!(unchanged(&two(&a, &b), &two(&a, &a)), [false, false], "a template is made anew whole");
    assert_eq!(
        unchanged(&object(r#"{"spec":{"template":{"spec":{"containers":"x"}}}}"#), &two(&a, &b)),
        [false, false]
    );
    let mut create = ask("CREATE", "apps/v1", "Deployment");
    (create.object, create.old) = (Some(two(&a, &b)), Some(two(&a, &b)));
    assert!(!judged(&create).uses[0].unchanged, "an old object that comes with a CREATE says nothing");
}

#[test]
fn a_debug_container_is_judged_and_what_runs_beside_it_is_not_blocked() {
    let a = image("shop", 'a');
    let debug = |image: &str| {
        object(&format!(
            r#"{{"spec":{{"containers":[{{"name":"web","image":"{a}"}}],"ephemeralContainers":[{{"name":"debugger","image":"{image}"}}]}}}}"#
        ))
    };
    let mut ask = ask("UPDATE", "v1", "Pod");
    ask.subresource = "ephemeralcontainers";
    // the very image that runs already: still a new container
    for image in [&a, &image("busybox", 'b')] {
        (ask.object, ask.old) = (Some(debug(image)), Some(pod(&a)));
        let made = deployments(&ask);
        let seen: Vec<(String, bool)> = made.iter().map(|d| (d.place(), d.unchanged)).collect();
        let wanted = [("spec.containers[0].image", true), ("spec.ephemeralContainers[0].image", false)];
        assert_eq!(seen, wanted.map(|(p, u)| (p.to_owned(), u)));
    }
}

#[test]
fn a_guarded_workload_is_judged_with_every_flag_and_without_its_replicas() {
    let with = |args: &str, replicas: i32| {
        object(&format!(
            r#"{{"spec":{{"replicas":{replicas},"template":{{"spec":{{"containers":[{{"name":"web","image":"{}","args":[{args}]}}]}}}}}}}}"#,
            image("shop", 'a')
        ))
    };
    let mut ask = ask("UPDATE", "apps/v1", "Deployment");
    ask.name = "guarded";
    (ask.object, ask.old) = (Some(with(r#""--debug""#, 1)), Some(with("", 1)));
    let found = judged(&ask);
    let configuration = found.configuration.clone().unwrap();
    assert_eq!(
        configuration.changes[0].to_string(),
        r#"spec.template.spec.containers[web].args: "--debug" added"#
    );
    assert!(!configuration.unchanged && !found.uses[0].unchanged);
    let made = deployments(&ask);
    assert_eq!(made[1].artifact.uri(), "kubernetes:shop/Deployment/guarded");
    assert_eq!(made[1].artifact.digest(), Some(configuration.digest));
    (ask.object, ask.old) = (Some(with("", 9)), Some(with("", 1)));
    assert!(judged(&ask).configuration.unwrap().unchanged, "the autoscaler owns the replicas");
}

#[test]
fn names_with_colons_stay_whole_in_an_artifacts_name() {
    let mut ask = ask("CREATE", "rbac.authorization.k8s.io/v1", "ClusterRole");
    (ask.namespace, ask.name) = ("", "system:admin");
    ask.object = Some(object(r#"{"rules":[]}"#));
    let made = deployments(&ask);
    assert_eq!(made[0].artifact.uri(), "kubernetes:ClusterRole/system%3Aadmin");
    assert_eq!(made[0].environment, "prod/cluster");
}

#[test]
fn a_secret_is_bound_and_never_kept() {
    let mut ask = ask("CREATE", "v1", "Secret");
    ask.object = Some(object(r#"{"data":{"a":"aHVudGVyMg=="}}"#));
    let made = deployments(&ask);
    let body = made[0].body.to_string();
    assert!(!body.contains("aHVudGVyMg") && body.contains("hmac-sha256:"), "{body}");
    let Subject::Refused(refusal) = Subject::of(&ask.review(), &standard(), None) else { panic!() };
    assert_eq!((refusal.code, refusal.message.contains("none is configured")), ("no-digest", true));
}

#[test]
fn a_binding_may_not_smuggle_our_annotations_into_a_pod() {
    for (annotations, is_refused) in
        [(r#"{"portcullis.dev/breakglass":"sha256:x"}"#, true), (r#"{"x/y":"z"}"#, false)]
    {
        let mut ask = ask("CREATE", "v1", "Binding");
        ask.subresource = "binding";
        ask.object = Some(object(&format!(r#"{{"metadata":{{"annotations":{annotations}}}}}"#)));
        match subject(&ask) {
            Subject::Refused(refusal) => assert!(is_refused && refusal.code == "binding-annotation"),
            other => assert!(!is_refused && other == Subject::Nothing(Nothing::Binding)),
        }
    }
}

#[test]
fn only_its_own_node_registers_a_mirror_pod_and_only_where_that_is_allowed() {
    let mirror = object(
        r#"{"metadata":{"annotations":{"kubernetes.io/config.mirror":"x"}},"spec":{"nodeName":"n1","containers":[{"name":"a","image":"x"}]}}"#,
    );
    let mut ask = ask("CREATE", "v1", "Pod");
    (ask.namespace, ask.user, ask.groups) = ("kube-system", "system:node:n1", &["system:nodes"]);
    ask.object = Some(mirror.clone());
    assert_eq!(subject(&ask), Subject::Nothing(Nothing::MirrorPod));
    let attempts: [fn(&mut Ask); 4] =
        [|a| a.user = "alice", |a| a.user = "system:node:n2", |a| a.groups = &[], |a| a.namespace = "shop"];
    for change in attempts {
        let mut other = Ask { object: Some(mirror.clone()), old: None, ..world::ask("CREATE", "v1", "Pod") };
        (other.namespace, other.user, other.groups) = ("kube-system", "system:node:n1", &["system:nodes"]);
        change(&mut other);
        assert_eq!(judged(&other).uses.len(), 1);
    }
}

#[test]
fn an_object_that_cannot_be_read_is_refused_with_its_place() {
    for (text, code, place) in [
        (r#"{"spec":{"containers":[{"image":["x"]}]}}"#, "malformed-object", "spec.containers[0].image"),
        (r#"{"spec":{"containers":"x"}}"#, "malformed-object", "spec.containers"),
    ] {
        let mut ask = ask("CREATE", "v1", "Pod");
        ask.object = Some(object(text));
        let Subject::Refused(refusal) = subject(&ask) else { panic!("{text}") };
        assert_eq!((refusal.code, refusal.place.as_str()), (code, place));
    }
    let mut ask = ask("CREATE", "apps/v2", "Deployment");
    ask.object = Some(workload("x"));
    let Subject::Refused(refusal) = subject(&ask) else { panic!() };
    assert_eq!((refusal.code, refusal.found.as_str()), ("unknown-version", "apps/v2"));
    let mut ask = world::ask("CREATE", "v1", "Pod");
    let many: Vec<String> = (0..300).map(|i| format!(r#"{{"name":"c{i}","image":"x"}}"#)).collect();
    ask.object = Some(object(&format!(r#"{{"spec":{{"containers":[{}]}}}}"#, many.join(","))));
    let Subject::Refused(refusal) = subject(&ask) else { panic!() };
    assert_eq!((refusal.code, refusal.found.as_str()), ("too-many-images", "300"));
    let mut made = unread(&ask.review(), &refusal, &standard(), &Context::default());
    assert_eq!((made.artifact.uri(), made.artifact.digest()), ("kubernetes:shop/Pod/web", None));
    assert_eq!(made.body.as_object().unwrap().int("parts").unwrap(), 1);
    assert_eq!(made.request("eu-1").unreadable, [refusal.unreadable()]);
}

#[test]
fn one_image_in_eight_containers_is_one_deployment_and_two_tags_are_two() {
    let a = image("shop", 'a');
    let containers = |images: &[&str]| {
        let items: Vec<String> = images
            .iter()
            .enumerate()
            .map(|(i, image)| format!(r#"{{"name":"c{i}","image":"{image}"}}"#))
            .collect();
        let mut ask = ask("CREATE", "v1", "Pod");
        ask.object = Some(object(&format!(r#"{{"spec":{{"containers":[{}]}}}}"#, items.join(","))));
        deployments(&ask)
    };
    let tagged = a.replace("shop@", "shop:1.2@");
    let made = containers(&[&a, &a, &a, &a, &tagged, &a, &a, &a]);
    assert_eq!(made.len(), 1, "the digest decides, not the tag");
    assert_eq!(containers(&["x:1", "x:2", "x", "docker.io/library/x:1"]).len(), 3);
    let made = containers(&["Nginx", "x", "y@sha256:zz", "Nginx"]);
    let told: Vec<_> = made.iter().map(|d| (d.artifact.uri(), d.unreadable.first())).collect();
    assert_eq!((made.len(), told[1]), (3, ("docker.io/library/x", None)), "each on record, and all at once");
    let (first, last) = (told[0].1.unwrap(), told[2].1.unwrap());
    assert_eq!((first.code, first.place.as_str()), ("image-reference", "spec.containers[0].image"));
    assert_eq!(made[0].place(), "spec.containers[0].image, spec.containers[3].image");
    assert!(last.message.contains("`sha256:zz` is no sha256 or sha512 digest"), "{last}");
    assert!(made[2].artifact.digests().is_empty() && told[2].0 == "y");
    assert_eq!(made[2].clone().request("eu-1").unreadable, [last.unreadable()]);
}

#[test]
fn a_custom_resource_is_read_by_its_configured_paths() {
    let mut ask = ask("CREATE", "argoproj.io/v1alpha1", "Rollout");
    ask.object = Some(workload(&image("shop", 'a')));
    assert_eq!(deployments(&ask)[0].place(), "spec.template.spec.containers[0].image");
}

#[test]
fn annotations_that_cannot_be_read_are_said_of_each_image() {
    let annotated = |image: &str| {
        object(&format!(
            r#"{{"metadata":{{"annotations":{{"portcullis.dev/evidense":"x"}}}},"spec":{{"containers":[{{"name":"web","image":"{image}"}}]}}}}"#
        ))
    };
    let mut ask = ask("CREATE", "v1", "Pod");
    ask.object = Some(annotated(&image("shop", 'a')));
    let refused = deployments(&ask).remove(0).unreadable;
    assert_eq!(
        (refused.len(), refused[0].place.as_str()),
        (1, "metadata.annotations[portcullis.dev/evidense]")
    );
    assert_eq!(refused[0].fix, "write portcullis.dev/evidence");
    ask.operation = "UPDATE";
    ask.old = ask.object.clone();
    assert!(deployments(&ask)[0].unchanged);
}

#[test]
fn row_70_fewer_replicas_and_another_image_are_judged() {
    // policy-controller compared the replicas alone, and left the template be where there were fewer of them
    let with = |tag: char, replicas: i32| {
        object(&format!(
            r#"{{"spec":{{"replicas":{replicas},"template":{{"spec":{{"containers":[{{"name":"web","image":"{}"}}]}}}}}}}}"#,
            image("shop", tag)
        ))
    };
    for (kind, name) in
        [("Deployment", "web"), ("StatefulSet", "web"), ("ReplicaSet", "web"), ("Deployment", "guarded")]
    {
        let mut ask = ask("UPDATE", "apps/v1", kind);
        ask.name = name;
        (ask.object, ask.old) = (Some(with('b', 4)), Some(with('a', 5)));
        let found = judged(&ask);
        assert!(!found.uses[0].unchanged, "{kind} {name}");
        assert!(found.configuration.is_none_or(|c| !c.unchanged), "{kind} {name}");
        ask.object = Some(with('a', 4));
        assert!(judged(&ask).uses[0].unchanged, "{kind} {name}: nothing but the replicas changed");
    }
}
