//! `why`, `running` and `deployed`, from a log alone: a real choke point decided, and a stranger asks.

mod builds;
mod tools;

use std::fs;
use std::path::PathBuf;

use attest::note::NoteKey;
use attest::{Artifact, Scheme, SecretKey, Signer as _, TrustRoot};
use builds::{Builds, build, digest, input};
use chokepoint::Chokepoint;
use policy::{Book, DeploymentRequest, Guardrails, SourceFile, Submitted};
use tlog::{Files, Log};
use tools::{code, portcullis, stderr, stdout};

const ORIGIN: &str = "decisions.acme.example";

/// web and api of one commit, on one base; old of another commit; evil, which nobody built.
struct World {
    builds: Builds,
}

impl World {
    fn new() -> Self {
        let world = Self { builds: Builds::new() };
        let base = input("base-image");
        let build = |commit, inputs: &[_]| attest::Provenance {
            parameters: attest::Object::new(),
            ..build(commit, inputs)
        };
        let bundles = [
            ("web", world.builds.official("web", &build(0x1a, std::slice::from_ref(&base)))),
            ("api", world.builds.official("api", &build(0x1a, &[base]))),
            ("old", world.builds.official("old", &build(0x2b, &[input("other-base")]))),
        ];
        let point = world.chokepoint();
        for (seconds, (name, bundle)) in (0..).zip(&bundles) {
            let admitted = point.decide(world.request(name, Some(bundle)), at(seconds)).unwrap();
            assert!(admitted.is_admitted(), "{:?}", admitted.decision().verdict().findings());
        }
        let refused = point.decide(world.request("evil\u{1b}[2J", None), at(10)).unwrap();
        assert!(!refused.is_admitted());
        point.settle().unwrap();
        world
    }

    fn chokepoint(&self) -> Chokepoint<Files> {
        let signer = SecretKey::generate(Scheme::Ed25519).unwrap();
        fs::create_dir_all(self.log()).unwrap();
        let vkey = NoteKey { name: ORIGIN.to_owned(), key: signer.public().clone() }.to_vkey();
        fs::write(self.log().join("log.vkey"), vkey).unwrap();
        let log = Log::create(Files::new(&self.log()), ORIGIN, Box::new(signer)).unwrap();
        let root = fs::read_to_string(self.builds.at("trust-root.yaml")).unwrap();
        let root = TrustRoot::parse("trust-root.yaml", &root).unwrap();
        let text = "environment: prod/shop\nartifact: registry.acme.example/*\nrequire:\n  built-by: [official-ci]\n";
        let file = SourceFile { name: "book/shop.yaml".to_owned(), text: text.to_owned() };
        Chokepoint::open(Book::load(vec![file], &Guardrails::none()).unwrap(), root, log).unwrap()
    }

    fn request(&self, name: &str, bundle: Option<&String>) -> DeploymentRequest {
        let artifact = Artifact::new(&format!("registry.acme.example/{name}"), digest(name).into());
        let mut request = DeploymentRequest::new(artifact, "prod/shop", "kubernetes");
        request.requester = Some("alice@acme.example".to_owned());
        request.workload = Some(format!("eu-1/shop/Deployment/{name}"));
        let read = |path: &String| Submitted { name: "bundle".to_owned(), bytes: fs::read(path).unwrap() };
        request.envelopes = bundle.map(read).into_iter().collect();
        request
    }

    fn log(&self) -> PathBuf {
        self.builds.path("log")
    }

    fn ask(&self, exit: i32, args: &[&str]) -> String {
        let log = self.builds.at("log");
        let output = portcullis(&[args, &["--log", &log]].concat());
        let text = stdout(&output);
        assert_eq!(code(&output), exit, "{args:?}\n{text}\n{}", stderr(&output));
        assert!(text.lines().all(|line| args.contains(&"json") || line.chars().count() <= 200), "{text}");
        assert!(!text.contains('\u{1b}'), "what a requester wrote must not drive a terminal: {text}");
        text
    }
}

fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_795_000_000 + seconds).unwrap()
}

