//! `portcullis advisories fleet`: what of an OSV dump runs, and where.

mod tell;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use advisory::Exposure;
use attest::claims::Severity;
use attest::{Digest, Directly};
use inventory::Live;
use inventory::advisories::{Tally, load};
use inventory::audit::{Exposed, Gathered, Known};
use jiff::Timestamp;
use tlog::{Blobs, Reader};

use super::{read_severity, read_vex};
use crate::clock;
use crate::command::audit::{Source, in_force, log_of};
use crate::command::why::asked::Where;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// List every advisory about what runs: how bad, which version is there, which one is fixed, and every workload by name
///
/// Exit code 1 where something that runs is at least as bad as --worst; 0 where nothing is; 2 where nothing is, and a part
/// of the database or of the evidence could not be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What runs is what clusters report (`serve` with `watch`); elsewhere, what was admitted last under
each name. What it is made of is what provenance and signed lists of parts say that are proven
under the trust root: on record, or attached since, where --evidence names the store. What nobody
proved is named too, since nobody can tell.

Examples:
  portcullis advisories fleet --database osv --log log --evidence evidence
  portcullis advisories fleet --database npm.zip pypi.zip --log log --worst critical --format json
  portcullis advisories fleet --database osv --log log --vex shop.vex.sigstore.json \\
      --vex-key security.pub")]
pub(crate) struct Args {
    /// An OSV dump: a folder of JSON files, an ecosystem's all.zip, or one record; may be given more than once
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    database: Vec<PathBuf>,
    #[command(flatten)]
    place: Where,
    /// The evidence store: what was attached to an artifact since it was admitted counts too
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Believe whom this trust root names; without, the one of the newest decision on record
    #[arg(long, value_name = "FILE")]
    trust_root: Option<PathBuf>,
    /// Signed OpenVEX statements: what they say does not matter is not counted
    #[arg(long = "vex", value_name = "BUNDLE", requires = "vex_key", num_args = 1..)]
    vex: Vec<PathBuf>,
    /// The public key of who may say that an advisory does not matter
    #[arg(long, value_name = "FILE")]
    vex_key: Option<PathBuf>,
    /// How bad is too bad: low, medium, high or critical. What nobody has rated counts as critical
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = read_severity)]
    worst: Severity,
    /// The time at which keys must count, in UTC
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Something that runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Workload {
    environment: String,
    name: String,
    artifact: String,
    digest: Option<Digest>,
    record: Option<u64>,
}

/// An advisory about a component, the worst first.
type Key = (Reverse<Severity>, String, String);

/// One advisory about one component, and what runs with it.
#[derive(Debug)]
struct Group {
    exposure: Arc<Exposure>,
    workloads: BTreeSet<Arc<Workload>>,
}

/// What is found, for both forms of the answer.
#[derive(Debug)]
struct Findings {
    at: Timestamp,
    root: (Digest, u64),
    worst: Severity,
    artifacts: usize,
    components: usize,
    dump: Tally,
    unread: Vec<String>,
    exposed: Exposed,
    groups: BTreeMap<Key, Group>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let findings = find(args, output)?;
    output.result(&tell::text(&findings), || tell::to_json(&findings));
    let is_whole = findings.unread.is_empty() && !findings.exposed.untold.keys().any(|w| w.is_failure());
    Ok(match (findings.groups.is_empty(), is_whole) {
        (false, _) => Exit::Found,
        (true, true) => Exit::Clean,
        (true, false) => Exit::Failed,
    })
}

fn find(args: &Args, output: &Output) -> Result<Findings, Failure> {
    let at = clock::now(args.at.as_deref())?;
    let vex = read_vex(&args.vex, args.vex_key.as_deref())?;
    let asked = args.place.open(output)?;
    let log = log_of(&asked)?;
    let root = in_force::root(log, args.trust_root.as_deref())?;
    let source = Source::new(log, args.evidence.as_deref());
    let reader = Reader::new(&log.files, log.checkpoint.size);
    let mut gathered = Gathered::default();
    asked.wait(gathered.take_in(&asked.inventory, &reader, &Blobs::new(&log.files), &source))?;
    let made_of = gathered.made_of(&root, at, &Directly, &source);
    let (database, dump) = load(&args.database, &made_of.wanted())?;
    let known = Known { database: &database, vex: &vex, worst: args.worst };
    let mut groups = BTreeMap::new();
    let mut each = |live: &Live, exposures: &[Arc<Exposure>]| group(&mut groups, live, exposures);
    let exposed = asked.wait(gathered.exposed(&asked.inventory, &made_of, known, &mut each))?;
    Ok(Findings {
        at,
        root: (root.digest().clone(), root.version()),
        worst: args.worst,
        artifacts: made_of.artifacts(),
        components: made_of.components(),
        dump,
        unread: database.unread().to_vec(),
        exposed,
        groups,
    })
}

fn group(groups: &mut BTreeMap<Key, Group>, live: &Live, exposures: &[Arc<Exposure>]) {
    let workload = Arc::new(Workload::of(live));
    for exposure in exposures {
        let found = &exposure.found;
        let key = (Reverse(found.weight()), found.id.clone(), exposure.component.label());
        let group = groups
            .entry(key)
            .or_insert_with(|| Group { exposure: Arc::clone(exposure), workloads: BTreeSet::new() });
        group.workloads.insert(Arc::clone(&workload));
    }
}

impl Workload {
    fn of(live: &Live) -> Self {
        Self {
            environment: live.environment.clone(),
            name: live.workload.clone().unwrap_or_else(|| live.artifact.clone()),
            artifact: live.artifact.clone(),
            digest: live.digest.clone(),
            record: live.decided,
        }
    }
}
