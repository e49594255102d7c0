//! Under which names a Pod's decision may be on record: its own, and those of its owners as the API server has them.
//!
//! A Pod says itself who its controller is, and may lie. So these are only places to look: what is found there must be
//! a decision about the same digest in the same environment.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{Cluster, ClusterError};
use kubernetes::running::{Controller, Pod};

/// Pod, ReplicaSet, Deployment; Pod, Job, CronJob; and what others put above.
const LEVELS: usize = 4;
/// Owners whose own owner is remembered.
const REMEMBERED: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(2);

/// Who owns whom, by uid.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    above: BTreeMap<String, Option<Controller>>,
}

impl Owners {
    /// The names without the cluster, from the top down, and whether a look-up failed that may work later.
    pub(crate) async fn names(&mut self, cluster: &Cluster, pod: &Pod) -> (Vec<String>, bool) {
        let mut names = vec![format!("{}/Pod/{}", pod.namespace, pod.name)];
        let mut next = pod.controller.clone();
        let mut is_whole = true;
        for _ in 0..LEVELS {
            let Some(controller) = next else { break };
            names.push(controller.workload(&pod.namespace));
            next = match self.above(cluster, &pod.namespace, &controller).await {
                Ok(above) => above,
                Err(error) => {
                    is_whole = !error.is_passing();
                    None
                }
            };
        }
        names.reverse();
        (names, is_whole)
    }

    async fn above(
        &mut self,
        cluster: &Cluster,
        namespace: &str,
        owner: &Controller,
    ) -> Result<Option<Controller>, ClusterError> {
        if let Some(known) = self.above.get(&owner.uid) {
            return Ok(known.clone());
        }
        let found =
            cluster.get(&owner.api_version, &owner.kind, Some(namespace), &owner.name, PATIENCE).await;
        let found = match found {
            // a kind that is not looked up has nobody above it that we know of
            Err(ClusterError::Kind { .. } | ClusterError::Name(_)) => None,
            found => found?,
        };
        let object = found.as_ref().and_then(|object| object.as_object().ok());
        let uid = object.and_then(|o| o.object("metadata").ok()).and_then(|m| m.string("uid").ok());
        let is_it = uid == Some(owner.uid.as_str());
        let above = object.filter(|_| is_it).and_then(|object| Controller::of(object).ok().flatten());
        if self.above.len() >= REMEMBERED {
            self.above.clear();
        }
        self.above.insert(owner.uid.clone(), above.clone());
        Ok(above)
    }
}
