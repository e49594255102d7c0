//! The story of a build.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use attest::provenance::{Dependency, Isolation, Provenance, Source};
use attest::time::Span;
use attest::{Algorithm, Digest, LoadError, TrustRoot};
use jiff::Timestamp;

use crate::cache::{self, Entry};
use crate::chain::{Chain, ChainError};
use crate::collect::{Output, collect};
use crate::definition::DEFINITION_FILE;
use crate::fetch::Fetcher;
use crate::git::{GitError, Resolved, Sources};
use crate::plan::{Plan, platform};
use crate::record::{BuildRecord, TestRecord, provenance};
use crate::root::RootError;
use crate::sandbox::canary::{self, Bait, CanaryError};
use crate::sandbox::{BuildUser, Sandbox, SandboxError, Tier, Variation};
use crate::stage::{Stage, check_out, stage};
use crate::store::{Store, StoreError};
use crate::trial;

/// What a requester may say: where, which, what. Everything else is in the source.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The repository.
    pub repository: String,
    /// The ref.
    pub reference: String,
    /// The target.
    pub target: String,
    /// The run, by a name that nobody can guess or use twice.
    pub invocation: String,
}

/// What the operator decided, for all builds.
#[derive(Clone, Copy)]
pub struct Orchestrator<'a> {
    /// Inputs, snapshots and everything else that is kept.
    pub store: &'a Store,
    /// How inputs come that are not in the store.
    pub fetcher: &'a dyn Fetcher,
    /// Which sandbox.
    pub tier: Tier,
    /// What the canary looks for.
    pub bait: &'a Bait,
    /// The branches of which a commit must be part; any without.
    pub protected: &'a [String],
    /// How long source and inputs are kept.
    pub retention: Span,
    /// Whom to believe about inputs that are other builds' artifacts.
    pub trust: Option<&'a TrustRoot>,
    /// Whether a finished build with the same inputs may stand for this one.
    pub cache: Cache,
}

/// Whether and how finished builds are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Never.
    Off,
    /// Where there is one.
    On,
    /// Where there is one, it is built again all the same, and must come out the same.
    Recheck,
}

impl fmt::Debug for Orchestrator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orchestrator")
            .field("tier", &self.tier)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// What is going on, for progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The commit is fetched.
    Source,
    /// A finished build with the same inputs was found.
    Cached,
    /// The inputs are fetched.
    Inputs,
    /// The canary tries the sandbox.
    Canary,
    /// The command runs.
    Run,
    /// The outputs are hashed.
    Outputs,
    /// The tests run.
    Tests,
}

/// What came out: files and what the orchestrator saw, not yet signed.
#[derive(Debug)]
pub struct Built {
    /// A file and its record, for each output.
    pub outputs: Vec<(PathBuf, BuildRecord)>,
    /// A record for each test and output.
    pub tests: Vec<TestRecord>,
    key: Digest,
}

impl Built {
    /// Files the build for others with the same inputs, once its provenance is signed. What came out of the cache is
    /// there already.
    ///
    /// # Errors
    /// [`BuildError`] where the store cannot be written.
    pub fn remember(&self, store: &Store, bundle: Digest) -> Result<(), BuildError> {
        let Some((_, first)) = self.outputs.first() else { return Ok(()) };
        for (file, record) in &self.outputs {
            let put = store.put(file).map_err(BuildError::Input)?;
            if put != record.digest {
                return Err(BuildError::Changed(record.name.clone()));
            }
        }
        if first.provenance.cached_from.is_some() {
            return Ok(());
        }
        let outputs = self.outputs.iter().map(|(_, r)| (r.name.clone(), r.digest.clone())).collect();
        cache::write(store, &self.key, &Entry { outputs, provenance: first.provenance.clone(), bundle })
    }
}

/// What a build would be.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The command.
    pub command: Vec<String>,
    /// Every input, tools first.
    pub dependencies: Vec<Dependency>,
}

