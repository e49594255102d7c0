//! Changes of a policy, one rule at a time, towards values between which the generated cases lie.

use std::collections::BTreeMap;

use super::generate::{DAY, NOW, REPOSITORY, Random, strings};
use super::model::{Asked, Dependencies, Policy, Require, VerifiedBy};
use super::others::{self, REVIEWERS};

/// Some text lists of which one is picked.
fn one(r: &mut Random, lists: &[&[&str]]) -> Vec<String> {
    strings(r.pick(lists))
}

/// Nothing in one of `n`.
fn some<T>(r: &mut Random, value: T) -> Option<T> {
    if r.chance(75) { Some(value) } else { None }
}

/// Changes a policy in one to three ways.
pub fn policy(r: &mut Random, policy: &Policy) -> Policy {
    let mut changed = policy.clone();
    for _ in 0..1 + r.below(3) {
        match r.below(20) {
            0 => changed.environment = r.pick(&["prod/shop", "prod/*", "*/shop", "test/*"]).to_owned(),
            1 => changed.artifact = r.pick(&["r.example/shop", "r.example/*", "*/shop", "q/*"]).to_owned(),
            2 => upcoming(r, &mut changed),
            3 => builders(r, &mut changed),
            _ => {
                let has_builder = !changed.require.built_by.is_empty();
                require(r, &mut changed.require, has_builder);
            }
        }
    }
    changed
}

/// Moves a date, drops the entry, makes it required at once, or adds one.
fn upcoming(r: &mut Random, policy: &mut Policy) {
    let midnight = NOW - NOW % DAY;
    let has_builder = !policy.require.built_by.is_empty();
    match (policy.upcoming.pop(), r.below(4)) {
        (None, _) => {
            let mut later = Require::default();
            require(r, &mut later, has_builder);
            require(r, &mut later, has_builder);
            policy.upcoming.push((midnight + DAY * r.pick(&[-1, 0, 1]), later));
        }
        (Some((_, later)), 0) => policy.upcoming.push((midnight + DAY * r.pick(&[-1, 0, 1]), later)),
        (Some((_, later)), 1) => {
            policy.require.tests = later.tests.or(policy.require.tests.take());
            policy.require.scanned = later.scanned.or(policy.require.scanned.take());
        }
        (Some((from, mut later)), 2) => {
            require(r, &mut later, has_builder);
            policy.upcoming.push((from, later));
        }
        _ => {}
    }
}

/// Other builders; or none any more, and with them every rule that reads provenance goes.
fn builders(r: &mut Random, policy: &mut Policy) {
    let q = &mut policy.require;
    if r.chance(30) && !q.built_by.is_empty() {
        for q in std::iter::once(&mut *q).chain(policy.upcoming.iter_mut().map(|(_, q)| q)) {
            let kept = Require {
                signed_by: q.signed_by.clone(),
                tests: q.tests.clone(),
                released_for: q.released_for.clone(),
                version: q.version,
                package: q.package.clone(),
                scanned: q.scanned.clone(),
                requested_by: q.requested_by.clone(),
                verified_by: q.verified_by.clone(),
                ..Require::default()
            };
            *q = kept;
        }
        let signed_by = one(r, &[&["ci"], &["vendor"], &["ci", "tester", "scanner", "releaser"]]);
        policy.require.quorum = (r.chance(30)).then(|| 1 + r.below(signed_by.len()) as u64);
        policy.require.signed_by = signed_by;
        return;
    }
    q.built_by = one(r, &[&["ci"], &["ci", "other-ci"], &["other-ci"]]);
}

fn by(r: &mut Random, names: &[&str]) -> Vec<String> {
    if r.chance(50) { Vec::new() } else { strings(&[r.pick(names)]) }
}