#[test]
fn why_names_decision_policy_origin_and_what_else_came_from_there() {
    let world = World::new();
    let web = digest("web");
    let text = world.ask(0, &["why", &web.to_string()]);
    for part in [
        "let in    record 2 at 2026-11-18T",
        "by policy",
        "workload  eu-1/shop/Deployment/web",
        "asked by  alice@acme.example, through kubernetes",
        "policy    book/shop.yaml",
        "proof     record 2 is in the tree of 6 that decisions.acme.example signed",
        "built from commit 1a1a1a1a",
        "built by official-ci",
        "input https://example.org/base-image",
        &format!("also api@{}", digest("api").short()),
        "admitted to prod/shop by record 3: eu-1/shop/Deployment/api",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let commit = text.split("built from commit").nth(1).unwrap().split("out of").next().unwrap();
    assert!(!commit.contains("old@"), "another commit's artifact came from elsewhere:\n{text}");
    // by the beginning of the digest, by workload, by image with a tag, by what a table shows
    let shown = format!("registry.acme.example/web@{}", web.short());
    for name in [&web.hex()[..8], "eu-1/shop/Deployment/web", "registry.acme.example/web:1.2", &shown] {
        let again = world.ask(0, &["why", name]);
        assert!(
            again.contains(&web.to_string()) && again.contains("record 2 is in the tree"),
            "{name}\n{again}"
        );
    }
    let refused = world.ask(0, &["why", &digest("evil\u{1b}[2J").to_string()]);
    assert!(refused.contains("refused   record 5"), "{refused}");
    assert!(refused.contains("wrong     built-by: "), "{refused}");
    assert!(refused.contains("no proven evidence says where it came from"), "{refused}");
    let json = world.ask(0, &["why", &web.to_string(), "--format", "json"]);
    for key in ["\"found\": true", "\"proven\": true", "\"kind\": \"commit\"", "\"relation\": \"also\""] {
        assert!(json.contains(key), "{key} in {json}");
    }
}

/// Every word of what a person reads. `GOLDEN=overwrite` writes it anew.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test's own setting")]
fn what_a_person_reads_is_as_it_was_reviewed() {
    let world = World::new();
    let web = digest("web").to_string();
    let mut text = String::new();
    for args in
        [&["why", &web][..], &["running"], &["deployed", "--repository", "https://github.com/acme/shop"]]
    {
        text += &format!("$ portcullis {}\n{}\n", args.join(" "), world.ask(0, args));
    }
    // keys are made for each test
    let key =
        attest::PublicKey::from_pem(&fs::read_to_string(world.builds.at("official.pub")).unwrap()).unwrap();
    let text = text.replace(&key.id(), "KEY");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/forensics/golden.txt");
    if std::env::var("GOLDEN").is_ok_and(|golden| golden == "overwrite") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap());
}

#[test]
fn nothing_found_is_1_and_what_cannot_be_asked_is_2() {
    let world = World::new();
    let text = world.ask(1, &["why", &digest("nobody").to_string()]);
    assert!(text.contains("nothing is known of sha256:"), "{text}");
    world.ask(1, &["why", "eu-1/shop/Deployment/nobody"]);
    world.ask(1, &["running", "--environment", "prod/nothing"]);
    world.ask(1, &["running", "--at", "2020-01-01T00:00:00Z"]);
    world.ask(1, &["deployed", "--builder", "jenkins"]);
    world.ask(2, &["why", "sha256:zz"]);
    world.ask(2, &["deployed", "--from-commit", "main"]);
    world.ask(2, &["deployed", "--base", "latest"]);
    world.ask(2, &["deployed"]);
    world.ask(2, &["deployed", "--builder", "a", "--grant", "b"]);
    let now_then =
        ["deployed", "--builder", "a", "--between", "2026-11-22T00:00:00Z", "2026-11-21T00:00:00Z"];
    world.ask(2, &now_then);
    for args in [&["running"][..], &["running", "--inventory", "/nowhere"], &["running", "--log", "/nowhere"]]
    {
        assert_eq!(code(&portcullis(args)), 2, "{args:?}");
    }
}

#[test]
fn running_and_deployed_say_what_came_from_where() {
    let world = World::new();
    let running = world.ask(0, &["running"]);
    assert_eq!(
        running.matches("eu-1/shop/Deployment/").count(),
        3,
        "what was refused does not run:\n{running}"
    );
    assert!(running.contains("it is what was admitted last"), "{running}");
    assert!(running.lines().all(|line| line.chars().count() <= 100), "{running}");
    let earlier = world.ask(0, &["running", "--at", &at(0).to_string()]);
    assert_eq!(earlier.matches("eu-1/shop/Deployment/").count(), 1, "{earlier}");
    let count = |args: &[&str]| world.ask(0, args).matches("eu-1/shop/Deployment/").count();
    assert_eq!(count(&["deployed", "--from-commit", "1a1a1a1"]), 2);
    assert_eq!(count(&["deployed", "--builder", "official-ci"]), 3);
    assert_eq!(count(&["deployed", "--key", &world.builds.at("official.pub")]), 3);
    assert_eq!(count(&["deployed", "--base", &digest("base-image").to_string()]), 2);
    assert_eq!(count(&["deployed", "--requester", "alice@acme.example"]), 3);
    let (from, to) = (at(1).to_string(), at(2).to_string());
    assert_eq!(count(&["deployed", "--builder", "official-ci", "--between", &from, &to]), 2);
    let json = world.ask(0, &["deployed", "--from-commit", "2b2b2b2b", "--format", "json"]);
    assert!(json.contains(&digest("old").to_string()) && json.contains("\"times\": 1"), "{json}");
}

#[test]
fn the_graph_is_text_a_picture_and_json() {
    let world = World::new();
    let web = digest("web").to_string();
    let tree = world.ask(0, &["why", &web, "--graph", "terminal"]);
    assert!(tree.starts_with(&format!("web@{}\n├─ admitted to", digest("web").short())), "{tree}");
    let out = world.builds.at("web.svg");
    world.ask(0, &["why", &web, "--graph", "svg", "--out", &out]);
    let svg = fs::read_to_string(&out).unwrap();
    assert!(svg.starts_with("<svg xmlns=") && svg.contains("prefers-color-scheme: dark"), "{svg}");
    assert_eq!(svg.matches("<rect ").count(), tree.lines().count(), "a box for each line of the tree");
    let json = world.ask(0, &["why", &web, "--graph", "json"]);
    assert!(json.starts_with("{\n") && json.contains("\"below\": ["), "{json}");
}

