//! The proxy in front of the API server: kubectl → `portcullis serve` → the real cluster, without any webhook.

use std::time::Duration;

use super::cluster::{Cluster, Person, Said, free_port};
use super::fixtures::{Image, base64};
use super::manifest::{Spec, settings};
use super::other::{Manner, Other};
use super::register::{Hook, register};
use super::schema::at;
use super::webhook::{Claim, REQUIRED, Webhook};
use super::world::rules_in;
use crate::{cluster, images};

/// Who asks: the name in the certificate, and so the user of the cluster.
const WHO: &str = "ci.example";
const FLAGS: &str =
    "artifact: \"kubernetes:{ns}/ConfigMap/*\"\nmode: enforce\nrequire:\n  signed-by: [vendor]\n";
const OTHER: &str = "artifact: registry.example/other\nmode: enforce\nrequire:\n  built-by: [ci]\n";

/// The proxy in front of the cluster, and a kubeconfig for it.
struct Proxied<'c> {
    cluster: &'c Cluster,
    webhook: Webhook,
    name: &'static str,
}

impl<'c> Proxied<'c> {
    fn start(cluster: &'c Cluster, name: &'static str, claims: &[Claim]) -> Self {
        let names: Vec<String> = claims.iter().map(|claim| claim.namespace.clone()).collect();
        cluster.namespaces(&names, &vec![format!(r#""world":"{name}""#); names.len()]);
        cluster.folder.certificate("cluster", name, &format!("/CN={name}"), "clientAuth", "");
        cluster.prepare(&["apply", "-f", "-"], &roles(name, &names));
        let webhook = Webhook::lay_out(cluster, images(), claims);
        let port = free_port();
        let key = |name: &str| cluster.folder.text(name);
        let section = format!(
            "proxies:
  - name: cluster
    kind: kubernetes
    listen: 127.0.0.1:{port}
    tls: {{ certificate: {}, key: {} }}
    clients: {{ ca: {}, names: [{WHO}] }}
    upstream:
      url: https://127.0.0.1:{}
      ca: {}
      identity: {{ certificate: {}, key: {} }}
    spool: spool
",
            key("webhook.pem"),
            key("webhook.key"),
            key("webhook-clients.pem"),
            cluster.port,
            key("cluster.pem"),
            key(&format!("{name}.pem")),
            key(&format!("{name}.key")),
        );
        let config = webhook.folder.read("serve.yaml");
        webhook.folder.write("serve.yaml", &format!("{config}{section}"));
        webhook.run();
        let text = format!(
            "apiVersion: v1
kind: Config
current-context: it
clusters: [{{ name: it, cluster: {{ server: \"https://localhost:{port}\", certificate-authority-data: {} }} }}]
contexts: [{{ name: it, context: {{ cluster: it, user: it }} }}]
users: [{{ name: it, user: {{ client-certificate: {}, client-key: {} }} }}]
",
            base64(cluster.folder.read("webhook-serving.pem").as_bytes()),
            key("ci.pem"),
            key("ci.key"),
        );
        cluster.folder.write(&format!("{name}.yaml"), &text);
        Self { cluster, webhook, name }
    }

    fn namespace(&self, place: &str) -> String {
        format!("{}-{place}", self.name)
    }

    /// kubectl through the proxy.
    fn kubectl(&self, place: &str, args: &[&str], input: &str) -> Said {
        self.cluster.kubectl_by(self.name, &self.namespace(place), args, input, "false")
    }

    fn fine(&self, place: &str, args: &[&str], input: &str) -> String {
        let said = self.kubectl(place, args, input);
        assert_eq!(said.exit, 0, "{args:?}: {}{}", said.stdout, said.stderr);
        said.stdout
    }

    /// kubectl prints why, and each rule by its name.
    fn refused(&self, place: &str, args: &[&str], input: &str, rules: &[&str], words: &[&str]) {
        let said = self.kubectl(place, args, input);
        assert_eq!(said.exit, 1, "{args:?}: {said:?}");
        assert!(said.stderr.contains("Error from server (Forbidden)"), "{args:?}: {}", said.stderr);
        assert_eq!(rules_in(&said.stderr), rules.iter().copied().collect(), "{args:?}: {}", said.stderr);
        for word in words {
            assert!(said.stderr.contains(word), "{args:?}: `{word}` in {}", said.stderr);
        }
    }

    /// Beside the proxy, as the cluster's admin: what is there, of this kind, in words.
    fn stored(&self, place: &str, args: &[&str]) -> String {
        let said = self.cluster.kubectl(Person::ClusterAdmin, &self.namespace(place), args, "");
        assert_eq!(said.exit, 0, "{said:?}");
        said.stdout
    }

    fn image_of(&self, deployment: &str) -> String {
        let path = "jsonpath={.spec.template.spec.containers[*].image}";
        self.stored("shop", &["get", "deployment", deployment, "-o", path])
    }

    /// Brings the image's evidence.
    fn attach(&self, image: &Image) {
        self.webhook.attach(&image.digest.to_string(), &image.evidence, None);
    }
}

/// The proxy may be anybody; who asks may edit in the namespaces.
fn roles(name: &str, namespaces: &[String]) -> String {
    let kind = "rbac.authorization.k8s.io";
    let mut list = format!(
        r#"{{"apiVersion":"{kind}/v1","kind":"ClusterRole","metadata":{{"name":"{name}"}},"rules":[{{"apiGroups":[""],"resources":["users"],"resourceNames":["{WHO}"],"verbs":["impersonate"]}}]}}
{{"apiVersion":"{kind}/v1","kind":"ClusterRoleBinding","metadata":{{"name":"{name}"}},"roleRef":{{"apiGroup":"{kind}","kind":"ClusterRole","name":"{name}"}},
"subjects":[{{"apiGroup":"{kind}","kind":"User","name":"{name}"}}]}}
"#
    );
    for namespace in namespaces {
        list += &format!(
            r#"{{"apiVersion":"{kind}/v1","kind":"RoleBinding","metadata":{{"name":"ci","namespace":"{namespace}"}},"roleRef":{{"apiGroup":"{kind}","kind":"ClusterRole","name":"edit"}},
"subjects":[{{"apiGroup":"{kind}","kind":"User","name":"{WHO}"}}]}}
"#
        );
    }
    list
}

fn claims(name: &str) -> Vec<Claim> {
    let claim = |place: &str, environment: &str| Claim::new(&format!("{name}-{place}"), environment);
    vec![
        Claim { policy: Some(REQUIRED), ..claim("shop", "own/proxied") },
        Claim { policy: Some(OTHER), ..claim("other", "own/other") },
        Claim { policy: Some(FLAGS), guarded: &["ConfigMap"], ..claim("flags", "own/flags") },
        claim("nobody", ""),
    ]
}

const CREATE: [&str; 3] = ["create", "-f", "-"];

pub fn only_what_is_admitted_goes_through() {
    let Some(cluster) = cluster() else { return };
    let site = Proxied::start(cluster, "proxied", &claims("proxied"));
    let images = images();
    assert!(site.fine("shop", &["auth", "whoami"], "").contains(WHO), "the cluster is told who asks");
    assert!(site.fine("shop", &["get", "pods"], "").is_empty());
    admitted(&site);
    let pod = |image: &Image| Spec::of(&[image]).pod("pod-");
    let tag = Spec::default().container("registry.example/shop:1").pod("pod-");
    site.refused("shop", &CREATE, &pod(&images.unsigned), &["built-by"], &["Pod proxied-shop/pod-", "fix"]);
    site.refused("shop", &CREATE, &pod(&images.fork), &["source-repository"], &["mallory"]);
    site.refused("shop", &CREATE, &tag, &["digest-required"], &["registry.example/shop, without a digest"]);
    site.refused("other", &CREATE, &pod(&images.good[0]), &["policy-missing"], &["own/other"]);
    site.refused(
        "nobody",
        &CREATE,
        &pod(&images.good[0]),
        &["policy-missing"],
        &["unclaimed/proxied-nobody"],
    );
    let flags = settings("ConfigMap", "flags", "mode", "fast", &[]);
    site.refused("flags", &CREATE, &flags, &["signed-by"], &["ConfigMap/flags"]);
    for place in ["shop", "other", "nobody"] {
        assert!(!site.stored(place, &["get", "pods", "-o", "name"]).contains("pod/pod-"), "{place}");
    }
    assert!(!site.stored("flags", &["get", "configmaps", "-o", "name"]).contains("flags"));
    guarded(&site, &flags);
    changed(&site);
    closed(&site);
    let replayed = site.webhook.check_log();
    assert!(replayed.contains("; 0 differ"), "{replayed}");
}

/// What is made is what was judged, and is made by who asked.
fn admitted(site: &Proxied<'_>) {
    let good = &images().good[0];
    let spec = || Spec::of(&[good]);
    site.fine("shop", &CREATE, &spec().pod("made-"));
    site.fine("shop", &CREATE, &spec().workload("Job", "once"));
    site.fine("shop", &CREATE, &spec().workload("Deployment", "first"));
    assert_eq!(site.image_of("first"), good.reference);
}

fn guarded(site: &Proxied<'_>, flags: &str) {
    let namespace = site.namespace("flags");
    let digest = site.webhook.configuration_digest(site.cluster, &namespace, flags);
    site.webhook.attach(&digest.to_string(), &[images().vendor_signature(&digest)], None);
    site.fine("flags", &CREATE, flags);
    let slow = ["patch", "configmap", "flags", "-p", r#"{"data":{"mode":"slow"}}"#];
    site.refused("flags", &slow, "", &["signed-by"], &["\"fast\" became \"slow\""]);
    let mode = ["get", "configmap", "flags", "-o", "jsonpath={.data.mode}"];
    assert_eq!(site.stored("flags", &mode), "fast");
}

fn changed(site: &Proxied<'_>) {
    let [one, two, ..] = &images().good;
    let unsigned = &images().unsigned;
    let web = Spec::of(&[one]).without_evidence().workload("Deployment", "web");
    let set = |image: &Image| format!("c0={}", image.reference);
    site.attach(one);
    let dry = ["create", "--dry-run=server", "-f", "-"];
    assert!(site.fine("shop", &dry, &web).contains("(server dry run)"));
    assert!(!site.stored("shop", &["get", "deployments", "-o", "name"]).contains("web"));
    site.fine("shop", &["apply", "-f", "-"], &web);
    assert_eq!(site.image_of("web"), one.reference);
    let refused = ["set", "image", "deployment/web", &set(unsigned)];
    site.refused("shop", &refused, "", &["built-by"], &["Deployment proxied-shop/web"]);
    for (kind, patch) in [
        (
            "json",
            format!(
                r#"[{{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"{}"}}]"#,
                unsigned.reference
            ),
        ),
        (
            "merge",
            format!(
                r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"c0","image":"{}"}}]}}}}}}}}"#,
                unsigned.reference
            ),
        ),
    ] {
        let args = ["patch", "deployment", "web", "--type", kind, "-p", &patch];
        site.refused("shop", &args, "", &["built-by"], &[]);
    }
    let other = web.replace(&one.reference, &unsigned.reference);
    site.refused("shop", &["replace", "-f", "-"], &other, &["built-by"], &[]);
    assert_eq!(site.image_of("web"), one.reference);
    site.attach(two);
    site.fine("shop", &["set", "image", "deployment/web", &set(two)], "");
    assert_eq!(site.image_of("web"), two.reference);
    site.fine("shop", &["scale", "deployment/web", "--replicas=2"], "");
    assert_eq!(site.stored("shop", &["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"]), "2");
    site.fine("shop", &["label", "deployment", "web", "tier=front"], "");
    site.fine("shop", &["apply", "-f", "-"], &web);
    site.fine("shop", &["delete", "deployment", "web", "--wait=false"], "");
}

