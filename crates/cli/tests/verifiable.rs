//! Verifiable builds, end to end: the real sandbox, real git, the real signer.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::{Envelope, Json, Predicate, Provenance, TrustRoot};
use tools::{code, expect, path, portcullis, stderr, stdout};

const HEADER: &str = "toolchain: { uri: \"toolchain:test\", sha256: \"SHA\" }\n";
const PLAIN: &str = "targets:\n  hello:\n    command: [sh, -c, \"gcc -o hello hello.c && cp hello other\"]\n    outputs: [hello]\n";

/// A repository, a store with a toolchain, and a builder of its own.
struct Setting {
    dir: tempfile::TempDir,
    toolchain: String,
}

impl Setting {
    fn new(definition: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // builds run as another user, who must get through
        Command::new("chmod").args(["711", path(dir.path())]).status().unwrap();
        let setting = Self { toolchain: toolchain(dir.path()), dir };
        setting.git(&["init", "-q", "-b", "main"]);
        setting.commit(&[
            ("hello.c", "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n"),
            ("portcullis.build.yaml", &setting.definition(definition)),
        ]);
        setting
    }

    fn definition(&self, text: &str) -> String {
        format!("{HEADER}{text}").replace("SHA", &self.toolchain)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn git(&self, args: &[&str]) -> String {
        let repository = self.at("repository");
        fs::create_dir_all(&repository).unwrap();
        let output = Command::new("git")
            .args(["-c", "user.name=Alice", "-c", "user.email=alice@acme.example", "-C", path(&repository)])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?} {}", stderr(&output));
        stdout(&output).trim().to_owned()
    }

    fn commit(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let file = self.at("repository").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "a change"]);
    }

    /// The arguments of a build of `target` into `out`.
    fn args(&self, target: &str, out: &str, more: &[&str]) -> Vec<String> {
        let mut args: Vec<String> =
            ["build", path(&self.at("repository")), "--target", target].map(str::to_owned).into();
        if !more.contains(&"--ref") {
            args.extend(["--ref", "main"].map(str::to_owned));
        }
        let folders = [("--out", out), ("--store", "store"), ("--state", "state")];
        args.extend(
            folders.iter().flat_map(|(flag, at)| [(*flag).to_owned(), path(&self.at(at)).to_owned()]),
        );
        args.extend(["--offline", "--recheck", "0"].map(str::to_owned));
        args.extend(more.iter().map(|m| (*m).to_owned()));
        args
    }

    fn build(&self, exit: i32, target: &str, out: &str, more: &[&str]) -> String {
        let args = self.args(target, out, more);
        expect(exit, &args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What a bundle says, proven under the local builder's key.
    fn opened(&self, bundle: &str) -> Predicate {
        let root = TrustRoot::parse("root", &fs::read_to_string(self.trust_root()).unwrap()).unwrap();
        let envelope = Envelope::parse(&fs::read(self.at(bundle)).unwrap()).unwrap();
        let attestation = root.open(&envelope, "2030-01-01T00:00:00Z".parse().unwrap()).unwrap();
        attestation.statement().predicate.clone()
    }

    fn provenance(&self, bundle: &str) -> Provenance {
        match self.opened(bundle) {
            Predicate::Provenance(provenance) => *provenance,
            other => panic!("{other:?}"),
        }
    }

    fn trust_root(&self) -> String {
        let file = self.at("trust-root.yaml");
        let key = fs::read_to_string(self.at("state/local-demo.pub")).unwrap();
        let key: String = key.lines().map(|l| format!("          {l}\n")).collect();
        let id = builder::LOCAL_DEMO;
        fs::write(
            &file,
            format!("version: 1\nbuilders:\n  local:\n    ids: [\"{id}\"]\n    hermetic: [\">=0\"]\n    keys:\n      - key: |\n{key}"),
        )
        .unwrap();
        path(&file).to_owned()
    }
}

/// This machine's toolchain, made once for all tests of this file, in a store of the test's own.
fn toolchain(dir: &Path) -> String {
    static ONCE: std::sync::OnceLock<(tempfile::TempDir, String)> = std::sync::OnceLock::new();
    let (made, sha) = ONCE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("toolchain.tar");
        let said = expect(0, &["builder", "toolchain", "--out", path(&archive)]);
        let sha = said.split_whitespace().next().unwrap().to_owned();
        (dir, sha)
    });
    let store = dir.join("store/sha256");
    fs::create_dir_all(&store).unwrap();
    fs::copy(made.path().join("toolchain.tar"), store.join(sha)).unwrap();
    sha.clone()
}

