//! Makes cases: a good one, and then a few things about it changed at random.

use std::collections::{BTreeMap, BTreeSet};

use super::model::*;
use super::others;

/// SplitMix64: small, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    /// True in `percent` of 100.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

pub const NOW: Time = 1_800_000_000;
pub const DAY: Time = 86_400;
pub const REPOSITORY: &str = "https://git.example/shop";

pub fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|s| (*s).to_owned()).collect()
}

fn principal(name: &str, roles: &[Role]) -> Principal {
    Principal {
        name: name.to_owned(),
        roles: roles.iter().copied().collect(),
        operator: None,
        from: None,
        until: None,
        revoked: None,
        ids: Vec::new(),
        hermetic: Vec::new(),
        environments: Vec::new(),
        recalled_versions: Vec::new(),
    }
}

fn root(r: &mut Random) -> Root {
    let mut ci = principal("ci", &[Role::Builder]);
    ci.ids = strings(&["id:ci", "id:ci-2"]);
    ci.hermetic = strings(&[">=2.0.0"]);
    let mut other = principal("other-ci", &[Role::Builder, Role::Tester]);
    other.ids = strings(&["id:other"]);
    if r.chance(20) {
        ci.recalled_versions = strings(&["2.6.6"]);
    }
    if r.chance(20) {
        other.environments = strings(&[r.pick(&["prod/*", "staging/*"])]);
    }
    let mut eu = principal("rebuild-eu", &[Role::Rebuilder]);
    eu.operator = Some("eu".to_owned());
    let mut eu2 = principal("rebuild-eu-2", &[Role::Rebuilder]);
    eu2.operator = Some("eu".to_owned());
    let mut us = principal("rebuild-us", &[Role::Rebuilder]);
    us.operator = Some("us".to_owned());
    let mut gate = principal("gate", &[Role::Verifier]);
    gate.ids = strings(&["id:gate"]);
    let mut gate2 = principal("gate-2", &[Role::Verifier]);
    gate2.ids = strings(&["id:gate-2", "id:gate-3"]);
    let mut principals = vec![
        ci,
        other,
        principal("forge", &[Role::ReviewAuthority]),
        principal("tester", &[Role::Tester]),
        principal("tester-2", &[Role::Tester]),
        principal("scanner", &[Role::Scanner]),
        principal("scanner-2", &[Role::Scanner]),
        principal("releaser", &[Role::Releaser]),
        eu,
        eu2,
        us,
        gate,
        gate2,
        principal("vendor", &[Role::Signer]),
        principal("alice", &[]),
        principal("bob", &[Role::Reviewer]),
        principal("carol", &[Role::Reviewer, Role::Releaser]),
    ];
    for principal in &mut principals {
        if r.chance(3) {
            principal.revoked = Some(NOW - DAY * r.pick(&[0, 1, 5, -2]));
        }
        if r.chance(3) {
            principal.from = Some(NOW - r.pick(&[0, DAY, -1, 1]));
        }
        if principal.from.is_none() && r.chance(3) {
            principal.until = Some(NOW + r.pick(&[0, DAY, -1, -DAY]));
        }
    }
    let people = [("alice@x", "alice"), ("bob@x", "bob"), ("bob-2@x", "bob"), ("carol@x", "carol")];
    Root {
        principals,
        people: people.iter().map(|(i, p)| ((*i).to_owned(), (*p).to_owned())).collect(),
        groups: BTreeMap::from([
            ("managers".to_owned(), BTreeSet::from(["carol".to_owned()])),
            ("oncall".to_owned(), BTreeSet::from(["bob".to_owned()])),
        ]),
        logs: BTreeSet::from(["builds".to_owned()]),
        witnesses: strings(&["w1", "w2"]).into_iter().collect(),
    }
}

fn by(r: &mut Random, names: &[&str]) -> Vec<String> {
    if r.chance(75) { Vec::new() } else { strings(&[r.pick(names)]) }
}

