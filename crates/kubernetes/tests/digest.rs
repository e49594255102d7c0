//! The digest of configuration: blind to what the server keeps, and to nothing else.

mod world;

use kubernetes::{DigestForm, FormError, GroupKind, configuration_digest, reference_page};
use world::object;

fn digest(kind: &GroupKind, text: &str) -> String {
    let form = DigestForm { autoscaled: false, secret_key: Some(b"key") };
    configuration_digest(kind, &object(text), form).unwrap().to_string()
}

#[test]
fn what_the_server_keeps_does_not_count() {
    for (api, kind, asked, stored) in [
        (
            "apps/v1",
            "Deployment",
            r#"{"metadata":{"name":"a"},"spec":{"template":{"metadata":{"labels":{"a":"b"}},"spec":{}}}}"#,
            r#"{"spec":{"template":{"spec":{},"metadata":{"creationTimestamp":null,"labels":{"a":"b"},"annotations":{"portcullis.dev/evidence":"x"}}}},
            "metadata":{"name":"a","uid":"u","resourceVersion":"7","generation":3,"creationTimestamp":"2026-01-01T00:00:00Z","selfLink":"/x","finalizers":["x"],
            "managedFields":[{"manager":"kubectl"}],"annotations":{"deployment.kubernetes.io/revision":"4","portcullis.dev/breakglass":"y",
            "kubectl.kubernetes.io/last-applied-configuration":"{}"}},"status":{"replicas":1}}"#,
        ),
        (
            "v1",
            "Service",
            r#"{"spec":{"ports":[{"port":80}],"type":"NodePort"}}"#,
            r#"{"spec":{"type":"NodePort","clusterIP":"10.0.0.7","clusterIPs":["10.0.0.7"],"ports":[{"nodePort":30001,"port":80}]}}"#,
        ),
        (
            "batch/v1",
            "Job",
            r#"{"spec":{"template":{"spec":{}}}}"#,
            r#"{"metadata":{"labels":{"job-name":"x","controller-uid":"u"}},"spec":{"selector":{"matchLabels":{"controller-uid":"u"}},
            "template":{"metadata":{"labels":{"batch.kubernetes.io/job-name":"x"}},"spec":{}}}}"#,
        ),
    ] {
        let kind = GroupKind::of(api, kind);
        assert_eq!(digest(&kind, asked), digest(&kind, stored), "{kind:?}");
    }
}

