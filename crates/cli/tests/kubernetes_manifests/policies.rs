//! What the admission policies refuse while the choke point does not run, and what they leave alone.

use super::{EMERGENCY, Guarded, IMAGE, KEEPER, LOOSE, OTHER, PINNED, pod};

const DIGESTS: &str = "ValidatingAdmissionPolicy 'digests.portcullis.dev'";
const OWNERS: &str = "ValidatingAdmissionPolicy 'owners.portcullis.dev'";
const BINDINGS: &str = "ValidatingAdmissionPolicy 'bindings.portcullis.dev'";
const OWN_IMAGES: &str = "ValidatingAdmissionPolicy 'own-images.portcullis.dev'";
const OWN_OBJECTS: &str = "ValidatingAdmissionPolicy 'own-objects.portcullis.dev'";

/// Every kind with a Pod in it: where it is created, and the object around the Pod's spec.
const KINDS: [(&str, &str, &str); 9] = [
    ("/api/v1", "pods", r#""kind":"Pod","spec":SPEC"#),
    ("/api/v1", "podtemplates", r#""kind":"PodTemplate","template":TEMPLATE"#),
    (
        "/api/v1",
        "replicationcontrollers",
        r#""kind":"ReplicationController","spec":{"selector":{"a":"b"},"template":TEMPLATE}"#,
    ),
    (
        "/apis/apps/v1",
        "daemonsets",
        r#""kind":"DaemonSet","spec":{"selector":{"matchLabels":{"a":"b"}},"template":TEMPLATE}"#,
    ),
    (
        "/apis/apps/v1",
        "deployments",
        r#""kind":"Deployment","spec":{"selector":{"matchLabels":{"a":"b"}},"template":TEMPLATE}"#,
    ),
    (
        "/apis/apps/v1",
        "replicasets",
        r#""kind":"ReplicaSet","spec":{"selector":{"matchLabels":{"a":"b"}},"template":TEMPLATE}"#,
    ),
    (
        "/apis/apps/v1",
        "statefulsets",
        r#""kind":"StatefulSet","spec":{"serviceName":"s","selector":{"matchLabels":{"a":"b"}},"template":TEMPLATE}"#,
    ),
    ("/apis/batch/v1", "jobs", r#""kind":"Job","spec":{"template":ONCE}"#),
    (
        "/apis/batch/v1",
        "cronjobs",
        r#""kind":"CronJob","spec":{"schedule":"0 0 * * *","jobTemplate":{"spec":{"template":ONCE}}}"#,
    ),
];

fn object(prefix: &str, name: &str, around: &str, spec: &str) -> String {
    let template = |policy: &str| {
        format!(
            r#"{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"restartPolicy":"{policy}",{}}}"#,
            &spec[1..]
        )
    };
    let around = around.replace("TEMPLATE", &template("Always")).replace("ONCE", &template("Never"));
    let version = prefix.trim_start_matches("/apis/").trim_start_matches("/api/");
    format!(r#"{{"apiVersion":"{version}","metadata":{{"name":"{name}"}},{}}}"#, around.replace("SPEC", spec))
}

/// A Pod's spec in which one field holds `image`, and all others are pinned.
fn specs(image: &str) -> [(&'static str, String); 3] {
    let pinned = format!(r#"{{"name":"c","image":"{PINNED}"}}"#);
    [
        ("containers", format!(r#"{{"containers":[{pinned},{{"name":"d","image":"{image}"}}]}}"#)),
        (
            "init",
            format!(r#"{{"containers":[{pinned}],"initContainers":[{{"name":"i","image":"{image}"}}]}}"#),
        ),
        (
            "volumes",
            format!(
                r#"{{"containers":[{pinned}],"volumes":[{{"name":"v","image":{{"reference":"{image}"}}}}]}}"#
            ),
        ),
    ]
}

#[test]
fn every_image_of_every_kind_is_pinned_without_the_choke_point() {
    let Some(guarded) = Guarded::start(&["3-policies.yaml"]) else { return };
    let post = |namespace: &str, prefix: &str, resource: &str, body: &str| {
        let path = format!("{prefix}/namespaces/{namespace}/{resource}?dryRun=All");
        let (status, body) = guarded.cluster.ask("POST", &path, body).unwrap();
        (status, String::from_utf8(body).unwrap())
    };
    let bad =
        [LOOSE, "shop", "registry.example/shop@sha256:abc", &format!("{PINNED}0"), &PINNED.replace('b', "B")];
    for (prefix, resource, around) in KINDS {
        for (field, spec) in bad.iter().flat_map(|image| specs(image)) {
            let body = object(prefix, "tried", around, &spec);
            let (status, text) = post("shop", prefix, resource, &body);
            assert_eq!(status, 403, "{resource} {field}: {text}\n{body}");
            assert!(
                text.contains(DIGESTS) && text.contains("without a digest: "),
                "{resource} {field}: {text}"
            );
        }
        let (status, text) =
            post("shop", prefix, resource, &object(prefix, "tried", around, &specs(PINNED)[2].1));
        assert_eq!(status, 201, "{resource}: {text}");
        // where policies only tell, and where nobody claims anything, nothing is refused by this
        let loose = object(prefix, "tried", around, &specs(LOOSE)[0].1);
        for namespace in ["shop-staging", "other"] {
            let (status, text) = post(namespace, prefix, resource, &loose);
            assert_eq!(status, 201, "{namespace} {resource}: {text}");
        }
    }
    let said = guarded.ok(OTHER, "shop-staging", &["create", "-f", "-"], &pod("told", &specs(LOOSE)[0].1));
    assert!(said.contains("Warning") && said.contains("write NAME@sha256:HEX"), "{said}");
    guarded.refused(
        OTHER,
        "shop",
        &["create", "-f", "-"],
        &pod("told", &specs(LOOSE)[1].1),
        [DIGESTS, "without a digest: registry.example/shop:latest; write NAME@sha256:HEX"],
    );
    annotations_and_owners(&guarded);
}

fn annotations_and_owners(guarded: &Guarded) {
    guarded.ok(OTHER, "shop", &["create", "-f", "-"], &pod("bound", &specs(PINNED)[0].1));
    let binding = |key: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Binding","metadata":{{"name":"bound","annotations":{{"{key}":"x"}}}},"target":{{"kind":"Node","name":"n"}}}}"#
        )
    };
    for path in ["pods/bound/binding", "bindings"] {
        let path = format!("/api/v1/namespaces/shop/{path}");
        let (status, text) =
            guarded.cluster.ask("POST", &path, &binding("portcullis.dev/breakglass")).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(status, 403, "{path}: {text}");
        assert!(text.contains(BINDINGS) && text.contains("after it was judged"), "{path}: {text}");
    }
    let (status, _) = guarded
        .cluster
        .ask("POST", "/api/v1/namespaces/shop/pods/bound/binding", &binding("else.example/x"))
        .unwrap();
    assert_eq!(status, 201, "the scheduler could not bind");

    let owned = |name: &str, is_controller: bool| {
        let owner = format!(
            r#"{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"u","controller":{is_controller}}}"#
        );
        let metadata = format!(r#""metadata":{{"name":"{name}","ownerReferences":[{owner}]}}"#);
        pod(name, &specs(PINNED)[0].1).replacen(&format!(r#""metadata":{{"name":"{name}"}}"#), &metadata, 1)
    };
    let create = ["create", "--dry-run=server", "-f", "-"];
    guarded.refused(
        OTHER,
        "shop",
        &create,
        &owned("mine", true),
        [OWNERS, "leave metadata.ownerReferences out"],
    );
    guarded.ok(OTHER, "shop", &create, &owned("mine", false));
    let controller =
        ["--as=system:serviceaccount:kube-system:replicaset-controller", "--as-group=system:masters"];
    guarded.ok(&controller, "shop", &create, &owned("mine", true));
    let adopt = r#"{"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"u","controller":true}]}}"#;
    guarded.refused(
        OTHER,
        "shop",
        &["patch", "pod", "bound", "-p", adopt],
        "",
        [OWNERS, "built-in controller"],
    );
}

#[test]
fn what_ran_before_is_changed_and_scaled_and_only_new_images_must_be_pinned() {
    let Some(guarded) = Guarded::start(&[]) else { return };
    guarded.ok(OTHER, "shop", &["create", "deployment", "old", &format!("--image={LOOSE}")], "");
    guarded.ok(OTHER, "shop", &["create", "-f", "-"], &pod("old", &specs(LOOSE)[0].1));
    guarded.ok(KEEPER, "", &["apply", "-f", &guarded.part("3-policies.yaml")], "");
    guarded.settle(&["3-policies.yaml"]);

    guarded.ok(OTHER, "shop", &["label", "deployment", "old", "a=b"], "");
    guarded.ok(OTHER, "shop", &["scale", "deployment", "old", "--replicas=3"], "");
    guarded.ok(OTHER, "shop", &["label", "pod", "old", "a=b"], "");
    let new = ["set", "image", "deployment/old", "shop=registry.example/shop:new"];
    guarded.refused(OTHER, "shop", &new, "", [DIGESTS, "without a digest: registry.example/shop:new"]);
    let loose = ["set", "image", "pod/old", "c=busybox"];
    guarded.refused(OTHER, "shop", &loose, "", [DIGESTS, "without a digest: busybox"]);
    let debug =
        |image: &str| ["debug", "old", "--container=x", &format!("--image={image}")].map(str::to_owned);
    let bad = debug("busybox:1");
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    guarded.refused(OTHER, "shop", &bad, "", [DIGESTS, "without a digest: busybox:1"]);
    let good = debug(PINNED);
    guarded.ok(OTHER, "shop", &good.iter().map(String::as_str).collect::<Vec<_>>(), "");
    guarded.ok(OTHER, "shop", &["set", "image", "deployment/old", &format!("shop={PINNED}")], "");
    guarded.ok(OTHER, "shop", &["delete", "pod", "old", "--wait=false"], "");
}

#[test]
fn the_choke_points_own_namespace_takes_its_own_images_and_its_keepers_only() {
    let Some(guarded) = Guarded::start(&["1-install.yaml", "3-policies.yaml"]) else { return };
    let own = "portcullis";
    let refusal = [OWN_OBJECTS, "objects in the namespace of Portcullis may be changed"];
    let exec =
        ["create", "--raw", "/api/v1/namespaces/portcullis/pods/portcullis-0/exec?command=ls", "-f", "-"];
    let tried: [&[&str]; 9] = [
        &["create", "configmap", "x", "--from-literal=a=b"],
        &["delete", "configmap", "portcullis-book"],
        &["patch", "configmap", "portcullis-book", "-p", r#"{"data":{"001-shop.yaml":"mode: dry-run"}}"#],
        &["create", "secret", "generic", "portcullis-log-key", "--from-literal=log.key=x"],
        &["delete", "statefulset", "portcullis"],
        &["create", "token", "portcullis"],
        &["delete", "--raw", "/api/v1/namespaces/portcullis/configmaps"],
        &["delete", "networkpolicy", "portcullis"],
        &["create", "rolebinding", "x", "--clusterrole=admin", "--user=x"],
    ];
    for args in tried {
        guarded.refused(OTHER, own, args, "", refusal);
    }
    guarded.refused(OTHER, "", &["delete", "namespace", own], "", refusal);
    guarded.refused(
        OTHER,
        "",
        &["label", "namespace", own, "pod-security.kubernetes.io/enforce=privileged", "--overwrite"],
        "",
        refusal,
    );
    guarded.ok(OTHER, "", &["label", "namespace", "other", "a=b"], "");
    guarded.ok(KEEPER, own, &["annotate", "configmap", "portcullis-book", "a=b"], "");

    let foreign =
        ["set", "image", "statefulset/portcullis", &format!("portcullis={PINNED}")].map(str::to_owned);
    let foreign: Vec<&str> = foreign.iter().map(String::as_str).collect();
    for who in [KEEPER, EMERGENCY] {
        guarded.refused(
            who,
            own,
            &foreign,
            "",
            [OWN_IMAGES, "not an image of Portcullis: registry.example/shop@sha256:"],
        );
    }
    guarded.ok(KEEPER, own, &["rollout", "restart", "statefulset/portcullis"], "");
    assert!(guarded.ok(OTHER, own, &["get", "statefulset", "portcullis", "-o", "yaml"], "").contains(IMAGE));
    // the pods that the real controller makes are taken: nothing of ours stops us
    if guarded.cluster.has_controllers() {
        let start = std::time::Instant::now();
        while !guarded.ok(OTHER, own, &["get", "pods", "-o", "name"], "").contains("pod/portcullis-1") {
            assert!(start.elapsed().as_secs() < 30, "{}", guarded.ok(OTHER, own, &["get", "events"], ""));
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        guarded.refused(OTHER, "", &exec, "", refusal);
        let evict = r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"portcullis-1"}}"#;
        let path = "/api/v1/namespaces/portcullis/pods/portcullis-1/eviction?dryRun=All";
        let (status, text) = guarded.cluster.ask("POST", path, evict).unwrap();
        assert_ne!(status, 403, "a node could not be drained: {}", String::from_utf8_lossy(&text));
    }
}
