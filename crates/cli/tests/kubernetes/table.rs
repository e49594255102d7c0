//! The table of cases: every way in which code reaches a node, tried by a tenant, a namespace admin and the cluster admin.
//!
//! A case is a few lines: who, kubectl's words, what is on standard input; then what must come of it.

use super::case::Case;
use super::fixtures::Images;

mod changes;
mod configuration;
mod controllers;
mod emergencies;
mod evidence;
mod pods;
mod workloads;

/// All cases.
pub fn table(images: &Images) -> Vec<Case> {
    [
        pods::cases(images),
        evidence::cases(images),
        changes::cases(images),
        workloads::cases(images),
        controllers::cases(images),
        configuration::cases(images),
        emergencies::cases(images),
    ]
    .into_iter()
    .flatten()
    .collect()
}
