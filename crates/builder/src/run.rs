//! One build that runs: in its sandbox, with its canary before it and its tests after it.

use std::fs;
use std::path::{Path, PathBuf};

use attest::Digest;
use attest::provenance::{Isolation, Provenance};
use jiff::Timestamp;

use crate::chain::{Chain, Proven};
use crate::collect::{Output, collect};
use crate::git::Resolved;
use crate::orchestrate::{BuildError, FailedBuild, Orchestrator, Step};
use crate::plan::{Plan, platform};
use crate::record::{BuildRecord, TestRecord, provenance};
use crate::sandbox::canary::{self, CanaryError};
use crate::sandbox::{BuildUser, Sandbox, SandboxError, Variation, clear};
use crate::stage::{Stage, check_out, stage};
use crate::trial::{self, Unpacked};

mod assemble;

/// The outputs of a build, and the record of each.
pub(crate) type Finished = (Vec<Output>, Vec<BuildRecord>);

/// One build that runs.
pub(crate) struct Run<'a> {
    pub(crate) orchestrator: &'a Orchestrator<'a>,
    pub(crate) invocation: &'a str,
    pub(crate) resolved: &'a Resolved,
    pub(crate) plan: &'a Plan,
    pub(crate) work: &'a Path,
    /// Where the source is checked out.
    pub(crate) tree: PathBuf,
    pub(crate) variation: Variation,
    pub(crate) user: Option<BuildUser>,
}

impl Run<'_> {
    /// Runs the command, and takes the outputs.
    pub(crate) fn build(
        &mut self,
        started: Timestamp,
        now: &impl Fn() -> Timestamp,
        progress: &mut impl FnMut(Step),
        log: &Path,
    ) -> Result<Finished, BuildError> {
        if let Some(image) = &self.plan.target.image {
            return self.assemble(image, started, now, progress, log);
        }
        progress(Step::Inputs);
        let stage = self.stage(started)?;
        progress(Step::Canary);
        let isolation = self.canary()?;
        progress(Step::Run);
        let action = &self.plan.target.action;
        let tree = self.tree.as_path();
        check_out(self.resolved, tree, self.user.as_ref())?;
        let environment = self.plan.environment(&action.environment);
        let seen = self.variation.environment(&environment);
        let sandbox = Sandbox {
            tier: self.orchestrator.tier,
            runsc: self.orchestrator.runsc,
            root: stage.root.path(),
            source: tree,
            inputs: stage.inputs.as_deref(),
            artifacts: None,
            command: &action.command,
            environment: &seen,
            limits: &action.limits,
            user: self.user.as_ref(),
            variation: &self.variation,
            log,
        };
        let ran = sandbox.run().map_err(|e| self.failed(e, log, (started, now())));
        let outputs = ran.and_then(|()| {
            progress(Step::Outputs);
            collect(&self.plan.target.outputs, tree, &self.work.join("outputs"), action.limits.disk)
                .map_err(|e| self.unusable(e, log, (started, now())))
        });
        // however it ended: folders that stand deep in one another would stay for ever
        clear(tree).ok();
        let outputs = outputs?;
        let times = (started, now());
        let provenance = self.provenance(&stage.proven, Some(isolation), environment, times);
        let records = records(&outputs, &provenance);
        Ok((outputs, records))
    }

    fn stage(&mut self, now: Timestamp) -> Result<Stage, BuildError> {
        let chain = Chain { trust: self.orchestrator.trust, now };
        self.user = BuildUser::take().map_err(|e| BuildError::Canary(CanaryError::NotRun(e)))?;
        stage(self.plan, self.orchestrator.store, self.orchestrator.fetcher, chain, self.work)
    }

    fn canary(&self) -> Result<Isolation, BuildError> {
        let Orchestrator { tier, runsc, bait, store, .. } = *self.orchestrator;
        canary::run((tier, runsc), bait, store, self.work, self.user.as_ref()).map_err(BuildError::Canary)
    }

    fn unusable(&self, e: BuildError, log: &Path, times: (Timestamp, Timestamp)) -> BuildError {
        BuildError::Unusable(Box::new(e), Box::new(self.failed_build(log, times)))
    }

    fn failed(&self, e: SandboxError, log: &Path, times: (Timestamp, Timestamp)) -> BuildError {
        BuildError::Sandbox(e, Box::new(self.failed_build(log, times)))
    }

    fn failed_build(&self, log: &Path, times: (Timestamp, Timestamp)) -> FailedBuild {
        let log = crate::store::hash_file(log).unwrap_or_else(|_| Digest::sha256(b""));
        FailedBuild { source: self.resolved.source().clone(), log, times }
    }

    fn provenance(
        &self,
        proven: &[Proven],
        isolation: Option<Isolation>,
        environment: Vec<(String, String)>,
        times: (Timestamp, Timestamp),
    ) -> Provenance {
        let source = self.orchestrator.source(self.resolved, Some(times.1));
        let mut provenance = provenance(source, &self.plan.name, &self.plan.target.action.command, times);
        let platform = ("portcullis:platform".to_owned(), platform());
        let links: Vec<String> = self.plan.links.iter().map(|(path, to)| format!("{path}={to}")).collect();
        let links = (!links.is_empty()).then(|| ("portcullis:links".to_owned(), links.join(" ")));
        provenance.environment = environment.into_iter().chain([platform]).chain(links).collect();
        provenance.isolation = isolation;
        provenance.invocation = Some(self.invocation.to_owned());
        provenance.dependencies = self.plan.dependencies(proven);
        provenance
    }

    /// Every test on every output: fresh sources, the same sandbox, the artifacts read-only.
    pub(crate) fn test(
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
        let test_work = self.work.join("tests");
        fs::create_dir_all(&test_work).map_err(|e| BuildError::Io(test_work.clone(), e))?;
        let chain = Chain { trust: self.orchestrator.trust, now: now() };
        if self.user.is_none() {
            self.user = BuildUser::take().map_err(|e| BuildError::Canary(CanaryError::NotRun(e)))?;
        }
        // what an earlier build's canary found says nothing of today; and nothing ran for an image
        let fresh = records.first().filter(|r| r.provenance.cached_from.is_none());
        let isolation =
            fresh.and_then(|r| r.provenance.isolation.clone()).map_or_else(|| self.canary(), Ok)?;
        let Orchestrator { store, fetcher, tier, runsc, .. } = *self.orchestrator;
        let stage = stage(self.plan, store, fetcher, chain, &test_work)?;
        let is_in_image = self.plan.tests.iter().any(|(_, t)| t.is_in_image);
        let image = outputs.first().filter(|_| is_in_image).map(|o| Unpacked::new(o, store)).transpose()?;
        let bench = trial::Bench {
            plan: self.plan,
            resolved: self.resolved,
            stage: &stage,
            tier,
            runsc,
            user: self.user.as_ref(),
            work: &test_work,
            outputs,
            invocation: self.invocation,
            isolation: Some(&isolation),
            image: image.as_ref(),
        };
        bench.run_all(now)
    }
}

/// A record for each output.
pub(crate) fn records(outputs: &[Output], provenance: &Provenance) -> Vec<BuildRecord> {
    let record = |o: &Output| BuildRecord {
        name: o.name.clone(),
        digest: o.digest.clone(),
        provenance: provenance.clone(),
    };
    outputs.iter().map(record).collect()
}