#[test]
fn provenance_says_what_held_and_what_went_in() {
    let setting = Setting::new(PLAIN);
    setting.build(0, "hello", "out", &["--retention", "30d"]);
    let provenance = setting.provenance("out/hello.sigstore.json");
    let isolation = provenance.isolation.unwrap();
    assert_eq!(isolation.tier, "bubblewrap");
    for layer in ["descriptors", "files", "inputs", "network", "privileges", "processes", "system-calls"] {
        assert!(isolation.held.iter().any(|l| l == layer), "{layer} of {:?}", isolation.held);
    }
    assert!(provenance.hermetic && provenance.cached_from.is_none());
    assert_eq!(provenance.invocation.unwrap().len(), 32);
    assert_eq!(provenance.dependencies[0].digests.first().unwrap().hex(), setting.toolchain);
    let source = provenance.source.unwrap();
    let kept = source.kept_until.unwrap().as_second() - provenance.finished.unwrap().as_second();
    assert_eq!(kept, 30 * 86_400, "the promise runs from the end of the build");
    assert_eq!(source.commit().unwrap().hex(), setting.git(&["rev-parse", "main"]));
    assert!(Command::new(setting.at("out/hello")).output().unwrap().stdout.starts_with(b"hello"));
}

#[test]
fn only_commits_of_a_protected_branch_are_built_where_the_operator_says_so() {
    let setting = Setting::new(PLAIN);
    setting.git(&["checkout", "-q", "-b", "wild"]);
    setting.commit(&[("hello.c", "int main(void) { return 1; }\n")]);
    let said = setting.build(2, "hello", "out", &["--ref", "wild", "--protected", "main"]);
    assert!(said.contains("is not part of main; merge it there after review"), "{said}");
    assert!(!setting.at("out/hello").exists());
    // an older commit of the branch is part of it, by whatever ref it is asked for
    setting.git(&["branch", "release", "main"]);
    setting.git(&["checkout", "-q", "main"]);
    setting.commit(&[("more.txt", "more\n")]);
    setting.build(0, "hello", "out", &["--ref", "release", "--protected", "main"]);
}

#[test]
fn a_finished_build_stands_for_one_with_the_same_inputs_and_says_so() {
    let setting = Setting::new(PLAIN);
    setting.build(0, "hello", "one", &[]);
    let said = setting.build(0, "hello", "two", &[]);
    assert!(said.contains("taking the outputs from the cache"), "{said}");
    assert_eq!(fs::read(setting.at("one/hello")).unwrap(), fs::read(setting.at("two/hello")).unwrap());
    let mode = |name| fs::metadata(setting.at(name)).unwrap().permissions();
    assert_eq!(mode("one/hello"), mode("two/hello"), "a test can start it");
    let (one, two) =
        (setting.provenance("one/hello.sigstore.json"), setting.provenance("two/hello.sigstore.json"));
    let bundle = attest::Digest::sha256(&fs::read(setting.at("one/hello.sigstore.json")).unwrap());
    assert_eq!(two.cached_from, Some(bundle), "it names the provenance of the build that made it");
    assert_eq!(one.finished, two.finished, "and is no younger than that build");
    assert_ne!(one.invocation, two.invocation);
    // anything that could influence the outputs makes it another build
    setting.commit(&[("hello.c", "int main(void) { return 0; }\n")]);
    let said = setting.build(0, "hello", "three", &[]);
    assert!(!said.contains("from the cache"), "{said}");
    // a damaged cache costs a build, and nothing else
    let digest = attest::Digest::sha256(&fs::read(setting.at("three/hello")).unwrap());
    fs::write(setting.at("store/outputs").join(digest.hex()), "poison").unwrap();
    let said = setting.build(0, "hello", "four", &[]);
    assert!(!said.contains("from the cache"), "{said}");
    assert_eq!(fs::read(setting.at("three/hello")).unwrap(), fs::read(setting.at("four/hello")).unwrap());
}