/// Why there is no artifact.
#[derive(Debug)]
pub enum BuildError {
    /// The source cannot be had.
    Git(GitError),
    /// The commit has no build definition.
    NoDefinition(Digest),
    /// The build definition is wrong.
    Definition(Vec<LoadError>),
    /// What the definition names was never resolved to digests.
    NotLocked(String),
    /// There is no such target.
    Target {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: Vec<String>,
    },
    /// An input cannot be had.
    Input(StoreError),
    /// An input is not proven to be what the definition says.
    Chain(ChainError),
    /// The root file system cannot be made.
    Root(RootError),
    /// The sandbox is not good enough to sign for.
    Canary(CanaryError),
    /// The command did not succeed.
    Sandbox(SandboxError, Box<FailedBuild>),
    /// The command succeeded, and an output is not one; the second field is why.
    Output(String, String),
    /// A file changed between being hashed and being stored.
    Changed(String),
    /// The same inputs gave another output than before.
    NotReproducible {
        /// The output.
        name: String,
        /// What the cache holds.
        cached: Digest,
        /// What came out now.
        built: Digest,
    },
    /// The work folder failed.
    Io(PathBuf, io::Error),
}

/// What is known of a build whose command failed: enough for a signed record of it.
#[derive(Clone, Debug)]
pub struct FailedBuild {
    /// The source.
    pub source: Source,
    /// The digest of what the command said.
    pub log: Digest,
    /// When it began and ended.
    pub times: (Timestamp, Timestamp),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(e) => e.fmt(f),
            Self::NoDefinition(commit) => write!(f, "{} has no {DEFINITION_FILE}", commit.short()),
            Self::Definition(errors) => match errors.first() {
                Some(e) => write!(f, "the build definition is wrong: {e}"),
                None => f.write_str("the build definition is wrong"),
            },
            Self::NotLocked(what) => write!(
                f,
                "the digests of {what} are not in portcullis.build.lock; run `portcullis builder lock`, and commit what it writes"
            ),
            Self::Target { wanted, known } => {
                write!(f, "there is no target `{wanted}`; {DEFINITION_FILE} has {}", known.join(", "))
            }
            Self::Input(e) => e.fmt(f),
            Self::Chain(e) => e.fmt(f),
            Self::Root(e) => e.fmt(f),
            Self::Canary(e) => e.fmt(f),
            Self::Sandbox(e, _) => e.fmt(f),
            Self::Output(path, why) => {
                write!(f, "the build did not make the file {path}, which its definition promises: {why}")
            }
            Self::Changed(name) => write!(f, "{name} changed after it was hashed; nothing is published"),
            Self::NotReproducible { name, cached, built } => write!(
                f,
                "{name} came out as {} although the same inputs gave {} before; see `portcullis rebuild` for why",
                built.short(),
                cached.short()
            ),
            Self::Io(path, e) => write!(f, "{}: {e}", path.display()),
        }
    }
}
impl std::error::Error for BuildError {}

