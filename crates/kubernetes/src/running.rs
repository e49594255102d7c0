//! What really runs, by the word of the node: a Pod of the API to the few things that a join with decisions needs.
//!
//! The status is the kubelet's. Owner references, labels and annotations are the tenant's: an owner named here is where
//! to look for a decision, and proves nothing.

mod image_id;

use attest::json::ShapeError;
use attest::time::parse_time;
use attest::{Algorithm, Digest, Object};
use jiff::Timestamp;

use crate::images::images;
use crate::reference::Reference;
use crate::review::GroupKind;
pub use image_id::{ImageId, image_id};

/// By it the kubelet says that it runs a Pod from its own disk.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What stands in status lists of containers: the list, and the containers' own.
const STATUSES: [&str; 3] = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];

/// A Pod as its node has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// The API server's own name for it, never given twice.
    pub uid: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The node; nothing before it has one.
    pub node: Option<String>,
    /// When the API server took it.
    pub since: Option<Timestamp>,
    /// Whether a node says that it runs it from its own disk: no choke point can decide about that.
    pub is_mirror: bool,
    /// Its controller, as it says itself.
    pub controller: Option<Controller>,
    /// Everything with an image: containers of all kinds, and volumes.
    pub containers: Vec<Container>,
}

/// Whom an object names as its controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Controller {
    /// Its API version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// One use of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The container's name, or the volume's.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// The reference in the specification: what was judged.
    pub image: String,
    /// What it does.
    pub state: State,
    /// What the runtime says that it runs.
    pub runs: ImageId,
}

/// What a use of an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It ends before the others begin.
    Init,
    /// An init container that stays.
    Sidecar,
    /// An ordinary one.
    Main,
    /// It was added to a Pod that runs.
    Ephemeral,
    /// A volume that is an image; nodes do not report what they mounted.
    Volume,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits, or nobody said anything of it yet.
    Waiting,
    /// It runs.
    Running {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// It ended.
    Terminated {
        /// When it had begun.
        since: Option<Timestamp>,
    },
}

impl State {
    /// The word in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running { .. } => "running",
            Self::Terminated { .. } => "terminated",
        }
    }

    /// When it began to run.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting => None,
            Self::Running { since } | Self::Terminated { since } => *since,
        }
    }
}

/// What runs, beside what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The digest that the specification names.
    Same,
    /// Another manifest than the specification names. Some runtimes name the platform's manifest of an index; whether
    /// it is that, only the index says.
    Other(Digest),
    /// The runtime names what is comparable to nothing: an image's configuration, or nothing yet.
    Unknown,
}

impl Container {
    /// The digest that the specification names: what decisions are about.
    #[must_use]
    pub fn wanted(&self) -> Option<Digest> {
        Reference::parse(&self.image).ok()?.digest().cloned()
    }

    /// Whether what runs is what the specification names.
    #[must_use]
    pub fn comparison(&self) -> Comparison {
        let ImageId::Manifest(runs) = &self.runs else { return Comparison::Unknown };
        match self.wanted() {
            Some(wanted) if wanted == *runs => Comparison::Same,
            // of two algorithms, neither tells whether the other is of the same bytes
            Some(wanted) if wanted.algorithm() != runs.algorithm() => Comparison::Unknown,
            Some(_) => Comparison::Other(runs.clone()),
            None => Comparison::Unknown,
        }
    }

    /// The digest by which a decision is looked for: what the specification names; without a digest there, what runs.
    #[must_use]
    pub fn decided_as(&self) -> Option<Digest> {
        let runs = || match &self.runs {
            ImageId::Manifest(digest) => Some(digest.clone()),
            ImageId::Configuration(_) | ImageId::Unknown => None,
        };
        self.wanted().or_else(runs).filter(|digest| digest.algorithm() == Algorithm::Sha256)
    }
}

impl Pod {
    /// Reads a Pod of `v1`.
    ///
    /// # Errors
    /// [`ShapeError`] where something that is read is of another kind than the schema says: such a Pod is told of, and
    /// not taken for one that runs nothing.
    pub fn read(object: &Object) -> Result<Self, ShapeError> {
        let metadata = object.object("metadata")?;
        let (spec, status) = (object.object("spec")?, object.optional_object("status")?);
        let text = |key: &str| metadata.string(key).map(str::to_owned);
        let annotations = metadata.optional_object("annotations")?;
        let mut pod = Self {
            uid: text("uid")?,
            namespace: text("namespace")?,
            name: text("name")?,
            node: spec.optional_string("nodeName")?.filter(|node| !node.is_empty()).map(str::to_owned),
            since: metadata.optional_string("creationTimestamp")?.and_then(parse_time),
            is_mirror: annotations.is_some_and(|a| a.get(MIRROR).is_some()),
            controller: Controller::of(object)?,
            containers: containers(object, spec)?,
        };
        if let Some(status) = status {
            for list in STATUSES {
                for (index, one) in status.optional_array(list)?.iter().enumerate() {
                    let at = |e: ShapeError| e.within(&format!("{list}[{index}]"));
                    pod.report(list, one.as_object().map_err(at)?).map_err(at)?;
                }
            }
        }
        Ok(pod)
    }