#[test]
fn a_cached_build_that_does_not_come_out_the_same_is_found() {
    let definition =
        "targets:\n  now:\n    command: [sh, -c, \"head -c 16 /dev/urandom > now\"]\n    outputs: [now]\n";
    let setting = Setting::new(definition);
    setting.build(0, "now", "one", &[]);
    let mut args = setting.args("now", "two", &[]);
    args.retain(|a| a != "--recheck" && a != "0");
    args.extend(["--recheck", "100"].map(str::to_owned));
    let said = expect(2, &args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.contains("although the same inputs gave") && !setting.at("two/now").exists(), "{said}");
}

#[test]
fn a_build_that_fails_leaves_a_signed_record_that_is_no_provenance() {
    let definition =
        "targets:\n  broken:\n    command: [sh, -c, \"echo 'it is broken'; exit 3\"]\n    outputs: [x]\n";
    let setting = Setting::new(definition);
    let said = setting.build(2, "broken", "out", &[]);
    assert!(said.contains("failed with status 3") && said.contains("it is broken"), "{said}");
    let bundle = setting.at("out/broken.failed.sigstore.json");
    assert!(said.contains(path(&bundle)), "{said}");
    assert!(
        matches!(setting.opened("out/broken.failed.sigstore.json"), Predicate::Other(_)),
        "no rule reads it"
    );
    let text = fs::read_to_string(&bundle).unwrap();
    let json = attest::json::parse(text.trim().as_bytes()).unwrap();
    let payload =
        json.as_object().unwrap().object("dsseEnvelope").unwrap().string("payload").unwrap().to_owned();
    let statement = attest::dsse::base64(&payload).unwrap();
    let statement = String::from_utf8(statement).unwrap();
    assert!(
        statement.contains("https://portcullis.dev/build-failure/v1") && statement.contains("\"failed\"")
    );
    assert_eq!(fs::read_dir(setting.at("out")).unwrap().count(), 1, "and nothing else");
}

#[test]
fn tests_are_builds_and_the_orchestrator_derives_their_result() {
    let definition = "targets:\n  hello:\n    command: [gcc, -o, hello, hello.c]\n    outputs: [hello]\n    tests: [unit, report]\ntests:\n  unit:\n    command: [sh, -c, \"test \\\"$(/build/artifacts/hello)\\\" = hello || { echo nothing was said; exit 1; }\"]\n  report:\n    command: [sh, -c, \"cp junit.xml out.xml\"]\n    junit: out.xml\n";
    let setting = Setting::new(definition);
    let report = |inner: &str| {
        format!("<testsuite><testcase name=\"a\"/><testcase name=\"b\">{inner}</testcase></testsuite>")
    };
    setting.commit(&[("junit.xml", &report(""))]);
    let said = setting.build(0, "hello", "out", &[]);
    assert!(said.contains("unit passed") && said.contains("report passed"), "{said}");
    for name in ["unit", "report"] {
        let Predicate::Test(result) = setting.opened(&format!("out/hello.{name}.test.sigstore.json")) else {
            panic!()
        };
        assert_eq!((result.names, result.result), (vec![name.to_owned()], attest::claims::TestOutcome::Pass));
    }
    // the command ends with 0, and its report tells another story
    setting.commit(&[("junit.xml", &report("<failure/>"))]);
    let said = setting.build(1, "hello", "out", &[]);
    assert!(said.contains("report FAILED") && said.contains("    b\n"), "{said}");
    // what failed is said of the test, and what it printed is shown
    setting.commit(&[("junit.xml", &report("")), ("hello.c", "int main(void) { return 3; }\n")]);
    let said = setting.build(1, "hello", "out", &[]);
    assert!(said.contains("unit: the test failed with status 1\n"), "{said}");
    assert!(said.contains("its last lines:\n    nothing was said"), "{said}");
    // a report that is missing is no report of success
    setting.git(&["rm", "-q", "junit.xml"]);
    setting.commit(&[("hello.c", "int main(void) { return 0; }\n")]);
    let said = setting.build(1, "hello", "out", &["--format", "json"]);
    let json = attest::json::parse(said.as_bytes()).unwrap();
    let output = &json.as_object().unwrap().array("outputs").unwrap()[0];
    let tests = output.as_object().unwrap().array("tests").unwrap();
    let results: Vec<&str> = tests.iter().map(|t| t.as_object().unwrap().string("result").unwrap()).collect();
    assert_eq!(results, ["failed", "failed"], "no word from the artifact, and no report");
    assert!(
        setting.at("out/hello").exists(),
        "the artifact is there: a policy says whether its tests matter"
    );
}

