//! Reads from a live Kubernetes API server: the owner of a Pod as it is, not as the Pod says; and everything that runs.
//!
//! Of a single object: one request, one answer, of three kinds: the object, the server's word that there is none, or an error that says
//! why nobody knows. The types of the client library stay in here: it makes a major version every few months.

mod address;
mod answer;
mod error;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attest::Json;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::Semaphore;

use crate::address::Address;
pub use crate::error::ClusterError;
pub use crate::watch::Seen;

/// Requests at once. More wait, until their own deadline: the API server has better things to do than to serve us.
const AT_ONCE: usize = 32;
/// A configuration that a person or a machine wrote is a page.
const MAX_CONFIGURATION: u64 = 4 << 20;

/// A connection to one cluster's API server. Clones share it.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    turns: Arc<Semaphore>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    /// The cluster of a kubeconfig's current context. Programs that it names for getting credentials are run.
    ///
    /// # Errors
    /// [`ClusterError::Configuration`], and [`ClusterError::Insecure`] where nobody would know who answers.
    pub async fn from_kubeconfig(path: &Path) -> Result<Self, ClusterError> {
        let failed =
            |why: &dyn std::fmt::Display| ClusterError::Configuration(path.to_owned(), why.to_string());
        let length = std::fs::metadata(path).map_err(|e| failed(&e))?.len();
        if length > MAX_CONFIGURATION {
            return Err(failed(&"it is too large for a kubeconfig"));
        }
        let read = Kubeconfig::read_from(path).map_err(|e| failed(&e))?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(read, &options).await;
        Self::connect(config.map_err(|e| failed(&e))?)
    }

    /// The cluster in which this process runs, as its service account.
    ///
    /// # Errors
    /// [`ClusterError::NotInCluster`] where it runs in none.
    pub fn in_cluster() -> Result<Self, ClusterError> {
        let config = kube::Config::incluster().map_err(|e| ClusterError::NotInCluster(e.to_string()))?;
        Self::connect(config)
    }

    fn connect(mut config: kube::Config) -> Result<Self, ClusterError> {
        // whoever stands between could else invent an owner for a Pod
        if config.accept_invalid_certs || config.cluster_url.scheme_str() != Some("https") {
            return Err(ClusterError::Insecure(config.cluster_url.to_string()));
        }
        // the caller has one deadline, and answers by it; a library's patience would not know of it
        config.default_retry = false;
        let client = kube::Client::try_from(config).map_err(|e| ClusterError::Client(e.to_string()))?;
        Ok(Self::with(client))
    }

    fn with(client: kube::Client) -> Self {
        Self { client, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The object as the API server has it now, or nothing where the server says that there is none. Asks once, and
    /// ends before `deadline` is over.
    ///
    /// # Errors
    /// [`ClusterError`] where nobody knows: never to be read as "there is none".
    pub async fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
        deadline: Duration,
    ) -> Result<Option<Json>, ClusterError> {
        let address = Address::new(api_version, kind, namespace, name)?;
        let late = |_| ClusterError::Late(address.to_string(), deadline);
        tokio::time::timeout(deadline, self.ask(&address)).await.map_err(late)?
    }

    async fn ask(&self, address: &Address) -> Result<Option<Json>, ClusterError> {
        let unreachable = |e: &dyn std::error::Error| ClusterError::Unreachable(chain(e));
        let _turn = self.turns.acquire().await.map_err(|e| unreachable(&e))?;
        let request = http::Request::get(address.path())
            .header("accept", "application/json")
            .body(Body::empty())
            .map_err(|e| unreachable(&e))?;
        let response = self.client.send(request).await.map_err(|e| unreachable(&e))?;
        answer::read(address, response).await
    }
}

/// An error with all of its causes: the outermost alone is often only "service error".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