/// Fills in some rules; `provenance` says whether rules that read it may be there.
fn require(r: &mut Random, percent: u64, provenance: bool) -> Require {
    let mut q = Require::default();
    let p = |r: &mut Random| provenance && r.chance(percent);
    if p(r) {
        q.repository = Some(REPOSITORY.to_owned());
    }
    if p(r) {
        q.branch = Some("main".to_owned());
    }
    if p(r) && r.chance(8) {
        q.tag = Some("v1.4.2".to_owned());
    }
    if p(r) && r.chance(50) {
        q.source_level = Some(r.pick(&[1, 2, 3, 3, 4]));
        q.source_properties = strings(r.pick(&[&[][..], &[], &["OURS"], &["OURS", "TWO_PARTY"]]));
    }
    if p(r) && r.chance(25) {
        q.workflow = Some((r.pick(&[None, Some("shop".to_owned())]), r.chance(5)));
        if q.workflow == Some((None, false)) {
            q.workflow = Some((Some("shop".to_owned()), false));
        }
    }
    if p(r) {
        q.reviewed = Some((r.pick(&[1, 1, 1, 2]), by(r, &["forge", "bob", "carol"])));
    }
    if p(r) {
        q.target = Some("shop".to_owned());
    }
    if p(r) {
        let flavour = BTreeMap::from([("flavour".to_owned(), "release".to_owned())]);
        q.parameters = Some(if r.chance(50) { flavour } else { BTreeMap::new() });
    }
    if p(r) {
        q.command = Some(strings(&["make", "all"]));
    }
    q.hermetic = p(r);
    if p(r) {
        q.tools = vec![("tool:gcc".to_owned(), "gcc-digest".to_owned())];
    }
    if p(r) {
        q.dependencies = Some(others::asked(r));
    }
    if r.chance(percent) {
        let names = if r.chance(50) { strings(&["unit"]) } else { strings(&["unit", "e2e"]) };
        q.tests = Some((names, by(r, &["tester", "tester-2", "other-ci"])));
    }
    if r.chance(percent) {
        q.released_for = Some(("prod".to_owned(), by(r, &["releaser", "carol"])));
    }
    if p(r) {
        q.built_within = Some(30 * DAY);
    }
    if r.chance(percent / 2) {
        q.version = Some((1, 4, 2));
    }
    if r.chance(percent / 2) {
        let name = r.pick(&["pkg:generic/shop", "pkg:generic/shop", "pkg:generic/other"]).to_owned();
        q.package = Some((name, r.pick(&[None, None, Some((1, 4, 2))])));
    }
    if r.chance(percent) {
        let database = r.pick(&[None, None, Some(2 * DAY), Some(30 * DAY)]);
        q.scanned = Some((7 * DAY, r.pick(&[0, 2, 2, 4]), by(r, &["scanner", "scanner-2"]), database));
    }
    if p(r) {
        q.rebuilt = Some((r.pick(&[1, 2]), Vec::new()));
    }
    if r.chance(percent / 2) {
        q.requested_by = strings(&[r.pick(&["managers", "oncall"])]);
    }
    if p(r) {
        q.format = Some(r.pick(&[(1, 0), (1, 0), (2, 0)]));
    }
    if r.chance(percent) {
        q.verified_by = Some(verified_by(r));
    }
    if p(r) {
        q.logged = Some(("builds".to_owned(), r.pick(&[0, 1, 2])));
    }
    q
}

pub const SHOP: &str = "r.example/shop";

fn verified_by(r: &mut Random) -> VerifiedBy {
    VerifiedBy {
        verifiers: strings(r.pick(&[&["gate"][..], &["gate", "gate-2"], &["gate-2"]])),
        within: 2 * DAY,
        about: r.pick(&[
            Asked::Environment("prod/shop".to_owned()),
            Asked::Environment("prod/shop".to_owned()),
            Asked::TheArtifact,
            Asked::Resource("https://dl.example/shop".to_owned()),
        ]),
        policy: r.pick(&[None, None, Some("policy:shop".to_owned())]),
        digest: r.pick(&[None, None, Some("policy".to_owned())]),
        levels: strings(r.pick(&[&[][..], &[], &["SLSA_BUILD_LEVEL_2"], &["SLSA_BUILD_LEVEL_2", "OURS"]])),
    }
}

