//! Manifests for the cases, in few words.

use attest::{Json, Object};

use super::fixtures::{Image, inline};

/// What a Pod, or a template of Pods, has.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    containers: Vec<Json>,
    init: Vec<Json>,
    ephemeral: Vec<Json>,
    volumes: Vec<Json>,
    evidence: Vec<String>,
    annotations: Object,
    labels: Object,
    metadata: Object,
    more: Object,
}

/// The kinds that hold a template, their API versions, and where the Pod's `spec` is.
pub const KINDS: [(&str, &str, &str); 8] = [
    ("Deployment", "apps/v1", "spec.template.spec"),
    ("StatefulSet", "apps/v1", "spec.template.spec"),
    ("DaemonSet", "apps/v1", "spec.template.spec"),
    ("ReplicaSet", "apps/v1", "spec.template.spec"),
    ("Job", "batch/v1", "spec.template.spec"),
    ("CronJob", "batch/v1", "spec.jobTemplate.spec.template.spec"),
    ("ReplicationController", "v1", "spec.template.spec"),
    ("PodTemplate", "v1", "template.spec"),
];

fn container(name: &str, reference: &str) -> Object {
    Object::new().with("name", name).with("image", reference)
}

fn number(items: &[Json], prefix: &str) -> String {
    format!("{prefix}{}", items.len())
}

impl Spec {
    /// A container for each image, and the evidence of all.
    pub fn of(images: &[&Image]) -> Self {
        images.iter().fold(Self::default(), |spec, image| spec.container(&image.reference).evidence_of(image))
    }

    pub fn container(mut self, reference: &str) -> Self {
        self.containers.push(container(&number(&self.containers, "c"), reference).into());
        self
    }

