//! The webhooks: who is asked, about what, and what happens when nobody answers.

use std::collections::BTreeSet;

use attest::{Json, Object};
use base64::Engine as _;

use super::kinds;
use super::namespaces::{Namespaces, selector};
use super::{ManifestError, Reach, Serve, Settings};

/// Seconds that the API server waits; it passes what is left of them on.
const TIMEOUT: i64 = 5;

pub(super) fn objects(
    settings: &Settings,
    serve: &Serve,
    namespaces: &Namespaces,
) -> Result<Vec<Json>, ManifestError> {
    let judged = judged_rules(serve)?;
    let validate = |name: &str, failure: &str, rules: &[Json], namespaces: Json| {
        entry(settings, "validate", name, failure, rules, namespaces)
    };
    let mut entries =
        vec![validate("fail-closed.portcullis.dev", "Fail", &judged, namespaces.closed_selector())];
    if !namespaces.open.is_empty() {
        let open = selector("In", namespaces.open.clone());
        entries.push(validate("fail-open.portcullis.dev", "Ignore", &judged, open));
    }
    for (index, guard) in serve.mapping.guard.iter().enumerate() {
        let rules = |scope: &str| {
            guard.kinds.iter().map(|kind| kinds::rule(kind, scope)).collect::<Result<Vec<Json>, _>>()
        };
        let name = |end: &str| format!("guard-{}.{end}.portcullis.dev", index + 1);
        let names = guard.namespaces.iter().cloned();
        let (open, closed) = names.partition::<BTreeSet<String>, _>(|name| namespaces.open.contains(name));
        for (end, failure, names) in [("fail-closed", "Fail", closed), ("fail-open", "Ignore", open)] {
            if !names.is_empty() {
                entries.push(validate(&name(end), failure, &rules("Namespaced")?, selector("In", names)));
            }
        }
        if guard.cluster_scoped {
            // every selector matches what has no namespace, so there is one entry for it, and it is closed
            let all = namespaces.judged_selector();
            entries.push(validate(&name("cluster"), "Fail", &rules("Cluster")?, all));
        }
    }
    let mut objects = vec![configuration("ValidatingWebhookConfiguration", entries)];
    if settings.pins {
        // what was not pinned is refused by the validating webhook, so this one need not be reached
        let name = "pin.portcullis.dev";
        let pins = custom_rules(serve)?;
        let pins = [kinds::image_rules(), pins].concat();
        let Json::Object(entry) =
            entry(settings, "mutate", name, "Ignore", &pins, namespaces.judged_selector())
        else {
            return Ok(objects);
        };
        let entry = entry.with("reinvocationPolicy", "IfNeeded").with("sideEffects", "None");
        objects.push(configuration("MutatingWebhookConfiguration", vec![entry.into()]));
    }
    Ok(objects)
}

/// Everything that holds images, and what puts annotations on a Pod after it was judged.
fn judged_rules(serve: &Serve) -> Result<Vec<Json>, ManifestError> {
    let mut rules = kinds::image_rules();
    rules.push(kinds::rule_of("", &["bindings", "pods/binding"], "Namespaced"));
    rules.extend(custom_rules(serve)?);
    Ok(rules)
}

fn custom_rules(serve: &Serve) -> Result<Vec<Json>, ManifestError> {
    let mut rules: Vec<Json> = Vec::new();
    for images in &serve.mapping.images {
        let rule = kinds::rule(&images.kind, "Namespaced")?;
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn configuration(kind: &str, entries: Vec<Json>) -> Json {
    Object::new()
        .with("apiVersion", "admissionregistration.k8s.io/v1")
        .with("kind", kind)
        .with("metadata", Object::new().with("name", "portcullis"))
        .with("webhooks", Json::Array(entries))
        .into()
}

fn entry(
    settings: &Settings,
    path: &str,
    name: &str,
    failure: &str,
    rules: &[Json],
    namespaces: Json,
) -> Json {
    Object::new()
        .with("name", name)
        .with("clientConfig", client(settings, path))
        .with("rules", rules.to_vec())
        .with("failurePolicy", failure)
        .with("matchPolicy", "Equivalent")
        .with("namespaceSelector", namespaces)
        .with("sideEffects", "NoneOnDryRun")
        .with("timeoutSeconds", TIMEOUT)
        .with("admissionReviewVersions", vec!["v1"])
        .into()
}

fn client(settings: &Settings, path: &str) -> Json {
    let path = format!("/v1/kubernetes/{path}");
    let bundle = base64::engine::general_purpose::STANDARD.encode(&settings.authority);
    let client = match &settings.reach {
        Reach::Url(url) => Object::new().with("url", format!("{}{path}", url.trim_end_matches('/'))),
        Reach::Service { .. } => {
            let service =
                Object::new().with("namespace", settings.namespace.as_str()).with("name", "portcullis");
            Object::new().with("service", service.with("path", path).with("port", 443_i64))
        }
    };
    client.with("caBundle", bundle).into()
}