/// A summary that is what is asked for, but for a mistake now and then.
fn summary(r: &mut Random, asked: &VerifiedBy, signer: &str) -> Summary {
    let (resource, environment) = match &asked.about {
        Asked::TheArtifact => (SHOP.to_owned(), None),
        Asked::Environment(e) => (format!("{SHOP}#environment={e}"), Some(e.clone())),
        Asked::Resource(resource) => (resource.clone(), None),
    };
    let mut s = Summary {
        verifier: format!("id:{signer}"),
        resource,
        environment,
        policy: asked.policy.clone().unwrap_or_else(|| "policy:shop".to_owned()),
        digest: asked.digest.clone().or(Some("policy".to_owned())),
        passed: true,
        levels: strings(&["SLSA_BUILD_LEVEL_3", "OURS"]),
        refs: Vec::new(),
        verified: Some(NOW - DAY),
        expires: r.pick(&[None, Some(NOW), Some(NOW + DAY)]),
    };
    if r.chance(60) {
        return s;
    }
    match r.below(9) {
        0 => s.verifier = r.pick(&["id:gate", "id:gate-2", "id:gate-3", "id:ci"]).to_owned(),
        1 => s.resource = r.pick(&[SHOP, "r.example/shop#environment=prod/shop", "r.example/pay"]).to_owned(),
        2 => s.environment = r.pick(&[None, Some("staging/shop".to_owned()), Some("prod/shop".to_owned())]),
        3 => s.policy = "policy:pay".to_owned(),
        4 => s.digest = r.pick(&[None, Some("other".to_owned())]),
        5 => s.passed = false,
        6 => {
            s.levels = strings(r.pick(&[
                &[][..],
                &["SLSA_BUILD_LEVEL_1", "OURS"],
                &["SLSA_BUILD_LEVEL_2"],
                &["SLSA_SOURCE_LEVEL_3", "OURS"],
                &["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_3", "OURS"],
                &["SLSA_BUILD_LEVEL_3", "OURS", "FAILED"],
            ]))
        }
        7 => {
            s.verified =
                r.pick(&[None, Some(NOW + 60), Some(NOW + 61), Some(NOW - 2 * DAY), Some(NOW - 2 * DAY - 1)])
        }
        _ => s.expires = r.pick(&[Some(NOW - 1), Some(NOW - DAY)]),
    }
    s
}

fn history(r: &mut Random) -> Vec<Commit> {
    let people = |r: &mut Random| match r.below(12) {
        0 => strings(&["bob@x"]),
        1 => strings(&["alice@x", "BOB-2@X"]),
        2 => strings(&["stranger@x"]),
        3 => Vec::new(),
        _ => strings(&["alice@x"]),
    };
    let commit = |r: &mut Random, id: &str, parents: &[&str]| Commit {
        id: id.to_owned(),
        parents: strings(parents),
        people: people(r),
    };
    match r.below(5) {
        0 => Vec::new(),
        1 => vec![commit(r, "head", &[])],
        2 => vec![commit(r, "head", &["base"]), commit(r, "base", &["older"])],
        3 => vec![commit(r, "head", &["side", "base"]), commit(r, "side", &["base"]), commit(r, "base", &[])],
        _ => vec![commit(r, "head", &["base"]), commit(r, "base", &["old"]), commit(r, "old", &[])],
    }
}

