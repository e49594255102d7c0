//! What happens after the answer: `inventory`, `watch`, `verify`, `witnesses`.

use std::path::PathBuf;

use attest::LoadError;
use attest::claims::Severity;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};

use crate::advisories;
use crate::fields::{list, number, path, span, text};
use crate::watch::WatchConfig;

/// Its keys in the configuration.
pub(crate) const KEYS: [&str; 4] = ["inventory", "watch", "verify", "witnesses"];
const DAY: Span = Span::seconds(24 * 3600);

/// What happens after the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// The folder of the inventory; nothing where none is kept.
    pub inventory: Option<PathBuf>,
    /// How what runs is watched; nothing where nobody watches.
    pub watch: Option<WatchConfig>,
    /// How what runs is judged again.
    pub verify: Verify,
    /// Who cosigns the log's checkpoints.
    pub witnesses: Option<Witnesses>,
}

/// How what runs is judged again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// At least so often; and whenever the book or the trust root changes.
    pub every: Span,
    /// For how long what was let in although its policy was not met may wait until it is, or is gone.
    pub queue: Span,
    /// Advisories about what runs.
    pub advisories: advisories::Config,
}

impl Default for Verify {
    fn default() -> Self {
        let advisories = advisories::Config { advisories: Vec::new(), worst: Severity::High };
        Self { every: Span::seconds(3600), queue: Span::seconds(7 * 24 * 3600), advisories }
    }
}

/// Who cosigns the log's checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnesses {
    /// So many must.
    pub quorum: usize,
    /// Name, address and the file with the key of each.
    pub of: Vec<(String, String, PathBuf)>,
    /// The authorities of their addresses, PEM; this machine's where it is absent.
    pub ca: Option<PathBuf>,
}

impl After {
    pub(crate) fn read(fields: &Fields<'_>, has_api: bool, problems: &mut Problems) -> Option<Self> {
        let inventory = fields.optional("inventory").map(|n| problems.keep(n.string()).map(PathBuf::from));
        let watch = fields.optional("watch").map(|n| WatchConfig::read(n, problems));
        let verify = fields.optional("verify").map_or(Some(Verify::default()), |n| Verify::read(n, problems));
        let witnesses = fields.optional("witnesses").map(|n| Witnesses::read(n, problems));
        for key in ["watch", "verify"] {
            if let Some(node) = fields.optional(key).filter(|_| inventory.is_none()) {
                problems.push(
                    LoadError::new(&node.place, &format!("`{key}` has nowhere to keep what runs"))
                        .wanted("`inventory: FOLDER` beside it")
                        .fix("add `inventory: inventory`"),
                );
            }
        }
        if let Some(node) = fields.optional("watch").filter(|_| !has_api) {
            problems.push(
                LoadError::new(&node.place, "nobody can be asked what runs")
                    .wanted("`webhook: api`, with the cluster's API server")
                    .fix("add `api: { kubeconfig: FILE }` or `api: { in-cluster: true }` under `webhook`"),
            );
        }
        Some(Self {
            inventory: inventory.map_or(Some(None), |folder| folder.map(Some))?,
            watch: watch.map_or(Some(None), |watch| watch.map(Some))?,
            verify: verify?,
            witnesses: witnesses.map_or(Some(None), |witnesses| witnesses.map(Some))?,
        })
    }

    /// The files and folders that it names, to be made relative to the configuration's own.
    pub(crate) fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths: Vec<&mut PathBuf> = self.inventory.iter_mut().collect();
        paths.extend(&mut self.verify.advisories.advisories);
        paths.extend(self.watch.as_mut().and_then(|watch| watch.audit_log.as_mut()));
        if let Some(witnesses) = &mut self.witnesses {
            paths.extend(witnesses.of.iter_mut().map(|(_, _, key)| key));
            paths.extend(&mut witnesses.ca);
        }
        paths
    }
}

impl Verify {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let known: Vec<&str> = ["every", "queue"].into_iter().chain(advisories::Config::KEYS).collect();
        let fields = Fields::read(node, "`verify`", &known, problems)?;
        let otherwise = Self::default();
        let every = span(&fields, "every", otherwise.every, problems);
        let queue = span(&fields, "queue", otherwise.queue, problems);
        let advisories = advisories::Config::read(&fields, problems);
        let (every, queue, advisories) = (every?, queue?, advisories?);
        if every > DAY || every < Span::seconds(1) {
            problems.push(fields.optional("every")?.mismatch("a span from 1s to 1d"));
            return None;
        }
        Some(Self { every, queue, advisories })
    }
}

impl Witnesses {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "`witnesses`", &["quorum", "of", "ca"], problems)?;
        fields.required("of", problems);
        let of = list(&fields, "of", problems, |node, problems| {
            let fields = Fields::read(node, "a witness", &["name", "url", "key"], problems)?;
            let (name, url) = (text(&fields, "name", problems), text(&fields, "url", problems));
            let key = path(&fields, "key", problems);
            Some((name?, url?, key?))
        });
        let all = u64::try_from(of.len()).unwrap_or(1).max(1);
        let quorum = number(&fields, "quorum", (1, all, all), problems);
        let ca = fields.optional("ca").map(|n| problems.keep(n.string()).map(PathBuf::from));
        Some(Self { quorum: quorum?, of, ca: ca.map_or(Some(None), |file| file.map(Some))? })
    }
}
