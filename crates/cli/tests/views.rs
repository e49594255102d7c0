//! `open --diff` and `open --graph`: what changed between two builds, and what a build came from.

mod builds;
mod tools;

use attest::provenance::Dependency;
use attest::time::parse_time;
use attest::{Algorithm, Digest, DigestSet};
use builds::{Builds, build, commit, digest, input};
use tools::{code, portcullis, stderr, stdout};

/// Runs `open` under the trust root, and insists on the exit code.
fn open(builds: &Builds, exit: i32, args: &[&str]) -> String {
    let root = builds.at("trust-root.yaml");
    let output = portcullis(&[&["open", "--trust-root", &root], args].concat());
    let text = stdout(&output) + &stderr(&output);
    assert_eq!(code(&output), exit, "{args:?}\n{text}");
    text
}

fn tool(name: &str) -> Dependency {
    Dependency { is_tool: true, ..input(name) }
}

#[test]
fn a_cherry_pick_shows_as_only_the_source_changed() {
    let builds = Builds::new();
    let shipped = builds.official("shipped", &build(0x1a, &[tool("gcc"), input("zlib")]));
    let mut fix = build(0x3c, &[tool("gcc"), input("zlib")]);
    fix.finished = parse_time("2026-11-21T09:00:00Z");
    fix.invocation = Some("run/2".to_owned());
    let fixed = builds.official("fixed", &fix);
    let text = open(&builds, 0, &["--diff", &shipped, &fixed]);
    assert_eq!(text.lines().next().unwrap(), "only the source changed: commit 1a1a1a1a… → 3c3c3c3c…");
    assert!(text.contains("  same     target             "), "{text}");
    let gcc = text.lines().find(|line| line.contains("/gcc")).unwrap();
    assert!(gcc.starts_with("  same     tool") && gcc.ends_with(&digest("gcc").short()), "{text}");
    assert!(text.contains("  before   shipped@sha256:") && text.contains("signed by official-ci"), "{text}");
    assert!(!text.contains("hermetic: what they did not declare"), "{text}");
    let json = open(&builds, 0, &["--format", "json", "--diff", &shipped, &fixed]);
    let (before, after) = (commit(0x1a).to_string(), commit(0x3c).to_string());
    assert!(
        json.contains("\"only_source\": true") && json.contains(&before) && json.contains(&after),
        "{json}"
    );
    assert!(json.contains(&digest("gcc").hex()), "digests are whole in JSON: {json}");
}

#[test]
fn anything_else_that_changed_is_named_and_ends_with_1() {
    let builds = Builds::new();
    let shipped = builds.official("shipped", &build(0x1a, &[tool("gcc"), input("zlib")]));
    let mut other = build(0x3c, &[tool("gcc"), input("zlib"), input("extra")]);
    other.hermetic = false;
    other.dependencies[0].digests = digest("another gcc").into();
    let other = builds.official("other", &other);
    let text = open(&builds, 1, &["--diff", &shipped, &other]);
    let first = text.lines().next().unwrap();
    assert_eq!(
        first,
        "more than the source changed: tool, input, hermetic; and commit 1a1a1a1a… → 3c3c3c3c…"
    );
    assert!(text.contains("nothing said → "), "an input that only one has: {text}");
    assert!(text.contains("note     not both builds claim to be hermetic"), "{text}");
    let again = open(&builds, 0, &["--diff", &shipped, &shipped]);
    assert_eq!(again.lines().next().unwrap(), "nothing changed");
}

#[test]
fn many_inputs_that_are_the_same_are_one_line() {
    let builds = Builds::new();
    let many: Vec<Dependency> = (0..300).map(|n| input(&format!("crate-{n}"))).collect();
    let shipped = builds.official("shipped", &build(1, &many));
    let fixed = builds.official("fixed", &build(2, &many));
    let text = open(&builds, 0, &["--diff", &shipped, &fixed]);
    assert!(text.contains("300 of them, each the same") && text.lines().count() < 25, "{text}");
}

