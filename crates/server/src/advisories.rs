//! What of an OSV dump runs, asked again and again: whoever brings a new dump has the fleet judged anew.
//!
//! ```yaml
//! verify:
//!   advisories: [/var/lib/osv/npm.zip, /var/lib/osv/debian]
//!   worst: high
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use advisory::vex::Statements;
use advisory::{Certainty, Database, Exposure, Wanted};
use attest::claims::Severity;
use attest::yaml::{Fields, Problems};
use attest::{Digest, DigestSet, Opener, TrustRoot};
use inventory::advisories::{DumpError, Tally, fingerprint, load};
use inventory::audit::{EvidenceSource, Exposed, Gathered, Known};
use inventory::{Inventory, InventoryError, Live};
use jiff::Timestamp;

use crate::fields::words;

/// Where advisories are, and how bad is too bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folders of OSV records, archives of them, or single records; none where nobody looks.
    pub advisories: Vec<PathBuf>,
    /// What is less bad is nobody's matter.
    pub worst: Severity,
}

impl Config {
    /// The keys that this reads of the section `verify`.
    pub const KEYS: [&'static str; 2] = ["advisories", "worst"];

    /// Reads them.
    #[must_use]
    pub fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let advisories = words(fields, "advisories", problems);
        let worst = match fields.optional("worst") {
            None => Some(Severity::High),
            Some(node) => {
                let word = problems.keep(node.string());
                let known = word.and_then(Severity::parse).filter(|s| *s != Severity::Negligible);
                if word.is_some() && known.is_none() {
                    problems.push(node.mismatch("low, medium, high or critical"));
                }
                known
            }
        };
        Some(Self { advisories: advisories?.into_iter().map(PathBuf::from).collect(), worst: worst? })
    }
}

/// A workload with an advisory about a part of what it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Where.
    pub environment: String,
    /// What a person wrote, and runs it; the artifact's name where nobody knows.
    pub workload: String,
    /// What runs.
    pub artifact: String,
    /// Its digest.
    pub digest: Option<Digest>,
    /// The record that let it in.
    pub record: Option<u64>,
    /// The advisory.
    pub advisory: String,
    /// How bad it is taken to be.
    pub severity: Severity,
    /// The component, without its version: `npm lodash`.
    pub component: String,
    /// The version that is there, where anybody knows.
    pub installed: Option<String>,
    /// The first version that is not affected, where there is one.
    pub fixed: Option<String>,
    /// Whether it is affected for sure: else nobody can tell.
    pub is_certain: bool,
}

/// What a look came to.
#[derive(Debug)]
pub struct Looked {
    /// Who is affected.
    pub affected: Vec<Affected>,
    /// How many run, are affected, or are of parts that nobody proved.
    pub exposed: Exposed,
    /// What was read of the dump.
    pub dump: Tally,
    /// Advisories that cannot be read, and name no package.
    pub unread: Vec<String>,
    /// Why the dump that is there now was not read: the one before it still counts.
    pub stale: Option<DumpError>,
}

/// Why nobody can tell what is affected.
#[derive(Debug)]
pub enum LookError {
    /// The inventory cannot be read.
    Inventory(InventoryError),
    /// There is no dump that can be read, and none was read before.
    Dump(DumpError),
}

impl std::fmt::Display for LookError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inventory(e) => e.fmt(f),
            Self::Dump(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for LookError {}

/// Under what the evidence of what runs is opened.
#[derive(Clone, Copy)]
pub struct Under<'a> {
    /// The trust root in force.
    pub root: &'a TrustRoot,
    /// The time.
    pub at: Timestamp,
    /// Who verifies.
    pub opener: &'a (dyn Opener + Sync),
    /// Where evidence is.
    pub evidence: &'a dyn EvidenceSource,
}

impl std::fmt::Debug for Under<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Under")
            .field("root", self.root.digest())
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// The advisories about what runs, held from one look to the next.
#[derive(Debug)]
pub struct Advisories {
    config: Config,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    fingerprint: DigestSet,
    wanted: Wanted,
    database: Database,
    dump: Tally,
}

impl Advisories {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, held: None }
    }

    /// Looks up what runs now. The dump is read again where it changed, or where something runs that has other parts. It
    /// works for seconds where much runs, so it belongs on a thread of its own.
    ///
    /// # Errors
    /// [`LookError`] where nobody can tell. A dump that is torn while an older one was read is none: [`Looked::stale`].
    pub async fn look(
        &mut self,
        inventory: &Inventory,
        gathered: &Gathered,
        under: Under<'_>,
    ) -> Result<Looked, LookError> {
        let made_of = gathered.made_of(under.root, under.at, under.opener, under.evidence);
        let stale = self.read(made_of.wanted()).err();
        let Some(held) = &self.held else { return Err(LookError::Dump(stale.unwrap_or(DumpError::Empty))) };
        let vex = Statements::default();
        let known = Known { database: &held.database, vex: &vex, worst: self.config.worst };
        let mut affected = Vec::new();
        let mut each = |live: &Live, exposures: &[Arc<Exposure>]| {
            affected.extend(exposures.iter().map(|exposure| Affected::of(live, exposure)));
        };
        let exposed = gathered.exposed(inventory, &made_of, known, &mut each).await;
        let exposed = exposed.map_err(LookError::Inventory)?;
        let unread = held.database.unread().to_vec();
        Ok(Looked { affected, exposed, dump: held.dump, unread, stale })
    }

    fn read(&mut self, wanted: Wanted) -> Result<(), DumpError> {
        // before it is read: what changes meanwhile is read the next time
        let fingerprint = fingerprint(&self.config.advisories)?;
        let is_held = |held: &Held| held.fingerprint == fingerprint && held.wanted == wanted;
        if !self.held.as_ref().is_some_and(is_held) {
            let (database, dump) = load(&self.config.advisories, &wanted)?;
            self.held = Some(Held { fingerprint, wanted, database, dump });
        }
        Ok(())
    }
}

impl Affected {
    fn of(live: &Live, exposure: &Exposure) -> Self {
        let Exposure { component, found, .. } = exposure;
        let ecosystem = component.ecosystem.as_ref().map(|e| format!("{e} ")).unwrap_or_default();
        Self {
            environment: live.environment.clone(),
            workload: live.workload.clone().unwrap_or_else(|| live.artifact.clone()),
            artifact: live.artifact.clone(),
            digest: live.digest.clone(),
            record: live.decided,
            advisory: found.id.clone(),
            severity: found.weight(),
            component: format!("{ecosystem}{}", component.name),
            installed: component.version.clone(),
            fixed: found.fixed.clone(),
            is_certain: found.certainty == Certainty::Affected,
        }
    }
}
