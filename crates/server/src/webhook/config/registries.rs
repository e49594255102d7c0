//! Which registries are asked for evidence of their images. No other is ever asked anything.
//!
//! ```yaml
//! registries:
//!   - registry: registry.example        # host[:port], or host/prefix: the repositories under it
//!     credentials: registry.json        # a docker config.json with a login for the registry
//!     token-hosts: [auth.example]       # hosts that give out its tokens too, and see the login for that
//!     plain-http: false
//!     within: 2s
//! ```

use std::path::PathBuf;

use attest::LoadError;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};
use registry::Reference;

use crate::fields::{span, words};

const KNOWN: [&str; 5] = ["registry", "credentials", "token-hosts", "plain-http", "within"];
const USUAL: Span = Span::seconds(2);
/// The longest that an API server waits for anybody.
const LONGEST: Span = Span::seconds(30);

/// A registry that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// `host[:port]`, or with the beginning of its repositories' names behind a slash.
    pub prefix: String,
    /// The file with its login; nothing where it is asked as nobody.
    pub credentials: Option<PathBuf>,
    /// Hosts that give out its tokens, beside itself.
    pub token_hosts: Vec<String>,
    /// Whether it is spoken to without TLS.
    pub plain_http: bool,
    /// How long it may take.
    pub within: Span,
}

impl Registry {
    /// The registry, with its port where one is named: the key of its login.
    #[must_use]
    pub fn host(&self) -> &str {
        self.prefix.split('/').next().unwrap_or_default()
    }

    /// Whether a repository is one of it, by whole parts of its name.
    #[must_use]
    pub fn covers(&self, repository: &str) -> bool {
        repository.strip_prefix(&self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "a registry", &KNOWN, problems)?;
        let prefix = fields.required("registry", problems).and_then(|node| {
            let text = problems.keep(node.string())?;
            let wanted = "a registry as images name it, as in registry.example:5000 or docker.io/acme";
            problems.keep(is_prefix(text).then(|| text.to_owned()).ok_or_else(|| node.mismatch(wanted)))
        });
        let credentials = fields.optional("credentials").map(|n| problems.keep(n.string()).map(Into::into));
        let token_hosts = words(&fields, "token-hosts", problems);
        let plain_http = fields.optional("plain-http").map_or(Some(false), |n| problems.keep(n.boolean()));
        let within = span(&fields, "within", USUAL, problems)?;
        if within > LONGEST {
            problems.push(fields.optional("within")?.mismatch("a span from 1s to 30s"));
        }
        Some(Self {
            prefix: prefix?,
            credentials: credentials.map_or(Some(None), |file| file.map(Some))?,
            token_hosts: token_hosts?,
            plain_http: plain_http?,
            within,
        })
    }
}

/// The list; one name stands in it once.
pub(super) fn registries(node: &Node, problems: &mut Problems) -> Option<Vec<Registry>> {
    let mut all: Vec<Registry> = Vec::new();
    for item in problems.keep(node.list())? {
        let one = Registry::read(item, problems)?;
        if all.iter().any(|other| other.prefix == one.prefix) {
            let message = format!("{} stands here twice", one.prefix);
            problems.push(LoadError::new(&item.place, &message).fix("remove one of the two"));
        }
        all.push(one);
    }
    Some(all)
}

/// In the one spelling that names of images have: another would cover nothing.
fn is_prefix(text: &str) -> bool {
    const BELOW: &str = "/x/x";
    let name = Reference::parse(&format!("{text}{BELOW}")).map(|reference| reference.name());
    name.is_ok_and(|name| name.strip_suffix(BELOW) == Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Registry>, String> {
        let node = Node::parse("serve.yaml", text).unwrap();
        let mut problems = Problems::new();
        let all = registries(&node, &mut problems);
        problems.finish(all).map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_registry_covers_its_own_repositories_by_whole_parts() {
        let all =
            read("- { registry: \"registry.example:5000/acme\", within: 5s }\n- { registry: docker.io }\n")
                .unwrap();
        let [acme, hub] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(
            (acme.host(), acme.within, hub.within),
            ("registry.example:5000", Span::seconds(5), USUAL)
        );
        assert!(acme.covers("registry.example:5000/acme/shop") && acme.covers("registry.example:5000/acme"));
        for other in [
            "registry.example:5000/acme-evil/shop",
            "registry.example:5000/other",
            "registry.example/acme/shop",
        ] {
            assert!(!acme.covers(other), "{other}");
        }
        assert!(hub.covers("docker.io/library/nginx") && !hub.covers("docker.io.evil.example/x"));
    }

    #[test]
    fn what_would_cover_nothing_or_too_much_is_refused() {
        for (text, wanted) in [
            ("- { registry: shop }", "a registry as images name it"),
            ("- { registry: \"https://registry.example\" }", "a registry as images name it"),
            ("- { registry: registry.example/ }", "a registry as images name it"),
            ("- { registry: Registry.example }", "a registry as images name it"),
            ("- { registry: index.docker.io }", "a registry as images name it"),
            ("- { registry: \"*.example\" }", "a registry as images name it"),
            ("- { registry: r.example, within: 1m }", "a span from 1s to 30s"),
            ("- { registry: r.example, password: x }", "password"),
            ("- { registry: r.example }\n- { registry: r.example }", "r.example stands here twice"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(wanted), "{text}: {found}");
        }
    }
}