/// Changes one rule: takes it away, adds it, or gives it another value.
fn require(r: &mut Random, q: &mut Require, has_builder: bool) {
    let rules: &[usize] = if has_builder {
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]
    } else {
        &[0, 1, 2, 3, 4, 5, 21, 22]
    };
    match r.pick(rules) {
        0 => {
            let names = one(r, &[&["unit"], &["unit", "e2e"], &["e2e"]]);
            let by = by(r, &["tester", "tester-2", "other-ci"]);
            q.tests = match q.tests.take().filter(|_| r.chance(60)) {
                Some((names, _)) if r.chance(60) => Some((names, by)),
                Some((_, by)) => Some((names, by)),
                None => some(r, (names, by)),
            };
        }
        1 => {
            let by = by(r, &["releaser", "carol"]);
            let environment = r.pick(&["prod", "prod", "staging"]).to_owned();
            q.released_for = match q.released_for.take().filter(|_| r.chance(60)) {
                Some((environment, _)) if r.chance(60) => Some((environment, by)),
                Some((_, by)) => Some((environment, by)),
                None => some(r, (environment, by)),
            };
        }
        2 => q.version = r.pick(&[None, Some((1, 4, 2)), Some((1, 4, 1)), Some((2, 0, 0)), Some((3, 0, 0))]),
        3 => {
            let by = by(r, &["scanner", "scanner-2"]);
            let within = DAY * r.pick(&[1, 2, 7, 8, 30]);
            let worst = r.pick(&[0, 1, 2, 3, 4]);
            let database = r.pick(&[None, Some(DAY), Some(2 * DAY), Some(8 * DAY)]);
            q.scanned = match (q.scanned.take().filter(|_| r.chance(75)), r.below(4)) {
                (Some((_, worst, by, database)), 0) => Some((within, worst, by, database)),
                (Some((within, _, by, database)), 1) => Some((within, worst, by, database)),
                (Some((within, worst, by, _)), 2) => Some((within, worst, by, database)),
                (Some((within, worst, _, database)), _) => Some((within, worst, by, database)),
                (None, _) => some(r, (within, worst, by, database)),
            };
        }
        4 => q.requested_by = one(r, &[&[], &["managers"], &["oncall"], &["managers", "oncall"]]),
        5 => {
            let names = one(r, &[&["vendor"], &["vendor", "ci"], &["tester"], &["ci"]]);
            q.signed_by = if r.chance(60) || !has_builder { names } else { Vec::new() };
            let most = q.signed_by.len();
            q.quorum = (most > 0 && r.chance(40)).then(|| 1 + r.below(most) as u64);
        }
        6 => {
            let repository = r.pick(&[REPOSITORY, "https://git.example/fork"]).to_owned();
            q.repository = some(r, repository);
        }
        7 => {
            let branch = r.pick(&["main", "main", "wip"]).to_owned();
            q.branch = some(r, branch);
        }
        19 => q.tag = r.pick(&[None, None, Some("v1.4.2".to_owned()), Some("v1.4.1".to_owned())]),
        20 => {
            let file = |name: &str| Some(name.to_owned());
            q.workflow = r.pick(&[
                None,
                Some((file("shop"), false)),
                Some((file("other"), false)),
                Some((file("shop"), true)),
                Some((None, true)),
            ]);
        }
        21 => {
            let shop = || "pkg:generic/shop".to_owned();
            q.package = r.pick(&[
                None,
                Some((shop(), None)),
                Some((shop(), Some((1, 4, 2)))),
                Some((shop(), Some((2, 0, 0)))),
                Some(("pkg:generic/other".to_owned(), None)),
            ]);
        }
        8 => {
            let by = by(r, &["forge", "bob", "carol"]);
            let approvals = r.pick(&[1, 1, 2]);
            q.reviewed = match q.reviewed.take().filter(|_| r.chance(60)) {
                Some((approvals, _)) if r.chance(60) => Some((approvals, by)),
                Some((_, by)) => Some((approvals, by)),
                None => some(r, (approvals, by)),
            };
        }
        9 => {
            let target = r.pick(&["shop", "other"]).to_owned();
            q.target = some(r, target);
        }
        10 => {
            let flavour = |value: &str| BTreeMap::from([("flavour".to_owned(), value.to_owned())]);
            q.parameters =
                r.pick(&[None, Some(BTreeMap::new()), Some(flavour("release")), Some(flavour("debug"))]);
        }
        11 => q.command = r.pick(&[None, Some(strings(&["make", "all"])), Some(strings(&["make"]))]),
        12 => q.hermetic = !q.hermetic,
        13 => {
            let tool = |uri: &str, digest: &str| (uri.to_owned(), digest.to_owned());
            let gcc = tool("tool:gcc", "gcc-digest");
            q.tools = r.pick(&[
                Vec::new(),
                vec![gcc.clone()],
                vec![gcc.clone(), tool("tool:clang", "gcc-digest")],
                vec![gcc, tool("tool:gcc", "other")],
                vec![tool("tool:clang", "gcc-digest")],
            ]);
        }
        14 => {
            let asked = dependencies(r, q.dependencies.take().unwrap_or_default());
            q.dependencies = some(r, asked).filter(Dependencies::asks);
        }
        15 => {
            let within = DAY * r.pick(&[1, 2, 30, 31]);
            q.built_within = some(r, within);
        }
        16 => {
            let by = one(r, &[&[], &[], &["rebuild-eu", "rebuild-us"], &["rebuild-eu", "rebuild-eu-2"]]);
            let at_least = r.pick(&[1, 2]);
            q.rebuilt = some(r, (at_least, by));
        }
        22 => {
            // somebody must vouch
            let may_go = has_builder || !q.signed_by.is_empty();
            q.verified_by = match q.verified_by.take() {
                Some(_) if may_go && r.chance(25) => None,
                Some(asked) => Some(verified_by(r, asked)),
                None => {
                    let asked = VerifiedBy {
                        verifiers: strings(&["gate"]),
                        within: 2 * DAY,
                        about: Asked::Environment("prod/shop".to_owned()),
                        policy: None,
                        digest: None,
                        levels: Vec::new(),
                    };
                    Some(verified_by(r, asked))
                }
            };
        }
        23 => {
            q.source_level = r.pick(&[None, Some(1), Some(2), Some(3), Some(4)]);
            q.source_properties = one(r, &[&[], &["OURS"], &["OURS", "TWO_PARTY"]]);
        }
        17 => q.format = r.pick(&[None, Some((1, 0)), Some((2, 0)), Some((0, 2))]),
        _ => {
            let witnesses = r.pick(&[0, 1, 2]);
            q.logged = some(r, ("builds".to_owned(), witnesses));
        }
    }
}