    /// Takes in what a node reports of one container.
    fn report(&mut self, list: &str, status: &Object) -> Result<(), ShapeError> {
        let (name, role) = (status.string("name")?, role_in(list));
        let is_meant = |c: &&mut Container| {
            let is_init = matches!(c.role, Role::Init | Role::Sidecar);
            c.name == name && (c.role == role || (role == Role::Init && is_init))
        };
        let known = self.containers.iter_mut().find(is_meant);
        let (state, runs) =
            (state(status)?, image_id(status.optional_string("imageID")?.unwrap_or_default()));
        match known {
            Some(container) => (container.state, container.runs) = (state, runs),
            // what runs and is nowhere in the specification was judged by nobody
            None => {
                let image = status.optional_string("image")?.unwrap_or_default().to_owned();
                self.containers.push(Container { name: name.to_owned(), role, image, state, runs });
            }
        }
        Ok(())
    }
}

impl Controller {
    /// The controller that an object names, if it names one.
    ///
    /// # Errors
    /// [`ShapeError`].
    pub fn of(object: &Object) -> Result<Option<Self>, ShapeError> {
        for owner in object.object("metadata")?.optional_array("ownerReferences")? {
            let owner = owner.as_object()?;
            if owner.get("controller").is_some_and(|flag| flag.as_bool() == Ok(true)) {
                let text = |key: &str| owner.string(key).map(str::to_owned);
                return Ok(Some(Self {
                    api_version: text("apiVersion")?,
                    kind: text("kind")?,
                    name: text("name")?,
                    uid: text("uid")?,
                }));
            }
        }
        Ok(None)
    }

    /// `NAMESPACE/KIND/NAME`, as records name workloads.
    #[must_use]
    pub fn workload(&self, namespace: &str) -> String {
        format!("{namespace}/{}/{}", self.kind(), self.name)
    }

    /// The kind as configuration calls it: `Deployment`, `Rollout.argoproj.io`.
    #[must_use]
    pub fn kind(&self) -> String {
        GroupKind::of(&self.api_version, &self.kind).name()
    }
}

fn containers(object: &Object, spec: &Object) -> Result<Vec<Container>, ShapeError> {
    let mut sidecars = Vec::new();
    for container in spec.optional_array("initContainers")? {
        let container = container.as_object()?;
        if container.optional_string("restartPolicy")? == Some("Always") {
            sidecars.push(container.string("name")?);
        }
    }
    let role = |path: &str, name: &str| match path.split(['.', '[']).nth(1) {
        Some("initContainers") if sidecars.contains(&name) => Role::Sidecar,
        Some("initContainers") => Role::Init,
        Some("ephemeralContainers") => Role::Ephemeral,
        Some("volumes") => Role::Volume,
        _ => Role::Main,
    };
    let uses = images(&GroupKind::of("v1", "Pod"), object, &[])?;
    let container = |used: crate::images::ImageUse| Container {
        role: role(&used.path, &used.container),
        name: used.container,
        image: used.reference,
        state: State::Waiting,
        runs: ImageId::Unknown,
    };
    Ok(uses.into_iter().map(container).collect())
}

fn role_in(list: &str) -> Role {
    match list {
        "initContainerStatuses" => Role::Init,
        "ephemeralContainerStatuses" => Role::Ephemeral,
        _ => Role::Main,
    }
}

fn state(status: &Object) -> Result<State, ShapeError> {
    let Some(state) = status.optional_object("state")? else { return Ok(State::Waiting) };
    let since =
        |object: &Object| Ok::<_, ShapeError>(object.optional_string("startedAt")?.and_then(parse_time));
    if let Some(running) = state.optional_object("running")? {
        return Ok(State::Running { since: since(running)? });
    }
    match state.optional_object("terminated")? {
        Some(ended) => Ok(State::Terminated { since: since(ended)? }),
        None => Ok(State::Waiting),
    }
}

#[cfg(test)]
mod tests;
