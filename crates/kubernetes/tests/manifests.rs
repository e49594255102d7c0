//! The manifests without a cluster: who is closed, what is excluded, what is refused before it is applied.

use attest::{Json, Object};
use kubernetes::manifests::{
    Account, Files, Live, Manifests, Reach, SYSTEM_NAMESPACES, Serve, Settings, compare, documents, manifests,
};
use policy::{Book, Guardrails, SourceFile};

const IMAGE: &str =
    "registry.example/portcullis@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn settings() -> Settings {
    Settings {
        namespace: "portcullis".to_owned(),
        reach: Reach::Service { image: IMAGE.to_owned() },
        also_images: Vec::new(),
        replicas: 2,
        storage: "10Gi".to_owned(),
        authority: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        keepers: vec![Account::parse("gitops")],
        emergency: vec![Account::parse("group:sre")],
        excluded: SYSTEM_NAMESPACES.map(str::to_owned).to_vec(),
        api_addresses: Vec::new(),
        metrics_from: Vec::new(),
        pins: false,
        monitored: false,
    }
}

fn serve(webhook: &str) -> Serve {
    let text = format!(
        "book: book\ntrust-root: t.yaml\nlog: {{ path: log, origin: o.example/x, key: k }}\nwebhook:\n  cluster: c\n{webhook}"
    );
    Serve::parse("serve.yaml", &text).unwrap()
}

/// A book of policies for these environments, each with its mode and what happens in an outage.
fn book(policies: &[(&str, &str, &str)]) -> Book {
    let file = |(environment, mode, outage): &(&str, &str, &str)| SourceFile {
        name: format!("book/{}.yaml", environment.replace('/', "-")),
        text: format!(
            "environment: {environment}\nartifact: registry.example/*\nmode: {mode}\nrequire: {{ built-by: [ci] }}\non-outage: {outage}\n"
        ),
    };
    Book::load(policies.iter().map(file).collect(), &Guardrails::none()).unwrap()
}

fn written(settings: &Settings, webhook: &str, policies: &[(&str, &str, &str)]) -> Manifests {
    manifests(settings, &serve(webhook), &book(policies), &Files::default()).unwrap()
}

/// The entries of the validating webhooks: name, failurePolicy, operator and namespaces.
fn entries(manifests: &Manifests) -> Vec<String> {
    let webhooks = manifests.webhooks[0].as_object().unwrap().array("webhooks").unwrap();
    let entry = |e: &Json| {
        let e = e.as_object().unwrap();
        let selector = e.object("namespaceSelector").unwrap().array("matchExpressions").unwrap();
        let selector = selector[0].as_object().unwrap();
        let values: Vec<&str> =
            selector.array("values").unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        let [name, failure] = ["name", "failurePolicy"].map(|key| e.string(key).unwrap());
        format!("{name} {failure} {} {}", selector.string("operator").unwrap(), values.join(","))
    };
    webhooks.iter().map(entry).collect()
}

const TWO: &str = "  environments:\n    - { environment: prod/a, namespaces: [shop] }\n    - { environment: prod/b, namespaces: [shop], workloads: [Deployment/pay] }\n";

#[test]
fn a_namespace_is_open_only_where_every_policy_in_it_says_so() {
    let closed = "fail-closed.portcullis.dev Fail NotIn kube-node-lease,kube-public,kube-system,portcullis";
    for (a, b) in [("reject", "admit"), ("admit", "reject"), ("reject", "reject")] {
        let found = written(&settings(), TWO, &[("prod/a", "enforce", a), ("prod/b", "enforce", b)]);
        assert_eq!(entries(&found), [closed], "{a} {b}");
        assert_eq!(
            found.notes.iter().any(|n| n.contains("shop is closed while")),
            a != b,
            "{:?}",
            found.notes
        );
    }
    let open = written(&settings(), TWO, &[("prod/a", "enforce", "admit"), ("prod/b", "enforce", "admit")]);
    assert_eq!(
        entries(&open),
        [format!("{closed},shop"), "fail-open.portcullis.dev Ignore In shop".to_owned()]
    );
    // a policy that is missing admits nothing
    let missing = written(&settings(), TWO, &[("prod/a", "enforce", "admit")]);
    assert_eq!(entries(&missing), [closed]);
    assert!(missing.notes.iter().any(|n| n.contains("no policy guards prod/b")), "{:?}", missing.notes);
}

