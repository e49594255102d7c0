//! The choke point itself: its namespace, its rights, its files, and two or more of it.

use std::collections::{BTreeMap, BTreeSet};

use attest::{Digest, Json, Object};

use super::template::{self, Values};
use super::{Files, ManifestError, Reach, Serve, Settings, kinds, places, render};

const INSTALL: &str = include_str!("templates/install.yaml");
const MONITOR: &str = include_str!("templates/service-monitor.yaml");

/// The API server refuses larger objects than this.
const CONFIG_MAP: usize = 1 << 20;

pub(super) fn objects(settings: &Settings, serve: &Serve, files: &Files) -> Result<Vec<Json>, ManifestError> {
    let Reach::Service { image } = &settings.reach else { return Ok(Vec::new()) };
    let folder = |of: &[policy::SourceFile]| {
        of.first().and_then(|f| f.name.split_once('/')).map(|(folder, _)| folder.to_owned())
    };
    let (policies, governance) = (folder(&files.book), folder(&files.governance));
    let named = [policies.as_deref(), governance.as_deref(), Some(places::WITNESSES)];
    let policies = policies.as_deref().unwrap_or("book");
    // folders of one name would be one folder
    places::distinct_folders(&named)?;
    let own = |replica| serve.in_pod(replica, policies, governance.as_deref());
    let serve_files: Object = (0..settings.replicas)
        .map(|replica| (format!("portcullis-{replica}.yaml"), Json::from(own(replica))))
        .collect();
    let (book_files, items) = book(files, &serve.public());
    let secrets = places::secrets(&serve.whole)?;
    let more = [
        (!secrets.is_empty()).then(|| mounted("secrets", places::SECRETS, secret("portcullis-secrets"))),
        places::has_advisories(&serve.whole)
            .then(|| mounted("advisories", places::ADVISORIES, claim("portcullis-advisories"))),
    ];
    let (more_mounts, more_volumes) = more.into_iter().flatten().unzip();
    size(&serve_files)?;
    size(&book_files)?;
    let serve_digest = Digest::sha256(render::document(&serve_files.clone().into()).as_bytes());
    let values = Values::from([
        ("namespace", Json::from(settings.namespace.as_str())),
        ("owner_rules", Json::Array(owner_rules(serve))),
        ("serve_files", serve_files.into()),
        ("book_files", book_files.into()),
        ("serve_digest", Json::from(serve_digest.hex())),
        ("configuration_sources", Json::Array(sources(items))),
        ("more_mounts", Json::Array(more_mounts)),
        ("more_volumes", Json::Array(more_volumes)),
        ("image", Json::from(image.as_str())),
        ("replicas", Json::Int(settings.replicas.into())),
        ("resources", resources(template::is_mark(image))),
        ("storage", Json::from(settings.storage.as_str())),
        ("ingress", Json::Array(ingress(settings))),
        ("egress", Json::Array(egress(settings, serve))),
    ]);
    let mut objects = template::fill("install.yaml", INSTALL, &values)?;
    if settings.monitored {
        objects.extend(template::fill("service-monitor.yaml", MONITOR, &values)?);
    }
    Ok(objects)
}

/// What follows from this configuration in a Pod.
///
/// # Errors
/// [`ManifestError`] for what is not there in a Pod.
pub(super) fn notes(serve: &Serve) -> Result<Vec<String>, ManifestError> {
    let mut notes = Vec::new();
    places::distinct(serve.public().iter().map(String::as_str))?;
    let watch = serve.whole.get("watch").and_then(|watch| watch.as_object().ok());
    if let Some(file) = watch.and_then(|watch| watch.get("audit-log")) {
        let fix = "leave `audit-log` out, and run portcullis log audit where the API server's log is";
        let wanted = "`watch` without `audit-log`";
        let found = format!("audit-log: {file}");
        return Err(ManifestError::new("no Pod has the API server's audit log", wanted, &found, fix));
    }
    if serve.is_watched() {
        let note = "each replica has a log of its own, and watch: finds what another replica admitted undecided; watch \
                    where one choke point decides alone, which is outside of the cluster (--url)";
        notes.push(note.to_owned());
    }
    let secrets: Vec<String> = places::secrets(&serve.whole)?.into_iter().collect();
    if !secrets.is_empty() {
        let keys = secrets.join(", ");
        notes
            .push(format!("make the Secret portcullis-secrets with the keys {keys}: no manifest holds them"));
    }
    if places::has_advisories(&serve.whole) {
        let note = "make the PersistentVolumeClaim portcullis-advisories, and keep what is in it up to date";
        notes.push(note.to_owned());
    }
    Ok(notes)
}