impl Orchestrator<'_> {
    /// Builds one target of one commit, in `work`, an empty directory of its own. What the command prints goes to
    /// `log` while it runs.
    ///
    /// # Errors
    /// [`BuildError`]; nothing is signed then.
    pub fn build(
        &self,
        request: &BuildRequest,
        (work, log): (&Path, &Path),
        now: impl Fn() -> Timestamp,
        mut progress: impl FnMut(Step),
    ) -> Result<Built, BuildError> {
        let started = now();
        progress(Step::Source);
        let sources = Sources { folder: self.store.folder("source"), protected: self.protected };
        let resolved = sources.resolve(&request.repository, &request.reference).map_err(BuildError::Git)?;
        let plan = Plan::read(&resolved, &request.target)?;
        let key = self.key(&plan, &resolved)?;
        let cached = self.cached(&key, &resolved, request, work)?;
        let mut run = Run { orchestrator: self, request, resolved: &resolved, plan: &plan, work, user: None };
        let (outputs, records) = match (cached, self.cache) {
            (Some((outputs, records)), Cache::On) => {
                progress(Step::Cached);
                (outputs, records)
            }
            (cached, _) => {
                let (outputs, records) = run.build(started, &now, &mut progress, log)?;
                if let Some((before, _)) = cached {
                    compare(&before, &outputs)?;
                }
                (outputs, records)
            }
        };
        let tests = run.test(&outputs, &records, &now, &mut progress)?;
        let outputs = outputs.into_iter().map(|o| o.file).zip(records).collect();
        Ok(Built { outputs, tests, key })
    }

    /// What a build would be, as its provenance would say it: nothing of it is fetched or run.
    ///
    /// # Errors
    /// [`BuildError`] where the source or its definition cannot be had.
    pub fn plan(&self, request: &BuildRequest) -> Result<Planned, BuildError> {
        let sources = Sources { folder: self.store.folder("source"), protected: self.protected };
        let resolved = sources.resolve(&request.repository, &request.reference).map_err(BuildError::Git)?;
        let plan = Plan::read(&resolved, &request.target)?;
        Ok(Planned { command: plan.target.action.command.clone(), dependencies: plan.dependencies(&[]) })
    }

    fn key(&self, plan: &Plan, resolved: &Resolved) -> Result<Digest, BuildError> {
        let tree = resolved.source().digests.get(Algorithm::GitTree);
        let tree = tree.ok_or(BuildError::Git(GitError::Output("tree")))?;
        Ok(plan.key(&tree, self.tier))
    }

    /// A finished build with the same inputs, told as what it is: its times are those of the build that ran, so that
    /// no age in a policy becomes younger, and it names that build's provenance.
    fn cached(
        &self,
        key: &Digest,
        resolved: &Resolved,
        request: &BuildRequest,
        work: &Path,
    ) -> Result<Option<(Vec<Output>, Vec<BuildRecord>)>, BuildError> {
        if self.cache == Cache::Off {
            return Ok(None);
        }
        let Some(entry) = cache::find(self.store, key) else { return Ok(None) };
        let Some(outputs) = cache::take(self.store, &entry, &work.join("cached"))? else { return Ok(None) };
        let mut provenance = entry.provenance;
        provenance.source = Some(self.source(resolved, provenance.finished));
        provenance.cached_from = Some(entry.bundle);
        provenance.invocation = Some(request.invocation.clone());
        let records = records(&outputs, &provenance);
        Ok(Some((outputs, records)))
    }

    /// The source with the promise to keep it.
    fn source(&self, resolved: &Resolved, from: Option<Timestamp>) -> Source {
        let mut source = resolved.source().clone();
        let until = from.and_then(|t| t.as_second().checked_add(self.retention.as_seconds()));
        source.kept_until = until.and_then(|t| Timestamp::from_second(t).ok());
        source
    }
}

fn records(outputs: &[Output], provenance: &Provenance) -> Vec<BuildRecord> {
    let record = |o: &Output| BuildRecord {
        name: o.name.clone(),
        digest: o.digest.clone(),
        provenance: provenance.clone(),
    };
    outputs.iter().map(record).collect()
}

fn compare(before: &[Output], now: &[Output]) -> Result<(), BuildError> {
    let differs = before.iter().zip(now).find(|(a, b)| a.digest != b.digest);
    differs.map_or(Ok(()), |(a, b)| {
        let (name, cached, built) = (a.name.clone(), a.digest.clone(), b.digest.clone());
        Err(BuildError::NotReproducible { name, cached, built })
    })
}

/// One build that runs.
struct Run<'a> {
    orchestrator: &'a Orchestrator<'a>,
    request: &'a BuildRequest,
    resolved: &'a Resolved,
    plan: &'a Plan,
    work: &'a Path,
    user: Option<BuildUser>,
}