#[test]
fn what_an_environment_claims_is_not_excluded_and_no_name_is_excluded_that_anybody_may_take() {
    let system = "  environments: [{ environment: prod/a, namespaces: [kube-system] }]\n";
    let policies = [("prod/a", "enforce", "reject")];
    let claimed = written(&settings(), system, &policies);
    assert_eq!(
        entries(&claimed),
        ["fail-closed.portcullis.dev Fail NotIn kube-node-lease,kube-public,portcullis"]
    );
    let outside = Settings { reach: Reach::Url("https://p.example:8443".to_owned()), ..settings() };
    let outside = written(&outside, system, &policies);
    assert_eq!(entries(&outside), ["fail-closed.portcullis.dev Fail NotIn kube-node-lease,kube-public"]);
    assert!(outside.install.is_empty() && !documents(&outside.policies).contains("own-"), "{outside:?}");
}

#[test]
fn guarded_kinds_are_asked_about_where_they_are_guarded() {
    let webhook = "  environments: [{ environment: prod/a, namespaces: [shop] }]\n  guard:\n    - { kinds: [ConfigMap, Rollout.argoproj.io], namespaces: [shop] }\n    - { kinds: [ClusterRole], cluster-scoped: true }\n";
    let found = written(&settings(), webhook, &[("prod/a", "enforce", "admit")]);
    let entries = entries(&found);
    assert_eq!(entries[2], "guard-1.fail-open.portcullis.dev Ignore In shop");
    assert!(entries[3].starts_with("guard-2.cluster.portcullis.dev Fail NotIn"), "{entries:?}");
    let text = documents(&found.webhooks);
    // the plural of a custom kind is not guessed
    assert!(text.contains("- argoproj.io\n        apiVersions:\n          - \"*\"\n"), "{text}");
    assert!(text.contains("- \"*\"\n        scope: Namespaced"), "{text}");
    for never in ["leases", "events", "nodes", "subjectaccessreviews", "objectSelector", "matchConditions"] {
        assert!(!text.contains(never), "{never}: {text}");
    }
}

#[test]
fn each_replica_has_a_log_of_its_own_name_and_rights_to_read_owners_only() {
    let webhook = "  environments: []\n  images: [{ kind: Rollout.argoproj.io, paths: [\"spec.image\"] }]\n";
    let text = documents(&written(&settings(), webhook, &[("prod/a", "enforce", "reject")]).install);
    assert!(text.contains("origin: o.example/x/0") && text.contains("origin: o.example/x/1"), "{text}");
    assert!(!text.contains("emptyDir") && text.contains("volumeClaimTemplates"), "{text}");
    let rights =
        &text[text.find("kind: ClusterRole\n").unwrap()..text.find("kind: ClusterRoleBinding").unwrap()];
    assert!(rights.contains("- rollouts"), "{rights}");
    for never in ["list", "watch", "create", "update", "secrets", "pods", "\"*\""] {
        assert!(!rights.contains(never), "{never}: {rights}");
    }
}