#[test]
fn what_is_not_proven_is_never_compared() {
    let builds = Builds::new();
    let good = builds.official("good", &build(1, &[]));
    // a trusted key that may not speak for this builder, a stranger's, and a broken file
    let forged = builds.forged("forged", &build(2, &[]));
    let stranger = builds.at("stranger.sigstore.json");
    let others = Builds::new();
    std::fs::copy(others.official("strange", &build(3, &[])), &stranger).unwrap();
    std::fs::write(builds.at("noise.json"), b"noise").unwrap();
    for (bundle, why) in [
        (&forged, "signed by jenkins, who may not speak for the builder"),
        (&stranger, "no signature on it verifies"),
        (&builds.at("noise.json"), "cannot be read"),
        (&builds.at("missing.json"), "cannot read the bundle"),
    ] {
        let text = open(&builds, 2, &["--diff", &good, bundle]);
        assert!(text.contains(why) && !text.contains("commit"), "{text}");
    }
    let text = open(&builds, 2, &["--diff", &good]);
    assert!(text.contains("portcullis open --diff BUNDLE BUNDLE"), "{text}");
    // a key alone says who, and for which builder nobody asked
    let key = builds.at("official.pub");
    let output = portcullis(&["open", "--diff", &good, &good, "--key", &key]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn text_of_a_build_cannot_forge_a_line() {
    let builds = Builds::new();
    let good = builds.official("good", &build(1, &[]));
    let mut evil = build(1, &[input("zlib")]);
    evil.target = Some("shop\n  same     tool  nothing\u{1b}[2J".to_owned());
    evil.dependencies[0].uri = "https://example.org/a\nonly the source changed".to_owned();
    let evil = builds.official("evil", &evil);
    for text in [open(&builds, 1, &["--diff", &good, &evil]), open(&builds, 0, &["--graph", &evil])] {
        assert!(!text.contains('\u{1b}') && !text.contains("\nonly the source"), "{text}");
        assert!(!text.contains("\n  same     tool  nothing"), "{text}");
    }
}

#[test]
fn the_graph_follows_inputs_to_their_builds() {
    let builds = Builds::new();
    let lib = builds.official("lib", &build(0x11, &[input("zlib")]));
    let compiler = builds.official("compiler", &build(0x22, &[]));
    let app = builds.official("app", &build(0x33, &[tool("compiler"), input("lib"), input("other")]));
    let text = open(&builds, 0, &["--graph", &lib, &app, &compiler]);
    let short = |name: &str| format!("{name}@{}", digest(name).short());
    let source = |c: &str| format!("built by official-ci from https://github.com/acme/shop@{c}");
    let wanted = format!(
        "{}  {}
├─ tool {}  {}
├─ input {}  {}
│  └─ input https://example.org/{}
└─ input https://example.org/{}

3 builds proven, 2 without provenance here
",
        short("app"),
        source("33333333"),
        short("compiler"),
        source("22222222"),
        short("lib"),
        source("11111111"),
        short("zlib"),
        short("other"),
    );
    assert_eq!(text, wanted);
    // the artifact itself, as a file and as a digest, begins the tree where it is
    for artifact in [builds.at("lib"), digest("lib").to_string()] {
        let text = open(&builds, 0, &["--graph", &lib, &app, &artifact]);
        assert!(text.starts_with(&format!("{}  built by", short("lib"))) && !text.contains("app"), "{text}");
    }
    let json = open(&builds, 0, &["--format", "json", "--graph", &lib, &app]);
    assert!(json.contains(&digest("zlib").hex()) && json.contains("\"status\": \"opened\""), "{json}");
    // nothing is about it
    let text = open(&builds, 1, &["--graph", &lib, &digest("nobody made this").to_string()]);
    assert!(text.contains("0 builds proven, 1 without provenance here"), "{text}");
}

#[test]
fn what_does_not_open_stands_where_it_belongs_and_is_not_followed() {
    let builds = Builds::new();
    let app = builds.official("app", &build(1, &[input("lib")]));
    let lib = builds.forged("lib", &build(2, &[input("secret-of-the-forger")]));
    let text = open(&builds, 1, &["--graph", &app, &lib]);
    let line = text.lines().find(|line| line.starts_with("└─ input")).unwrap();
    assert!(line.contains("not proven: ") && line.contains("may not speak for the builder"), "{text}");
    assert!(!text.contains("secret-of-the-forger"), "unproven content is no fact: {text}");
    // a rebuilder's record is no second claim, and counts where there is no other
    let rebuilt = builds.rebuilt("app", &build(1, &[input("lib")]));
    for (bundles, signer) in [(vec![&rebuilt, &app], "official-ci"), (vec![&rebuilt], "lab")] {
        let bundles: Vec<&str> = bundles.into_iter().map(String::as_str).collect();
        let text = open(&builds, 0, &[&["--graph"], &bundles[..], &[&builds.at("app")]].concat());
        assert!(text.contains(&format!("built by {signer} from")), "{text}");
    }
    // two builds that claim one artifact are as good as none
    let other = builds.at("other.sigstore.json");
    std::fs::rename(builds.official("lib", &build(3, &[])), &other).unwrap();
    builds.official("lib", &build(4, &[]));
    let text = open(&builds, 1, &["--graph", &app, &lib, &other]);
    assert!(text.contains("2 records claim it") && !text.contains("33333333"), "{text}");
}

#[test]
fn a_build_of_something_else_with_one_digest_in_common_is_not_followed() {
    let builds = Builds::new();
    let wide = |sha512: u8| -> DigestSet {
        let other = Digest::from_bytes(Algorithm::Sha512, vec![sha512; 64]).unwrap();
        [digest("lib"), other].into_iter().collect()
    };
    let mut app = build(1, &[input("lib")]);
    app.dependencies[0].digests = wide(1);
    let app = builds.official("app", &app);
    let lib = builds.about("lib", &wide(2), &build(2, &[]));
    let text = open(&builds, 0, &["--graph", &app, &lib, &builds.at("app")]);
    assert!(text.contains("1 build proven, 1 without provenance here"), "{text}");
    let lib = builds.about("lib", &wide(1), &build(2, &[]));
    let text = open(&builds, 0, &["--graph", &app, &lib, &builds.at("app")]);
    assert!(text.contains("2 builds proven, 0 without"), "{text}");
}

#[test]
fn cycles_end_and_depth_is_bounded() {
    let builds = Builds::new();
    let egg = builds.official("egg", &build(1, &[input("hen")]));
    let hen = builds.official("hen", &build(2, &[input("egg")]));
    let text = open(&builds, 1, &["--graph", &egg, &hen, &builds.at("egg")]);
    assert!(text.contains("not followed: it went into its own build"), "{text}");
    open(&builds, 1, &["--graph", &egg, &hen]);
    for n in 0..40 {
        builds.stored(&format!("link-{n}"), &build(1, &[input(&format!("link-{}", n + 1))]));
    }
    let text = open(&builds, 1, &["--graph", "--store", &builds.at("store"), &digest("link-0").to_string()]);
    assert!(
        text.contains("not followed: more than 32 builds deep") && text.contains("32 builds proven"),
        "{text}"
    );
}

#[test]
fn one_build_used_twice_is_drawn_once() {
    let builds = Builds::new();
    builds.stored("base", &build(1, &[input("zlib")]));
    builds.stored("left", &build(2, &[input("base")]));
    builds.stored("right", &build(3, &[input("base")]));
    builds.stored("top", &build(4, &[input("left"), input("right")]));
    let text = open(&builds, 0, &["--graph", "--store", &builds.at("store"), &digest("top").to_string()]);
    assert_eq!(text.matches("zlib").count(), 1, "{text}");
    assert!(text.contains(", shown above") && text.contains("4 builds proven"), "{text}");
}

#[test]
fn a_recalled_build_says_so_in_both_views() {
    let builds = Builds::new();
    let one = builds.official("one", &build(1, &[]));
    let two = builds.official("two", &build(2, &[]));
    builds.trust("    recalled: [{ version: \"<2.0.0\", reason: the compiler lied }]\n", "");
    let text = open(&builds, 0, &["--diff", &one, &two]);
    assert!(text.contains("one.sigstore.json were recalled: the compiler lied"), "{text}");
    assert!(open(&builds, 1, &["--graph", &one]).contains("recalled: the compiler lied"));
}