fn provenance(r: &mut Random, q: &Require) -> Provenance {
    let mut parameters = BTreeMap::new();
    if let Some(listed) = &q.parameters {
        parameters = listed.clone();
    }
    let mut dependencies = vec![
        ("tool:gcc".to_owned(), Some("gcc-digest".to_owned()), true),
        ("pkg:npm/left@1.1.0".to_owned(), Some("left".to_owned()), false),
    ];
    let mut p = Provenance {
        format: (1, 0),
        builder_id: "id:ci".to_owned(),
        builder_version: Some("2.1.0".to_owned()),
        repository: Some(REPOSITORY.to_owned()),
        reference: Some("refs/heads/main".to_owned()),
        commit: Some("head".to_owned()),
        history: history(r),
        target: Some("shop".to_owned()),
        parameters: BTreeMap::new(),
        dependencies: Vec::new(),
        command: Some(strings(&["make", "all"])),
        hermetic: true,
        finished: Some(NOW - DAY),
    };
    let mistakes = if r.chance(55) { 0 } else { 1 + r.below(2) };
    for _ in 0..mistakes {
        match r.below(17) {
            0 => p.builder_id = r.pick(&["id:ci-2", "id:other", "id:none"]).to_owned(),
            1 => p.builder_version = r.pick(&[None, Some("2.6.6".to_owned()), Some("1.9.0".to_owned())]),
            2 => p.repository = r.pick(&[None, Some("https://git.example/fork".to_owned())]),
            3 => {
                p.reference = r.pick(&[
                    None,
                    Some("refs/heads/wip".to_owned()),
                    Some("refs/tags/v1.4.2".to_owned()),
                    Some("refs/tags/v1.4.1".to_owned()),
                    Some("refs/tags/latest".to_owned()),
                ])
            }
            4 => p.commit = r.pick(&[None, Some("base".to_owned())]),
            5 => p.target = r.pick(&[None, Some("other".to_owned())]),
            6 => {
                parameters.insert("flavour".to_owned(), r.pick(&["release", "debug"]).to_owned());
            }
            7 => {
                parameters.insert("CFLAGS".to_owned(), "-D".to_owned());
            }
            8 => p.command = r.pick(&[None, Some(strings(&["make"])), Some(strings(&["make all"]))]),
            9 => p.hermetic = false,
            10 => dependencies.push((
                r.pick(&["pkg:npm/evil@9.0.0", "pkg:npm/left@1.0.0", "pkg:npm/left", "other:x"]).to_owned(),
                r.pick(&[None, Some("d".to_owned())]),
                false,
            )),
            11 => {
                dependencies[0] = r.pick(&[
                    ("tool:gcc".to_owned(), Some("other".to_owned()), true),
                    ("tool:clang".to_owned(), Some("gcc-digest".to_owned()), true),
                    ("tool:gcc".to_owned(), None, true),
                    ("tool:gcc".to_owned(), Some("gcc-digest".to_owned()), false),
                ])
            }
            12 => {
                p.finished = r.pick(&[
                    None,
                    Some(NOW + 60),
                    Some(NOW + 61),
                    Some(NOW - 30 * DAY),
                    Some(NOW - 30 * DAY - 1),
                ])
            }
            13 => parameters.clear(),
            14 => p.history = history(r),
            15 => dependencies.retain(|(_, _, is_tool)| *is_tool),
            _ => p.format = (1, 0),
        }
    }
    p.parameters = parameters;
    p.dependencies = dependencies;
    // without a source there is no ref, commit or history that the format could carry
    if p.repository.is_none() {
        (p.reference, p.commit, p.history) = (None, None, Vec::new());
    }
    p
}

pub fn envelope(r: &mut Random, signer: &str, says: Says) -> Envelope {
    let mut signers = strings(&[signer]);
    if r.chance(4) {
        signers =
            strings(&[r.pick(&["stranger", "vendor", "alice", "ci", "other-ci", "tester", "rebuild-us"])]);
    }
    if r.chance(5) {
        let extra = r.pick(&["stranger", "ci", "other-ci", "bob", "vendor", "rebuild-eu"]).to_owned();
        if !signers.contains(&extra) {
            signers.push(extra);
        }
    }
    let about = match r.below(40) {
        0 => About::AnotherArtifact,
        1 => About::Commit("head".to_owned()),
        2 => About::Commit("base".to_owned()),
        _ => About::TheArtifact,
    };
    let logged = if r.chance(70) {
        None
    } else {
        let log = if r.chance(90) { "builds" } else { "elsewhere" };
        let mut seen = Vec::new();
        for witness in ["w1", "w2"] {
            if r.chance(70) {
                seen.push((
                    witness.to_owned(),
                    NOW - r.pick(&[0, 1, DAY, 2 * DAY, 6 * DAY, 40 * DAY, -60, -30]),
                ));
            }
        }
        if r.chance(1) {
            seen = vec![("w1".to_owned(), NOW + 61)];
        }
        Some((log.to_owned(), seen))
    };
    Envelope { signers, about, says, logged }
}