/// Two repositories give the same bytes, and only one of them says that its tests passed.
#[test]
fn a_test_of_another_build_of_the_same_bytes_counts_for_nothing() {
    let definition = |test: &str| {
        format!(
            "targets:\n  hello:\n    command: [gcc, -o, hello, hello.c]\n    outputs: [hello]\n    tests: [unit]\ntests:\n  unit:\n    command: [{test}]\n"
        )
    };
    let victim = Setting::new(&definition("\"false\""));
    let said = victim.build(1, "hello", "out", &[]);
    assert!(said.contains("unit FAILED"), "{said}");
    let neighbour = Setting::new(&definition("\"true\""));
    let state = victim.at("state");
    neighbour.build(0, "hello", "out", &["--key", path(&state.join("local-demo.key"))]);
    assert_eq!(fs::read(victim.at("out/hello")).unwrap(), fs::read(neighbour.at("out/hello")).unwrap());
    let root = fs::read_to_string(victim.trust_root()).unwrap();
    let keys = root.split_once("    keys:\n").unwrap().1;
    fs::write(victim.at("trust-root.yaml"), format!("{root}testers:\n  local:\n    keys:\n{keys}")).unwrap();
    fs::create_dir_all(victim.at("book")).unwrap();
    fs::write(
        victim.at("book/hello.yaml"),
        "environment: prod/hello\nartifact: hello\nrequire:\n  built-by: [local]\n  tests: [unit]\n",
    )
    .unwrap();
    let verify = |exit: i32, tests: &Path| {
        let (artifact, bundle) = (victim.at("out/hello"), victim.at("out/hello.sigstore.json"));
        expect(
            exit,
            &[
                "verify",
                path(&artifact),
                "--as",
                "hello",
                "--environment",
                "prod/hello",
                "--bundle",
                path(&bundle),
                "--bundle",
                path(tests),
                "--book",
                path(&victim.at("book")),
                "--trust-root",
                path(&victim.at("trust-root.yaml")),
            ],
        )
    };
    let own = victim.at("out/hello.unit.test.sigstore.json");
    assert!(verify(1, &own).contains("the tests unit did not pass"));
    let foreign = neighbour.at("out/hello.unit.test.sigstore.json");
    let said = verify(1, &foreign);
    assert!(said.contains("is of another build that gave the same bytes"), "{said}");
}

#[test]
fn another_builds_artifact_is_taken_with_its_provenance_alone() {
    let setting = Setting::new(PLAIN);
    setting.build(0, "hello", "out", &[]);
    let sha = attest::Digest::sha256(&fs::read(setting.at("out/hello")).unwrap()).hex();
    let chained = format!(
        "inputs:\n  - name: tools/hello\n    uri: \"build:hello\"\n    sha256: \"{sha}\"\n    built-by: local\ntargets:\n  second:\n    command: [sh, -c, \"cp /build/inputs/tools/hello t && chmod +x t && ./t > second\"]\n    outputs: [second]\n"
    );
    setting.commit(&[("portcullis.build.yaml", &setting.definition(&chained))]);
    let said = setting.build(2, "second", "out", &[]);
    assert!(said.contains("not proven to be built by local") && said.contains("--trust-root"), "{said}");
    let root = setting.trust_root();
    setting.build(0, "second", "out", &["--trust-root", &root]);
    let provenance = setting.provenance("out/second.sigstore.json");
    let input = provenance.dependencies.iter().find(|d| d.name.as_deref() == Some("tools/hello")).unwrap();
    let bundle = attest::Digest::sha256(&fs::read(setting.at("out/hello.sigstore.json")).unwrap());
    assert_eq!(input.provenance, Some(bundle), "the chain names what proved each link");
    let graph = expect(
        0,
        &[
            "open",
            "--graph",
            path(&setting.at("out/second.sigstore.json")),
            "--store",
            path(&setting.at("store")),
            "--trust-root",
            &root,
        ],
    );
    assert!(graph.contains("second@") && graph.contains("hello@"), "{graph}");
    // without provenance of its own it is only a file
    fs::remove_dir_all(setting.at("store/provenance")).unwrap();
    let said = setting.build(2, "second", "out", &["--trust-root", &root, "--no-cache"]);
    assert!(said.contains("the store has no provenance for it"), "{said}");
    // a recalled tool gives no proof any more
    expect(
        0,
        &[
            "builder",
            "put",
            path(&setting.at("out/hello")),
            "--bundle",
            path(&setting.at("out/hello.sigstore.json")),
            "--store",
            path(&setting.at("store")),
        ],
    );
    setting.build(0, "second", "out", &["--trust-root", &root, "--no-cache"]);
    let recalled = fs::read_to_string(&root).unwrap().replace(
        "    keys:\n",
        &format!("    recalled:\n      - tool: \"sha256:{}\"\n        reason: the compiler was not ours\n    keys:\n", setting.toolchain),
    );
    let recalled_root = setting.at("recalled.yaml");
    fs::write(&recalled_root, recalled).unwrap();
    let said = setting.build(2, "second", "out", &["--trust-root", path(&recalled_root)]);
    assert!(said.contains("recalled: the compiler was not ours"), "neither the cache nor the chain: {said}");
}

