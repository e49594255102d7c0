//! What the API server, and the person at kubectl, hear.

mod world;

use attest::Json;
use kubernetes::pin::pins;
use kubernetes::{Outcome, Refusal, Ruling, Subject, answer, answer_busy, answer_nothing, answer_patch};
use policy::{Diagnostic, Finding, Severity};
use world::{ask, image, object, pod, standard, workload};

fn finding(rule: &'static str) -> Diagnostic {
    let finding = Finding::new(
        rule,
        "the provenance is by another builder",
        "build it with the builder that the policy names",
    )
    .wanted_always("builder https://builds.example/1")
    .found("https://evil.example/\u{1b}[31m")
    .or("have the policy changed, and reviewed");
    Diagnostic::of_finding(&finding, "registry.example/shop@sha256:aaaa…aaaa", Severity::Error)
}

fn outcome(ruling: Ruling, findings: Vec<Diagnostic>) -> Outcome {
    Outcome {
        place: "spec.template.spec.containers[0].image".to_owned(),
        artifact: "registry.example/shop@sha256:aaaa…aaaa".to_owned(),
        ruling,
        basis: "policy".to_owned(),
        findings,
        why: (ruling == Ruling::CannotDecide).then(|| "the evidence store is not there".to_owned()),
        warnings: Vec::new(),
        record: Some(42),
        receipt: Some("abc@42".to_owned()),
    }
}

fn review() -> kubernetes::Review {
    let mut ask = ask("CREATE", "apps/v1", "Deployment");
    ask.object = Some(workload(&image("shop", 'a')));
    ask.review()
}

fn message(answer: &Json) -> String {
    let response = answer.as_object().unwrap().object("response").unwrap();
    assert!(!response.flag("allowed").unwrap());
    response.object("status").unwrap().string("message").unwrap().to_owned()
}

#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        text,
        "{name}; run with GOLDEN=overwrite and read every word"
    );
}

#[test]
fn a_refusal_is_readable_in_kubectls_output() {
    let refusal = Refusal::new(
        "image-reference",
        "spec.template.spec.containers[1].image",
        "the image reference cannot be read: the repository has a capital letter",
        "write the repository in lower case",
    )
    .wanted("registry/repository[:tag]@sha256:HEX")
    .found("Nginx");
    let refused = answer(
        &review(),
        &[outcome(Ruling::Refused, vec![finding("built-by")]), outcome(Ruling::CannotDecide, vec![])],
        &[refusal],
    );
    golden("refused.txt", &format!("{}\n", message(&refused)));
    golden("refused.json", &format!("{}\n", refused.pretty()));
    golden(
        "cannot-decide.txt",
        &format!("{}\n", message(&answer(&review(), &[outcome(Ruling::CannotDecide, vec![])], &[]))),
    );
}

