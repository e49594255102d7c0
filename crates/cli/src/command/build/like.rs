//! The chapter's cherry-pick: a shipped build again, with one fix, and nothing else different.

use std::path::Path;

use attest::provenance::Provenance;
use attest::provenance::difference::{Bearing, compare};
use attest::{Envelope, Predicate, Role};
use builder::Built;

use crate::clock;
use crate::command::open::changed;
use crate::command::operator::Prepared;
use crate::failure::Failure;
use crate::input;

/// Refuses, before anything is signed, what differs from a shipped build in more than its source.
pub(super) fn check(bundle: &Path, built: &Built, operator: &Prepared) -> Result<(), Failure> {
    let shipped = shipped(bundle, operator)?;
    for (_, record) in &built.outputs {
        let mut own = record.provenance.clone();
        // who signs is not known yet: the signer says so
        own.builder_id.clone_from(&shipped.builder_id);
        own.builder_version = Some(env!("CARGO_PKG_VERSION").to_owned());
        let difference = compare(&shipped, &own);
        if difference.is_only_source() {
            continue;
        }
        let failure =
            Failure::new("more than the source would change since the shipped build; nothing is signed");
        let rows = difference.changed(Bearing::Build).take(20);
        let failure = rows.fold(failure, |failure, row| failure.line("found", &changed(row)));
        let fix = "take portcullis.build.yaml and portcullis.build.lock of the shipped commit into the fix's branch";
        return Err(failure.line("fix", fix).found());
    }
    Ok(())
}

fn shipped(path: &Path, operator: &Prepared) -> Result<Provenance, Failure> {
    let refuse = |why: &str| {
        Failure::new(&format!("{} is no provenance that can be followed", path.display()))
            .line("found", why)
            .found()
    };
    let bytes = input::read("bundle", path, 4 << 20)?;
    let envelope = Envelope::parse(&bytes).map_err(|e| refuse(&e.to_string()))?;
    let trust = operator.trust().ok_or_else(|| refuse("no --trust-root says whom to believe"))?;
    let attestation = trust.open(&envelope, clock::now(None)?).map_err(|e| refuse(&e.to_string()))?;
    let is_builders = attestation.signers().iter().any(|s| s.roles.contains(&Role::Builder));
    match &attestation.statement().predicate {
        Predicate::Provenance(provenance) if is_builders => Ok(provenance.as_ref().clone()),
        Predicate::Provenance(_) => Err(refuse("it is not signed by a builder of the trust root")),
        _ => Err(refuse("it is no provenance")),
    }
}
