//! The webhooks while nobody answers, and who may change them.

use super::{EMERGENCY, Guarded, KEEPER, OTHER, PINNED, pod};

const GUARD: &str = "ValidatingAdmissionPolicy 'webhooks.portcullis.dev'";
const KIND: &str = "validatingwebhookconfiguration";
const APPLY: &str = "apply what portcullis kubernetes manifests writes";

fn good(name: &str) -> String {
    pod(name, &format!(r#"{{"containers":[{{"name":"c","image":"{PINNED}"}}]}}"#))
}

#[test]
fn a_choke_point_that_is_down_closes_what_it_must_and_nothing_else() {
    let Some(guarded) = Guarded::start(&["1-install.yaml", "2-webhooks.yaml"]) else { return };
    let create = ["create", "-f", "-"];
    let closed = ["failed calling webhook", "fail-closed.portcullis.dev"];
    for namespace in ["shop", "other"] {
        guarded.refused(OTHER, namespace, &create, &good("tried"), closed);
        // what has no image, and what a cluster needs to live, is never asked about
        guarded.ok(OTHER, namespace, &["create", "serviceaccount", "s"], "");
        let lease = r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"}}"#;
        guarded.ok(OTHER, namespace, &create, lease);
    }
    for namespace in ["shop-staging", "kube-system"] {
        guarded.ok(OTHER, namespace, &create, &good("tried"));
    }
    let guard = ["failed calling webhook", "guard-1.fail-closed.portcullis.dev"];
    guarded.refused(OTHER, "shop", &["create", "configmap", "x"], "", guard);
    guarded.ok(OTHER, "other", &["create", "configmap", "x"], "");
    // a new namespace is judged from its first moment, whatever its labels say
    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"fresh","labels":{"portcullis.dev/ignore":"true"}}}"#;
    guarded.ok(OTHER, "", &create, namespace);
    guarded.refused(OTHER, "fresh", &create, &good("tried"), closed);
    let relabel = ["label", "namespace", "shop", "kubernetes.io/metadata.name=shop-staging", "--overwrite"];
    let said = guarded.kubectl(OTHER, "", &relabel, "");
    assert!(
        said.exit != 0
            || !guarded.ok(OTHER, "", &["get", "ns", "shop", "-o", "yaml"], "").contains("name=shop-staging")
    );
    guarded.refused(OTHER, "shop", &create, &good("tried"), closed);
    // its own pods come back although nobody answers
    if guarded.cluster.has_controllers() {
        let start = std::time::Instant::now();
        while !guarded
            .ok(OTHER, "portcullis", &["get", "pods", "-o", "name"], "")
            .contains("pod/portcullis-0")
        {
            assert!(
                start.elapsed().as_secs() < 30,
                "{}",
                guarded.ok(OTHER, "portcullis", &["get", "events"], "")
            );
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }
    // and the step back is one command
    guarded.ok(OTHER, "", &["delete", "-f", &guarded.part("2-webhooks.yaml")], "");
    std::thread::sleep(std::time::Duration::from_secs(2));
    guarded.ok(OTHER, "shop", &create, &good("tried"));
}

#[test]
fn only_a_keeper_changes_the_webhooks_and_nobody_weakens_them_but_in_an_emergency() {
    let Some(guarded) = Guarded::start(&["2-webhooks.yaml", "3-policies.yaml"]) else { return };
    let all = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let named = "may be changed only by the users and groups";
    let tried: [&[&str]; 5] = [
        &["delete", KIND, "portcullis"],
        &["delete", "mutatingwebhookconfiguration", "portcullis"],
        &["delete", "--raw", all],
        &["annotate", KIND, "portcullis", "a=b"],
        &[
            "patch",
            "mutatingwebhookconfiguration",
            "portcullis",
            "--type=json",
            "-p",
            r#"[{"op":"replace","path":"/webhooks/0/rules","value":[]}]"#,
        ],
    ];
    for args in tried {
        guarded.refused(OTHER, "", args, "", [GUARD, named]);
    }
    guarded.refused(KEEPER, "", &["delete", KIND, "portcullis"], "", [GUARD, "deleted only in an emergency"]);
    let patch =
        |at: &str, value: &str| format!(r#"[{{"op":"add","path":"/webhooks/0/{at}","value":{value}}}]"#);
    let not_in = |name: &str| {
        format!(
            r#"[{{"key":"kubernetes.io/metadata.name","operator":"NotIn","values":["kube-system","{name}"]}}]"#
        )
    };
    let weak = [
        (patch("failurePolicy", r#""Ignore""#), "must stay, with failurePolicy Fail"),
        (patch("matchPolicy", r#""Exact""#), "must stay, with failurePolicy Fail"),
        (patch("name", r#""else.portcullis.dev""#), "must stay, with failurePolicy Fail"),
        (patch("rules", "[]"), "must stay, with failurePolicy Fail"),
        (patch("namespaceSelector/matchExpressions", &not_in("shop")), "every closed namespace"),
        (patch("objectSelector", r#"{"matchLabels":{"a":"b"}}"#), "no entry may lose its rules"),
        (patch("matchConditions", r#"[{"name":"x","expression":"false"}]"#), "no entry may lose its rules"),
        (patch("namespaceSelector/matchLabels", r#"{"a":"b"}"#), "the one label that no tenant can edit"),
    ];
    for (patch, wanted) in &weak {
        let args = ["patch", KIND, "portcullis", "--type=json", "-p", patch];
        guarded.refused(KEEPER, "", &args, "", [GUARD, wanted]);
    }
    assert!(weak.iter().take(7).all(|(patch, _)| {
        let args = ["patch", KIND, "portcullis", "--type=json", "-p", patch];
        guarded.kubectl(KEEPER, "", &args, "").stderr.contains(APPLY)
    }));
    guarded.ok(
        KEEPER,
        "",
        &[
            "patch",
            KIND,
            "portcullis",
            "--type=json",
            "-p",
            &patch("namespaceSelector/matchExpressions", &not_in("kube-public")),
        ],
        "",
    );
    guarded.ok(KEEPER, "", &["apply", "-f", &guarded.part("2-webhooks.yaml")], "");
    guarded.ok(EMERGENCY, "", &["patch", KIND, "portcullis", "--type=json", "-p", &weak[0].0], "");
    guarded.ok(EMERGENCY, "", &["delete", KIND, "portcullis"], "");
}
