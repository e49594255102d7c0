//! The webhook's configuration: one meaning, or an error with its place.

mod world;

use world::{MAPPING, mapping, standard};

#[test]
fn a_workload_has_exactly_one_environment() {
    let mapping = standard();
    for (namespace, kind, name, environment) in [
        ("shop", "Deployment", "web", "prod/shop"),
        ("shop", "Deployment", "pay", "prod/pay"),
        ("shop", "StatefulSet", "pay", "prod/shop"),
        ("shop", "Deployment", "pay-2", "prod/shop"),
        ("shop2", "Deployment", "pay", "unclaimed/shop2"),
        ("", "ClusterRole", "x", "prod/cluster"),
    ] {
        assert_eq!(mapping.environment(namespace, kind, name), environment);
    }
    assert_eq!(kubernetes::Mapping::new("c").environment("", "ClusterRole", "x"), "unclaimed/(cluster)");
}

#[test]
fn what_has_two_meanings_does_not_load_and_says_where() {
    let mut wrong = Vec::new();
    for (from, to, place, message) in [
        (
            "[shop], workloads: [Deployment/pay]",
            "[shop]",
            "serve.yaml:5:5",
            "two entries claim every workload in shop",
        ),
        (
            "  - { environment: prod/cluster, cluster-scoped: true }",
            "  - { environment: prod/three, namespaces: [shop], workloads: [\"Deployment/*\"] }",
            "serve.yaml:6:5",
            "two entries claim Deployment/* in shop",
        ),
        ("prod/cluster", "unclaimed/shop", "serve.yaml:6:20", "`unclaimed/shop` is no environment's name"),
        (
            "namespaces: [shop] }",
            "namespaces: [\"team-*\"] }",
            "serve.yaml:4:44",
            "`team-*` is not a namespace's name, without patterns",
        ),
        (
            "environment: prod/shop, namespaces: [shop]",
            "environment: prod/shop",
            "serve.yaml:4:5",
            "the entry says nothing of where",
        ),
        ("Deployment/pay", "pay", "serve.yaml:5:62", "`pay` is not a workload as in Deployment/pay or Job/*"),
        ("autoscaled: true", "autoscaled: yes", "serve.yaml:10:78", "wanted true or false"),
        (
            "kinds: [ClusterRole], cluster-scoped: true",
            "kinds: [Secret], namespaces: [shop]",
            "serve.yaml:9:5",
            "two entries guard the same Secret",
        ),
        (
            "[ClusterRole]",
            "[PersistentVolume]",
            "serve.yaml:9:15",
            "PersistentVolume cannot be guarded: binding writes what a tenant may choose",
        ),
        (
            "[Deployment], namespaces",
            "[PersistentVolumeClaim], namespaces",
            "serve.yaml:10:15",
            "PersistentVolumeClaim cannot be guarded: binding writes what a tenant may choose",
        ),
        (
            "containers[*].image",
            "containers[0].image",
            "serve.yaml:12:42",
            "`spec.template.spec.containers[0].image` is no path: `[0].image` is no step of a path",
        ),
        (
            "kind: Rollout.argoproj.io",
            "kind: Deployment",
            "serve.yaml:12:13",
            "Deployment is known; its images are found without a path",
        ),
        (
            "mirror-namespaces: [kube-system]",
            "controllers: [alice]",
            "serve.yaml:13:15",
            "`alice` is no account of the system",
        ),
        ("cluster: eu-1", "clutser: eu-1", "serve.yaml:2:1", "`webhook` needs the key `cluster`"),
    ] {
        let text = MAPPING.replacen(from, to, 1);
        assert_ne!(text, MAPPING, "{from}");
        let errors = mapping(&text).unwrap_err();
        let found: Vec<String> = errors.iter().map(ToString::to_string).collect();
        if !found.contains(&format!("{place}: {message}")) {
            wrong.push(format!(
                "{found:#?}
{place}: {message}"
            ));
        }
        assert!(errors.iter().all(|e| e.fix.is_some()), "{errors:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_annotation_of_a_known_kind_may_be_named() {
    let text = MAPPING.replace(
        r#"kind: Rollout.argoproj.io, paths: ["spec.template.spec.containers[*].image"]"#,
        r#"kind: Pod, paths: ['metadata.annotations["runtime.example/image"]']"#,
    );
    let mapping = mapping(&text).unwrap();
    let pod = world::object(
        r#"{"metadata":{"annotations":{"runtime.example/image":"x/y"}},"spec":{"containers":[]}}"#,
    );
    let kind = kubernetes::GroupKind::of("v1", "Pod");
    let uses = kubernetes::images(&kind, &pod, &mapping.images).unwrap();
    assert_eq!(uses[0].path, r#"metadata.annotations["runtime.example/image"]"#);
    assert_eq!(uses[0].pointer, "/metadata/annotations/runtime.example~1image");
}
