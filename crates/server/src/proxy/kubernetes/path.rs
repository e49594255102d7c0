//! What a path of the API means, read as the API server reads it; what it could read otherwise has no meaning here.

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// What the server says of itself: its version, its kinds, its schema, its health.
    Server,
    /// Objects.
    Resource(Resource),
}

/// Objects of one kind, or one of them, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resource {
    /// Empty for the core group.
    pub(super) group: String,
    pub(super) version: String,
    /// Empty for objects outside of namespaces; a Namespace's own name for itself.
    pub(super) namespace: String,
    pub(super) resource: String,
    /// Empty where all are meant.
    pub(super) name: String,
    /// Empty where the object itself is meant.
    pub(super) subresource: String,
}

/// What the server says of itself, by the first part of its path.
const OWN: [&str; 7] = ["version", "openapi", "healthz", "livez", "readyz", ".well-known", "openid"];
/// Parts of an object that are read, and are no connection into what runs.
const READ: [&str; 6] = ["", "log", "status", "scale", "ephemeralcontainers", "resize"];
/// Parts of an object that are written whole, and that a dry run gives back whole.
const WRITTEN: [&str; 5] = ["", "status", "scale", "ephemeralcontainers", "resize"];
/// Words that turn what stands behind them into something else for the API server.
const VERBS: [&str; 2] = ["watch", "proxy"];
/// Parts of a Namespace; anything else behind its name is a resource in it.
const OF_NAMESPACES: [&str; 2] = ["status", "finalize"];

impl Place {
    /// Reads a path without anything encoded in it.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let unknown = || format!("{path} is no path of the API that this proxy knows");
        match parts.as_slice() {
            // an empty group would be another spelling of the core group
            ["apis", "", ..] => Err(unknown()),
            [""] | ["api" | "apis"] => Ok(Self::Server),
            [first, ..] if OWN.contains(first) => Ok(Self::Server),
            ["api", "v1"] | ["apis", _] | ["apis", _, _] => Ok(Self::Server),
            ["api", "v1", rest @ ..] => {
                Resource::read("", "v1", rest).map(Self::Resource).ok_or_else(unknown)
            }
            ["apis", group, version, rest @ ..] => {
                Resource::read(group, version, rest).map(Self::Resource).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

impl Resource {
    fn read(group: &str, version: &str, parts: &[&str]) -> Option<Self> {
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        let make = |namespace: &str, resource: &str, name: &str, subresource: &str| {
            let text = str::to_owned;
            let (group, version, namespace) = (text(group), text(version), text(namespace));
            let (resource, name, subresource) = (text(resource), text(name), text(subresource));
            Self { group, version, namespace, resource, name, subresource }
        };
        let resource = match parts {
            ["namespaces", ..] if !group.is_empty() && parts.len() < 3 => return None,
            ["namespaces"] => make("", "namespaces", "", ""),
            ["namespaces", name] => make(name, "namespaces", name, ""),
            ["namespaces", name, part] if OF_NAMESPACES.contains(part) => {
                make(name, "namespaces", name, part)
            }
            ["namespaces", namespace, resource] => make(namespace, resource, "", ""),
            ["namespaces", namespace, resource, name] => make(namespace, resource, name, ""),
            ["namespaces", namespace, resource, name, part] => make(namespace, resource, name, part),
            [resource] => make("", resource, "", ""),
            [resource, name] => make("", resource, name, ""),
            [resource, name, part] => make("", resource, name, part),
            _ => return None,
        };
        (!VERBS.contains(&resource.resource.as_str())).then_some(resource)
    }

    /// `apps/v1`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether nothing is done by reading it.
    pub(super) fn is_read(&self) -> bool {
        READ.contains(&self.subresource.as_str())
    }

    /// Whether it can be written through here.
    pub(super) fn is_written(&self) -> bool {
        WRITTEN.contains(&self.subresource.as_str())
    }

    /// `pods/exec`.
    pub(super) fn title(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str) -> String {
        match Place::parse(path) {
            Err(_) => "unknown".to_owned(),
            Ok(Place::Server) => "server".to_owned(),
            Ok(Place::Resource(r)) => {
                format!("{}|{}|{}|{}|{}", r.api_version(), r.namespace, r.resource, r.name, r.subresource)
            }
        }
    }

    #[test]
    fn a_path_means_what_the_api_server_reads() {
        for (path, meaning) in [
            ("/", "server"),
            ("/version", "server"),
            ("/openapi/v3/apis/apps/v1", "server"),
            ("/api", "server"),
            ("/apis/apps/v1", "server"),
            ("/api/v1/pods", "v1||pods||"),
            ("/api/v1/nodes/n", "v1||nodes|n|"),
            ("/api/v1/nodes/n/status", "v1||nodes|n|status"),
            ("/api/v1/namespaces", "v1||namespaces||"),
            ("/api/v1/namespaces/shop", "v1|shop|namespaces|shop|"),
            ("/api/v1/namespaces/shop/finalize", "v1|shop|namespaces|shop|finalize"),
            ("/api/v1/namespaces/shop/pods/p/exec", "v1|shop|pods|p|exec"),
            ("/apis/apps/v1/namespaces/shop/deployments/web", "apps/v1|shop|deployments|web|"),
            ("/apis/apps/v1/namespaces/shop/status", "apps/v1|shop|namespaces|shop|status"),
        ] {
            assert_eq!(told(path), meaning, "{path}");
        }
    }

    #[test]
    fn what_is_a_connection_or_another_verb_is_no_read() {
        for path in [
            "/api/v1/namespaces/shop/pods/p/exec",
            "/api/v1/namespaces/shop/pods/p/attach",
            "/api/v1/namespaces/shop/pods/p/portforward",
            "/api/v1/namespaces/shop/pods/p/proxy",
            "/api/v1/namespaces/shop/services/s/proxy",
            "/api/v1/nodes/n/proxy",
        ] {
            let Ok(Place::Resource(resource)) = Place::parse(path) else { panic!("{path}") };
            assert!(!resource.is_read() && !resource.is_written(), "{path}");
        }
        for path in [
            "/api/v1/nodes/n/proxy/run",
            "/api/v1/proxy/namespaces/shop/pods/p",
            "/api/v1/watch/pods",
            "/api/v1/namespaces/shop/pods/",
            "/api/v1/namespaces/shop/pods/p/exec/more",
            "/api/v2/pods",
            "/logs/kube-apiserver.log",
            "/apis/apps/v1/namespaces/shop",
        ] {
            assert_eq!(told(path), "unknown", "{path}");
        }
    }
}
