//! Everything that the configuration names is in the Pod, where the Pod's configuration says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use attest::yaml::{Node, Value};
use server::webhook::Config;

use super::cluster::{Cluster, Person};
use super::drift::KINDS;
use super::{KEEPER, arguments, example, portcullis};

const MORE: &str = r#"
governance:
  policies: governance
  environment: portcullis/prod
  pinned: { governance: "sha256:1111111111111111111111111111111111111111111111111111111111111111",
    trust-root: "sha256:2222222222222222222222222222222222222222222222222222222222222222" }
inventory: inventory
watch: { every: 30s }
verify: { every: 1h, advisories: [osv/npm.zip] }
alarms:
  sinks:
    - { webhook: "https://alerts.example:9443/portcullis", secret: keys/alarms.secret, ca: alerts.pem }
    - { smtp: "mail.example:587", from: portcullis@acme.example, to: [oncall@acme.example], user: portcullis, password: smtp.password }
    - { file: told/alarms.jsonl }
witnesses: { quorum: 1, of: [{ name: w, url: "https://witness.example:8444", key: keys/w.vkey }], ca: witness.pem }
"#;

/// The example's files, with all that can be named.
fn source(folder: &Path, more: &str) -> PathBuf {
    let source = folder.join("source");
    for part in ["book", "governance", "keys"] {
        std::fs::create_dir_all(source.join(part)).unwrap();
    }
    for name in [
        "trust-root.yaml",
        "guardrails.yaml",
        "ca.crt",
        "apiserver-ca.crt",
        "book/shop.yaml",
        "book/staging.yaml",
    ] {
        std::fs::copy(example(name), source.join(name)).unwrap();
    }
    let text = std::fs::read_to_string(example("serve.yaml")).unwrap();
    let text = text.replace("  cluster: eu-1\n", "  cluster: eu-1\n  secret-key: keys/secret.key\n");
    std::fs::write(source.join("serve.yaml"), text + more).unwrap();
    let policy = std::fs::read_to_string(example("book/shop.yaml")).unwrap();
    std::fs::write(source.join("governance/files.yaml"), policy.replace("prod/shop", "portcullis/prod"))
        .unwrap();
    std::fs::write(source.join("keys/w.vkey"), "w+12345678+AAAA\n").unwrap();
    std::fs::write(source.join("witness.pem"), "an authority\n").unwrap();
    source
}

/// The arguments of the example, for files elsewhere.
fn arguments_of(command: &str, source: &Path) -> Vec<String> {
    let file = |name: &str| (example(name).display().to_string(), source.join(name).display().to_string());
    let moved = ["serve.yaml", "ca.crt"].map(file);
    let own =
        |arg: String| moved.iter().find(|(from, _)| *from == arg).map_or(arg.clone(), |(_, to)| to.clone());
    arguments(command).into_iter().map(own).collect()
}

fn write(exit: i32, folder: &Path, more: &str) -> (String, String) {
    let (source, out) = (source(folder, more), folder.join("out"));
    let mut args = arguments_of("manifests", &source);
    args.extend(["--out".to_owned(), out.display().to_string()]);
    let said = portcullis(exit, &args);
    (said, std::fs::read_to_string(out.join("1-install.yaml")).unwrap_or_default())
}

fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(pairs) = &node.value else { return None };
    let is_it = |name: &Node| matches!(&name.value, Value::Scalar { text, .. } if text == key);
    pairs.iter().find(|(name, _)| is_it(name)).map(|(_, value)| value)
}

fn at<'n>(node: &'n Node, keys: &[&str]) -> Option<&'n Node> {
    keys.iter().try_fold(node, |node, key| child(node, key))
}

fn items(node: Option<&Node>) -> &[Node] {
    node.and_then(|node| node.list().ok()).unwrap_or_default()
}

fn text(node: Option<&Node>) -> String {
    node.and_then(|node| node.string().ok()).unwrap_or_default().to_owned()
}

