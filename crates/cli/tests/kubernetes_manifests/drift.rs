//! The drift check: clean where it is clean, a field where somebody changed one, and an error where it cannot look.

use super::{EMERGENCY, Guarded, KEEPER, OTHER, arguments, portcullis};

pub(crate) const KINDS: &str = "validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,clusterrolebindings";

fn drift(guarded: &Guarded, exit: i32) -> String {
    let live = guarded.out.path().join("live.json");
    std::fs::write(&live, guarded.ok(OTHER, "", &["get", KINDS, "-o", "json"], "")).unwrap();
    portcullis(exit, &[arguments("drift"), vec!["--live".to_owned(), live.display().to_string()]].concat())
}

#[test]
fn drift_is_told_field_by_field() {
    let Some(guarded) = Guarded::start(&["1-install.yaml", "2-webhooks.yaml", "3-policies.yaml"]) else {
        return;
    };
    let clean = drift(&guarded, 0);
    assert!(clean.contains("objects are as they should be"), "{clean}");

    let patch = r#"[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]"#;
    guarded.ok(
        EMERGENCY,
        "",
        &["patch", "validatingwebhookconfiguration", "portcullis", "--type=json", "-p", patch],
        "",
    );
    let found = drift(&guarded, 1);
    let wanted = "drift: ValidatingWebhookConfiguration/portcullis webhooks[0].failurePolicy\n  wanted    Fail\n  found     Ignore\n";
    assert!(found.contains(wanted), "{found}");
    assert_eq!(found.matches("drift:").count(), 1, "{found}");
    guarded.ok(KEEPER, "", &["apply", "-f", &guarded.part("2-webhooks.yaml")], "");
    drift(&guarded, 0);

    // no policy and no webhook sees this: RBAC allows it, and only this check tells it
    guarded.ok(OTHER, "", &["delete", "validatingadmissionpolicybinding", "webhooks.portcullis.dev"], "");
    let weaker = r#"{"spec":{"failurePolicy":"Ignore"}}"#;
    guarded.ok(
        OTHER,
        "",
        &["patch", "validatingadmissionpolicy", "digests.portcullis.dev", "-p", weaker],
        "",
    );
    // an owner that is not there: the garbage collector deletes the object, as it does soon where it runs
    let owner =
        r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"x","uid":"u"}]}}"#;
    guarded.ok(
        OTHER,
        "",
        &["patch", "validatingadmissionpolicybinding", "bindings.portcullis.dev", "-p", owner],
        "",
    );
    guarded.ok(OTHER, "", &["create", "clusterrole", "sly", "--verb=get", "--resource=nodes/proxy"], "");
    guarded.ok(OTHER, "", &["create", "clusterrolebinding", "sly", "--clusterrole=sly", "--user=tom"], "");
    guarded.ok(
        OTHER,
        "",
        &["create", "clusterrolebinding", "more", "--clusterrole=cluster-admin", "--serviceaccount=shop:x"],
        "",
    );
    guarded.ok(OTHER, "", &["create", "clusterrole", "mask", "--verb=impersonate", "--resource=users"], "");
    guarded.ok(
        OTHER,
        "",
        &["create", "clusterrolebinding", "mask", "--clusterrole=mask", "--group=people"],
        "",
    );
    let found = drift(&guarded, 1);
    for wanted in [
        "group people may act as somebody else",
        "drift: ValidatingAdmissionPolicyBinding/webhooks.portcullis.dev\n  wanted    the object\n  found     nothing",
        "drift: ValidatingAdmissionPolicy/digests.portcullis.dev spec.failurePolicy\n  wanted    Fail\n  found     Ignore",
        "drift: ValidatingAdmissionPolicyBinding/bindings.portcullis.dev",
        "user tom may run commands in every container through nodes/proxy",
        "user system:serviceaccount:shop:x may change admission policies, and change webhooks, and run commands",
    ] {
        assert!(found.contains(wanted), "wanted {wanted}\n{found}");
    }
    assert_eq!(found.matches("drift:").count(), 6, "{found}");
}

#[test]
fn what_cannot_be_read_is_not_called_clean() {
    let folder = tempfile::tempdir().unwrap();
    for (text, wanted) in [
        ("", "no JSON"),
        ("Error from server (Forbidden)", "no JSON"),
        ("[]", "no objects of a cluster"),
        (r#"{"items":[]}"#, "no objects of a cluster"),
        (r#"{"kind":"List","items":[1]}"#, "no objects of a cluster"),
        (r#"{"kind":"Status","status":"Failure"}"#, "no objects of a cluster"),
        (
            r#"{"kind":"List","items":[{"kind":"Pod","metadata":{"name":"web"}}]}"#,
            "nothing of what is compared is in the cluster's objects",
        ),
        (r#"{"kind":"Pod","metadata":{"name":"web"}}"#, "found     1 objects: Pod"),
    ] {
        let live = folder.path().join("live.json");
        std::fs::write(&live, text).unwrap();
        let said = portcullis(
            2,
            &[arguments("drift"), vec!["--live".to_owned(), live.display().to_string()]].concat(),
        );
        assert!(said.contains(wanted), "{text}: {said}");
    }
    // a list with nothing in it was looked at: everything is missing
    let live = folder.path().join("live.json");
    std::fs::write(&live, r#"{"kind":"List","items":[]}"#).unwrap();
    let said =
        portcullis(1, &[arguments("drift"), vec!["--live".to_owned(), live.display().to_string()]].concat());
    assert!(
        said.contains(
            "ValidatingWebhookConfiguration/portcullis\n  wanted    the object\n  found     nothing"
        ),
        "{said}"
    );
}
