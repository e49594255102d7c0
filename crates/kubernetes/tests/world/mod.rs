//! Reviews as an API server would send them, and the shared data.
#![allow(dead_code, reason = "not every test uses every function")]

use std::path::PathBuf;

use attest::json::{Limits, parse_with};
use attest::yaml::{Fields, Node, Problems};
use attest::{Json, Object};
use kubernetes::mapping::KEYS;
use kubernetes::{Mapping, Review};

pub const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

pub fn image(name: &str, digit: char) -> String {
    format!("registry.example/{name}@sha256:{}", digit.to_string().repeat(64))
}

pub fn object(text: &str) -> Object {
    parse_with(text.as_bytes(), Limits::default().exact()).unwrap().as_object().unwrap().clone()
}

pub const MAPPING: &str = "
cluster: eu-1
environments:
  - { environment: prod/shop, namespaces: [shop] }
  - { environment: prod/pay, namespaces: [shop], workloads: [Deployment/pay] }
  - { environment: prod/cluster, cluster-scoped: true }
guard:
  - { kinds: [ConfigMap, Secret, Role.rbac], namespaces: [shop] }
  - { kinds: [ClusterRole], cluster-scoped: true }
  - { kinds: [Deployment], namespaces: [shop], names: [guarded], autoscaled: true }
images:
  - { kind: Rollout.argoproj.io, paths: [\"spec.template.spec.containers[*].image\"] }
mirror-namespaces: [kube-system]
";

pub fn mapping(text: &str) -> Result<Mapping, Vec<attest::LoadError>> {
    let node = Node::parse("serve.yaml", text).unwrap();
    let mut problems = Problems::new();
    let fields = Fields::read(&node, "`webhook`", &KEYS, &mut problems);
    let mapping = fields.and_then(|fields| Mapping::read(&fields, &mut problems));
    problems.finish(mapping)
}

pub fn standard() -> Mapping {
    mapping(MAPPING).unwrap()
}

/// A request with everything that a test does not care about filled in.
pub struct Ask {
    pub operation: &'static str,
    pub api: &'static str,
    pub kind: &'static str,
    pub subresource: &'static str,
    pub namespace: &'static str,
    pub name: &'static str,
    pub user: &'static str,
    pub groups: &'static [&'static str],
    pub object: Option<Object>,
    pub old: Option<Object>,
}

pub fn ask(operation: &'static str, api: &'static str, kind: &'static str) -> Ask {
    Ask {
        operation,
        api,
        kind,
        subresource: "",
        namespace: "shop",
        name: "web",
        user: "alice",
        groups: &["system:authenticated"],
        object: None,
        old: None,
    }
}

impl Ask {
    pub fn json(&self) -> Json {
        let (group, version) = self.api.rsplit_once('/').unwrap_or(("", self.api));
        let full = |object: &Option<Object>| match object {
            None => Json::Null,
            Some(object) => {
                let mut object = object.clone();
                object.set("apiVersion", self.api);
                object.set("kind", self.kind);
                let mut metadata = object.optional_object("metadata").unwrap().cloned().unwrap_or_default();
                metadata.set("name", self.name);
                if !self.namespace.is_empty() {
                    metadata.set("namespace", self.namespace);
                }
                object.set("metadata", metadata);
                object.into()
            }
        };
        let kind = Object::new().with("group", group).with("version", version).with("kind", self.kind);
        let groups = Json::Array(self.groups.iter().map(|g| Json::from(*g)).collect());
        let request = Object::new()
            .with("uid", "1299d386-525b-4032-98ae-1949f69f9cfc")
            .with("kind", kind)
            .with("resource", Object::new().with("version", version).with("resource", "things"))
            .with("subResource", self.subresource)
            .with("name", self.name)
            .with("namespace", self.namespace)
            .with("operation", self.operation)
            .with("userInfo", Object::new().with("username", self.user).with("groups", groups))
            .with("object", full(&self.object))
            .with("oldObject", full(&self.old));
        Object::new()
            .with("apiVersion", "admission.k8s.io/v1")
            .with("kind", "AdmissionReview")
            .with("request", request)
            .into()
    }

    pub fn review(&self) -> Review {
        Review::parse(self.json().to_string().as_bytes()).unwrap()
    }
}

/// A workload with one container.
pub fn workload(image: &str) -> Object {
    object(&format!(
        r#"{{"spec":{{"replicas":1,"template":{{"metadata":{{"labels":{{"app":"web"}}}},"spec":{{"containers":[{{"name":"web","image":"{image}"}}]}}}}}}}}"#
    ))
}

pub fn pod(image: &str) -> Object {
    object(&format!(r#"{{"spec":{{"containers":[{{"name":"web","image":"{image}"}}]}}}}"#))
}

/// A folder of the shared data; nothing, said loudly, where it is absent outside CI.
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
pub fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PORTCULLIS_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "the shared data must be there in CI: {}", path.display());
    eprintln!("\n*** SKIPPED: no shared data at {}; this test checked NOTHING ***\n", path.display());
    None
}
