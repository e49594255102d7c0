//! What others made, and what is said about it: lists of parts, reviews of imports, and the source's own level.

use super::generate::{DAY, NOW, REPOSITORY, Random, envelope, strings};
use super::model::*;

pub const REVIEWERS: [&[&str]; 5] =
    [&["bob"], &["forge"], &["bob", "carol"], &["vendor"], &["carol", "alice"]];

/// Something of the rule `dependencies`.
pub fn asked(r: &mut Random) -> Dependencies {
    let mut asked = Dependencies::default();
    while !asked.asks() {
        if r.chance(60) {
            asked.denied = strings(&[r.pick(&["pkg:npm/evil", "pkg:npm/left@1.0.0"])]);
        }
        asked.pinned = r.chance(40);
        if r.chance(30) {
            asked.licences = Some(licences(r));
        }
        if r.chance(30) {
            asked.reviewed = strings(r.pick(&REVIEWERS));
        }
    }
    asked
}

pub fn licences(r: &mut Random) -> Licences {
    let are_allowed = r.chance(50);
    let listed = if are_allowed {
        r.pick(&[
            &["MIT", "Apache-2.0"][..],
            &["MIT", "Zlib"],
            &["MIT", "GPL-3.0-or-later", "GPL-2.0-only WITH Classpath-exception-2.0"],
            &["MIT", "LicenseRef-ours"],
        ])
    } else {
        r.pick(&[&["GPL-3.0-only"][..], &["GPL-3.0-or-later", "GPL-2.0-only"], &["Zlib", "LicenseRef-ours"]])
    };
    let by = if r.chance(70) { Vec::new() } else { strings(&[r.pick(&["vendor", "ci", "scanner"])]) };
    Licences { listed: strings(listed), are_allowed, by }
}

/// Adds what is asked for, but for a mistake now and then.
pub fn envelopes(r: &mut Random, q: &Require, built: &Provenance, all: &mut Vec<Envelope>) {
    if q.source_level.is_some() || r.chance(3) {
        for signer in ["gate", "gate-2"] {
            if r.chance(if signer == "gate" { 92 } else { 12 }) {
                all.push(source(r, q, built, signer));
            }
        }
    }
    let Some(asked) = &q.dependencies else { return };
    let foreign = built.dependencies.iter().filter(|(_, _, is_tool)| !is_tool);
    let mut made_of: Vec<(String, Option<String>)> =
        foreign.map(|(uri, digest, _)| (uri.clone(), digest.clone())).collect();
    let is_listed = asked.licences.is_some() || made_of.is_empty();
    if r.chance(if is_listed { 92 } else { 5 }) {
        let own = r.chance(30).then(|| ("right".to_owned(), Some("right".to_owned())));
        let listed: Vec<_> = made_of.iter().cloned().chain(own).collect();
        if made_of.is_empty() {
            made_of.clone_from(&listed);
        }
        let by = asked.licences.as_ref().and_then(|licences| licences.by.first().cloned());
        let parts = listed.into_iter().map(|(name, digest)| part(r, name, digest)).collect();
        let signer = by.unwrap_or_else(|| "ci".to_owned());
        let signer = if r.chance(8) { "vendor" } else { &signer };
        all.push(envelope(r, signer, Says::Parts(parts)));
        if r.chance(10) {
            let another = vec![part(r, "left".to_owned(), Some("left".to_owned()))];
            let signer = r.pick(&["ci", "vendor"]);
            all.push(envelope(r, signer, Says::Parts(another)));
        }
    }
    for (_, digest) in made_of {
        let Some(digest) = digest.filter(|_| !asked.reviewed.is_empty()) else { continue };
        if r.chance(92) {
            all.push(review(r, &asked.reviewed, digest));
        }
    }
    if r.chance(5) {
        let digest = r.pick(&["left", "unused"]).to_owned();
        all.push(review(r, &strings(&["bob"]), digest));
    }
}