#[test]
fn a_fix_is_built_like_the_shipped_one_or_not_at_all() {
    let setting = Setting::new(PLAIN);
    setting.build(0, "hello", "shipped", &[]);
    let root = setting.trust_root();
    let shipped = setting.at("shipped/hello.sigstore.json");
    let like = ["--like", path(&shipped), "--trust-root", &root];
    setting.commit(&[("hello.c", "#include <stdio.h>\nint main(void) { puts(\"fixed\"); return 0; }\n")]);
    setting.build(0, "hello", "fixed", &like);
    let said = expect(
        0,
        &[
            "open",
            "--diff",
            path(&shipped),
            path(&setting.at("fixed/hello.sigstore.json")),
            "--trust-root",
            &root,
        ],
    );
    assert!(said.starts_with("only the source changed"), "{said}");
    setting.commit(&[("portcullis.build.yaml", &setting.definition(&PLAIN.replace("gcc -o", "gcc -O2 -o")))]);
    let said = setting.build(1, "hello", "more", &like);
    assert!(said.contains("more than the source would change") && said.contains("command:"), "{said}");
    assert!(!setting.at("more/hello").exists());
}

#[test]
fn a_rebuild_compares_bit_for_bit_and_says_where_it_differs() {
    let setting = Setting::new(&format!(
        "{PLAIN}  dated:\n    command: [sh, -c, \"date +%s%N > stamp; echo built on $(hostname) at $(date +%T) >> stamp\"]\n    outputs: [stamp]\n"
    ));
    for target in ["hello", "dated"] {
        setting.build(0, target, "out", &[]);
    }
    let root = setting.trust_root();
    let rebuild = |exit: i32, bundle: &str, more: &[&str]| {
        let at = setting.at(bundle);
        let (store, state) = (setting.at("store"), setting.at("state"));
        let base = [
            "rebuild",
            path(&at),
            "--trust-root",
            &root,
            "--store",
            path(&store),
            "--state",
            path(&state),
            "--offline",
        ];
        expect(exit, &[&base, more].concat())
    };
    // the repository is gone: the snapshot that was promised is there
    fs::rename(setting.at("repository"), setting.at("moved")).unwrap();
    let said = rebuild(0, "out/hello.sigstore.json", &["--out", path(&setting.at("vote"))]);
    assert!(said.contains("built as it was") && said.contains("another user and host name"), "{said}");
    let vote = setting.provenance("vote/hello.rebuild.sigstore.json");
    assert_eq!(
        vote.source.unwrap().digests,
        setting.provenance("out/hello.sigstore.json").source.unwrap().digests
    );
    let kept = setting.at("kept");
    let said = rebuild(1, "out/stamp.sigstore.json", &["--once", "--keep", path(&kept)]);
    assert!(said.contains("DIFFERENT stamp") && said.contains("line 1"), "{said}");
    assert!(
        said.contains(path(&kept.join("stamp.rebuilt-1"))) && kept.join("stamp.rebuilt-1").exists(),
        "{said}"
    );
    let said = rebuild(1, "out/stamp.sigstore.json", &["--once", "--format", "json"]);
    let json = attest::json::parse(said.as_bytes()).unwrap();
    let Json::Array(attempts) = json.as_object().unwrap().get("attempts").unwrap() else { panic!() };
    assert!(!attempts[0].as_object().unwrap().flag("same").unwrap());
}

