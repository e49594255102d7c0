//! Whose something is: the way up from a Pod, object by object, as the live API server has them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use attest::Json;
use kubernetes::{Chain, Lookup, Mapping, Ownership, Review, Step};
use policy::Consulted;
use tokio::runtime::Handle;

use crate::webhook::config::Api;
use crate::webhook::judge::Deadline;

/// One object takes no longer than this: the deadline is for the whole answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads single objects from an API server. Called on the judge's threads; may wait.
pub trait Cluster: Send + Sync + fmt::Debug {
    /// The object as it is now; nothing where the server says that there is none.
    ///
    /// # Errors
    /// Why nobody knows: never read as "there is none".
    fn object(&self, lookup: &Lookup, patience: Duration) -> Result<Option<Json>, String>;
}

/// The cluster of a configuration, asked from threads that are none of the runtime's own.
#[derive(Debug)]
struct Live {
    cluster: cluster::Cluster,
    runtime: Handle,
}

impl Cluster for Live {
    fn object(&self, lookup: &Lookup, patience: Duration) -> Result<Option<Json>, String> {
        let namespace = Some(lookup.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let version = lookup.kind.api_version();
        let get = self.cluster.get(&version, &lookup.kind.kind, namespace, &lookup.name, patience);
        self.runtime.block_on(get).map_err(|e| e.to_string())
    }
}

/// The cluster that a configuration names, to be asked from the judge's threads.
pub(crate) async fn connect(api: Option<&Api>) -> Result<Option<Arc<dyn Cluster>>, String> {
    let cluster = match api {
        None => return Ok(None),
        Some(Api::InCluster) => cluster::Cluster::in_cluster(),
        Some(Api::Kubeconfig(file)) => cluster::Cluster::from_kubeconfig(file).await,
    };
    let cluster = cluster.map_err(|e| e.to_string())?;
    Ok(Some(Arc::new(Live { cluster, runtime: Handle::current() })))
}

/// What is proven about whose a request's object is, and everything that was looked at for it.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    pub(crate) ownership: Option<Ownership>,
    pub(crate) consulted: Vec<Consulted>,
}

/// Goes the way up. Without a cluster to ask, everything is the requester's own.
pub(crate) fn look(cluster: Option<&dyn Cluster>, review: &Review, mapping: &Mapping, until: &Deadline) -> Owned {
    let Some(cluster) = cluster else { return Owned::default() };
    let mut chain = Chain::begin(review, mapping);
    let ownership = loop {
        let lookup = match chain.step() {
            Step::Done(ownership) => break ownership,
            Step::Look(lookup) => lookup,
        };
        match cluster.object(&lookup, until.left().min(PATIENCE)) {
            Ok(object) => chain.found(object.as_ref().and_then(|object| object.as_object().ok())),
            Err(why) => break Ownership::Unproven(format!("its owner could not be looked up: {why}")),
        }
    };
    let consulted = chain.seen().iter();
    let consulted = consulted.map(|seen| Consulted { name: seen.name.clone(), object: seen.object.clone() });
    Owned { ownership: Some(ownership), consulted: consulted.collect() }
}