/// What does not go through at all.
fn closed(site: &Proxied<'_>) {
    let namespace = site.namespace("shop");
    let pod = site.stored("shop", &["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"]);
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let reach = format!("{pods}/{pod}/proxy/");
    let image = Spec::of(&[&images().good[0]]).pod("applied");
    for (args, input, why) in [
        (vec!["exec", &pod, "--", "id"], "", ""),
        (vec!["attach", &pod], "", ""),
        (vec!["get", "--raw", &reach], "", "no path of the API"),
        (vec!["create", "token", "default"], "", "serviceaccounts/token does not go through"),
        (vec!["delete", "--raw", &pods], "", "one by one"),
        (vec!["apply", "--server-side", "-f", "-"], &image, "without --server-side"),
    ] {
        let said = site.kubectl("shop", &args, input);
        eprintln!("{args:?}: {}", said.stderr);
        assert!(said.exit != 0 && said.stderr.contains(why), "{args:?}: {said:?}");
    }
    let is_exec = |event: &attest::Json| {
        let text = |key| at(event, &["objectRef", key]).and_then(|text| text.as_str().ok());
        text("namespace") == Some(&namespace)
            && matches!(text("subresource"), Some("exec" | "attach" | "proxy" | "token"))
    };
    assert!(!site.cluster.audit().iter().any(is_exec), "nothing of it arrived");
}