#[test]
fn everything_else_counts() {
    let deployment = GroupKind::of("apps/v1", "Deployment");
    let base = r#"{"metadata":{"labels":{"a":"b"},"annotations":{"c":"d"}},"spec":{"replicas":1,"n":1.5,"t":{"args":["x","y"]}}}"#;
    for (from, to) in [
        (r#""b""#, r#""c""#),
        (r#""c":"d""#, r#""c":"e""#),
        ("1.5", r#""1.5""#),
        ("1.5", "1.50"),
        (r#""replicas":1"#, r#""replicas":2"#),
        (r#"["x","y"]"#, r#"["y","x"]"#),
        (r#""annotations""#, r#""ownerReferences":[],"annotations""#),
        (r#""c":"d""#, r#""portcullis.development/x":"1","c":"d""#),
        (r#""spec""#, r#""Status":{},"spec""#),
    ] {
        let other = base.replacen(from, to, 1);
        assert_ne!(digest(&deployment, base), digest(&deployment, &other), "{from} {to}");
    }
    // a list that holds for Services only, and a headless one is a person's choice
    let service = GroupKind::of("v1", "Service");
    assert_ne!(digest(&service, r#"{"spec":{"clusterIP":"None"}}"#), digest(&service, r#"{"spec":{}}"#));
    let custom = GroupKind::of("example.com/v1", "Service");
    assert_ne!(digest(&custom, r#"{"spec":{"clusterIP":"10.0.0.1"}}"#), digest(&custom, r#"{"spec":{}}"#));
}

#[test]
fn a_volume_that_somebody_chooses_and_the_status_of_a_kind_of_others_count() {
    let claim = GroupKind::of("v1", "PersistentVolumeClaim");
    let of = |volume: &str| digest(&claim, &format!(r#"{{"spec":{{"volumeName":"{volume}"}}}}"#));
    assert_ne!(of("mine"), of("theirs"));
    let (flag, job) = (GroupKind::of("example.com/v1", "Flag"), GroupKind::of("batch/v1", "Job"));
    let of = |kind: &GroupKind, status: &str| digest(kind, &format!(r#"{{"status":"{status}"}}"#));
    assert_ne!(of(&flag, "on"), of(&flag, "off"));
    assert_eq!(of(&job, "on"), of(&job, "off"));
}

#[test]
fn an_autoscaler_owns_replicas_only_where_the_configuration_says_so() {
    let kind = GroupKind::of("apps/v1", "Deployment");
    let form = DigestForm { autoscaled: true, secret_key: None };
    let of = |text: &str| configuration_digest(&kind, &object(text), form).unwrap();
    assert_eq!(of(r#"{"spec":{"replicas":1,"a":1}}"#), of(r#"{"spec":{"replicas":9,"a":1}}"#));
    let job = GroupKind::of("batch/v1", "Job");
    let other = |text: &str| configuration_digest(&job, &object(text), form).unwrap();
    assert_ne!(other(r#"{"spec":{"replicas":1}}"#), other(r#"{"spec":{"replicas":9}}"#));
}

#[test]
fn a_secrets_value_counts_only_under_the_key_and_its_own_place() {
    let kind = GroupKind::of("v1", "Secret");
    let secret = |name: &str, key: &str, value: &str| {
        format!(r#"{{"metadata":{{"name":"{name}"}},"data":{{"{key}":"{value}"}}}}"#)
    };
    let base = digest(&kind, &secret("a", "k", "djE="));
    for other in [secret("a", "k", "djI="), secret("b", "k", "djE="), secret("a", "l", "djE=")] {
        assert_ne!(digest(&kind, &other), base);
    }
    let under = |key: Option<&[u8]>| {
        configuration_digest(
            &kind,
            &object(&secret("a", "k", "djE=")),
            DigestForm { autoscaled: false, secret_key: key },
        )
    };
    assert_ne!(under(Some(b"other")).unwrap().to_string(), base);
    assert_eq!(under(None), Err(FormError::KeyMissing));
    let odd = configuration_digest(
        &kind,
        &object(r#"{"data":["x"]}"#),
        DigestForm { autoscaled: false, secret_key: Some(b"k") },
    );
    assert_eq!(odd, Err(FormError::SecretShape("data")));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn the_reference_page_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/kubernetes-digest.md");
    if std::env::var_os("GOLDEN").is_some() {
        std::fs::write(path, reference_page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), reference_page(), "run with GOLDEN=overwrite");
}

/// Objects of every shape, from a seed: the order of keys never counts, and any changed leaf does.
#[test]
fn order_never_counts_and_every_leaf_does() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    fn grow(next: &mut impl FnMut(u64) -> u64, depth: u64) -> attest::Json {
        match next(if depth == 0 { 3 } else { 5 }) {
            0 => attest::Json::Int(i64::try_from(next(100)).unwrap()),
            1 => format!("t{}", next(100)).into(),
            2 => (next(2) == 0).into(),
            3 => attest::Json::Array((0..next(4)).map(|_| grow(next, depth - 1)).collect()),
            _ => {
                attest::Json::Object((0..next(5)).map(|i| (format!("k{i}"), grow(next, depth - 1))).collect())
            }
        }
    }
    fn reverse(value: &attest::Json) -> attest::Json {
        match value {
            attest::Json::Object(o) => {
                let mut pairs: Vec<(String, attest::Json)> =
                    o.iter().map(|(k, v)| (k.to_owned(), reverse(v))).collect();
                pairs.reverse();
                attest::Json::Object(pairs.into_iter().collect())
            }
            attest::Json::Array(items) => attest::Json::Array(items.iter().map(reverse).collect()),
            other => other.clone(),
        }
    }
    /// Changes the n-th leaf.
    fn change(value: &mut attest::Json, n: &mut i64) {
        match value {
            attest::Json::Object(o) => o.iter_mut().for_each(|(_, v)| change(v, n)),
            attest::Json::Array(items) => items.iter_mut().for_each(|v| change(v, n)),
            leaf => {
                if *n == 0 {
                    *leaf = "changed".into();
                }
                *n -= 1;
            }
        }
    }
    let kind = GroupKind::of("v1", "ConfigMap");
    let digest = |value: &attest::Json| {
        configuration_digest(&kind, value.as_object().unwrap(), DigestForm::default()).unwrap()
    };
    for _ in 0..300 {
        let value = attest::Json::from(attest::Object::new().with("data", grow(&mut next, 4)));
        assert_eq!(digest(&value), digest(&reverse(&value)));
        let mut leaves = i64::MAX;
        change(&mut value.clone(), &mut leaves);
        for leaf in 0..(i64::MAX - leaves).min(8) {
            let mut other = value.clone();
            change(&mut other, &mut leaf.clone());
            assert_ne!(digest(&value), digest(&other), "{value} {other}");
            let (a, b) = (value.as_object().unwrap(), other.as_object().unwrap());
            assert!((1..=2).contains(&kubernetes::difference(a, b).len()), "{value} {other}");
        }
    }
}