#[test]
fn an_index_that_was_edited_is_not_believed() {
    let world = World::new();
    let web = digest("web").to_string();
    world.ask(0, &["why", &web]);
    let folder = world.builds.path("log.inventory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { inventory::Inventory::open(&folder).await.unwrap().0.close().await });
    // whoever can write the folder makes somebody else the one who asked
    let index = folder.join("index.sqlite");
    let mut bytes = fs::read(&index).unwrap();
    let (from, to) = (b"alice@acme.example", b"carol@acme.example");
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| w == from).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
    fs::write(&index, bytes).unwrap();
    let output = portcullis(&["why", &web, "--log", &world.builds.at("log")]);
    assert_eq!(code(&output), 2, "{}", stdout(&output));
    assert!(stderr(&output).contains("the index says another thing than the log"), "{}", stderr(&output));
}

#[test]
fn a_damaged_index_is_made_again_and_a_damaged_log_is_refused() {
    let world = World::new();
    let web = digest("web").to_string();
    world.ask(0, &["why", &web]);
    let folder = world.builds.path("log.inventory");
    fs::remove_file(folder.join("index.sqlite-wal")).ok();
    fs::write(folder.join("index.sqlite"), b"noise").unwrap();
    let output = portcullis(&["why", &web, "--log", &world.builds.at("log")]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("made again from the log"), "{}", stderr(&output));
    fs::remove_dir_all(folder).unwrap();
    let bundle = world.log().join("tile/entries/000.p/6");
    let mut bytes = fs::read(&bundle).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let output = portcullis(&["why", &web, "--log", &world.builds.at("log")]);
    assert_eq!(code(&output), 2, "{}", stdout(&output));
    assert!(stderr(&output).contains("do not lead to its signed root"), "{}", stderr(&output));
}

#[test]
fn bad_folders_are_told_in_one_clear_error() {
    let world = World::new();
    let web = digest("web").to_string();
    let noise = world.builds.at("noise");
    fs::write(&noise, b"noise").unwrap();
    let noisy = world.builds.at("noisy");
    fs::create_dir(&noisy).unwrap();
    for file in ["index.sqlite", "observed.sqlite"] {
        fs::write(world.builds.path("noisy").join(file), [7; 5000]).unwrap();
    }
    let log = world.builds.at("log");
    for (args, word) in [
        (&["--log", &noise][..], "noise/log.vkey"),
        (&["--log", &noisy], "log.vkey"),
        (&["--inventory", &noise], "noise/index.sqlite"),
        (&["--inventory", &noisy], "damaged"),
        (&["--log", &log, "--inventory", &noise], "noise"),
        (&["--log", &log, "--inventory", "/dev/full/x"], "/dev/full"),
        (&["--log", &log, "--log-key", &world.builds.at("official.pub")], "no verifier key"),
    ] {
        for command in [&["why", &web][..], &["running"], &["deployed", "--builder", "official-ci"]] {
            let output = portcullis(&[command, args].concat());
            let text = stderr(&output);
            assert_eq!(code(&output), 2, "{args:?}\n{}{text}", stdout(&output));
            assert!(text.contains("error: ") && text.contains(word), "{args:?}\n{text}");
            for forbidden in ["panicked", "Err(", "Error {", "Some(", "SqliteError"] {
                assert!(!text.contains(forbidden), "{text}");
            }
        }
    }
}

#[test]
fn what_cannot_be_answered_says_what_was_wrong_with_the_question() {
    let world = World::new();
    let log = world.builds.at("log");
    let refused = |args: &[&str], exit: i32, parts: &[&str]| {
        let output = portcullis(args);
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(code(&output), exit, "{args:?}\n{said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "{part} in\n{said}"));
    };
    refused(&["replay", &log, "0"], 2, &["record 0 is no decision", "log show DIR --kind decision"]);
    refused(&["log", "show", &log, "--from", "5", "--to", "2"], 2, &["the first place is after the last"]);
    refused(&["why", "web"], 2, &["--log <DIR>|--inventory <DIR>"]);
    refused(&["why", "web", "--format", "json"], 2, &["not provided: <--log <DIR>|--inventory <DIR>>"]);
    refused(&["alarms", "close", "a", "--reason", "b"], 2, &["--log <DIR>|--server <URL>"]);
    let seen = ["log", "verify", &log, "--seen", &format!("{log}/log.vkey")];
    refused(&seen, 2, &["is no checkpoint of this log", "wanted    a signed note of decisions.acme.example"]);
    refused(&["deployed", "--grant", "g", "--log", &log], 1, &["nothing was let in by the grant g"]);
    fs::remove_file(format!("{log}/checkpoint")).unwrap();
    refused(&["log", "verify", &log], 1, &["has no checkpoint", "restore it from a backup"]);
}
