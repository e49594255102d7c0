//! A choke point with namespaces of its own, and what a test asks of it.

use std::time::{Duration, Instant};

use attest::Json;

use crate::kubernetes::cluster::{Cluster, Person, Said};
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::register::{Hook, register};
use crate::kubernetes::schema::at;
use crate::kubernetes::webhook::{Claim, Webhook};
use crate::{images, tools};

/// The longest that anything of ours may take to come back.
pub const PATIENCE: Duration = Duration::from_secs(180);

pub struct Site<'c> {
    pub cluster: &'c Cluster,
    pub webhook: Webhook,
    name: &'static str,
}

impl<'c> Site<'c> {
    /// Lays out a choke point for the namespace `NAME-PLACE` of each place, by environment; it does not run yet.
    pub fn lay_out(cluster: &'c Cluster, name: &'static str, places: &[(&str, &str)]) -> Self {
        Self::with_policies(cluster, name, &places.map_to_claims(name))
    }

    pub fn with_policies(cluster: &'c Cluster, name: &'static str, claims: &[Claim]) -> Self {
        let names: Vec<String> = claims.iter().map(|claim| claim.namespace.clone()).collect();
        let labels = vec![format!(r#""world":"{name}""#); names.len()];
        cluster.namespaces(&names, &labels);
        Self { cluster, webhook: Webhook::lay_out(cluster, images(), claims), name }
    }

    /// As [`Site::lay_out`]; it runs, and the API server asks it.
    pub fn start(cluster: &'c Cluster, name: &'static str, places: &[(&str, &str)]) -> Self {
        let site = Self::lay_out(cluster, name, places);
        site.webhook.run();
        site.register(&site.webhook.url("validate"), |hook| hook);
        site
    }

    /// Has the API server ask at this address, and waits until it does.
    pub fn register(&self, url: &str, change: impl FnOnce(Hook) -> Hook) {
        let hook = Hook::validating(self.name, &self.hook(), url);
        register(self.cluster, &change(hook));
        let namespace = format!("{}-settle", self.name);
        let labels = [format!(r#""world":"{}""#, self.name)];
        if self
            .cluster
            .get(&format!("/api/v1/namespaces/{namespace}"))
            .is_none_or(|(status, _)| status == 404)
        {
            self.cluster.namespaces(std::slice::from_ref(&namespace), &labels);
        }
        let pod = Spec::of(&[&images().unsigned]).pod("settle-");
        let ask = || self.cluster.kubectl(Person::Tenant, &namespace, &["create", "-f", "-"], &pod);
        // nobody claimed that namespace: once the webhook is asked, nothing is admitted there
        wait("the registration is in force", || ask().exit != 0);
    }

    /// The webhook's name, as kubectl prints it.
    pub fn hook(&self) -> String {
        format!("{}.portcullis.dev", self.name)
    }

    pub fn namespace(&self, place: &str) -> String {
        format!("{}-{place}", self.name)
    }

    /// The tenant creates something.
    pub fn create(&self, place: &str, manifest: &str) -> Said {
        self.kubectl(place, &["create", "-f", "-"], manifest)
    }

    pub fn kubectl(&self, place: &str, args: &[&str], input: &str) -> Said {
        self.cluster.kubectl(Person::Tenant, &self.namespace(place), args, input)
    }

    /// A Pod of a good image is admitted.
    pub fn admits(&self, place: &str) {
        let said = self.create(place, &Spec::of(&[&images().good[0]]).pod("good-"));
        assert_eq!(said.exit, 0, "{}", said.stderr);
    }

    /// A Pod of a good image is refused, in these words.
    pub fn refuses(&self, place: &str, words: &[&str]) -> Said {
        let said = self.create(place, &Spec::of(&[&images().good[0]]).pod("good-"));
        self.is_refused(&said, words);
        said
    }

    /// It was refused, by this webhook or for want of it, in these words.
    pub fn is_refused(&self, said: &Said, words: &[&str]) {
        assert_eq!(said.exit, 1, "{said:?}");
        let hook = self.hook();
        for word in words.iter().copied().chain([hook.as_str()]) {
            assert!(said.stderr.contains(word), "wanted `{word}` in\n{}", said.stderr);
        }
        for never in ["Some(", "Error {", "does not meet policy"] {
            assert!(!said.stderr.contains(never), "{}", said.stderr);
        }
    }

    /// How `/readyz` answers: whether it is ready, and what it says.
    pub fn ready(&self) -> Option<(bool, String)> {
        let answer = self.webhook.metrics("/readyz")?;
        Some((answer.starts_with("HTTP/1.1 200"), answer))
    }

    /// Waits until it is not ready, and says this.
    pub fn wait_unready(&self, words: &str) {
        wait(&format!("/readyz says {words}"), || {
            self.ready().is_some_and(|(ready, text)| !ready && text.contains(words))
        });
    }

    /// It goes on deciding, and says what is not well.
    pub fn wait_warning(&self, words: &str) {
        wait(&format!("/readyz warns: {words}"), || {
            self.ready().is_some_and(|(ready, text)| ready && text.contains(words))
        });
    }

    pub fn wait_ready(&self) -> Duration {
        wait("it is ready", || self.ready().is_some_and(|(ready, _)| ready))
    }

    /// A number of `/metrics`, by the beginning of its line.
    pub fn metric(&self, line: &str) -> f64 {
        let text = self.webhook.metrics("/metrics").unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.split_whitespace().next());
        value.unwrap_or_else(|| panic!("no {line} in {text}")).parse().unwrap()
    }

    /// Waits for an event with all of these words in its line.
    pub fn wait_event(&self, words: &[&str]) {
        wait(&format!("an event says {words:?}"), || {
            let log = self.webhook.folder.read("serve.log");
            log.lines().any(|line| words.iter().all(|word| line.contains(word)))
        });
    }

    /// The newest event about what the tenant did there has an annotation of ours with this name, that ends with this.
    pub fn is_annotated(&self, place: &str, name: &str, end: &str) {
        // an event is written when the answer is out
        wait(&format!("{name} is {end} in {place}"), || {
            self.annotation(place, name).is_some_and(|value| value.ends_with(end))
        });
    }

    fn annotation(&self, place: &str, name: &str) -> Option<String> {
        let namespace = self.namespace(place);
        let is_here = |event: &Json| {
            at(event, &["objectRef", "namespace"]) == Some(&Json::from(namespace.as_str()))
                && at(event, &["user", "username"]) == Some(&Json::from(Person::Tenant.name()))
        };
        let event = self.cluster.audit().into_iter().rev().find(is_here)?;
        let annotations = at(&event, &["annotations"])?.as_object().ok()?;
        let found = annotations.iter().find(|(found, _)| found.ends_with(&format!(".portcullis.dev/{name}")));
        found.map(|(_, value)| value.as_str().unwrap().to_owned())
    }
}

trait Places {
    fn map_to_claims(&self, name: &str) -> Vec<Claim>;
}

impl Places for [(&str, &str)] {
    fn map_to_claims(&self, name: &str) -> Vec<Claim> {
        self.iter().map(|(place, environment)| Claim::new(&format!("{name}-{place}"), environment)).collect()
    }
}

/// Waits until it is so; gives how long that took.
pub fn wait(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it did not come to this within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

/// Whether a program is installed; said loudly where it is not.
pub fn has(name: &str, path: &str) -> bool {
    tools::part(name, path.into()).is_some()
}
