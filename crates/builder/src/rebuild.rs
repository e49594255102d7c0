//! Builds again what provenance describes, and compares bit for bit.

use std::path::{Path, PathBuf};

use attest::provenance::{Dependency, Provenance};
use attest::{Algorithm, Digest};
use jiff::Timestamp;

use crate::git::{GitError, Sources};
use crate::orchestrate::{BuildError, Orchestrator, Step};
use crate::plan::Plan;
use crate::record::BuildRecord;
use crate::run::Run;
use crate::sandbox::{Clock, Variation};

mod difference;

pub use difference::{Difference, explain};

/// What is made different on purpose, to find out whether it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variations {
    /// Another user and host name.
    pub is_other_user: bool,
    /// One processor instead of all.
    pub is_one_cpu: bool,
    /// A folder for the source on another file system, which lists its folders in another order.
    pub order: Option<PathBuf>,
    /// The library that shows another day's clock, and by how much: `+400d`.
    pub clock: Option<(PathBuf, String)>,
}

/// One output, built again.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// What the orchestrator saw.
    pub record: BuildRecord,
    /// Where it is.
    pub file: PathBuf,
}

impl Variations {
    /// What differs, in words.
    #[must_use]
    pub fn words(&self) -> Vec<&'static str> {
        let all = [
            (self.is_other_user, "user and host name"),
            (self.is_one_cpu, "number of processors"),
            (self.order.is_some(), "directory order"),
            (self.clock.is_some(), "clock"),
        ];
        all.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect()
    }

    fn variation(&self) -> Variation {
        let mut variation = Variation { is_one_cpu: self.is_one_cpu, ..Variation::default() };
        if self.is_other_user {
            (variation.user, variation.host) = (4242, "elsewhere".to_owned());
        }
        if let Some((library, offset)) = &self.clock {
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let environment = vec![pair("LD_PRELOAD", "/build/clock.so"), pair("FAKETIME", offset)];
            variation.clock = Some(Clock { library: library.clone(), environment });
        }
        variation
    }
}

impl Orchestrator<'_> {
    /// Builds again, from the commit and inputs that provenance names, in `work`, an empty folder of its own.
    ///
    /// # Errors
    /// [`BuildError`]; [`BuildError::NotAsRecorded`] where the commit does not give the build that was described.
    pub fn rebuild(
        &self,
        provenance: &Provenance,
        variations: &Variations,
        (work, log): (&Path, &Path),
        now: impl Fn() -> Timestamp,
        mut progress: impl FnMut(Step),
    ) -> Result<Vec<Rebuilt>, BuildError> {
        let started = now();
        progress(Step::Source);
        let source = provenance.source.as_ref().ok_or(BuildError::Git(GitError::Output("source")))?;
        let sources = Sources { folder: self.store.folder("source"), protected: self.protected };
        let resolved = sources.again(source).map_err(BuildError::Git)?;
        let plan = Plan::read(&resolved, provenance.target.as_deref().unwrap_or_default())?;
        check(provenance, &plan, resolved.source().digests.get(Algorithm::GitTree).as_ref())?;
        let mut run = Run {
            orchestrator: self,
            invocation: provenance.invocation.as_deref().unwrap_or_default(),
            resolved: &resolved,
            plan: &plan,
            work,
            tree: variations.order.as_deref().unwrap_or(work).join("src"),
            variation: variations.variation(),
            user: None,
        };
        // what this orchestrator saw itself, and nothing that the other one said
        let (outputs, records) = run.build(started, &now, &mut progress, log)?;
        Ok(outputs.into_iter().zip(records).map(|(o, record)| Rebuilt { record, file: o.file }).collect())
    }
}

/// The commit's own definition must give what the provenance says: else something else would be compared.
fn check(provenance: &Provenance, plan: &Plan, tree: Option<&Digest>) -> Result<(), BuildError> {
    let mut different = Vec::new();
    let mut compare = |what: String, recorded: String, found: String| {
        if recorded != found {
            different.push(format!("{what}: recorded {recorded}, found {found}"));
        }
    };
    let words = |command: &[String]| command.join(" ");
    compare(
        "command".to_owned(),
        words(provenance.command.as_deref().unwrap_or_default()),
        words(&plan.target.action.command),
    );
    let recorded = provenance.source.as_ref().and_then(|s| s.digests.get(Algorithm::GitTree));
    let text = |d: Option<&Digest>| d.map_or_else(|| "none".to_owned(), Digest::to_string);
    compare("tree".to_owned(), text(recorded.as_ref()), text(tree));
    let list = |dependencies: &[Dependency]| {
        let mut all: Vec<(String, String)> = dependencies
            .iter()
            .map(|d| (d.name.clone().unwrap_or_else(|| d.uri.clone()), text(d.digests.first().as_ref())))
            .collect();
        all.sort();
        all
    };
    let (recorded, found) = (list(&provenance.dependencies), list(&plan.dependencies(&[])));
    for (name, digest) in recorded.iter().filter(|r| !found.contains(r)) {
        let other = found.iter().find(|(n, _)| n == name).map_or("none", |(_, d)| d.as_str());
        compare(format!("input {name}"), digest.clone(), other.to_owned());
    }
    for (name, digest) in found.iter().filter(|f| !recorded.iter().any(|(n, _)| *n == f.0)) {
        compare(format!("input {name}"), "none".to_owned(), digest.clone());
    }
    if different.is_empty() { Ok(()) } else { Err(BuildError::NotAsRecorded(different)) }
}