/// A mount, and the volume behind it.
fn mounted(name: &str, at: &str, source: Object) -> (Json, Json) {
    let mount = Object::new().with("name", name).with("mountPath", at).with("readOnly", true);
    let volume = source
        .iter()
        .fold(Object::new().with("name", name), |volume, (key, value)| volume.with(key, value.clone()));
    (mount.into(), volume.into())
}

fn secret(name: &str) -> Object {
    Object::new().with("secret", Object::new().with("secretName", name).with("defaultMode", 288))
}

fn claim(name: &str) -> Object {
    let claim = Object::new().with("claimName", name).with("readOnly", true);
    Object::new().with("persistentVolumeClaim", claim)
}

/// The right to read what a Pod's owner says; where what runs is watched, to see the Pods; and no other.
fn owner_rules(serve: &Serve) -> Vec<Json> {
    let rule_to = |verbs: Vec<&str>, group: &str, resources: Vec<&str>| -> Json {
        let rule = Object::new().with("apiGroups", vec![group]).with("resources", resources);
        rule.with("verbs", verbs).into()
    };
    let rule = |group: &str, resources: Vec<&str>| rule_to(vec!["get"], group, resources);
    let mut rules = vec![
        rule("", vec!["replicationcontrollers"]),
        // revisions: a StatefulSet and a DaemonSet make Pods of earlier templates, which stand only there
        rule("apps", vec!["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"]),
        rule("batch", vec!["cronjobs", "jobs"]),
    ];
    let custom: BTreeSet<(String, String)> =
        serve.mapping.images.iter().filter_map(|images| kinds::owner(&images.kind)).collect();
    rules.extend(custom.iter().map(|(group, resource)| rule(group, vec![resource])));
    rules.extend(serve.is_watched().then(|| rule_to(vec!["list", "watch"], "", vec!["pods"])));
    rules
}

/// The files of the book under keys that a ConfigMap may have, and where each key's file goes.
fn book(files: &Files, public: &[String]) -> (Object, Vec<Json>) {
    let own = files.book.iter().chain(&files.governance);
    let mut all: Vec<(String, &str)> = own.map(|f| (f.name.clone(), f.text.as_str())).collect();
    let beside: BTreeMap<String, &str> = public
        .iter()
        .map(|file| places::below(places::WITNESSES, file))
        .zip(files.public.iter().map(String::as_str))
        .collect();
    all.extend(beside);
    all.push(("trust-root.yaml".to_owned(), &files.trust_root));
    all.extend(files.guardrails.iter().map(|text| ("guardrails.yaml".to_owned(), text.as_str())));
    all.extend(files.clients.iter().map(|text| ("clients-ca.crt".to_owned(), text.as_str())));
    let (mut data, mut items) = (Object::new(), Vec::new());
    for (index, (path, text)) in all.into_iter().enumerate() {
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_key = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let key = format!("{:03}-{}", index + 1, if is_key { name } else { "policy.yaml" });
        data.set(&key, text);
        items.push(Object::new().with("key", key).with("path", path).into());
    }
    (data, items)
}

fn size(data: &Object) -> Result<(), ManifestError> {
    let bytes: usize = data.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if bytes <= CONFIG_MAP {
        return Ok(());
    }
    let wanted = format!("at most {CONFIG_MAP} bytes, which is what a ConfigMap holds");
    let fix = "run the choke point outside of the cluster, and give --url";
    Err(ManifestError::new(
        "the files are too large for a ConfigMap",
        &wanted,
        &format!("{bytes} bytes"),
        fix,
    ))
}