    /// A container with arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        if let Some(Json::Object(last)) = self.containers.last_mut() {
            last.set("args", arguments.iter().map(|a| Json::from(*a)).collect::<Vec<_>>());
        }
        self
    }

    /// A container with a variable of this many bytes.
    pub fn large(mut self, bytes: usize) -> Self {
        if let Some(Json::Object(last)) = self.containers.last_mut() {
            let variable = Object::new().with("name", "LARGE").with("value", "x".repeat(bytes));
            last.set("env", vec![Json::from(variable)]);
        }
        self
    }

    /// A container that asks for this much of a processor.
    pub fn processor(mut self, request: &str) -> Self {
        if let Some(Json::Object(last)) = self.containers.last_mut() {
            last.set("resources", Object::new().with("requests", Object::new().with("cpu", request)));
        }
        self
    }

    pub fn init(mut self, image: &Image) -> Self {
        self.init.push(container(&number(&self.init, "i"), &image.reference).into());
        self
    }

    pub fn sidecar(mut self, image: &Image) -> Self {
        let sidecar = container(&number(&self.init, "s"), &image.reference).with("restartPolicy", "Always");
        self.init.push(sidecar.into());
        self
    }

    pub fn ephemeral(mut self, image: &Image) -> Self {
        self.ephemeral.push(container(&number(&self.ephemeral, "e"), &image.reference).into());
        self
    }

    /// An image volume.
    pub fn volume(mut self, image: &Image) -> Self {
        let volume = Object::new().with("name", number(&self.volumes, "v"));
        self.volumes
            .push(volume.with("image", Object::new().with("reference", image.reference.as_str())).into());
        self
    }

    /// More evidence in the annotation.
    pub fn evidence_of(mut self, image: &Image) -> Self {
        for bundle in &image.evidence {
            if !self.evidence.contains(bundle) {
                self.evidence.push(bundle.clone());
            }
        }
        self
    }

    pub fn bundle(mut self, text: &str) -> Self {
        self.evidence.push(text.to_owned());
        self
    }

    pub fn without_evidence(mut self) -> Self {
        self.evidence.clear();
        self
    }

    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.set(name, value);
        self
    }

    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.set(name, value);
        self
    }

    /// Another field of the metadata, as in `ownerReferences`.
    pub fn metadata(mut self, name: &str, json: &str) -> Self {
        self.metadata.set(name, attest::json::parse(json.as_bytes()).unwrap());
        self
    }

    /// Another field of the Pod's `spec`.
    pub fn field(mut self, name: &str, json: &str) -> Self {
        self.more.set(name, attest::json::parse(json.as_bytes()).unwrap());
        self
    }

    fn annotations(&self) -> Object {
        let mut annotations = self.annotations.clone();
        if !self.evidence.is_empty() && annotations.get("portcullis.dev/evidence").is_none() {
            annotations.set("portcullis.dev/evidence", inline(&self.evidence));
        }
        annotations
    }

    fn spec(&self, restart: &str) -> Object {
        let mut spec = Object::new().with("containers", self.containers.clone());
        for (name, list) in [
            ("initContainers", &self.init),
            ("ephemeralContainers", &self.ephemeral),
            ("volumes", &self.volumes),
        ] {
            if !list.is_empty() {
                spec.set(name, list.clone());
            }
        }
        if !restart.is_empty() {
            spec.set("restartPolicy", restart);
        }
        self.more.iter().for_each(|(name, value)| spec.set(name, value.clone()));
        spec.with("terminationGracePeriodSeconds", Json::Int(0))
    }

    /// A Pod. A name that ends with `-` is a `generateName`.
    pub fn pod(&self, name: &str) -> String {
        let key = if name.ends_with('-') { "generateName" } else { "name" };
        let mut metadata = Object::new().with(key, name).with("annotations", self.annotations());
        metadata.set("labels", self.labels.clone());
        self.metadata.iter().for_each(|(name, value)| metadata.set(name, value.clone()));
        object("v1", "Pod", metadata, "spec", self.spec("").into())
    }

    fn template(&self, name: &str, restart: &str) -> Object {
        let labels = self.labels.clone().with("app", name);
        let metadata = Object::new().with("labels", labels).with("annotations", self.annotations());
        Object::new().with("metadata", metadata).with("spec", self.spec(restart))
    }

    /// A workload of one of [`KINDS`], or `Rollout`, a custom resource.
    pub fn workload(&self, kind: &str, name: &str) -> String {
        self.replicas(kind, name, 1)
    }

    pub fn replicas(&self, kind: &str, name: &str, replicas: i64) -> String {
        let version = KINDS.iter().find(|k| k.0 == kind).map_or("argoproj.io/v1alpha1", |k| k.1);
        let mut metadata = Object::new().with("name", name);
        self.metadata.iter().for_each(|(name, value)| metadata.set(name, value.clone()));
        if kind == "Rollout" {
            // nobody knows where a custom resource has its template: its own metadata counts
            metadata.set("annotations", self.annotations());
        }
        let is_job = matches!(kind, "Job" | "CronJob");
        let template = self.template(name, if is_job { "Never" } else { "" });
        if kind == "PodTemplate" {
            return object(version, kind, metadata, "template", template.into());
        }
        let mut spec = Object::new().with("template", template);
        let labels = Object::new().with("app", name);
        match kind {
            "Job" => {}
            "CronJob" => {
                let job = Object::new().with("spec", spec);
                spec = Object::new().with("schedule", "0 0 1 1 *").with("jobTemplate", job);
            }
            "ReplicationController" => spec.set("selector", labels),
            _ => spec.set("selector", Object::new().with("matchLabels", labels)),
        }
        if !matches!(kind, "Job" | "CronJob" | "DaemonSet") {
            spec.set("replicas", Json::Int(replicas));
        }
        object(version, kind, metadata, "spec", spec.into())
    }
}

/// An object with one more field.
pub fn object(version: &str, kind: &str, metadata: Object, field: &str, value: Json) -> String {
    let object = Object::new().with("apiVersion", version).with("kind", kind).with("metadata", metadata);
    Json::from(object.with(field, value)).to_string()
}

/// A ConfigMap or a Secret with one entry.
pub fn settings(kind: &str, name: &str, key: &str, value: &str, annotations: &[(&str, &str)]) -> String {
    let annotations: Object = annotations.iter().map(|(k, v)| ((*k).to_owned(), Json::from(*v))).collect();
    let metadata = Object::new().with("name", name).with("annotations", annotations);
    let field = if kind == "Secret" { "stringData" } else { "data" };
    object("v1", kind, metadata, field, Object::new().with(key, value).into())
}
