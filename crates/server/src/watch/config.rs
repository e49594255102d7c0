//! `watch:` of a choke point's configuration.

use std::path::PathBuf;

use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};

use crate::fields::{span, words};

/// The section with everything that can be said, as the documentation shows it.
pub const EXAMPLE: &str = include_str!("config/example.yaml");

const HOUR: Span = Span::seconds(3600);

/// How what runs is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchConfig {
    /// How often what runs is written down whole.
    pub every: Span,
    /// How long a record may be on its way before something counts as undecided.
    pub grace: Span,
    /// Namespaces in which nobody decides, beside those of the system.
    pub except: Vec<String>,
    /// The API server's audit log, where it can be read.
    pub audit_log: Option<PathBuf>,
}

impl WatchConfig {
    /// Reads the section.
    pub fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "`watch`", &["every", "grace", "except", "audit-log"], problems)?;
        let every = short(&fields, "every", Span::seconds(30), problems);
        let grace = short(&fields, "grace", Span::seconds(10), problems);
        let except = words(&fields, "except", problems);
        let audit_log = fields.optional("audit-log").map(|n| problems.keep(n.string()).map(PathBuf::from));
        Some(Self {
            every: every?,
            grace: grace?,
            except: except?,
            audit_log: audit_log.map_or(Some(None), |file| file.map(Some))?,
        })
    }

    /// Whether nobody is to decide there.
    #[must_use]
    pub fn is_excepted(&self, namespace: &str, mapping: &kubernetes::Mapping) -> bool {
        self.except.iter().any(|name| name == namespace)
            || kubernetes::audit_event::is_system(namespace, mapping)
    }
}

/// What is found an hour later is found too late.
fn short(fields: &Fields<'_>, key: &str, otherwise: Span, problems: &mut Problems) -> Option<Span> {
    let span = span(fields, key, otherwise, problems)?;
    if span > HOUR {
        problems.push(fields.optional(key)?.mismatch("a span of at most 1h"));
        return None;
    }
    Some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WatchConfig, String> {
        let node = Node::parse("serve.yaml", text).unwrap();
        let mut problems = Problems::new();
        let Some(section) = Fields::read(&node, "it", &["watch"], &mut problems).unwrap().optional("watch")
        else {
            return Err("no section".to_owned());
        };
        let config = WatchConfig::read(section, &mut problems);
        problems
            .finish(config)
            .map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn the_example_is_read_and_what_is_left_out_has_a_default() {
        let whole = read(EXAMPLE).unwrap();
        assert_eq!(whole.audit_log, Some(PathBuf::from("/var/log/kubernetes/audit.log")));
        let least = read("watch: {}").unwrap();
        assert_eq!((least.every, least.grace), (Span::seconds(30), Span::seconds(10)));
        assert_eq!((least.except.len(), least.audit_log), (0, None));
    }

    #[test]
    fn what_would_make_it_blind_is_refused() {
        for (text, wanted) in [
            ("watch: { every: 2h }", "at most 1h"),
            ("watch: { grace: 1d }", "at most 1h"),
            ("watch: { every: soon }", "a span of time"),
            ("watch: { ever: 30s }", "ever"),
            ("watch: { except: kube-system }", "list"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(wanted), "{text}: {found}");
        }
    }

    #[test]
    fn what_holds_the_cluster_together_is_excepted_unless_it_is_claimed() {
        let config = read("watch: { except: [vendor] }").unwrap();
        let mut mapping = kubernetes::Mapping::new("eu-1");
        assert!(config.is_excepted("kube-system", &mapping) && config.is_excepted("vendor", &mapping));
        assert!(!config.is_excepted("shop", &mapping));
        mapping.environments.push(kubernetes::mapping::Environment {
            name: "prod/system".to_owned(),
            namespaces: vec!["kube-system".to_owned()],
            cluster_scoped: false,
            workloads: Vec::new(),
        });
        assert!(!config.is_excepted("kube-system", &mapping));
    }
}
