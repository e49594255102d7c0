//! What the API server writes, as it writes it, and what somebody would have it write.

use super::*;
use attest::Digest;

const LEAF: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn event(annotations: &str) -> String {
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"id-1","stage":"ResponseComplete",
"requestURI":"/api/v1/namespaces/shop/pods?fieldManager=kubectl","verb":"create",
"user":{{"username":"tom@acme.example","groups":["people"]}},"sourceIPs":["10.0.0.9","127.0.0.1"],
"objectRef":{{"resource":"pods","namespace":"shop","name":"web","apiVersion":"v1"}},"responseStatus":{{"metadata":{{}},"code":201}},
"requestReceivedTimestamp":"2026-11-23T01:00:00.000001Z","stageTimestamp":"2026-11-23T01:00:00.2Z",
"annotations":{{"authorization.k8s.io/decision":"allow"{annotations}}}}}"#
    )
}

fn claim(text: &str) -> Claim {
    AuditEvent::parse(text.as_bytes()).unwrap().claim(&Mapping::new("tests"))
}

fn receipt() -> String {
    format!(r#","fail-closed.portcullis.dev/receipt":"spec.containers[0].image=17:{LEAF}""#)
}

#[test]
fn records_are_named_wherever_they_stand() {
    let named = |index| Named { writer: None, index, leaf: Digest::parse(LEAF).unwrap() };
    assert_eq!(claim(&event(&receipt())), Claim::Recorded(vec![named(17)]));
    let shared = receipt().replace("=17:", "=eu-1/17:");
    let of_eu_1 = Named { writer: Some("eu-1".to_owned()), ..named(17) };
    assert_eq!(claim(&event(&shared)), Claim::Recorded(vec![of_eu_1]), "of a log that several share");
    // places may have blanks; a guard names its own
    let two = format!(
        r#","fail-closed.portcullis.dev/receipt":"spec.a, spec.b=17:{LEAF} spec.c=18:{LEAF}",
        "guard-1.fail-closed.portcullis.dev/receipt":"the object=19:{LEAF}""#
    );
    assert_eq!(claim(&event(&two)), Claim::Recorded(vec![named(17), named(18), named(19)]));
}

#[test]
fn a_webhook_that_is_not_ours_says_nothing_for_us() {
    for other in
        ["fail-closed.portcullis.dev.evil.example/receipt", "portcullis.dev/receipt", "evil.example/receipt"]
    {
        let text = event(&format!(r#","{other}":"spec=17:{LEAF}""#));
        assert_eq!(claim(&text), Claim::Silent, "{other}");
    }
    assert_eq!(claim(&event("")), Claim::Silent);
}

#[test]
fn an_answer_that_we_do_not_give_to_such_a_write_is_odd() {
    let said = |name: &str, value: &str| event(&format!(r#","fail-closed.portcullis.dev/{name}":"{value}""#));
    for (text, why) in [
        (said("nothing", "delete"), "nothing to judge: delete"),
        (said("nothing", "deleting"), "nothing to judge: deleting"),
        (said("nothing", "mirror-pod"), "nothing to judge: mirror-pod"),
        (said("decision", "spec.containers[0].image=admit"), "names no record"),
        (said("receipt", ""), "names no record"),
        (said("receipt", "spec=17:sha256:00"), "a record that is none: 17:sha256:00"),
        (said("receipt", &format!("a=17:{LEAF} b=x")), "a record that is none: x"),
    ] {
        let Claim::Odd(found) = claim(&text) else { panic!("{text}: {:?}", claim(&text)) };
        assert!(found.contains(why), "{found}");
    }
    let node = said("nothing", "mirror-pod").replace("tom@acme.example", "system:node:one");
    assert_eq!(claim(&node), Claim::Nothing("mirror-pod".to_owned()));
    let going = said("nothing", "deleting").replace(r#""verb":"create""#, r#""verb":"patch""#);
    assert_eq!(claim(&going), Claim::Nothing("deleting".to_owned()));
}

#[test]
fn who_did_not_answer_is_named() {
    let open =
        r#","failed-open.validating.webhook.admission.k8s.io/round_0_index_1":"fail-open.portcullis.dev""#;
    assert_eq!(claim(&event(open)), Claim::FailedOpen(vec!["fail-open.portcullis.dev".to_owned()]));
    let of_another = open.replace("fail-open.portcullis.dev", "other.example");
    assert_eq!(claim(&event(&of_another)), Claim::Silent);
    // one of two of ours did not answer: what the other said is not all
    assert!(matches!(claim(&event(&format!("{open}{}", receipt()))), Claim::FailedOpen(_)));
}

#[test]
fn only_what_was_stored_and_can_bring_code_must_have_been_judged() {
    let silent = event("");
    for (from, to) in [
        (r#""code":201"#, r#""code":403"#),
        (r#""stage":"ResponseComplete""#, r#""stage":"RequestReceived""#),
        (r#""verb":"create""#, r#""verb":"delete""#),
        ("?fieldManager=kubectl", "?fieldManager=kubectl&dryRun=All"),
        (r#""resource":"pods""#, r#""resource":"services""#),
        (r#""resource":"pods""#, r#""resource":"pods","subresource":"status""#),
        (r#""resource":"pods""#, r#""resource":"pods","apiGroup":"metrics.k8s.io""#),
    ] {
        assert!(silent.contains(from));
        assert_eq!(claim(&silent.replace(from, to)), Claim::Irrelevant, "{to}");
    }
    for (from, to) in [
        ("?fieldManager=kubectl", "?fieldManager=dryRun=All"),
        ("?fieldManager=kubectl", "?x%26dryRun=All"),
        (r#""verb":"create""#, r#""verb":"patch""#),
        (r#""resource":"pods""#, r#""resource":"pods","subresource":"ephemeralcontainers""#),
        (r#""resource":"pods""#, r#""resource":"deployments","apiGroup":"apps""#),
    ] {
        assert_eq!(claim(&silent.replace(from, to)), Claim::Silent, "{to}");
    }
}

#[test]
fn an_event_is_read_strictly_and_whole() {
    for (from, to, why) in [
        ("audit.k8s.io/v1", "audit.k8s.io/v1beta1", "audit.k8s.io/v1"),
        (r#""kind":"Event""#, r#""kind":"Event","kind":"Event""#, "duplicate key"),
        (r#""code":201"#, r#""code":"201""#, "responseStatus"),
        (r#""auditID":"id-1","#, "", "auditID"),
        ("01:00:00.2Z", "01:00:00.2+01:00", "a time in UTC"),
    ] {
        let text = event("").replace(from, to);
        let error = AuditEvent::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why) || (why == "responseStatus" && error.contains("code")), "{error}");
    }
    let list = format!(
        r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{{}},"items":[{},{}]}}"#,
        event(""),
        event(&receipt())
    );
    assert_eq!(AuditEvent::parse_list(list.as_bytes()).unwrap().len(), 2);
    assert!(AuditEvent::parse_list(list.replacen("id-1\"", "id-1\",\"stage\":1", 1).as_bytes()).is_err());
}

#[test]
fn the_answer_gives_the_name_the_uid_and_the_images() {
    let object = format!(
        r#""responseObject":{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"web-x7","namespace":"shop","uid":"u7"}},
        "spec":{{"containers":[{{"name":"a","image":"r.example/a@{LEAF}"}},{{"name":"b","image":"r.example/a@{LEAF}"}}]}},"x":1.5}},"verb""#
    );
    let text = event("").replace("\"verb\"", &object).replace(r#""name":"web","#, "");
    let event = AuditEvent::parse(text.as_bytes()).unwrap();
    let found = event.object.as_ref().unwrap();
    assert_eq!((found.name.as_str(), found.uid.as_str()), ("web-x7", "u7"));
    assert_eq!(event.images, Some(vec![format!("r.example/a@{LEAF}")]));
    assert_eq!(
        (found.to_string(), event.who()),
        ("shop/pods/web-x7".into(), "tom@acme.example from 127.0.0.1".into())
    );
}
