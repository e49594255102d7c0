//! The table of cases: every way in which code reaches a node, tried by a tenant, a namespace admin and the cluster admin.
//!
//! A case is a few lines: who, kubectl's words, what is on standard input; then what must come of it.

use super::case::Case;
use super::fixtures::{Image, Images};

mod changes;
mod configuration;
mod controllers;
mod emergencies;
mod evidence;
pub mod pods;
mod workloads;

/// All cases.
pub fn table(images: &Images) -> Vec<Case> {
    [
        controllers::cases(images),
        pods::cases(images),
        evidence::cases(images),
        changes::cases(images),
        workloads::cases(images),
        configuration::cases(images),
        emergencies::cases(images),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The rules that refuse each image in `prod/shop`, with all the evidence that there is.
pub fn worth(images: &Images) -> Vec<(&'static str, &Image, Vec<&'static str>)> {
    vec![
        ("good", &images.good[0], Vec::new()),
        ("another good one", &images.good[1], Vec::new()),
        ("leaving", &images.leaving, Vec::new()),
        ("unsigned", &images.unsigned, pods::UNKNOWN.to_vec()),
        ("fork", &images.fork, pods::FORK.to_vec()),
        ("unreviewed", &images.unreviewed, pods::UNREVIEWED.to_vec()),
        ("stranger", &images.stranger, pods::STRANGE.to_vec()),
        ("revoked", &images.revoked, pods::STRANGE.to_vec()),
        ("misled", &images.misled, pods::MISLED.to_vec()),
    ]
}