#[test]
fn what_was_promised_is_kept_and_the_rest_is_swept() {
    let setting = Setting::new(PLAIN);
    setting.build(0, "hello", "out", &["--retention", "30d"]);
    let store = setting.at("store");
    let snapshots =
        |more: &[&str]| expect(0, &[&["builder", "snapshots", "--store", path(&store)], more].concat());
    assert!(snapshots(&[]).contains("kept until"));
    let count = || fs::read_dir(store.join("sha256")).unwrap().count();
    let before = count();
    #[allow(clippy::disallowed_methods, reason = "the builds of this test are of today")]
    let in_days = |days: i64| {
        let now = jiff::Timestamp::now().as_second() + days * 86_400;
        jiff::Timestamp::from_second(now).unwrap().to_string()
    };
    // long after the grace, and before the promise ends
    snapshots(&["--sweep", "--at", &in_days(20)]);
    assert_eq!(count(), before, "everything there was promised");
    assert!(snapshots(&["--sweep", "--dry-run", "--at", &in_days(40)]).contains("would delete 1 commits"));
    assert_eq!(count(), before);
    assert!(snapshots(&["--sweep", "--at", &in_days(40)]).contains("deleted 1 commits"));
    assert_eq!(count(), 0);
    assert!(snapshots(&[]).contains("nothing is kept"));
    // one promise that cannot be read, and nothing is deleted
    let again = toolchain(setting.dir.path());
    setting.build(0, "hello", "out", &[]);
    fs::write(store.join("leases/zz.json"), "{").unwrap();
    let output =
        portcullis(&["builder", "snapshots", "--store", path(&store), "--sweep", "--at", &in_days(900)]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("nothing was deleted") && store.join("sha256").join(again).exists());
}

#[test]
fn a_build_that_another_contradicts_is_no_answer_any_more() {
    let definition =
        "targets:\n  now:\n    command: [sh, -c, \"head -c 16 /dev/urandom > now\"]\n    outputs: [now]\n";
    let setting = Setting::new(definition);
    setting.build(0, "now", "one", &[]);
    let mut args = setting.args("now", "two", &[]);
    args.retain(|a| a != "--recheck" && a != "0");
    args.extend(["--recheck", "100"].map(str::to_owned));
    expect(2, &args.iter().map(String::as_str).collect::<Vec<_>>());
    let quarantine = setting.at("store/cache/quarantine");
    assert_eq!(fs::read_dir(quarantine).unwrap().count(), 1, "somebody can look at it");
    let said = setting.build(0, "now", "three", &[]);
    assert!(!said.contains("from the cache"), "{said}");
    assert_ne!(fs::read(setting.at("one/now")).unwrap(), fs::read(setting.at("three/now")).unwrap());
}

#[test]
fn what_a_build_made_is_no_input_without_proof_and_a_cached_build_is_proven_again() {
    let setting = Setting::new(PLAIN);
    setting.build(0, "hello", "out", &[]);
    let sha = attest::Digest::sha256(&fs::read(setting.at("out/hello")).unwrap()).hex();
    assert!(
        setting.at("store/outputs").join(&sha).exists() && !setting.at("store/sha256").join(&sha).exists()
    );
    let chained = |built_by: &str| {
        setting.definition(&format!(
            "inputs:\n  - name: hello\n    uri: \"https://trusted.example/hello\"\n    sha256: \"{sha}\"\n{built_by}targets:\n  second:\n    command: [sh, -c, \"cp /build/inputs/hello second\"]\n    outputs: [second]\n"
        ))
    };
    setting.commit(&[("portcullis.build.yaml", &chained(""))]);
    let said = setting.build(2, "second", "out", &[]);
    assert!(said.contains("is not in the store"), "a URI that never gave it is in no provenance: {said}");
    setting.commit(&[("portcullis.build.yaml", &chained("    built-by: local\n"))]);
    let root = setting.trust_root();
    setting.build(0, "second", "out", &["--trust-root", &root]);
    let said = setting.build(0, "second", "out", &["--trust-root", &root]);
    assert!(said.contains("from the cache"), "{said}");
    // the key is trusted for another builder now: what came of its artifact is no answer
    let renamed = setting.at("renamed.yaml");
    fs::write(&renamed, fs::read_to_string(&root).unwrap().replace("  local:\n", "  other:\n")).unwrap();
    let said = setting.build(2, "second", "out", &["--trust-root", path(&renamed)]);
    assert!(said.contains("is not proven to be built by local"), "{said}");
}

