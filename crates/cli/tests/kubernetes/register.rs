//! Webhook configurations by URL.

use super::cluster::Cluster;
use super::fixtures::base64;

/// One webhook of one configuration.
pub struct Hook {
    kind: &'static str,
    world: String,
    name: String,
    url: String,
    only: Option<String>,
    failure: &'static str,
    seconds: u32,
}

/// Everything that can bring code, and the subresources by which it can come later.
const RULES: &str = r#"[
  {"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE","UPDATE"],"resources":["pods","pods/ephemeralcontainers","pods/resize","replicationcontrollers","podtemplates","configmaps","secrets"]},
  {"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods/binding","bindings"]},
  {"apiGroups":["apps"],"apiVersions":["v1"],"operations":["CREATE","UPDATE"],"resources":["deployments","statefulsets","daemonsets","replicasets"]},
  {"apiGroups":["batch"],"apiVersions":["v1"],"operations":["CREATE","UPDATE"],"resources":["jobs","cronjobs"]},
  {"apiGroups":["argoproj.io"],"apiVersions":["*"],"operations":["CREATE","UPDATE"],"resources":["rollouts"]}
]"#;

const PODS: &str =
    r#"[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"]}]"#;

impl Hook {
    fn new(kind: &'static str, world: &str, name: &str, url: &str) -> Self {
        let (world, name, url) = (world.to_owned(), name.to_owned(), url.to_owned());
        Self { kind, world, name, url, only: None, failure: "Fail", seconds: 10 }
    }

    pub fn validating(world: &str, name: &str, url: &str) -> Self {
        Self::new("Validating", world, name, url)
    }

    pub fn mutating(world: &str, name: &str, url: &str) -> Self {
        Self::new("Mutating", world, name, url)
    }

    /// Only in namespaces with this label.
    pub fn only(mut self, label: &str) -> Self {
        self.only = Some(label.to_owned());
        self
    }

    /// The time that a webhook has.
    pub fn within(mut self, seconds: u32) -> Self {
        self.seconds = seconds;
        self
    }

    pub fn fail_open(mut self) -> Self {
        self.failure = "Ignore";
        self
    }
}

/// Registers a webhook for the namespaces of one world.
pub fn register(cluster: &Cluster, hook: &Hook) {
    let Hook { kind, world, name, url, only, failure, seconds } = hook;
    let authority = base64(cluster.folder.read("webhook-serving.pem").as_bytes());
    let mut labels = format!(r#""world":"{world}""#);
    if let Some(label) = only {
        labels += &format!(r#","{label}":"yes""#);
    }
    let is_mutating = *kind == "Mutating";
    let reinvoked = if is_mutating { r#","reinvocationPolicy":"IfNeeded""# } else { "" };
    let rules = if is_mutating { PODS } else { RULES };
    let text = format!(
        r#"{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"{kind}WebhookConfiguration","metadata":{{"name":"{world}-{name}"}},
"webhooks":[{{"name":"{name}","admissionReviewVersions":["v1"],"sideEffects":"NoneOnDryRun","timeoutSeconds":{seconds},"failurePolicy":"{failure}",
"matchPolicy":"Equivalent","namespaceSelector":{{"matchLabels":{{{labels}}}}},"clientConfig":{{"url":"{url}","caBundle":"{authority}"}},
"rules":{rules}{reinvoked}}}]}}"#
    );
    cluster.prepare(&["apply", "-f", "-"], &text);
}