/// An object of the first part.
fn object(install: &str, kind: &str, name: &str) -> Node {
    let all = install.split("\n---\n").map(|part| Node::parse("install", part).unwrap());
    let is_it =
        |node: &Node| text(child(node, "kind")) == kind && text(at(node, &["metadata", "name"])) == name;
    all.into_iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn a_pod_has_all_that_its_configuration_names() {
    let folder = tempfile::tempdir().unwrap();
    let (said, install) = write(0, folder.path(), MORE);
    for wanted in [
        "portcullis-secrets with the keys alarms.secret, alerts.pem, secret.key, smtp.password",
        "PersistentVolumeClaim portcullis-advisories",
        "each replica has a log of its own",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let set = object(&install, "StatefulSet", "portcullis");
    let pod = at(&set, &["spec", "template", "spec"]).unwrap();
    let container = &items(child(pod, "containers"))[0];
    let mounts: BTreeSet<String> =
        items(child(container, "volumeMounts")).iter().map(|mount| text(child(mount, "mountPath"))).collect();
    // what the ConfigMaps, the three Secrets and the volumes bring
    let sources = items(at(&items(child(pod, "volumes"))[0], &["projected", "sources"]));
    let files = sources.iter().flat_map(|source| items(at(source, &["configMap", "items"])));
    let mut there: BTreeSet<PathBuf> =
        files.map(|item| Path::new("/etc/portcullis").join(text(child(item, "path")))).collect();
    for secret in ["tls/tls.crt", "tls/tls.key", "log/log.key", "secrets/alarms.secret", "secrets/alerts.pem"]
    {
        there.insert(format!("/etc/portcullis-{secret}").into());
    }
    there.extend(["smtp.password", "secret.key"].map(|key| format!("/etc/portcullis-secrets/{key}").into()));

    let data = object(&install, "ConfigMap", "portcullis-serve");
    for replica in ["portcullis-0.yaml", "portcullis-1.yaml"] {
        let own = text(at(&data, &["data", replica]));
        let config = Config::parse(&Path::new("/etc/portcullis").join(replica), &own)
            .unwrap_or_else(|e| panic!("{e:?}\n{own}"));
        let witnesses = config.after.witnesses.clone().unwrap();
        let keys = witnesses.of.iter().map(|(_, _, key)| key.as_path()).chain(witnesses.ca.as_deref());
        for path in config.named().into_iter().map(|(_, path)| path).chain(keys) {
            let is_there = there.iter().any(|file| file == path || file.starts_with(path));
            assert!(is_there, "{} is not among {there:?}", path.display());
            let is_mounted = mounts.iter().any(|mount| path.starts_with(mount));
            assert!(is_mounted, "{} is below none of {mounts:?}", path.display());
        }
        let written =
            [&config.log.path, &config.state, &config.evidence, config.after.inventory.as_ref().unwrap()];
        for folder in written {
            assert!(folder.starts_with("/var/lib/portcullis"), "{} is not its own volume", folder.display());
        }
        assert!(own.contains("/var/lib/portcullis/alarms.jsonl"), "{own}");
        assert_eq!(
            config.after.verify.advisories.advisories,
            [Path::new("/etc/portcullis-advisories/npm.zip")]
        );
    }
    let egress = object(&install, "NetworkPolicy", "portcullis");
    let rules = items(at(&egress, &["spec", "egress"]));
    let ports: BTreeSet<String> = rules
        .iter()
        .flat_map(|rule| items(child(rule, "ports")))
        .filter_map(|port| match &child(port, "port")?.value {
            Value::Scalar { text, .. } => Some(text.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(ports, ["53", "443", "587", "6443", "8444", "9443"].map(str::to_owned).into());
    assert!(install.contains("- watch"), "Pods may be watched");
    // a cluster takes it, and is then as it should be
    let Some(cluster) = Cluster::start() else { return };
    let kubectl = |args: &[&str]| {
        let said = cluster.kubectl(Person::ClusterAdmin, "", &[args, KEEPER].concat(), "");
        assert_eq!(said.exit, 0, "{}{}", said.stdout, said.stderr);
        said.stdout
    };
    for part in ["1-install.yaml", "2-webhooks.yaml", "3-policies.yaml"] {
        kubectl(&["apply", "-f", &folder.path().join("out").join(part).display().to_string()]);
    }
    let live = folder.path().join("live.json");
    std::fs::write(&live, kubectl(&["get", KINDS, "-o", "json"])).unwrap();
    let live = ["--live".to_owned(), live.display().to_string()];
    let said = portcullis(0, &[arguments_of("drift", &folder.path().join("source")), live.to_vec()].concat());
    assert!(said.contains("objects are as they should be"), "{said}");
}

#[test]
fn what_no_pod_can_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, wanted) in [
        (
            "watch: { every: 30s }",
            "watch: { audit-log: /var/log/audit.log }",
            "no Pod has the API server's audit log",
        ),
        ("alerts.pem", "other/alarms.secret", "two files have one name in a Pod"),
        ("smtp.password", "\"smtp password\"", "no Pod has a file of this name"),
    ] {
        assert!(MORE.contains(from), "{from}");
        let (said, install) = write(2, folder.path(), &MORE.replace(from, to));
        assert!(said.contains(wanted) && install.is_empty(), "{wanted}: {said}");
    }
    let (said, install) = write(0, folder.path(), "");
    assert!(!install.contains("portcullis-advisories") && !install.contains("watch"), "{install}");
    assert!(said.contains("portcullis-secrets with the keys secret.key"), "{said}");
}
