//! Whose something is: the way up from a Pod, object by object, as the live API server has them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use attest::Json;
use kubernetes::{Chain, Lookup, Mapping, Ownership, Review, Step};
use policy::{Consulted, Outage};
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
    fn object(&self, lookup: &Lookup, patience: Duration) -> Result<Option<Json>, NotRead>;
}

/// Why an object was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRead {
    /// In words.
    pub why: String,
    /// Whether the API server does not answer: an outage. A server that says no, or answers what does not read, is none:
    /// what a tenant wrote could be why.
    pub is_outage: bool,
}

/// The cluster of a configuration, asked from threads that are none of the runtime's own.
#[derive(Debug)]
struct Live {
    cluster: cluster::Cluster,
    runtime: Handle,
}

impl Cluster for Live {
    fn object(&self, lookup: &Lookup, patience: Duration) -> Result<Option<Json>, NotRead> {
        let namespace = Some(lookup.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let version = lookup.kind.api_version();
        let get = self.cluster.get(&version, &lookup.kind.kind, namespace, &lookup.name, patience);
        let not_read = |e: cluster::ClusterError| NotRead { why: e.to_string(), is_outage: e.is_passing() };
        self.runtime.block_on(get).map_err(not_read)
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
    /// Why the way up ended early, where a look-up failed.
    pub(crate) broken: Option<NotRead>,
}

impl Owned {
    /// The API server did not answer: what is not proven may be true all the same.
    pub(crate) fn outage(&self) -> Option<Outage> {
        self.broken.as_ref().filter(|broken| broken.is_outage).map(|_| Outage::ClusterApi)
    }

    /// Why what a controller made is not proven to be its owner's, or not all the way up.
    pub(crate) fn unproven(self) -> Option<String> {
        match (self.ownership, self.broken) {
            (Some(Ownership::Unproven(why)), _) => Some(why),
            (_, broken) => broken.map(|broken| failed(&broken)),
        }
    }
}

fn failed(broken: &NotRead) -> String {
    format!("its owner could not be looked up: {}", broken.why)
}

/// Goes the way up; where a look-up fails, as far as it is proven by then. Without a cluster to ask, everything is the requester's own.
pub(crate) fn look(
    cluster: Option<&dyn Cluster>,
    review: &Review,
    mapping: &Mapping,
    until: &Deadline,
) -> Owned {
    let Some(cluster) = cluster else { return Owned::default() };
    let (mut chain, mut broken) = (Chain::begin(review, mapping), None);
    let ownership = loop {
        let lookup = match chain.step() {
            Step::Done(ownership) => break ownership,
            Step::Look(lookup) => lookup,
        };
        match cluster.object(&lookup, until.left().min(PATIENCE)) {
            Ok(object) => chain.found(object.as_ref().and_then(|object| object.as_object().ok())),
            Err(not_read) => {
                let ownership = chain.broken(failed(&not_read));
                broken = Some(not_read);
                break ownership;
            }
        }
    };
    let consulted = chain.seen().iter();
    let consulted = consulted.map(|seen| Consulted { name: seen.name.clone(), object: seen.object.clone() });
    Owned { ownership: Some(ownership), consulted: consulted.collect(), broken }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers one look-up after the other.
    #[derive(Debug)]
    struct Scripted(Mutex<Vec<Result<Option<Json>, NotRead>>>);

    impl Cluster for Scripted {
        fn object(&self, _lookup: &Lookup, _patience: Duration) -> Result<Option<Json>, NotRead> {
            self.0.lock().unwrap().remove(0)
        }
    }

    const SPEC: &str = r#"{"containers":[{"name":"web","image":"registry.example/web:1"}]}"#;

    fn owner(kind: &str, name: &str, uid: &str) -> String {
        format!(
            r#""ownerReferences":[{{"apiVersion":"apps/v1","kind":"{kind}","name":"{name}","uid":"{uid}","controller":true}}]"#
        )
    }

    fn review() -> Review {
        let owner = owner("ReplicaSet", "web-1", "rs");
        let text = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
            "kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},
            "name":"web-1-a","namespace":"shop","operation":"CREATE",
            "userInfo":{{"username":"system:serviceaccount:kube-system:replicaset-controller"}},
            "object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web-1-a","namespace":"shop",{owner}}},"spec":{SPEC}}}}}}}"#
        );
        Review::parse(text.as_bytes()).unwrap()
    }

    fn replica_set() -> Json {
        let owner = owner("Deployment", "web", "d");
        let text = format!(
            r#"{{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{{"name":"web-1","namespace":"shop","uid":"rs",{owner}}},
            "spec":{{"template":{{"spec":{SPEC}}}}}}}"#
        );
        attest::json::parse(text.as_bytes()).unwrap()
    }

    fn looked(script: Vec<Result<Option<Json>, NotRead>>) -> Owned {
        let mapping = Mapping::new("eu-1");
        let until = Deadline::after(Duration::from_secs(5));
        look(Some(&Scripted(Mutex::new(script))), &review(), &mapping, &until)
    }

    fn not_read(is_outage: bool) -> Result<Option<Json>, NotRead> {
        Err(NotRead { why: "no answer".to_owned(), is_outage })
    }

    #[test]
    fn an_api_server_that_does_not_answer_is_an_outage() {
        let owned = looked(vec![not_read(true)]);
        assert_eq!(owned.outage(), Some(Outage::ClusterApi));
        assert!(matches!(owned.ownership, Some(Ownership::Unproven(_))), "{owned:?}");
        assert_eq!(owned.unproven().unwrap(), "its owner could not be looked up: no answer");
    }

    #[test]
    fn what_is_proven_before_it_falls_silent_stays_proven() {
        let owned = looked(vec![Ok(Some(replica_set())), not_read(true)]);
        assert_eq!((owned.outage(), owned.consulted.len()), (Some(Outage::ClusterApi), 1));
        let Some(Ownership::Made(links)) = &owned.ownership else { panic!("{owned:?}") };
        assert_eq!(links.iter().map(|l| l.owner.key()).collect::<Vec<_>>(), ["ReplicaSet/shop/web-1/rs"]);
        assert_eq!(owned.unproven().unwrap(), "its owner could not be looked up: no answer");
    }

    #[test]
    fn a_server_that_says_no_and_an_owner_that_is_not_there_are_no_outage() {
        for script in [vec![not_read(false)], vec![Ok(None)]] {
            let owned = looked(script);
            assert_eq!(owned.outage(), None);
            assert!(matches!(owned.ownership, Some(Ownership::Unproven(_))), "{owned:?}");
        }
    }
}
