//! The story of a build.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use attest::provenance::{Isolation, Source};
use attest::time::Span;
use attest::{Algorithm, Digest, LoadError, TrustRoot};
use jiff::Timestamp;

use crate::cache::{self, Entry};
use crate::chain::{Chain, ChainError};
use crate::collect::Output;
use crate::definition::DEFINITION_FILE;
use crate::fetch::Fetcher;
use crate::git::{GitError, Resolved, Sources};
use crate::plan::Plan;
use crate::record::{BuildRecord, TestRecord};
use crate::root::RootError;
use crate::run::{Finished, Run, records};
use crate::sandbox::canary::{self, Bait, CanaryError};
use crate::sandbox::{BuildUser, SandboxError, Tier, Variation};
use crate::store::{Store, StoreError};

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
    /// Where gVisor's program is, if it is anywhere.
    pub runsc: Option<&'a Path>,
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
            let put = store.put_output(file).map_err(BuildError::Input)?;
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
    /// The command ran, and what came of it cannot be used.
    Unusable(Box<BuildError>, Box<FailedBuild>),
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
    /// What would be built again is not what the provenance says was built.
    NotAsRecorded(Vec<String>),
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
            Self::NoDefinition(commit) => {
                write!(f, "{} has no {DEFINITION_FILE} that is a plain file", commit.short())
            }
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
            Self::Unusable(e, _) => e.fmt(f),
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
            Self::NotAsRecorded(what) => write!(
                f,
                "the commit's definition does not give the build that the provenance describes: {}",
                what.join("; ")
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
        let cached = self.cached(&key, (&resolved, &plan), request, (work, started))?;
        let mut run = Run {
            orchestrator: self,
            invocation: &request.invocation,
            resolved: &resolved,
            plan: &plan,
            work,
            tree: work.join("src"),
            variation: Variation::default(),
            user: None,
        };
        let (outputs, records) = match (cached, self.cache) {
            (Some((outputs, records)), Cache::On) => {
                progress(Step::Cached);
                (outputs, records)
            }
            (cached, _) => {
                let (outputs, records) = run.build(started, &now, &mut progress, log)?;
                if let Some((before, _)) = cached {
                    compare(&before, &outputs).inspect_err(|_| self.distrust(&key))?;
                }
                (outputs, records)
            }
        };
        let tests = run.test(&outputs, &records, &now, &mut progress)?;
        let outputs = outputs.into_iter().map(|o| o.file).zip(records).collect();
        Ok(Built { outputs, tests, key })
    }

    /// Tries the sandbox from inside, and says which layers hold.
    ///
    /// # Errors
    /// [`CanaryError`] where one does not, or could not be tried.
    pub fn canary(&self, work: &Path) -> Result<Isolation, CanaryError> {
        let user = BuildUser::take().map_err(CanaryError::NotRun)?;
        canary::run((self.tier, self.runsc), self.bait, self.store, work, user.as_ref())
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
        (resolved, plan): (&Resolved, &Plan),
        request: &BuildRequest,
        (work, now): (&Path, Timestamp),
    ) -> Result<Option<Finished>, BuildError> {
        if self.cache == Cache::Off {
            return Ok(None);
        }
        let Some(entry) = cache::find(self.store, key).filter(|e| !self.is_recalled(e)) else {
            return Ok(None);
        };
        // an entry that lists other outputs, or none, is no finished build of this target
        let names = plan.target.outputs.iter().map(|o| o.rsplit('/').next().unwrap_or(o));
        if !names.eq(entry.outputs.iter().map(|(name, _)| name.as_str())) || !self.is_proven(plan, now) {
            return Ok(None);
        }
        let Some(outputs) = cache::take(self.store, &entry, &work.join("cached"))? else { return Ok(None) };
        let mut provenance = entry.provenance;
        provenance.source = Some(self.source(resolved, provenance.finished));
        provenance.cached_from = Some(entry.bundle);
        provenance.invocation = Some(request.invocation.clone());
        let records = records(&outputs, &provenance);
        Ok(Some((outputs, records)))
    }

    /// Whether every input that is another build's artifact is still proven to be: a key that is trusted no more made
    /// what came of it too. The build that follows says what is wrong.
    fn is_proven(&self, plan: &Plan, now: Timestamp) -> bool {
        let chain = Chain { trust: self.trust, now };
        let image = plan.target.image.as_ref();
        let mut used = plan.inputs.iter().filter(|i| image.is_none_or(|image| image.holds(&i.name)));
        used.all(|input| {
            input.built_by.as_ref().is_none_or(|builder| chain.prove(input, builder, self.store).is_ok())
        })
    }

    /// Neither of two builds that contradict each other is an answer. That the entry cannot be moved says less than
    /// that they differ, and that is what the caller tells.
    fn distrust(&self, key: &Digest) {
        cache::quarantine(self.store, key).ok();
    }

    /// Whether a builder's recall, as the trust root has it now, covers a build: then it is no answer any more.
    fn is_recalled(&self, entry: &Entry) -> bool {
        let mut provenance = entry.provenance.clone();
        provenance.builder_version = Some(env!("CARGO_PKG_VERSION").to_owned());
        let builders =
            self.trust.into_iter().flat_map(TrustRoot::principals).filter_map(|p| p.builder.as_ref());
        builders.into_iter().any(|b| b.recall_of(&provenance).is_some())
    }

    /// The source with the promise to keep it.
    pub(crate) fn source(&self, resolved: &Resolved, from: Option<Timestamp>) -> Source {
        let mut source = resolved.source().clone();
        let until = from.and_then(|t| t.as_second().checked_add(self.retention.as_seconds()));
        source.kept_until = until.and_then(|t| Timestamp::from_second(t).ok());
        source
    }
}

fn compare(before: &[Output], now: &[Output]) -> Result<(), BuildError> {
    let differs = before.iter().zip(now).find(|(a, b)| a.digest != b.digest);
    differs.map_or(Ok(()), |(a, b)| {
        let (name, cached, built) = (a.name.clone(), a.digest.clone(), b.digest.clone());
        Err(BuildError::NotReproducible { name, cached, built })
    })
}
