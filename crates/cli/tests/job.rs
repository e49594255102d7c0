//! `attest build`: honest provenance of a job, and policies that tell it from what a sandbox built.

mod builds;
mod tools;

use std::fs;
use std::path::Path;
use std::process::Command;

use builds::{Builds, JENKINS, build};
use tools::{code, portcullis_in, stderr, stdout};

const COMMIT: &str = "4f2a4f2a4f2a4f2a4f2a4f2a4f2a4f2a4f2a4f2a";

/// Runs in the folder of the builds.
fn run(builds: &Builds, exit: i32, args: &[&str]) -> String {
    let output = portcullis_in(builds.dir.path(), args);
    let text = stdout(&output) + &stderr(&output);
    assert_eq!(code(&output), exit, "{args:?}\n{text}");
    text
}

/// A job's attestation of `shop`, with more arguments.
fn job(builds: &Builds, exit: i32, more: &[&str]) -> String {
    fs::write(builds.at("shop"), "the shop").unwrap();
    let args = ["attest", "build", "shop", "--key", "jenkins.key", "--builder-id", JENKINS];
    let source =
        ["--repository", "https://github.com/acme/shop", "--ref", "refs/heads/main", "--commit", COMMIT];
    run(builds, exit, &[&args[..], &source, more].concat())
}

/// A verdict about `shop` under a policy.
fn verify(builds: &Builds, exit: i32, require: &str) -> String {
    fs::create_dir_all(builds.at("book")).unwrap();
    let policy = format!(
        "environment: prod/shop\nartifact: shop\nmode: enforce\nrequire:\n{require}on-outage: reject\n"
    );
    fs::write(builds.at("book/shop.yaml"), policy).unwrap();
    let args = ["verify", "shop", "--environment", "prod/shop", "--bundle", "shop.sigstore.json"];
    run(builds, exit, &[&args[..], &["--book", "book", "--trust-root", "trust-root.yaml"]].concat())
}

#[test]
fn a_policy_that_lists_the_job_admits_it_and_no_other_policy_does() {
    let builds = Builds::new();
    job(&builds, 0, &["--target", "shop", "--parameter", "flavour=release"]);
    let source = "  source: { repository: https://github.com/acme/shop, branch: main }\n  target: shop\n";
    let parameters = "  parameters: { flavour: release }\n";
    verify(&builds, 0, &format!("  built-by: [jenkins]\n{source}{parameters}"));
    // what no sandbox vouches for is not hermetic, whatever the policy's builder is
    let text = verify(&builds, 1, &format!("  built-by: [jenkins]\n{parameters}  hermetic: true\n"));
    assert!(text.contains("error[hermetic]: the build does not claim to be hermetic"), "{text}");
    // the isolated builder alone: both are named
    let text = verify(&builds, 1, &format!("  built-by: [official-ci]\n{parameters}"));
    assert!(text.contains("error[built-by]: built by another builder than the policy allows"), "{text}");
    assert!(text.contains("wanted    provenance, signed by official-ci"), "{text}");
    assert!(text.contains("found     provenance, signed by jenkins"), "{text}");
    // the parameters are external: a policy that lists none refuses
    let text = verify(&builds, 1, "  built-by: [jenkins]\n");
    assert!(text.contains("flavour"), "{text}");
}

#[test]
fn a_job_cannot_pass_for_the_builder_with_a_sandbox() {
    let builds = Builds::new();
    // the tool refuses to write it
    for id in [
        "https://ci.acme.example/builders/official",
        "/non-isolated",
        "x://y/non-isolated/",
        "a://b/non-isolated\n",
    ] {
        fs::write(builds.at("shop"), "the shop").unwrap();
        let source =
            ["--repository", "https://github.com/acme/shop", "--ref", "refs/heads/main", "--commit", COMMIT];
        let args = ["attest", "build", "shop", "--key", "jenkins.key", "--builder-id", id];
        let text = run(&builds, 2, &[&args[..], &source].concat());
        assert!(
            text.contains("does not say that nothing is isolated") && text.contains("/non-isolated"),
            "{text}"
        );
        assert!(text.contains("  fix       --builder-id "), "{text}");
    }
    // and a trust root refuses it where another tool wrote it
    builds.forged("shop", &build(1, &[]));
    fs::write(builds.at("shop"), "shop").unwrap();
    let text = verify(&builds, 1, "  built-by: [jenkins]\n  parameters: { flavour: release }\n");
    assert!(text.contains("claims a builder that jenkins may not speak for"), "{text}");
}

