//! `portcullis policy diff`: its words, its exit codes, and books at commits of real repositories.
//!
//! `GOLDEN=overwrite cargo test -p portcullis --test policy_diff` rewrites the expected words; read the diff.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tools::{code, portcullis_in, stderr, stdout};

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy-diff")
}

const RAILS: [&str; 4] =
    ["--guardrails-old", "old-guardrails.yaml", "--guardrails-new", "new-guardrails.yaml"];

#[test]
#[allow(clippy::disallowed_methods, reason = "a test's own settings")]
fn each_difference_and_each_refusal_has_its_words() {
    let commands: [(i32, &[&str]); 12] = [
        (1, &["old", "new", RAILS[0], RAILS[1], RAILS[2], RAILS[3]]),
        (1, &["new", "old", RAILS[0], RAILS[3], RAILS[2], RAILS[1]]),
        (1, &["old", "new", "--environment", "prod/tools"]),
        (1, &["old", "new", "--environment", "staging/*", "--format", "json"]),
        (0, &["old", "new", "--environment", "staging/shop", "--fail-on", "admits"]),
        (1, &["old", "new", "--at", "2019-01-01T00:00:00Z", "--environment", "prod/shop"]),
        (0, &["old", "old"]),
        (2, &["old", "new", "--environment", "test/shop"]),
        (2, &["old", "missing"]),
        (2, &["old", "old-guardrails.yaml"]),
        (2, &["old", "new", "--guardrails-new", "old-guardrails.yaml"]),
        (2, &["old", "new", "--from-git", "HEAD"]),
    ];
    let mut found = String::new();
    for (exit, args) in commands {
        let output = portcullis_in(&files(), &[&["policy", "diff"], args].concat());
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), exit, "{args:?}\n{text}");
        found.push_str(&format!("=== {} ({exit})\n{text}\n", args.join(" ")));
    }
    let golden = files().join("expected.txt");
    if std::env::var_os("GOLDEN").is_some_and(|v| v == "overwrite") {
        fs::write(&golden, &found).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert!(expected == found, "GOLDEN=overwrite rewrites it. Now:\n{found}");
}

/// A repository with a book at `policies/book` and guardrails beside it.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write("policies/book/shop.yaml", &policy("built-by: [ci]\n  tests: [unit]"));
        repository
            .write("policies/book/deeper/worker.yaml", &policy("signed-by: [ci]").replace("shop", "worker"));
        repository.write("policies/book/shop.test.yaml", "no policy");
        repository.write("policies/book/.hidden/x.yaml", "no policy");
        repository.write(
            "policies/guardrails.yaml",
            "guardrails:\n  - { name: g, environment: prod/shop, require: [tests] }\n",
        );
        repository.commit();
        repository
    }

    fn git(&self, args: &[&str]) {
        let who = ["-c", "user.name=a", "-c", "user.email=a@x", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").args(who).args(args).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }

    fn commit(&self) {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--message=x"]);
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// `portcullis policy diff` with these arguments: exit code, and everything that was said.
    fn diff(&self, args: &[&str]) -> (i32, String) {
        let output = portcullis_in(self.0.path(), &[&["policy", "diff"], args].concat());
        (code(&output), stdout(&output) + &stderr(&output))
    }
}

fn policy(require: &str) -> String {
    format!("environment: prod/shop\nartifact: registry.example/shop\nrequire:\n  {require}\n")
}

#[test]
fn a_book_is_compared_with_itself_at_a_commit() {
    let repository = Repository::new();
    let from_main = ["--from-git", "main", "policies/book", "--guardrails-new", "policies/guardrails.yaml"];
    assert_eq!(repository.diff(&from_main), (0, "2 environments: nothing changes\n".to_owned()));
    repository.write("policies/book/shop.yaml", &policy("built-by: [ci, other-ci]"));
    repository.write("policies/guardrails.yaml", "guardrails: []\n");
    let (exit, text) = repository.diff(&from_main);
    assert_eq!(exit, 1, "{text}");
    for line in
        ["built-by          what other-ci built", "tests             what has not passed the tests unit"]
    {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("leave out tests in prod/shop"), "{text}");
    assert!(text.ends_with("2 environments: newly admits in 1, 1 guardrail changes\n"), "{text}");
    // what was not there yet forbade nothing, and a policy that was not there admitted nothing
    repository
        .write("policies/more.yaml", "guardrails:\n  - { name: h, environment: prod/cron, mode: enforce }\n");
    repository.write("policies/book/cron.yaml", &policy("signed-by: [ci]").replace("shop", "cron"));
    let (exit, text) =
        repository.diff(&["--from-git", "HEAD", "policies/book", "--guardrails-new", "policies/more.yaml"]);
    assert_eq!(exit, 1, "{text}");
    assert!(text.contains("whatever book/cron.yaml lets through: no policy guarded it"), "{text}");
    assert!(text.contains("be in dry run in prod/cron"), "{text}");
}

#[test]
fn what_git_cannot_tell_is_said() {
    let repository = Repository::new();
    let says = |args: &[&str], words: &str| {
        let (exit, text) = repository.diff(args);
        assert_eq!(exit, 2, "{args:?}\n{text}");
        assert!(text.contains(words) && text.contains("fix"), "{args:?}\n{text}");
    };
    says(&["--from-git", "no-such-branch", "policies/book"], "git could not find the commit");
    // an option is no name of a commit
    says(&["--from-git=--all", "policies/book"], "git could not find the commit");
    says(&["--from-git", "main:policies", "policies/book"], "git could not find the commit");
    fs::create_dir(repository.0.path().join("fresh")).unwrap();
    says(&["--from-git", "main", "fresh"], "fresh had no policies at main");
    says(&["--from-git", "main", "missing"], "cannot read the book missing");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("shop.yaml"), policy("signed-by: [ci]")).unwrap();
    says(&["--from-git", "main", elsewhere.path().to_str().unwrap()], "git could not find the commit");
    // a link could have led anywhere
    std::os::unix::fs::symlink("shop.yaml", repository.0.path().join("policies/book/link.yaml")).unwrap();
    repository.commit();
    fs::remove_file(repository.0.path().join("policies/book/link.yaml")).unwrap();
    says(&["--from-git", "main", "policies/book"], "link.yaml was no file at main");
    assert_eq!(repository.diff(&["--from-git", "main~1", "policies/book"]).0, 0);
    let noise = repository.0.path().join("policies/book/shop.yaml");
    fs::write(&noise, [0xff, 0xfe, 0x00]).unwrap();
    repository.commit();
    fs::write(&noise, policy("signed-by: [ci]")).unwrap();
    says(&["--from-git", "main", "policies/book"], "shop.yaml at main");
}