#[test]
fn codes_say_whose_turn_it_is() {
    let code = |answer: &Json| {
        let status =
            answer.as_object().unwrap().object("response").unwrap().object("status").unwrap().clone();
        (status.int("code").unwrap(), status.string("reason").unwrap().to_owned())
    };
    let of = |rulings: &[Ruling]| {
        code(&answer(&review(), &rulings.iter().map(|r| outcome(*r, vec![])).collect::<Vec<_>>(), &[]))
    };
    assert_eq!(of(&[Ruling::Admitted, Ruling::Refused]), (403, "Forbidden".to_owned()));
    assert_eq!(of(&[Ruling::Admitted, Ruling::CannotDecide]), (500, "InternalError".to_owned()));
    assert_eq!(of(&[Ruling::CannotDecide, Ruling::Refused]), (403, "Forbidden".to_owned()));
    let busy = answer_busy(&review(), "256 requests wait", 1);
    assert_eq!(code(&busy), (429, "TooManyRequests".to_owned()));
    assert!(busy.to_string().contains(r#""details":{"retryAfterSeconds":1}"#));
}

#[test]
fn what_is_admitted_says_nothing_but_its_warnings_and_where_it_is_on_record() {
    let mut dry = outcome(Ruling::Admitted, vec![finding("built-by")]);
    dry.warnings = vec!["w".repeat(500), "w".repeat(500), "line\nbreak".to_owned()];
    let json = answer(&review(), &[dry.clone()], &[]);
    let response = json.as_object().unwrap().object("response").unwrap();
    assert!(
        response.flag("allowed").unwrap()
            && response.get("status").is_none()
            && response.get("patch").is_none()
    );
    assert_eq!(response.string("uid").unwrap(), review().uid);
    let warnings: Vec<usize> =
        response.array("warnings").unwrap().iter().map(|w| w.as_str().unwrap().chars().count()).collect();
    assert_eq!(warnings, [120, 10]);
    assert_eq!(
        response.object("auditAnnotations").unwrap().string("record").unwrap(),
        "spec.template.spec.containers[0].image=42"
    );
    dry.warnings = (0..500).map(|i| format!("{i} {}", "é".repeat(200))).collect();
    let json = answer(&review(), &[dry], &[]);
    let response = json.as_object().unwrap().object("response").unwrap();
    let bytes: usize = response.array("warnings").unwrap().iter().map(|w| w.as_str().unwrap().len()).sum();
    assert!(bytes <= 4096 && bytes > 3500, "{bytes}");
    let nothing = answer_nothing(&review(), &kubernetes::Nothing::Scale).to_string();
    assert!(nothing.contains(r#""allowed":true"#) && nothing.contains(r#""nothing":"scale""#));
}

#[test]
fn a_message_has_an_end_and_says_what_was_left_out() {
    let many: Vec<Diagnostic> = (0..200).map(|_| finding("built-by")).collect();
    let text = message(&answer(&review(), &[outcome(Ruling::Refused, many)], &[]));
    assert!(text.len() <= 8192, "{}", text.len());
    let shown = text.matches("error[built-by]").count();
    assert!(
        text.ends_with(&format!(
            "… and {} more, in the decision log under the records that the audit log names",
            200 - shown
        )),
        "{text}"
    );
    let long = "界".repeat(400);
    let mut huge = Finding::new("built-by", &long, &long).wanted_always(&long).found(&long);
    for _ in 0..10 {
        huge = huge.or(&long);
    }
    let huge = Diagnostic::of_finding(&huge, "x", Severity::Error);
    let text = message(&answer(&review(), &[outcome(Ruling::Refused, vec![huge])], &[]));
    assert!(text.len() <= 8192 && text.contains("error[built-by]"), "{text}");
}

#[test]
fn tags_are_pinned_once_and_what_runs_is_left_alone() {
    let digest = attest::Digest::sha256(b"x");
    let resolve =
        |r: &kubernetes::Reference| (r.repository() == "registry.example/shop").then(|| digest.clone());
    let mut ask = ask("CREATE", "v1", "Pod");
    let a = image("shop", 'a');
    ask.object = Some(object(&format!(
        r#"{{"spec":{{"containers":[{{"name":"a","image":"registry.example/shop:1"}},{{"name":"b","image":"{a}"}},{{"name":"c","image":"other"}}]}}}}"#
    )));
    let found = pins(&Subject::of(&ask.review(), &standard(), None), resolve);
    let json = answer_patch(&ask.review(), &found);
    let response = json.as_object().unwrap().object("response").unwrap();
    use base64::Engine as _;
    let patch = base64::engine::general_purpose::STANDARD.decode(response.string("patch").unwrap()).unwrap();
    let to = format!("registry.example/shop:1@{digest}");
    assert_eq!(
        String::from_utf8(patch).unwrap(),
        format!(
            r#"[{{"op":"test","path":"/spec/containers/0/image","value":"registry.example/shop:1"}},{{"op":"replace","path":"/spec/containers/0/image","value":"{to}"}}]"#
        )
    );
    ask.object = Some(pod(&to));
    assert_eq!(
        pins(&Subject::of(&ask.review(), &standard(), None), resolve),
        [],
        "called again, it changes nothing"
    );
    ask.operation = "UPDATE";
    (ask.object, ask.old) = (Some(pod("registry.example/shop:1")), Some(pod("registry.example/shop:1")));
    assert_eq!(
        pins(&Subject::of(&ask.review(), &standard(), None), resolve),
        [],
        "a pod that runs is not restarted"
    );
    let plain = answer_patch(&ask.review(), &[]).to_string();
    assert!(!plain.contains("patch") && plain.contains(r#""allowed":true"#));
}
