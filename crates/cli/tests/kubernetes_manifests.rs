//! The manifests, the admission policies and the drift check, on a real API server. The choke point itself does not run
//! here: this is what holds without it.

mod tools;

#[allow(
    dead_code,
    missing_debug_implementations,
    clippy::zombie_processes,
    reason = "another test uses the rest"
)]
#[path = "kubernetes/cluster.rs"]
mod cluster;
#[allow(
    dead_code,
    missing_debug_implementations,
    clippy::zombie_processes,
    reason = "another test uses the rest"
)]
#[path = "kubernetes/process.rs"]
mod process;

#[path = "kubernetes_manifests/arguments.rs"]
mod arguments;
#[path = "kubernetes_manifests/chart.rs"]
mod chart;
#[path = "kubernetes_manifests/digest.rs"]
mod digest;
#[path = "kubernetes_manifests/drift.rs"]
mod drift;
#[path = "kubernetes_manifests/places.rs"]
mod places;
#[path = "kubernetes_manifests/policies.rs"]
mod policies;
#[path = "kubernetes_manifests/webhooks.rs"]
mod webhooks;

use std::path::{Path, PathBuf};

use cluster::{Cluster, Person, Said};

pub(crate) const IMAGE: &str =
    "registry.example/portcullis@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(crate) const PINNED: &str =
    "registry.example/shop@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
pub(crate) const LOOSE: &str = "registry.example/shop:latest";

/// Who applies the manifests, who may weaken them in an emergency, and somebody else with every right that RBAC gives.
pub(crate) const KEEPER: &[&str] = &["--as=gitops", "--as-group=system:masters"];
pub(crate) const EMERGENCY: &[&str] = &["--as=sam", "--as-group=system:masters", "--as-group=sre-emergency"];
pub(crate) const OTHER: &[&str] = &[];

pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/example").join(name).canonicalize().unwrap()
}

/// The arguments of the example, for `manifests` and for `drift`.
pub(crate) fn arguments(command: &str) -> Vec<String> {
    let file = |name: &str| example(name).display().to_string();
    let words =
        ["kubernetes", command, "--config", &file("serve.yaml"), "--ca", &file("ca.crt"), "--image", IMAGE];
    let who = ["--keeper", "gitops", "--emergency", "group:sre-emergency", "--pin"];
    words.iter().chain(&who).map(|word| (*word).to_owned()).collect()
}

pub(crate) fn portcullis(exit: i32, args: &[String]) -> String {
    tools::expect(exit, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A cluster with a part of the manifests applied by the keeper.
pub(crate) struct Guarded {
    pub(crate) cluster: Cluster,
    pub(crate) out: tempfile::TempDir,
}

impl Guarded {
    pub(crate) fn start(parts: &[&str]) -> Option<Self> {
        let cluster = Cluster::start()?;
        let out = tempfile::tempdir().unwrap();
        let place = ["--out".to_owned(), out.path().display().to_string()];
        portcullis(0, &[arguments("manifests"), place.to_vec()].concat());
        let names = ["shop", "shop-staging", "other"].map(str::to_owned);
        cluster.namespaces(&names, &names.clone().map(|_| String::new()));
        let guarded = Self { cluster, out };
        for part in parts {
            guarded.ok(KEEPER, "", &["apply", "-f", &guarded.part(part)], "");
        }
        guarded.settle(parts);
        Some(guarded)
    }

    pub(crate) fn part(&self, name: &str) -> String {
        self.out.path().join(name).display().to_string()
    }

    /// The API server takes a moment to know a policy or a webhook: waits until each refuses what it must.
    fn settle(&self, parts: &[&str]) {
        let start = std::time::Instant::now();
        let loose = pod("settled", &format!(r#"{{"containers":[{{"name":"c","image":"{LOOSE}"}}]}}"#));
        let path = "/api/v1/namespaces/shop/pods?dryRun=All";
        let is_waited_for = parts.contains(&"3-policies.yaml") || parts.contains(&"2-webhooks.yaml");
        while is_waited_for && self.cluster.ask("POST", path, &loose).is_none_or(|(status, _)| status == 201)
        {
            assert!(start.elapsed().as_secs() < 30, "nothing is refused");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        std::thread::sleep(std::time::Duration::from_millis(1500));
    }

    pub(crate) fn kubectl(&self, who: &[&str], namespace: &str, args: &[&str], input: &str) -> Said {
        self.cluster.kubectl(Person::ClusterAdmin, namespace, &[args, who].concat(), input)
    }

    pub(crate) fn ok(&self, who: &[&str], namespace: &str, args: &[&str], input: &str) -> String {
        let said = self.kubectl(who, namespace, args, input);
        assert_eq!(said.exit, 0, "{args:?} as {who:?}: {}{}", said.stdout, said.stderr);
        said.stdout + &said.stderr
    }

    /// What was tried is refused, by this policy, and kubectl shows this.
    pub(crate) fn refused(
        &self,
        who: &[&str],
        namespace: &str,
        args: &[&str],
        input: &str,
        wanted: [&str; 2],
    ) {
        let said = self.kubectl(who, namespace, args, input);
        assert_ne!(said.exit, 0, "{args:?} as {who:?} went through: {}", said.stdout);
        for wanted in wanted {
            assert!(
                said.stderr.contains(wanted),
                "{args:?} as {who:?}\nwanted {wanted}\nfound  {}",
                said.stderr
            );
        }
    }
}

/// A Pod.
pub(crate) fn pod(name: &str, spec: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}"}},"spec":{spec}}}"#)
}