/// While a dry run is under way, somebody else changes the object beside the proxy: what would come of both together was
/// judged by nobody, and is judged before it is stored.
pub fn what_changed_meanwhile_is_judged_anew() {
    let Some(cluster) = cluster() else { return };
    let site = Proxied::start(cluster, "meanwhile", &claims("meanwhile")[..1]);
    let [one, two, ..] = &images().good;
    site.attach(one);
    site.attach(two);
    let web = Spec::of(&[one]).without_evidence().replicas("Deployment", "web", 0);
    site.fine("shop", &CREATE, &web);
    let slow = Other::start(&cluster.folder, Manner::Slow(Duration::from_secs(2)));
    register(cluster, &Hook::validating("meanwhile", "slow.example.com", &slow.url));
    std::thread::sleep(Duration::from_secs(2));
    let set = format!("c0={}", two.reference);
    let said = std::thread::scope(|scope| {
        let ours = scope.spawn(|| site.kubectl("shop", &["set", "image", "deployment/web", &set], ""));
        // the dry run is at the webhook for longer than it takes somebody else to come
        std::thread::sleep(Duration::from_millis(500));
        let more = format!(
            r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"c1","image":"{}"}}]}}}}}}}}"#,
            images().unsigned.reference
        );
        site.stored("shop", &["patch", "deployment", "web", "-p", &more]);
        ours.join().unwrap()
    });
    let stored = site.image_of("web");
    assert!(stored.contains(&one.reference) && !stored.contains(&two.reference), "{stored}: {said:?}");
    assert!(said.exit == 1 && said.stderr.contains("error[built-by]"), "{said:?}");
    assert!(said.stderr.contains("containers[0]"), "{said:?}");
    cluster.prepare(&["delete", "validatingwebhookconfiguration", "meanwhile-slow.example.com"], "");
}