/// Changes one part of what is asked of what others made.
fn dependencies(r: &mut Random, mut asked: Dependencies) -> Dependencies {
    match r.below(5) {
        0 => {
            asked.denied = one(
                r,
                &[
                    &[],
                    &["pkg:npm/evil"],
                    &["pkg:npm/left@1.0.0"],
                    &["pkg:npm/left"],
                    &["pkg:npm/left@1.1.0"],
                ],
            );
        }
        1 => asked.pinned = !asked.pinned,
        2 => {
            let other = others::licences(r);
            asked.licences = match (asked.licences, r.below(4)) {
                (Some(_), 0) => None,
                (Some(mut own), 1) => {
                    own.by = other.by;
                    Some(own)
                }
                _ => Some(other),
            };
        }
        3 => {
            if let Some(licences) = &mut asked.licences {
                licences.are_allowed = !licences.are_allowed;
            }
        }
        _ => asked.reviewed = if r.chance(25) { Vec::new() } else { strings(r.pick(&REVIEWERS)) },
    }
    asked
}

/// Changes one part of what is asked of a summary.
fn verified_by(r: &mut Random, mut asked: VerifiedBy) -> VerifiedBy {
    match r.below(6) {
        0 => asked.verifiers = one(r, &[&["gate"], &["gate", "gate-2"], &["gate-2"]]),
        1 => asked.within = DAY * r.pick(&[1, 2, 3]),
        2 => {
            asked.about = r.pick(&[
                Asked::TheArtifact,
                Asked::Environment("prod/shop".to_owned()),
                Asked::Environment("staging/shop".to_owned()),
                Asked::Resource("https://dl.example/shop".to_owned()),
                Asked::Resource("r.example/shop".to_owned()),
            ]);
        }
        3 => asked.policy = r.pick(&[None, Some("policy:shop".to_owned()), Some("policy:pay".to_owned())]),
        4 => asked.digest = r.pick(&[None, Some("policy".to_owned()), Some("other".to_owned())]),
        _ => {
            asked.levels = one(
                r,
                &[
                    &[],
                    &["SLSA_BUILD_LEVEL_1"],
                    &["SLSA_BUILD_LEVEL_2"],
                    &["SLSA_BUILD_LEVEL_2", "OURS"],
                    &["SLSA_BUILD_LEVEL_3"],
                ],
            );
        }
    }
    asked
}