#[test]
fn other_provenance_of_the_same_bytes_neither_hides_nor_replaces_the_proof() {
    let setting = Setting::new(PLAIN);
    setting.build(0, "hello", "out", &[]);
    let sha = attest::Digest::sha256(&fs::read(setting.at("out/hello")).unwrap()).hex();
    let root = setting.trust_root();
    // somebody else's provenance came first
    let first = setting.at("store/provenance").join(format!("{sha}.sigstore.json"));
    fs::write(&first, "{}").unwrap();
    setting.build(0, "hello", "again", &["--no-cache"]);
    assert_eq!(fs::read_to_string(&first).unwrap(), "{}", "the first stays");
    let chained = format!(
        "inputs:\n  - name: hello\n    uri: \"build:hello\"\n    sha256: \"{sha}\"\n    built-by: local\ntargets:\n  second:\n    command: [sh, -c, \"cp /build/inputs/hello second\"]\n    outputs: [second]\n"
    );
    setting.commit(&[("portcullis.build.yaml", &setting.definition(&chained))]);
    setting.build(0, "second", "out", &["--trust-root", &root]);
    let bundle = setting.provenance("out/second.sigstore.json").dependencies[1].provenance.clone().unwrap();
    let again = attest::Digest::sha256(&fs::read(setting.at("again/hello.sigstore.json")).unwrap());
    assert_eq!(bundle, again, "the newest that verifies");
    // no lease keeps them for ever: outputs are swept like inputs, and the word of where they came from with them
    let store = setting.at("store");
    let input = setting.at("input");
    fs::write(&input, "input").unwrap();
    expect(0, &["builder", "put", path(&input), "--store", path(&store)]);
    let count = |folder: &str| fs::read_dir(store.join(folder)).unwrap().count();
    assert_eq!(count("sha256"), 3, "the toolchain, a file, and where it came from");
    #[allow(clippy::disallowed_methods, reason = "the builds of this test are of today")]
    let later = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 900 * 86_400).unwrap();
    expect(0, &["builder", "snapshots", "--store", path(&store), "--sweep", "--at", &later.to_string()]);
    assert_eq!((count("sha256"), count("outputs")), (0, 0));
}