fn envelopes(r: &mut Random, q: &Require) -> Vec<Envelope> {
    let mut all = Vec::new();
    let main = provenance(r, q);
    if r.chance(96) {
        let signer = if main.builder_id == "id:other" { "other-ci" } else { "ci" };
        let mut e = envelope(r, signer, Says::Provenance(main.clone()));
        if let Some((log, witnesses)) = &q.logged
            && r.chance(90)
        {
            let seen =
                ["w1", "w2"].iter().take(*witnesses as usize).map(|w| ((*w).to_owned(), NOW - DAY)).collect();
            e.logged = Some((log.clone(), seen));
        }
        all.push(e);
    }
    if r.chance(3) {
        let again = provenance(r, q);
        all.push(envelope(r, "ci", Says::Provenance(Provenance { finished: Some(NOW - 3 * DAY), ..again })));
    }
    if let Some((count, _)) = q.rebuilt {
        for name in ["rebuild-eu", "rebuild-us", "rebuild-eu-2"]
            .iter()
            .take(count as usize + usize::from(r.chance(20)))
        {
            let rebuild = if r.chance(85) { main.clone() } else { provenance(r, q) };
            let e = envelope(r, name, Says::Provenance(rebuild));
            if r.chance(92) {
                all.push(e);
            }
        }
    }
    if q.reviewed.is_some() || r.chance(5) {
        reviews(r, &mut all);
    }
    let names = q.tests.as_ref().map(|t| t.0.clone()).unwrap_or_default();
    for name in names {
        let result = r.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        let mut e = envelope(r, "tester", Says::Test(vec![name.clone()], result));
        if r.chance(20) {
            e.about = About::Commit("head".to_owned());
        }
        if r.chance(95) {
            all.push(e);
        }
        if r.chance(10) {
            let (signer, result) = (r.pick(&["tester-2", "tester", "other-ci"]), r.pick(&[0, 0, 2]));
            all.push(envelope(r, signer, Says::Test(vec![name], result)));
        }
    }
    if q.released_for.is_some() || q.version.is_some() || q.package.is_some() {
        let version = r.pick(&[None, Some((1, 4, 2)), Some((2, 0, 0)), Some((1, 4, 1))]);
        let environments = r.pick(&[
            strings(&["prod"]),
            strings(&["prod"]),
            strings(&["prod"]),
            strings(&["staging"]),
            strings(&["staging", "prod"]),
            Vec::new(),
        ]);
        let signer = r.pick(&["releaser", "releaser", "carol"]);
        if r.chance(95) {
            all.push(envelope(r, signer, Says::Release(version, environments)));
        }
    }
    if let Some((within, worst, _, bound)) = &q.scanned {
        for signer in ["scanner", "scanner-2"] {
            if r.chance(if signer == "scanner" { 95 } else { 15 }) {
                let found =
                    if r.chance(75) { vec![*worst] } else { vec![r.below(5) as u8, r.below(5) as u8] };
                let finished = NOW - r.pick(&[DAY, DAY, DAY, *within, *within + 1, -60, -61]);
                let database = match bound {
                    None => r.pick(&[None, None, Some(NOW - DAY), Some(NOW - *within - 1)]),
                    Some(bound) => {
                        let edge = [Some(NOW - *bound), Some(NOW - *bound - 1), Some(NOW + DAY)];
                        r.pick(&[&[None, Some(NOW - DAY), Some(NOW - DAY)], &edge[..]].concat())
                    }
                };
                all.push(envelope(r, signer, Says::Scan(finished, database, found)));
            }
        }
    }
    if let Some(asked) = &q.verified_by {
        for signer in ["gate", "gate-2"] {
            if r.chance(if asked.verifiers.contains(&signer.to_owned()) { 90 } else { 10 }) {
                let said = summary(r, asked, signer);
                all.push(envelope(r, signer, Says::Summary(said)));
            }
        }
        if r.chance(5) {
            let again = summary(r, asked, "gate");
            all.push(envelope(r, "gate", Says::Summary(again)));
        }
    }
    others::envelopes(r, q, &main, &mut all);
    if r.chance(25) {
        all.push(envelope(r, "vendor", Says::Nothing));
    }
    if r.chance(2) {
        all.pop();
    }
    all
}