#[test]
fn the_token_and_the_bundle_are_one_record() {
    let builds = Builds::new();
    let more = ["--invocation", "https://jenkins.example/job/7", "--started", "2026-11-22T09:00:00Z"];
    let inputs = format!("--dependency=https://x.example/a?b=c=sha256:{}", "ab".repeat(32));
    let text =
        job(&builds, 0, &[&more[..], &["--finished", "2026-11-22T09:05:00Z", "--jwt", &inputs]].concat());
    assert_eq!(text, "shop.sigstore.json\nshop.provenance.jwt\n");
    let trust = ["--trust-root", "trust-root.yaml"];
    run(&builds, 0, &[&["open", "shop.provenance.jwt", "shop"], &trust[..]].concat());
    let text = run(
        &builds,
        0,
        &[&["open", "--diff", "shop.sigstore.json", "shop.provenance.jwt"], &trust[..]].concat(),
    );
    assert_eq!(text.lines().next().unwrap(), "nothing changed", "{text}");
    assert!(text.contains("https://x.example/a?b=c"), "{text}");
    // nothing is overwritten, and then nothing is written
    fs::remove_file(builds.at("shop.sigstore.json")).unwrap();
    let text = job(&builds, 2, &["--jwt"]);
    assert!(text.contains("shop.provenance.jwt is there already"), "{text}");
    assert!(!builds.path("shop.sigstore.json").exists());
}

#[test]
fn what_cannot_be_said_is_refused_with_how_to_mend_it() {
    let builds = Builds::new();
    for (more, word) in [
        (vec!["--parameter", "flavour"], "NAME=VALUE"),
        (vec!["--parameter", "a=1", "--parameter", "a=2"], "every name once"),
        (vec!["--parameter", "dirty=false"], "--dirty"),
        (vec!["--parameter", "api_token=hunter2"], "looks like a secret"),
        (vec!["--invocation", "https://me:hunter2@jenkins.example/7"], "looks like a secret"),
        (vec!["--dependency", "https://x.example/a"], "URI=sha256:HEX"),
        (vec!["--dependency", "https://x.example/a=sha256:12"], "URI=sha256:HEX"),
        (vec!["--started", "2026-11-22T09:00:00Z", "--finished", "2026-11-22T08:00:00Z"], "before it began"),
        (vec!["--started", "yesterday"], "the time cannot be read"),
    ] {
        let text = job(&builds, 2, &more);
        assert!(text.contains(word) && !text.contains("hunter2"), "{more:?}\n{text}");
        assert!(!builds.path("shop.sigstore.json").exists(), "{more:?}");
    }
    let args = ["attest", "build", "shop", "--key", "jenkins.key", "--builder-id", JENKINS];
    for (repository, reference, commit, word) in [
        ("https://me:x@github.com/acme/shop", "refs/heads/main", COMMIT, "without a user"),
        ("git@github.com:acme/shop", "refs/heads/main", COMMIT, "without a user"),
        ("https://github.com/acme/shop", "main", COMMIT, "refs/heads/main"),
        ("https://github.com/acme/shop", "refs/heads/main", "4f2a", "git rev-parse HEAD"),
    ] {
        let source = ["--repository", repository, "--ref", reference, "--commit", commit];
        let text = run(&builds, 2, &[&args[..], &source].concat());
        assert!(text.contains(word), "{text}");
    }
}

fn git(dir: &Path, args: &[&str]) {
    let name = ["-c", "user.name=Alice", "-c", "user.email=alice@acme.example"];
    let status = Command::new("git").arg("-C").arg(dir).args(name).args(args).status().unwrap();
    assert!(status.success(), "{args:?}");
}