/// Starts a build that sleeps, and waits until its sleep is a process: what it says before is no sign of that.
#[allow(
    clippy::zombie_processes,
    reason = "each caller waits for it; a test that fails ends with its process"
)]
fn sleeping(setting: &Setting, name: &str, word: &str) -> std::process::Child {
    let log = setting.at(&format!("{name}.log"));
    let args = setting.args("sleeps", "out", &["--log", path(&log)]);
    fs::create_dir_all(setting.at("tmp")).unwrap();
    let child = tools::portcullis_command()
        .args(args)
        .env("TMPDIR", setting.at("tmp"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..600 {
        if fs::read_to_string(&log).is_ok_and(|text| text.contains("asleep")) && is_asleep(word) {
            return child;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the build does not come to its sleep");
}

fn signal(child: &std::process::Child, name: &str) {
    Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
}

fn is_asleep(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|p| fs::read(p.path().join("cmdline")).ok()).any(|line| {
        let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
        words.len() == 3 && words[0].ends_with(b"sleep") && words[1] == word.as_bytes()
    })
}

#[test]
fn an_interrupted_build_leaves_nothing_and_signs_nothing() {
    let word = format!("301.{}", std::process::id());
    let definition = format!(
        "targets:\n  sleeps:\n    command: [sh, -c, \"mkdir closed; chmod 500 closed; echo asleep; sleep {word}; true\"]\n    outputs: [x]\n"
    );
    let setting = Setting::new(&definition);
    let folders = || fs::read_dir(setting.at("tmp")).unwrap().count();
    for name in ["-INT", "-TERM"] {
        let child = sleeping(&setting, name, &word);
        assert!(folders() > 0);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), 130, "{}", stderr(&output));
        assert!(stderr(&output).ends_with("error: interrupted; nothing was signed\n"), "{}", stderr(&output));
        assert_eq!(folders(), 0);
        assert!(!is_asleep(&word), "the sandbox is dead");
        assert_eq!(fs::read_dir(setting.at("out")).unwrap().count(), 0);
    }
    // nobody can clean up after a kill but the next build
    let mut child = sleeping(&setting, "-KILL", &word);
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert_eq!(folders(), 1);
    std::thread::sleep(std::time::Duration::from_secs(6));
    let child = sleeping(&setting, "after", &word);
    assert_eq!(folders(), 1, "its own");
    signal(&child, "-TERM");
    child.wait_with_output().unwrap();
    assert_eq!(folders(), 0);
}

#[test]
fn a_lock_file_that_was_made_for_something_else_is_refused() {
    let setting = Setting::new(&format!("lock: {{ cargo: Cargo.lock }}\n{PLAIN}"));
    let cargo =
        |version: &str| format!("version = 4\n\n[[package]]\nname = \"shop\"\nversion = \"{version}\"\n");
    setting.commit(&[("Cargo.lock", &cargo("0.1.0"))]);
    let (repository, store) = (setting.at("repository"), setting.at("store"));
    let lock = ["builder", "lock", path(&repository), "--store", path(&store)];
    expect(0, &lock);
    setting.commit(&[]);
    setting.build(0, "hello", "out", &[]);
    setting.commit(&[("Cargo.lock", &cargo("0.2.0"))]);
    let said = setting.build(2, "hello", "two", &[]);
    assert!(said.contains("portcullis.build.lock was made for another Cargo.lock"), "{said}");
    assert!(said.contains("run `portcullis builder lock`, and commit it"), "{said}");
    expect(1, &[lock.as_slice(), &["--check"]].concat());
    expect(0, &lock);
    setting.commit(&[]);
    setting.build(0, "hello", "two", &[]);
    // what the lock file does not depend on may change
    let definition = setting.definition(&format!("lock: {{ cargo: Cargo.lock }}\n{PLAIN}    time: 9m\n"));
    setting.commit(&[("portcullis.build.yaml", &definition)]);
    setting.build(0, "hello", "two", &[]);
    let definition = definition.replace("cargo: Cargo.lock", "cargo: ./Cargo.lock");
    setting.commit(&[("portcullis.build.yaml", &definition)]);
    let said = setting.build(2, "hello", "three", &[]);
    assert!(said.contains("made for another definition") || said.contains("./Cargo.lock"), "{said}");
}

#[test]
fn what_is_not_built_is_said_and_errors_begin_with_their_cause() {
    let setting = Setting::new(PLAIN);
    let commit = setting.git(&["rev-parse", "HEAD"]);
    fs::write(setting.at("repository/hello.c"), "int main(void) { return 1; }\n").unwrap();
    fs::write(setting.at("repository/new.c"), "").unwrap();
    let said = setting.build(0, "hello", "out", &[]);
    let note = format!("note: 2 changed files are not in commit {} and are not built", &commit[..12]);
    assert!(said.contains(&note) && said.contains(&format!("the commit {}", &commit[..12])), "{said}");
    let said = setting.build(2, "helo", "out", &[]);
    assert!(said.contains("error: there is no target `helo`\n") && said.contains("has hello\n"), "{said}");
    let said = setting.build(2, "hello", "out", &["--ref", &commit]);
    assert!(said.contains("wanted    a branch or tag"), "{said}");
    let said = setting.build(2, "helo", "out", &["--format", "json"]);
    assert!(said.contains("\"code\": \"no-such-target\""), "{said}");
    let said = expect(2, &["build", "--format", "json"]);
    assert!(said.contains("\"code\": \"usage\""), "{said}");
}
