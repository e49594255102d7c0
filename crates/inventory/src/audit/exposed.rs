//! Which advisories affect what runs, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use advisory::vex::Statements;
use advisory::{Database, Exposure};
use attest::claims::Severity;

use super::made_of::{MadeOf, NotTold};
use super::report::Subject;
use super::verify::Gathered;
use crate::error::InventoryError;
use crate::live::Live;
use crate::store::Inventory;

/// So many of whom nobody can tell are named; the others are counted.
const NAMED: usize = 20;

/// What is known of bad versions.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The advisories.
    pub database: &'a Database,
    /// What people who may say so say of them.
    pub vex: &'a Statements,
    /// What is less bad is nobody's matter.
    pub worst: Severity,
}

/// Who is told everything live that is affected, each workload once for each record that let it in, with what affects it:
/// the worst first.
pub type TellExposed<'t> = dyn FnMut(&Live, &[Arc<Exposure>]) + Send + 't;

/// What came of it.
#[derive(Debug, Default)]
pub struct Exposed {
    /// How many that run were looked at.
    pub running: u64,
    /// How many of them are affected.
    pub affected: u64,
    /// How many advisories affect artifacts that run, and do not matter there, as somebody says who may.
    pub suppressed: u64,
    /// How many are less bad than was asked for.
    pub below: u64,
    /// What runs of which nobody can tell what it is made of, or not all of it.
    pub untold: BTreeMap<NotTold, Untold>,
    /// What runs that nobody decided: no record says what it is made of.
    pub undecided: u64,
}

/// What runs of which nobody can tell, for one reason.
#[derive(Debug, Default)]
pub struct Untold {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub named: Vec<Subject>,
}

impl Gathered {
    /// Finds what affects the parts of artifacts, and names everything live that has them: replicas of a workload are told
    /// once. Held are the exposures, each once, and who is affected.
    ///
    /// # Errors
    /// [`InventoryError`] where the inventory cannot be read.
    pub async fn exposed(
        &self,
        inventory: &Inventory,
        made_of: &MadeOf,
        known: Known<'_>,
        each: &mut TellExposed<'_>,
    ) -> Result<Exposed, InventoryError> {
        let mut exposed = Exposed { undecided: self.undecided, ..Exposed::default() };
        let of_artifact = exposed.look_up(made_of, known);
        let mut told: BTreeSet<(u64, String)> = BTreeSet::new();
        let mut pages = inventory.live(None);
        while let Some(page) = pages.next().await? {
            for live in &page {
                let Some(record) = live.decided else { continue };
                exposed.running += 1;
                let place = self.of_record.get(&record).and_then(|question| made_of.of(*question));
                let made = place.and_then(|place| made_of.all().get(place));
                if let Some(why) = made.map_or(Some(self.why_not(record)), |made| made.not_told) {
                    exposed.untold.entry(why).or_default().name(live);
                }
                let exposures = place.and_then(|place| of_artifact.get(place)).map(Vec::as_slice);
                let Some(exposures) = exposures.filter(|exposures| !exposures.is_empty()) else { continue };
                exposed.affected += 1;
                if told.insert((record, Subject::of(live).name)) {
                    each(live, exposures);
                }
            }
        }
        Ok(exposed)
    }

    /// Why nothing is known of what a record let in.
    fn why_not(&self, record: u64) -> NotTold {
        // what came between taking in and telling is looked at the next time
        if self.lost.contains_key(&record) { NotTold::Lost } else { NotTold::Unlisted }
    }
}

impl Untold {
    fn name(&mut self, live: &Live) {
        self.count += 1;
        if self.named.len() < NAMED {
            let subject = Subject::of(live);
            if !self.named.contains(&subject) {
                self.named.push(subject);
            }
        }
    }
}

impl Exposed {
    /// What affects each artifact, and matters there.
    fn look_up(&mut self, made_of: &MadeOf, known: Known<'_>) -> Vec<Vec<Arc<Exposure>>> {
        let mut shared = Shared::default();
        let mut all = Vec::new();
        for made in made_of.all() {
            let about = known.vex.about(made.artifact.digests(), &made.names);
            let mut own: Vec<Arc<Exposure>> = Vec::new();
            for exposure in advisory::judge(&made_of.parts(made), known.database, &about) {
                if exposure.is_suppressed() {
                    self.suppressed += 1;
                } else if !exposure.is_at_least(known.worst) {
                    self.below += 1;
                } else {
                    own.push(shared.once(exposure));
                }
            }
            // provenance and a list of parts may both name a component
            own.dedup_by(|next, kept| is_same(next, kept));
            all.push(own);
        }
        all
    }
}

fn is_same(one: &Exposure, other: &Exposure) -> bool {
    one.found.id == other.found.id && one.component.label() == other.component.label()
}

/// Exposures by advisory and component: artifacts share most of them.
#[derive(Default)]
struct Shared(BTreeMap<(String, String), Vec<Arc<Exposure>>>);

impl Shared {
    fn once(&mut self, exposure: Exposure) -> Arc<Exposure> {
        let held = self.0.entry((exposure.found.id.clone(), exposure.component.label())).or_default();
        if let Some(same) = held.iter().find(|one| ***one == exposure) {
            return Arc::clone(same);
        }
        let one = Arc::new(exposure);
        held.push(Arc::clone(&one));
        one
    }
}