impl Run<'_> {
    fn build(
        &mut self,
        started: Timestamp,
        now: &impl Fn() -> Timestamp,
        progress: &mut impl FnMut(Step),
        log: &Path,
    ) -> Result<(Vec<Output>, Vec<BuildRecord>), BuildError> {
        progress(Step::Inputs);
        let stage = self.stage(started)?;
        progress(Step::Canary);
        let isolation = self.canary()?;
        progress(Step::Run);
        let action = &self.plan.target.action;
        let tree = self.work.join("src");
        check_out(self.resolved, &tree, self.user.as_ref())?;
        let environment = self.plan.environment(&action.environment);
        let sandbox = Sandbox {
            tier: self.orchestrator.tier,
            root: &stage.root,
            source: &tree,
            inputs: stage.inputs.as_deref(),
            artifacts: None,
            command: &action.command,
            environment: &environment,
            limits: &action.limits,
            user: self.user.as_ref(),
            variation: &Variation::default(),
            log,
        };
        sandbox.run().map_err(|e| self.failed(e, log, (started, now())))?;
        progress(Step::Outputs);
        let own = self.work.join("outputs");
        let outputs = collect(&self.plan.target.outputs, &tree, &own, action.limits.disk)?;
        fs::remove_dir_all(&tree).ok();
        let times = (started, now());
        let provenance = self.provenance(&stage, isolation, environment, times);
        let records = records(&outputs, &provenance);
        Ok((outputs, records))
    }

    fn stage(&mut self, now: Timestamp) -> Result<Stage, BuildError> {
        let chain = Chain { trust: self.orchestrator.trust, now };
        self.user = BuildUser::take();
        stage(self.plan, self.orchestrator.store, self.orchestrator.fetcher, chain, self.work)
    }

    fn canary(&self) -> Result<Isolation, BuildError> {
        let Orchestrator { tier, bait, store, .. } = *self.orchestrator;
        canary::run(tier, bait, store, self.work, self.user.as_ref()).map_err(BuildError::Canary)
    }

    fn failed(&self, e: SandboxError, log: &Path, times: (Timestamp, Timestamp)) -> BuildError {
        let log = crate::store::hash_file(log).unwrap_or_else(|_| Digest::sha256(b""));
        let source = self.resolved.source().clone();
        BuildError::Sandbox(e, Box::new(FailedBuild { source, log, times }))
    }

    fn provenance(
        &self,
        stage: &Stage,
        isolation: Isolation,
        environment: Vec<(String, String)>,
        times: (Timestamp, Timestamp),
    ) -> Provenance {
        let source = self.orchestrator.source(self.resolved, Some(times.1));
        let mut provenance = provenance(source, &self.plan.name, &self.plan.target.action.command, times);
        let platform = ("portcullis:platform".to_owned(), platform());
        provenance.environment = environment.into_iter().chain([platform]).collect();
        provenance.isolation = Some(isolation);
        provenance.invocation = Some(self.request.invocation.clone());
        provenance.dependencies = self.plan.dependencies(&stage.proven);
        provenance
    }

    /// Every test on every output: fresh sources, the same sandbox, the artifacts read-only.
    fn test(
        &mut self,
        outputs: &[Output],
        records: &[BuildRecord],
        now: &impl Fn() -> Timestamp,
        progress: &mut impl FnMut(Step),
    ) -> Result<Vec<TestRecord>, BuildError> {
        if self.plan.tests.is_empty() {
            return Ok(Vec::new());
        }
        progress(Step::Tests);
        let isolation = records.first().and_then(|r| r.provenance.isolation.clone());
        let test_work = self.work.join("tests");
        fs::create_dir_all(&test_work).map_err(|e| BuildError::Io(test_work.clone(), e))?;
        let chain = Chain { trust: self.orchestrator.trust, now: now() };
        if self.user.is_none() {
            self.user = BuildUser::take();
        }
        let Orchestrator { store, fetcher, tier, .. } = *self.orchestrator;
        let stage = stage(self.plan, store, fetcher, chain, &test_work)?;
        let bench = trial::Bench {
            plan: self.plan,
            resolved: self.resolved,
            stage: &stage,
            tier,
            user: self.user.as_ref(),
            work: &test_work,
            outputs,
            invocation: &self.request.invocation,
            isolation: isolation.as_ref(),
        };
        bench.run_all(now)
    }
}
