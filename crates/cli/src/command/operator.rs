//! What the operator of a builder decides, as flags: the same for builds, rebuilds and the service.

use std::path::{Path, PathBuf};

use attest::TrustRoot;
use attest::time::Span;
use builder::{Bait, BuildRecord, Cache, Fetcher, Lease, Offline, Orchestrator, Store, Tier, Web};
use clap::ValueEnum;

use crate::failure::Failure;
use crate::{input, keys};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Operator {
    /// The store of inputs, snapshots and finished builds
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_STORE")]
    store: Option<PathBuf>,
    /// The branch of which the commit must be part; may be given more than once
    #[arg(long = "protected", value_name = "BRANCH")]
    protected: Vec<String>,
    /// How long the source and all inputs are kept
    #[arg(long, value_name = "SPAN", default_value = "400d", value_parser = span)]
    retention: Span,
    #[command(flatten)]
    sandbox: SandboxChoice,
    /// Whom to believe about inputs that are other builds' artifacts
    #[arg(long, value_name = "FILE")]
    trust_root: Option<PathBuf>,
    /// Build even where the same inputs were built before
    #[arg(long)]
    no_cache: bool,
    /// Of the builds that the cache could answer, build so many percent again and compare
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = clap::value_parser!(u8).range(0..=100))]
    recheck: u8,
    /// Fetch nothing: every input must be in the store
    #[arg(long)]
    offline: bool,
    /// Another host from which inputs may be fetched; may be given more than once
    #[arg(long = "allow-host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Fetch URIs that begin with FROM from TO instead; may be given more than once
    #[arg(long = "mirror", value_name = "FROM=TO", value_parser = pair)]
    mirrors: Vec<(String, String)>,
}

/// Which sandbox, and where its program is.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(crate) struct SandboxChoice {
    /// The sandbox
    #[arg(long, value_enum, default_value = "bubblewrap", env = "PORTCULLIS_SANDBOX")]
    sandbox: Tiers,
    /// gVisor's program; looked for on the path without
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_RUNSC")]
    runsc: Option<PathBuf>,
    #[arg(long, env = "PATH", hide = true)]
    search: Option<std::ffi::OsString>,
}

impl SandboxChoice {
    fn runsc(&self) -> Option<PathBuf> {
        self.runsc.clone().or_else(|| self.find("runsc"))
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        let folders = std::env::split_paths(self.search.as_ref()?);
        // a relative folder is that of whoever calls, and not of a builder
        folders.filter(|f| f.is_absolute()).map(|f| f.join(program)).find(|p| p.is_file())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tiers {
    /// Namespaces of this kernel, and a system call filter
    Bubblewrap,
    /// gVisor's own kernel in user space: stronger, slower
    Gvisor,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "wanted a span of time, as in 400d".to_owned())
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(from, to)| !from.is_empty() && !to.is_empty());
    pair.map(|(from, to)| (from.to_owned(), to.to_owned())).ok_or_else(|| "wanted FROM=TO".to_owned())
}

/// The flags as the parts that they mean.
pub(crate) struct Prepared {
    store: Store,
    fetcher: Box<dyn Fetcher>,
    bait: Bait,
    trust: Option<TrustRoot>,
    protected: Vec<String>,
    retention: Span,
    tier: Tier,
    runsc: Option<PathBuf>,
    cache: Cache,
}

impl Operator {
    pub(crate) fn of_store(store: &Path) -> Self {
        Self {
            store: Some(store.to_owned()),
            protected: Vec::new(),
            retention: Span::seconds(400 * 86_400),
            sandbox: SandboxChoice { sandbox: Tiers::Bubblewrap, runsc: None, search: None },
            trust_root: None,
            no_cache: false,
            recheck: 0,
            offline: false,
            hosts: Vec::new(),
            mirrors: Vec::new(),
        }
    }

    pub(crate) fn of_sandbox(store: Option<&Path>, sandbox: &SandboxChoice) -> Self {
        let base = Self::of_store(Path::new(""));
        Self { store: store.map(Path::to_owned), sandbox: sandbox.clone(), ..base }
    }

    pub(crate) fn prepare(&self, secrets: &[PathBuf]) -> Result<Prepared, Failure> {
        let store = self.store.clone().map_or_else(|| keys::home(".cache/portcullis/store"), Ok)?;
        let program = std::env::current_exe().map_err(|e| {
            Failure::new("cannot find this program for the canary").line("found", &e.to_string())
        })?;
        let fetcher: Box<dyn Fetcher> =
            if self.offline { Box::new(Offline) } else { Box::new(Web::new(&self.hosts, &self.mirrors)) };
        let hidden = secrets.iter().cloned().chain([store.clone()]).collect();
        let cache = match (self.no_cache, keys::percent()? < self.recheck) {
            (true, _) => Cache::Off,
            (false, true) => Cache::Recheck,
            (false, false) => Cache::On,
        };
        Ok(Prepared {
            store: Store::private(&store),
            fetcher,
            bait: Bait { program, hidden },
            trust: self.trust_root.as_deref().map(input::trust_root).transpose()?,
            protected: self.protected.clone(),
            retention: self.retention,
            tier: match self.sandbox.sandbox {
                Tiers::Bubblewrap => Tier::Bubblewrap,
                Tiers::Gvisor => Tier::Gvisor,
            },
            runsc: self.sandbox.runsc(),
            cache,
        })
    }
}

impl Prepared {
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn trust(&self) -> Option<&TrustRoot> {
        self.trust.as_ref()
    }

    pub(crate) fn orchestrator(&self) -> Orchestrator<'_> {
        Orchestrator {
            store: &self.store,
            fetcher: self.fetcher.as_ref(),
            tier: self.tier,
            runsc: self.runsc.as_deref(),
            bait: &self.bait,
            protected: &self.protected,
            retention: self.retention,
            trust: self.trust.as_ref(),
            cache: self.cache,
        }
    }

    /// Writes down what a provenance promises to keep, and its bundle under its artifact's digest.
    pub(crate) fn promise(&self, record: &BuildRecord, bundle: &[u8]) -> Result<(), Failure> {
        let failed = |e: builder::StoreError| {
            Failure::new("the store cannot keep what the provenance promises; nothing was published")
                .line("found", &e.to_string())
                .line("fix", "make room in the store, and build again")
        };
        let digest = self.store.keep_bundle(&record.digest, bundle).map_err(failed)?;
        Lease::of(record, &digest).write(&self.store).map_err(failed)
    }
}