#[test]
fn what_would_leave_something_open_is_refused_before_it_is_written() {
    let refused = |change: fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        let book = book(&[("prod/a", "enforce", "reject")]);
        manifests(&settings, &serve("  environments: []\n"), &book, &Files::default())
            .unwrap_err()
            .to_string()
    };
    assert!(
        refused(|s| s.reach = Reach::Service { image: "registry.example/p:1".to_owned() })
            .contains("by its digest")
    );
    assert!(refused(|s| s.also_images = vec![format!("x','{IMAGE}")]).contains("by its digest"));
    assert!(refused(|s| s.replicas = 1).contains("too few replicas"));
    assert!(refused(|s| s.authority = "-----BEGIN PRIVATE KEY-----".to_owned()).contains("a private key"));
    assert!(refused(|s| s.reach = Reach::Url("http://p.example".to_owned())).contains("cannot reach"));
    assert!(
        refused(|s| s.keepers = vec![Account::parse("x'] || true || ['")]).contains("cannot be written down")
    );
    assert!(refused(|s| (s.keepers, s.emergency) = (Vec::new(), Vec::new())).contains("nobody could ever"));
    let files = Files { trust_root: "\u{e000}image\u{e001}".to_owned(), ..Files::default() };
    let book = book(&[("prod/a", "enforce", "reject")]);
    let error =
        manifests(&settings(), &serve("  environments: []\n"), &book, &files).unwrap_err().to_string();
    assert!(error.contains("means nothing"), "{error}");
}

#[test]
fn an_owner_and_a_leftover_are_drift_and_what_the_server_fills_in_is_not() {
    let wanted = written(&settings(), "  environments: []\n", &[("prod/a", "enforce", "reject")]).webhooks;
    let Json::Object(mut live) = wanted[0].clone() else { panic!() };
    let metadata = Object::new().with("name", "portcullis").with("uid", "u").with("generation", 3_i64);
    live.set("metadata", metadata.clone());
    let read = |objects: Vec<Json>| {
        Live::read(&Object::new().with("kind", "List").with("items", Json::Array(objects)).into()).unwrap()
    };
    assert_eq!(compare(&wanted, &read(vec![live.clone().into()])), []);
    let owned =
        live.clone().with("metadata", metadata.with("ownerReferences", vec![Object::new().with("uid", "x")]));
    let found = compare(&wanted, &read(vec![owned.into()]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].place, "metadata");
    let old = live.clone().with("metadata", Object::new().with("name", "old.portcullis.dev"));
    let found = compare(&wanted, &read(vec![live.into(), old.into()]));
    assert_eq!(found[0].object, "ValidatingWebhookConfiguration/old.portcullis.dev");
    assert!(found[0].fix.contains("kubectl delete"), "{found:?}");
}

#[test]
fn the_configuration_in_a_pod_says_the_same_with_the_places_of_the_pod() {
    let webhook = "  environments: [{ environment: prod/a, namespaces: [shop, \"1\"] }]\n  clients: { ca: ca.crt, names: [kube-apiserver] }\n  guard: [{ kinds: [ConfigMap], namespaces: [shop] }]\n  body: 8MiB\n  concurrency: 256\n";
    let found = written(&settings(), webhook, &[("prod/a", "enforce", "reject")]);
    let is_serve = |o: &&Json| documents(&[(*o).clone()]).contains("name: portcullis-serve\n");
    let map = found.install.iter().find(is_serve).unwrap().as_object().unwrap();
    let text = map.object("data").unwrap().string("portcullis-1.yaml").unwrap();
    let in_pod = Serve::parse("portcullis-1.yaml", text).unwrap();
    assert_eq!(in_pod.mapping, serve(webhook).mapping);
    assert_eq!((in_pod.book.as_str(), in_pod.trust_root.as_str()), ("book", "trust-root.yaml"));
    assert_eq!(in_pod.clients.as_deref(), Some("clients-ca.crt"));
    for wanted in [
        "listen: \"0.0.0.0:8443\"",
        "in-cluster: true",
        "body: \"8MiB\"",
        "concurrency: 256",
        "path: \"/var/lib/portcullis/log\"",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn where_nothing_is_excluded_everything_is_selected() {
    let all =
        Settings { reach: Reach::Url("https://p.example".to_owned()), excluded: Vec::new(), ..settings() };
    let text = documents(&written(&all, "  environments: []\n", &[("prod/a", "enforce", "reject")]).webhooks);
    assert!(text.contains("namespaceSelector: {}"), "{text}");
}
