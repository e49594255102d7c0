//! Why nobody knows what the API server has.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why nobody knows what the API server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterError {
    /// A kubeconfig does not do; the field says why.
    Configuration(PathBuf, String),
    /// This process runs in no cluster, or has no service account there.
    NotInCluster(String),
    /// A configuration would have us believe anybody; the field is the address.
    Insecure(String),
    /// The client cannot be made of its configuration.
    Client(String),
    /// A kind that is not looked up.
    Kind {
        /// As in `apps/v1`.
        api_version: String,
        /// As in `ReplicaSet`.
        kind: String,
    },
    /// No name that a Kubernetes object can have.
    Name(String),
    /// The connection, or who is at its end.
    Unreachable(String),
    /// No answer in time; the first field is what was asked for.
    Late(String, Duration),
    /// The API server does not know us.
    Unauthenticated(String),
    /// The API server does not let us.
    Forbidden(String),
    /// The API server does not let us list and watch.
    NotListed(String),
    /// More than is read at once, in bytes.
    Large(String, usize),
    /// Another status; the fields are what was asked for, and what came.
    Status(String, u16),
    /// An answer that does not read, or is about something else; the second field says why.
    Answer(String, String),
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(path, why) => {
                write!(f, "the kubeconfig {} cannot be used: {why}", path.display())
            }
            Self::NotInCluster(why) => write!(
                f,
                "there is no service account of a cluster here ({why}); run it as a Pod, or configure `kubeconfig`"
            ),
            Self::Insecure(address) => write!(
                f,
                "the connection to {address} would not prove who answers; use https, and give the cluster's \
                 certificate authority instead of insecure-skip-tls-verify"
            ),
            Self::Client(why) => write!(f, "the connection to the API server cannot be set up: {why}"),
            Self::Kind { api_version, kind } => write!(
                f,
                "objects of the kind {kind} in {api_version} are not looked up; built-in workloads are"
            ),
            Self::Name(name) => write!(f, "{name:?} is no name of a Kubernetes object"),
            Self::Unreachable(why) => {
                write!(f, "the API server cannot be asked: {why}; check its address and that it runs")
            }
            Self::Late(what, deadline) => {
                write!(f, "no answer about {what} from the API server within {} ms", deadline.as_millis())
            }
            Self::Unauthenticated(what) => write!(
                f,
                "the API server does not know who asks for {what}; renew the credentials of the kubeconfig or \
                 service account"
            ),
            Self::Forbidden(what) => write!(
                f,
                "the API server does not let us read {what}; bind a role with the verb `get` on it to our identity"
            ),
            Self::NotListed(what) => write!(
                f,
                "the API server does not let us list and watch {what}; bind a cluster role with the verbs `list` and \
                 `watch` on them to our identity"
            ),
            Self::Large(what, bytes) => {
                write!(f, "the API server's answer about {what} has more than {bytes} bytes")
            }
            Self::Status(what, status) => {
                write!(f, "the API server answers {status} when asked for {what}; its log says why")
            }
            Self::Answer(what, why) => write!(f, "the API server's answer about {what} does not do: {why}"),
        }
    }
}
impl std::error::Error for ClusterError {}

impl ClusterError {
    /// Whether asking again later may help without anybody mending anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Late(..) => true,
            Self::Status(_, status) => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}