#[test]
fn git_tells_what_was_built_and_a_dirty_tree_is_refused() {
    let builds = Builds::new();
    let tree = builds.path("tree");
    fs::create_dir(&tree).unwrap();
    git(&tree, &["init", "-q", "-b", "main"]);
    fs::write(tree.join("main.c"), "int main() {}").unwrap();
    git(&tree, &["add", "."]);
    git(&tree, &["commit", "-qm", "one"]);
    git(&tree, &["remote", "add", "origin", "https://gitlab-ci-token:hunter2@gitlab.example/acme/shop.git"]);
    fs::write(tree.join("shop"), "the shop").unwrap();
    let attest = |exit, more: &[&str]| {
        let args = ["attest", "build", "tree/shop", "--from-git", "tree", "--key", "jenkins.key"];
        run(&builds, exit, &[&args[..], &["--builder-id", JENKINS], more].concat())
    };
    // the artifact is no change of the source, and neither is what is written beside it
    attest(0, &[]);
    let json = run(
        &builds,
        0,
        &[
            "--format",
            "json",
            "open",
            "--diff",
            "tree/shop.sigstore.json",
            "tree/shop.sigstore.json",
            "--trust-root",
            "trust-root.yaml",
        ],
    );
    assert!(json.contains("\"https://gitlab.example/acme/shop.git\"") && !json.contains("hunter2"), "{json}");
    assert!(
        json.contains("refs/heads/main")
            && json.contains("gitCommit:")
            && json.contains("alice@acme.example"),
        "{json}"
    );
    fs::remove_file(tree.join("shop.sigstore.json")).unwrap();
    // a change, and a file beside
    fs::write(tree.join("main.c"), "int main() { return 1; }").unwrap();
    let text = attest(2, &[]);
    assert!(
        text.contains("is not what the commit says") && text.contains("main.c") && text.contains("--dirty"),
        "{text}"
    );
    git(&tree, &["checkout", "-q", "main.c"]);
    fs::write(tree.join("beside.c"), "").unwrap();
    assert!(attest(2, &[]).contains("beside.c"));
    attest(0, &["--dirty"]);
    let json = run(
        &builds,
        0,
        &[
            "--format",
            "json",
            "open",
            "--graph",
            "tree/shop.sigstore.json",
            "--trust-root",
            "trust-root.yaml",
        ],
    );
    assert!(json.contains(JENKINS), "{json}");
    let bundle = "tree/shop.sigstore.json";
    let text = run(&builds, 0, &["open", "--diff", bundle, bundle, "--trust-root", "trust-root.yaml"]);
    assert!(text.contains("parameter dirty") && text.contains("true"), "{text}");
    fs::remove_file(tree.join("shop.sigstore.json")).unwrap();
    // a shallow clone would show its oldest commit as the first one ever
    git(&tree, &["commit", "-q", "--allow-empty", "-m", "two"]);
    let shallow = format!("file://{}", builds.at("tree"));
    git(builds.dir.path(), &["clone", "-q", "--depth", "1", &shallow, "shallow"]);
    fs::write(builds.at("shallow/shop"), "the shop").unwrap();
    let args = ["attest", "build", "shallow/shop", "--from-git", "shallow", "--key", "jenkins.key"];
    run(&builds, 0, &[&args[..], &["--builder-id", JENKINS]].concat());
    let bundle = "shallow/shop.sigstore.json";
    let trust = ["--trust-root", "trust-root.yaml"];
    let json =
        run(&builds, 0, &[&["--format", "json", "open", "--diff", bundle, bundle], &trust[..]].concat());
    assert!(json.contains("gitCommit:") && !json.contains("alice@acme.example"), "{json}");
    // CI systems check out a commit and no branch
    fs::remove_file(tree.join("beside.c")).unwrap();
    git(&tree, &["checkout", "-q", "--detach"]);
    assert!(attest(2, &[]).contains("give --ref refs/heads/NAME"));
    attest(0, &["--ref", "refs/heads/main"]);
}

#[test]
fn every_file_gets_its_own_bundle_and_a_folder_none() {
    let builds = Builds::new();
    fs::create_dir(builds.at("dist")).unwrap();
    for name in ["a", "b", "dist/a"] {
        fs::write(builds.at(name), name).unwrap();
    }
    let source =
        ["--repository", "https://github.com/acme/shop", "--ref", "refs/tags/v1", "--commit", COMMIT];
    let attest = |exit, files: &[&str], more: &[&str]| {
        let key = ["--key", "jenkins.key", "--builder-id", JENKINS];
        run(&builds, exit, &[&["attest", "build"], files, &source[..], &key, more].concat())
    };
    assert!(attest(2, &["a", "dist"], &[]).contains("make an archive of a folder first"));
    assert!(attest(2, &["a", "dist/a"], &["--out", "out"]).contains("two files would have the bundle"));
    attest(0, &["a", "b"], &["--out", "out"]);
    for (name, exit) in [("a", 0), ("b", 1)] {
        run(&builds, exit, &["open", "out/a.sigstore.json", name, "--trust-root", "trust-root.yaml"]);
    }
}