fn part(r: &mut Random, name: String, digest: Option<String>) -> Part {
    let licences = if r.chance(65) {
        &["MIT"][..]
    } else {
        r.pick(&[
            &[][..],
            &["MIT OR GPL-3.0-only"],
            &["(Zlib OR MIT) AND (Apache-2.0 OR MIT)"],
            &["MIT OR Zlib AND Apache-2.0"],
            &["MIT AND GPL-3.0-only"],
            &["Apache-2.0", "MIT"],
            &["MIT", "Zlib"],
            &["GPL-3.0-or-later"],
            &["GPL-3.0"],
            &["GPL-2.0-only WITH Classpath-exception-2.0"],
            &["GPL-2.0-only"],
            &["LicenseRef-ours"],
            &["MIT", "our own"],
            &["MIT OR"],
        ])
    };
    let digest = if r.chance(95) { digest } else { None };
    Part { name, digest, licences: strings(licences) }
}

fn review(r: &mut Random, by: &[String], digest: String) -> Envelope {
    let signer =
        if r.chance(85) { r.pick(by) } else { r.pick(&["bob", "forge", "carol", "vendor"]).to_owned() };
    let criteria =
        r.pick(&[&[][..], &[], &["safe-to-deploy"], &["safe-to-run", "safe-to-deploy"], &["safe-to-run"]]);
    let digest = if r.chance(95) { digest } else { "other bytes".to_owned() };
    Envelope { about: About::Package(digest), ..envelope(r, &signer, Says::Import(strings(criteria))) }
}

/// What a verifier of sources says of the commit.
fn source(r: &mut Random, q: &Require, built: &Provenance, signer: &str) -> Envelope {
    let level = format!("SLSA_SOURCE_LEVEL_{}", q.source_level.unwrap_or(3));
    let mut said = Summary {
        verifier: format!("id:{signer}"),
        resource: r.pick(&[REPOSITORY.to_owned(), format!("git+{REPOSITORY}")]),
        environment: None,
        policy: "policy:source".to_owned(),
        digest: None,
        passed: true,
        levels: q.source_properties.iter().cloned().chain([level]).collect(),
        refs: built.reference.iter().cloned().collect(),
        verified: Some(NOW - 400 * DAY),
        expires: r.pick(&[None, Some(NOW), Some(NOW + DAY)]),
    };
    let mut about = About::Commit("head".to_owned());
    if r.chance(50) {
        match r.below(8) {
            0 => said.verifier = r.pick(&["id:gate", "id:gate-2", "id:gate-3", "id:ci"]).to_owned(),
            1 => {
                said.resource =
                    r.pick(&["https://git.example/fork", "git+git+https://git.example/shop"]).to_owned()
            }
            2 => said.passed = false,
            3 => {
                said.levels = strings(r.pick(&[
                    &[][..],
                    &["SLSA_SOURCE_LEVEL_1"],
                    &["SLSA_SOURCE_LEVEL_1", "SLSA_SOURCE_LEVEL_4"],
                    &["SLSA_SOURCE_LEVEL_5"],
                    &["SLSA_BUILD_LEVEL_3"],
                    &["SLSA_SOURCE_LEVEL_4", "FAILED"],
                    &["SLSA_SOURCE_LEVEL_4", "OURS"],
                    &["SLSA_SOURCE_LEVEL_4", "OURS_TOO", "TWO_PARTY"],
                ]));
            }
            4 => {
                said.refs =
                    strings(r.pick(&[&[][..], &["refs/heads/wip"], &["refs/heads/wip", "refs/heads/main"]]))
            }
            5 => said.verified = None,
            6 => said.expires = Some(NOW - 1),
            _ => about = r.pick(&[About::TheArtifact, About::Commit("base".to_owned())]),
        }
    }
    Envelope { about, ..envelope(r, signer, Says::Summary(said)) }
}
