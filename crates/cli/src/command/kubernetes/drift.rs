//! `portcullis kubernetes drift`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ::kubernetes::manifests::{Difference, Live, compare, objects, powers};
use attest::{Json, Object};

use super::wanted::{Wanted, refused};
use crate::failure::{Exit, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// What the cluster has, as `kubectl get … -o json` prints it; `-` for standard input
    #[arg(long, value_name = "FILE")]
    live: PathBuf,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let settings = args.wanted.settings()?;
    let manifests = args.wanted.manifests(&settings)?;
    let document = super::json("cluster's objects", &args.live)?;
    let live = Live::read(&document).map_err(refused)?;
    let wanted = [manifests.webhooks, manifests.policies].concat();
    check_kinds(&document)?;
    let mut differences = compare(&wanted, &live);
    differences.extend(powers(&settings, &live));
    let human = match differences.len() {
        0 => format!("{} objects are as they should be\n", wanted.len()),
        _ => differences.iter().map(text).collect(),
    };
    output.result(&human, || {
        let list: Vec<Json> = differences.iter().map(json).collect();
        Object::new()
            .with("compared", Json::Int(i64::try_from(wanted.len()).unwrap_or(0)))
            .with("drift", list)
            .into()
    });
    Ok(if differences.is_empty() { Exit::Clean } else { Exit::Found })
}

/// The kinds that say something about who is asked.
const KINDS: [&str; 6] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ClusterRole",
    "ClusterRoleBinding",
];

/// What holds other things alone was asked for by mistake: it says nothing about ours. What holds nothing was asked, and
/// everything is gone.
fn check_kinds(document: &Json) -> Result<(), Failure> {
    let objects = objects(document).map_err(refused)?;
    let kinds: BTreeSet<&str> = objects.iter().filter_map(|object| object.string("kind").ok()).collect();
    if objects.is_empty() || kinds.iter().any(|kind| KINDS.contains(kind)) {
        return Ok(());
    }
    let found: Vec<&str> = kinds.into_iter().take(5).collect();
    Err(Failure::new("nothing of what is compared is in the cluster's objects")
        .code("live-other")
        .line("wanted", "webhook configurations, admission policies and their bindings")
        .line("found", &format!("{} objects: {}", objects.len(), found.join(", ")))
        .line("fix", "see portcullis kubernetes drift --help for the command"))
}

fn text(difference: &Difference) -> String {
    let Difference { object, place, wanted, found, fix } = difference;
    let what = if place.is_empty() { object.clone() } else { format!("{object} {place}") };
    format!("drift: {what}\n  {:<9} {wanted}\n  {:<9} {found}\n  {:<9} {fix}\n", "wanted", "found", "fix")
}

fn json(difference: &Difference) -> Json {
    let Difference { object, place, wanted, found, fix } = difference;
    Object::new()
        .with("object", object.as_str())
        .with("place", place.as_str())
        .with("wanted", wanted.as_str())
        .with("found", found.as_str())
        .with("fix", fix.as_str())
        .into()
}
