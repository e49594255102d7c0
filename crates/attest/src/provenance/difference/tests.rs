//! Every field, changed alone.

use super::*;
use crate::json::Object;
use crate::provenance::{Dependency, Source};

const SOURCE_DATE: &str = "SOURCE_DATE_EPOCH";

fn digest(algorithm: Algorithm, byte: u8) -> Digest {
    let length = if matches!(algorithm, Algorithm::GitCommit | Algorithm::GitTree) { 20 } else { 32 };
    Digest::from_bytes(algorithm, vec![byte; length]).unwrap()
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn commit(byte: char) -> Commit {
    Commit {
        id: byte.to_string().repeat(40),
        parents: Vec::new(),
        people: vec!["alice@acme.example".to_owned()],
    }
}

fn dependency(uri: &str, byte: u8, is_tool: bool) -> Dependency {
    Dependency {
        uri: uri.to_owned(),
        digests: digest(Algorithm::Sha256, byte).into(),
        is_tool,
        ..Dependency::default()
    }
}

fn build() -> Provenance {
    Provenance {
        format: "1.0".to_owned(),
        build_type: "https://portcullis.dev/build/git/v1".to_owned(),
        builder_id: "https://ci.acme.example/official".to_owned(),
        builder_version: Some("1.4.2".to_owned()),
        source: Some(Source {
            repository: "https://github.com/acme/shop".to_owned(),
            reference: Some("refs/heads/main".to_owned()),
            tagged_branch: Some("refs/heads/main".to_owned()),
            digests: [digest(Algorithm::GitCommit, 1), digest(Algorithm::GitTree, 2)].into_iter().collect(),
            committed: Some(time(1000)),
            history: vec![commit('a')],
            kept_until: Some(time(9000)),
        }),
        target: Some("shop".to_owned()),
        parameters: Object::new().with("flavour", "release"),
        dependencies: vec![
            dependency("toolchain:gcc", 3, true),
            dependency("https://zlib.net/zlib.tar", 4, false),
        ],
        command: Some(vec!["make".to_owned(), "shop".to_owned()]),
        environment: [("LC_ALL", "C"), ("SOURCE_DATE_EPOCH", "1000")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        hermetic: true,
        isolation: Some(crate::provenance::Isolation { tier: "bubblewrap".to_owned(), ..Default::default() }),
        cached_from: Some(Digest::sha256(b"earlier")),
        trigger: Some("push".to_owned()),
        runner: Some("github-hosted".to_owned()),
        invocation: Some("run/1".to_owned()),
        started: Some(time(2000)),
        finished: Some(time(2060)),
    }
}

fn source(provenance: &mut Provenance) -> &mut Source {
    provenance.source.as_mut().unwrap()
}

/// A change to one field, which part it is, and what it means.
type Change = (fn(&mut Provenance), Part, Bearing);

/// The parts that change, and the bearing of each.
fn changed(change: fn(&mut Provenance)) -> Vec<(Part, Bearing)> {
    let mut after = build();
    change(&mut after);
    let difference = compare(&build(), &after);
    let rows = difference.rows().iter().filter(|row| !row.is_same());
    rows.map(|row| (row.part.clone(), row.bearing())).collect()
}

#[test]
fn a_build_does_not_differ_from_itself() {
    let difference = compare(&build(), &build());
    assert!(difference.rows().iter().all(Row::is_same));
    assert!(difference.is_only_source());
    let kinds: Vec<&str> = difference.rows().iter().map(|row| row.part.kind()).collect();
    assert_eq!(
        kinds,
        [
            "source repository",
            "source ref",
            "tagged branch",
            "commit",
            "tree",
            "committed",
            "source date",
            "history",
            "target",
            "parameter",
            "command",
            "environment",
            "tool",
            "input",
            "build type",
            "builder",
            "builder version",
            "hermetic",
            "sandbox",
            "cached from",
            "kept until",
            "trigger",
            "runner",
            "format",
            "invocation",
            "started",
            "finished"
        ]
    );
}

#[test]
fn every_field_that_changes_alone_is_seen_alone_for_what_it_is() {
    use Bearing::{Build, Run, Source as Version};
    let one: Vec<Change> = vec![
        (|p| source(p).repository.push('x'), Part::Repository, Build),
        (|p| source(p).reference = Some("refs/tags/v1".to_owned()), Part::Reference, Version),
        (|p| source(p).tagged_branch = None, Part::TaggedBranch, Version),
        (|p| source(p).history.push(commit('b')), Part::History, Version),
        (|p| p.target = Some("other".to_owned()), Part::Target, Build),
        (|p| p.parameters.set("flavour", "debug"), Part::Parameter("flavour".to_owned()), Build),
        (|p| p.parameters.set("new", true), Part::Parameter("new".to_owned()), Build),
        (|p| p.command = Some(vec!["make shop".to_owned()]), Part::Command, Build),
        (|p| p.command = None, Part::Command, Build),
        (
            |p| drop(p.environment.insert("LC_ALL".to_owned(), "de".to_owned())),
            Part::Environment("LC_ALL".to_owned()),
            Build,
        ),
        (
            |p| p.dependencies[0] = dependency("toolchain:gcc", 9, true),
            Part::Tool("toolchain:gcc".to_owned()),
            Build,
        ),
        (
            |p| p.dependencies[1].digests = digest(Algorithm::Sha256, 9).into(),
            Part::Input("https://zlib.net/zlib.tar".to_owned()),
            Build,
        ),
        (
            |p| p.dependencies.push(dependency("https://zlib.net/zlib.tar", 4, false)),
            Part::Input("https://zlib.net/zlib.tar".to_owned()),
            Build,
        ),
        (|p| p.build_type.push('x'), Part::BuildType, Build),
        (|p| p.builder_id.push('x'), Part::Builder, Build),
        (|p| p.builder_version = None, Part::BuilderVersion, Build),
        (|p| p.hermetic = false, Part::Hermetic, Build),
        (|p| p.isolation = None, Part::Isolation, Build),
        (|p| p.cached_from = None, Part::CachedFrom, Run),
        (|p| source(p).kept_until = None, Part::KeptUntil, Run),
        (|p| p.format = "0.2".to_owned(), Part::Format, Build),
        (|p| p.trigger = None, Part::Trigger, Run),
        (|p| p.runner = None, Part::Runner, Build),
        (|p| p.invocation = None, Part::Invocation, Run),
        (|p| p.started = Some(time(3000)), Part::Started, Run),
        (|p| p.finished = Some(time(3000)), Part::Finished, Run),
    ];
    for (change, part, bearing) in one {
        assert_eq!(changed(change), [(part, bearing)]);
    }
}

#[test]
fn the_order_of_inputs_says_nothing_and_their_role_does() {
    assert_eq!(changed(|p| p.dependencies.reverse()), []);
    // two of one name, either way round
    let [mut one, mut other] = [build(), build()];
    one.dependencies = vec![dependency("a", 1, false), dependency("a", 2, false)];
    other.dependencies = vec![dependency("a", 2, false), dependency("a", 1, false)];
    assert!(compare(&one, &other).rows().iter().all(Row::is_same));
    let became_input = changed(|p| p.dependencies[0].is_tool = false);
    let uri = || "toolchain:gcc".to_owned();
    assert_eq!(became_input, [(Part::Tool(uri()), Bearing::Build), (Part::Input(uri()), Bearing::Build)]);
}

/// The chapter's cherry-pick: a fix on a release branch, and nothing else.
fn fix(provenance: &mut Provenance) {
    let source = source(provenance);
    source.reference = Some("refs/heads/release-1".to_owned());
    source.digests = [digest(Algorithm::GitCommit, 7), digest(Algorithm::GitTree, 8)].into_iter().collect();
    source.committed = Some(time(1500));
    source.history.insert(0, commit('c'));
    provenance.environment.insert(SOURCE_DATE.to_owned(), "1500".to_owned());
    provenance.invocation = Some("run/2".to_owned());
    provenance.started = Some(time(9000));
    provenance.finished = Some(time(9001));
}

#[test]
fn a_cherry_pick_changes_only_the_source() {
    let mut after = build();
    fix(&mut after);
    let difference = compare(&build(), &after);
    assert!(difference.is_only_source());
    assert_eq!(difference.changed(Bearing::Source).count(), 6);
    let commit = difference.changed(Bearing::Source).find(|row| row.part.kind() == "commit").unwrap();
    assert_eq!(commit.before.as_ref().unwrap().short(), "01010101…");
    assert_eq!(
        commit.after.as_ref().unwrap().to_json(),
        Json::from(format!("gitCommit:{}", "07".repeat(20)))
    );
    // the same fix, with one other thing
    after.dependencies[0].digests = digest(Algorithm::Sha256, 9).into();
    assert!(!compare(&build(), &after).is_only_source());
}

#[test]
fn a_date_that_does_not_follow_from_the_commit_is_a_change_of_the_environment() {
    let found = changed(|p| drop(p.environment.insert(SOURCE_DATE.to_owned(), "1".to_owned())));
    assert!(found.contains(&(Part::Environment(SOURCE_DATE.to_owned()), Bearing::Build)), "{found:?}");
}

#[test]
fn a_source_of_which_one_side_does_not_speak_is_no_other_version() {
    for change in [
        (|p: &mut Provenance| p.source = None) as fn(&mut Provenance),
        |p| source(p).digests = DigestSet::default(),
        |p| source(p).reference = None,
    ] {
        assert!(changed(change).iter().any(|(_, bearing)| *bearing == Bearing::Build));
    }
}