fn reviews(r: &mut Random, all: &mut Vec<Envelope>) {
    let base = r.pick(&[None, None, Some("base".to_owned()), Some("old".to_owned())]);
    for signer in ["forge", "bob", "carol"] {
        if !r.chance(if signer == "forge" { 85 } else { 25 }) {
            continue;
        }
        let repository = if r.chance(96) { REPOSITORY } else { "https://git.example/fork" };
        let authors = r.pick(&[
            strings(&["alice@x"]),
            strings(&["alice@x"]),
            strings(&["Alice@X"]),
            Vec::new(),
            strings(&["carol@x"]),
            strings(&["stranger@x"]),
        ]);
        let reviewers = r.pick(&[
            strings(&["bob@x"]),
            strings(&["bob@x", "carol@x"]),
            strings(&["bob@x", "bob-2@x"]),
            strings(&["alice@x"]),
            strings(&["nobody@x"]),
            Vec::new(),
        ]);
        let base = if r.chance(80) { base.clone() } else { r.pick(&[None, Some("base".to_owned())]) };
        let says = Says::Review { repository: repository.to_owned(), base, authors, reviewers };
        let mut e = envelope(r, signer, says);
        e.about = match r.below(30) {
            0 => About::TheArtifact,
            1 => About::Commit("base".to_owned()),
            _ => About::Commit("head".to_owned()),
        };
        all.push(e);
    }
}

/// A whole case.
pub fn model(r: &mut Random) -> Model {
    let percent = r.pick(&[8, 15, 35]);
    let has_builder = r.chance(90);
    let mut main = require(r, percent, has_builder);
    if has_builder {
        main.built_by = strings(r.pick(&[&["ci"][..], &["ci"], &["ci", "other-ci"], &["other-ci"]]));
    }
    let has_verifier = main.verified_by.is_some() && r.chance(50);
    if (!has_builder && !has_verifier) || r.chance(5) {
        main.signed_by = strings(r.pick(&[&["vendor"][..], &["vendor", "ci"], &["tester"]]));
        if r.chance(30) {
            main.quorum = Some(1 + r.below(main.signed_by.len()) as u64);
        }
    }
    let mut upcoming = Vec::new();
    if r.chance(20) {
        let mut later = require(r, 15, has_builder);
        if r.chance(10) {
            later.built_by = strings(&["other-ci"]);
        }
        // midnights around the time of the case
        let midnight = NOW - NOW % DAY;
        upcoming.push((midnight + DAY * r.pick(&[-1, 0, 1]), later));
    }
    let mut whole = main.clone();
    if r.chance(50)
        && let Some((_, later)) = upcoming.first()
    {
        whole.tests = whole.tests.or(later.tests.clone());
        whole.scanned = whole.scanned.or(later.scanned.clone());
    }
    let envelopes = envelopes(r, &whole);
    let policy = Policy {
        environment: r.pick(&["prod/shop", "prod/*"]).to_owned(),
        artifact: r.pick(&["r.example/shop", "r.example/*"]).to_owned(),
        require: main,
        upcoming,
    };
    let case = Case {
        at: NOW,
        environment: if r.chance(98) { "prod/shop" } else { "prod/shop/eu" }.to_owned(),
        artifact: if r.chance(98) { "r.example/shop" } else { "r.example/a/shop" }.to_owned(),
        requester: r.pick(&[
            None,
            Some("carol@x".to_owned()),
            Some("Carol@X".to_owned()),
            Some("bob-2@x".to_owned()),
            Some("stranger@x".to_owned()),
        ]),
        envelopes,
        unreadable: r.chance(2),
    };
    Model { root: root(r), policies: vec![policy], case }
}