fn sources(book: Vec<Json>) -> Vec<Json> {
    let source = |name: &str, items: Option<Vec<Json>>| -> Json {
        let mut map = Object::new().with("name", name);
        map.set_some("items", items);
        Object::new().with("configMap", map).into()
    };
    vec![source("portcullis-serve", None), source("portcullis-book", Some(book))]
}

fn resources(is_chart: bool) -> Json {
    if is_chart {
        return Json::from(template::mark("resources"));
    }
    let amounts = |cpu: Option<&str>, memory: &str| {
        let mut amounts = Object::new();
        amounts.set_some("cpu", cpu);
        amounts.with("memory", memory)
    };
    // no limit of processor time: what is throttled answers late, and a late answer is a refusal
    Object::new()
        .with("requests", amounts(Some("500m"), "128Mi"))
        .with("limits", amounts(None, "256Mi"))
        .into()
}

fn port(number: i64, protocol: &str) -> Json {
    Object::new().with("port", number).with("protocol", protocol).into()
}

fn rule(peers: &str, of: Vec<Json>, ports: Vec<Json>) -> Json {
    let mut rule = Object::new();
    if !of.is_empty() {
        rule.set(peers, of);
    }
    rule.with("ports", ports).into()
}

fn addresses(settings: &Settings) -> Vec<Json> {
    let block =
        |cidr: &String| Object::new().with("ipBlock", Object::new().with("cidr", cidr.as_str())).into();
    settings.api_addresses.iter().map(block).collect()
}

fn ingress(settings: &Settings) -> Vec<Json> {
    // the API server stands outside of the Pods' network, and often has no address of its own to select
    let mut rules = vec![rule("from", addresses(settings), vec![port(8443, "TCP")])];
    if !settings.metrics_from.is_empty() {
        let names = settings.metrics_from.iter().cloned().collect();
        let from = Object::new().with("namespaceSelector", super::namespaces::selector("In", names));
        rules.push(rule("from", vec![from.into()], vec![port(9464, "TCP")]));
    }
    rules
}

fn egress(settings: &Settings, serve: &Serve) -> Vec<Json> {
    let mut rules = vec![
        rule("to", Vec::new(), vec![port(53, "UDP"), port(53, "TCP")]),
        rule("to", addresses(settings), vec![port(443, "TCP"), port(6443, "TCP")]),
    ];
    let called = places::ports(&serve.whole);
    rules.extend(called.into_iter().map(|number| rule("to", Vec::new(), vec![port(number, "TCP")])));
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::MADE;

    const SERVE: &str =
        "book: b\ntrust-root: t\nlog: { path: l, origin: o.example/x, key: k }\nwebhook:\n  cluster: c\n";

    #[test]
    fn pods_may_be_seen_only_where_what_runs_is_watched() {
        let of_pods = |text: &str| {
            let rules = Json::Array(owner_rules(&Serve::parse("serve.yaml", text).unwrap())).to_string();
            (rules.contains("pods"), rules.contains(r#""resources":["pods"],"verbs":["list","watch"]"#))
        };
        assert_eq!(of_pods(SERVE), (false, false));
        assert_eq!(of_pods(&format!("{SERVE}watch: {{ every: 30s }}\n")), (true, true));
    }

    #[test]
    fn every_owner_that_is_looked_up_may_be_read() {
        let rules = owner_rules(&Serve::parse("serve.yaml", SERVE).unwrap());
        let revision = [("apps", "ControllerRevision")];
        for (group, kind) in MADE.iter().map(|made| made.owner).chain(revision) {
            let resource = format!("{}s", kind.to_ascii_lowercase());
            let names = |rule: &Object, key: &str, name: &str| {
                rule.optional_array(key).unwrap().iter().any(|item| item.as_str() == Ok(name))
            };
            let may_get = rules.iter().map(|rule| rule.as_object().unwrap()).any(|rule| {
                names(rule, "apiGroups", group)
                    && names(rule, "resources", &resource)
                    && names(rule, "verbs", "get")
            });
            assert!(may_get, "get of {resource} in the group `{group}`");
        }
    }
}
