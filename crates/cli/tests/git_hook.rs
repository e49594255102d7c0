//! The hook in a real repository: what it refuses, by rule and reason, and what it takes.

mod hook;
mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use hook::Forge;
use tools::{cache, expect, part, path};

const MAIN: &str = "HEAD:refs/heads/main";

#[test]
fn a_commit_lands_with_a_review_and_not_without() {
    let forge = Forge::new("");
    let base = forge.main();
    let tip = forge.commit("alice", "a", "1");
    forge.push(&[MAIN]).refused(
        "source-reviewed",
        &["nobody has approved the source", "hook.yaml:5:14", "git hash-object -w review.json", &tip],
    );
    assert_eq!(forge.main(), base);
    // the review comes with the commit
    let review = forge.review("bob", &tip, &["--base", &base]);
    forge.push(&[MAIN, &review]).taken();
    assert_eq!(forge.main(), tip);
    // or before it
    let next = forge.commit("bob", "a", "2");
    let review = forge.review("alice", &next, &["--base", &tip]);
    forge.push(&[&review]).taken();
    forge.push(&[MAIN]).taken();
    assert_eq!(forge.main(), next);
    // another branch is nobody's business
    forge.commit("alice", "a", "3");
    forge.push(&["HEAD:refs/heads/feature"]).taken();
    // whole trees are reviewed too, and trees as a step from where the branch is
    let tip = forge.commit("alice", "a", "4");
    let review = forge.review("bob", &tip, &[]);
    forge.push(&[MAIN, &review]).taken();
    let last = forge.commit("alice", "a", "5");
    let tree = forge.git("work", &["rev-parse", "HEAD^{tree}"]);
    let review = forge.review("bob", &format!("gitTree:{tree}"), &["--base", &tip]);
    forge.push(&[MAIN, &review]).taken();
    assert_eq!(forge.main(), last);
}

#[test]
fn who_wrote_a_part_of_it_does_not_approve_it() {
    let forge = Forge::new("");
    let base = forge.main();
    let tip = forge.commit("alice", "a", "1");
    let own = forge.review("alice", &tip, &["--base", &base]);
    forge.push(&[MAIN, &own]).refused(
        "source-reviewed",
        &["the people who approved the source also wrote it", "alice wrote part of it"],
    );
    // an earlier commit of the push counts, a committer does, and so does a co-author wherever the line stands
    let second = forge.commit("bob", "a", "2");
    let own = forge.review("alice", &second, &["--base", &base]);
    forge.push(&[MAIN, &own]).refused("source-reviewed", &["alice wrote part of it"]);
    let third = forge.commit_staged("bob", "x\n\nco-authored-by: C <Carol@acme.example>\n\nand more");
    let carol = forge.review("carol", &third, &["--base", &base]);
    forge.push(&[MAIN, &carol]).refused("source-reviewed", &["carol wrote part of it"]);
    // a stranger is nobody, and may be anybody
    forge.git("work", &["reset", "--quiet", "--hard", &base]);
    let tip = forge.commit("mallory", "a", "1");
    let review = forge.review("bob", &tip, &["--base", &base]);
    forge
        .push(&[MAIN, &review])
        .refused("source-reviewed", &["an author is nobody the trust root knows", "mallory@acme.example"]);
}

#[test]
fn a_review_counts_for_this_repository_this_commit_and_this_base() {
    let forge = Forge::new("");
    let base = forge.main();
    let tip = forge.commit("alice", "a", "1");
    let fork =
        forge.review("bob", &tip, &["--repository", "https://git.example/mallory/shop", "--base", &base]);
    forge.push(&[MAIN, &fork]).refused("source-reviewed", &["it is for https://git.example/mallory/shop"]);
    // a review since an older commit does not show what the branch has now
    let review = forge.review("bob", &tip, &["--base", &base]);
    forge.push(&[MAIN, &review]).taken();
    let next = forge.commit("alice", "a", "2");
    let stale = forge.review("bob", &next, &["--base", &base]);
    forge
        .push(&[MAIN, &stale])
        .refused("source-reviewed", &[&format!("it is since {base}"), &format!("the branch is at {tip}")]);
    // a tree that was approved once may not come back and take away what was mended since
    let tree = forge.git("work", &["rev-parse", &format!("{base}^{{tree}}")]);
    forge.git("work", &["reset", "--quiet", "--hard", &tip]);
    forge.git("work", &["read-tree", &tree]);
    let back = forge.commit_staged("alice", "back");
    assert_eq!(forge.git("work", &["rev-parse", &format!("{back}^{{tree}}")]), tree);
    let old = forge.review("bob", &format!("gitTree:{tree}"), &[]);
    forge.push(&[MAIN, &old]).refused("source-reviewed", &["of a tree alone"]);
}

#[test]
fn only_what_is_a_review_of_the_commit_is_carried() {
    let forge = Forge::new("");
    let tip = forge.commit("alice", "a", "1");
    let noise = forge.at("noise");
    fs::write(&noise, "{}").unwrap();
    let noise = forge.carry(&noise, &tip, "x");
    forge.push(&[MAIN, &noise]).refused_by_two("review-readable", "source-reviewed");
    let stranger = forge.review("stranger", &tip, &[]);
    forge.push(&[&stranger]).refused("review-readable", &["no signature on it verifies"]);
    let tester = forge.review("tester", &tip, &[]);
    forge.push(&[&tester]).refused("review-readable", &["signed by tester, who is no reviewer"]);
    let other = forge.review("bob", &forge.main(), &[]);
    forge.push(&[&other]).refused("review-readable", &["a review of another commit"]);
    let commit = format!("HEAD:refs/portcullis/reviews/{tip}/x");
    forge.push(&[&commit]).refused("review-readable", &["it is no blob"]);
    // what is there stays
    let good = forge.review("bob", &tip, &[]);
    forge.push(&[&good]).taken();
    let name = good.split_once(':').unwrap().1;
    let again = forge.review("carol", &tip, &[]);
    let blob = again.split_once(':').unwrap().0;
    forge.push(&[&format!("+{blob}:{name}")]).refused("review-kept", &["a change"]);
    forge.push(&[&format!(":{name}")]).refused("review-kept", &["a deletion"]);
}

#[test]
fn history_is_kept() {
    let forge = Forge::new("");
    let base = forge.main();
    let tip = forge.commit("alice", "a", "1");
    let review = forge.review("bob", &tip, &["--base", &base]);
    forge.push(&[MAIN, &review, "HEAD:refs/tags/v1"]).taken();
    forge.push(&["--force", &format!("{base}:refs/heads/main")]).refused("branch-forward", &[&base, &tip]);
    // reviewed or not, another history is another
    forge.git("work", &["reset", "--quiet", "--hard", &base]);
    let other = forge.commit("alice", "b", "1");
    let review = forge.review("bob", &other, &["--base", &base]);
    forge.push(&["--force", MAIN, &review]).refused("branch-forward", &["a commit that continues"]);
    forge.push(&[":refs/heads/main"]).refused("branch-kept", &["its deletion"]);
    forge.push(&["--force", "HEAD:refs/tags/v1"]).refused("tag-kept", &["a move from"]);
    forge.push(&[":refs/tags/v1"]).refused("tag-kept", &["its deletion"]);
    assert_eq!(forge.main(), tip);
    // one ref that is refused refuses all
    let next = forge.review("bob", &tip, &[]);
    assert!(!forge.push(&["HEAD:refs/heads/feature", &next, ":refs/tags/v1"]).taken);
    assert!(!forge.run("server.git", &["rev-parse", "--verify", "refs/heads/feature"]).status.success());
}

#[test]
fn a_new_protected_branch_needs_a_review_too() {
    let forge = Forge::new("");
    let base = forge.main();
    let release = "HEAD:refs/heads/release/1";
    forge.push(&[release]).refused("source-reviewed", &["nobody has approved"]);
    let tip = forge.commit("alice", "a", "1");
    let review = forge.review("bob", &tip, &["--base", &base]);
    forge.push(&[release, &review]).taken();
    // it is more than one segment, so it is not protected
    forge.push(&["HEAD:refs/heads/release/1x/y"]).taken();
    // what one person approved for main is not what two approve
    forge.configure("protected:\n- branches: [main]\n  approvals: 1\n- branches: [strict]\n  approvals: 2\n");
    let carol = forge.review("carol", &tip, &["--base", &base]);
    forge
        .push(&["HEAD:refs/heads/strict", &carol])
        .refused("source-reviewed", &["nothing was reviewed before", "nobody has approved"]);
    let (bob, carol) = (forge.review("bob", &tip, &[]), forge.review("carol", &tip, &[]));
    let authority =
        forge.review("forge", &tip, &["--author", "alice@acme.example", "--reviewer", "bob@acme.example"]);
    forge
        .push(&["HEAD:refs/heads/strict", &bob, &authority])
        .refused("source-reviewed", &["too few people", "1 of 2"]);
    forge.push(&["HEAD:refs/heads/strict", &bob, &carol]).taken();
}

#[test]
fn names_that_stand_for_others_are_refused() {
    let forge = Forge::new("");
    forge.commit("alice", "a", "1");
    forge.git("server.git", &["symbolic-ref", "refs/heads/open", "refs/heads/main"]);
    forge.push(&["HEAD:refs/heads/open"]).refused("ref-direct", &["refs/heads/open is refs/heads/main"]);
    forge.git("server.git", &["symbolic-ref", "refs/tags/open", "refs/heads/main"]);
    forge
        .push(&["--force", "HEAD:refs/tags/open"])
        .refused("ref-direct", &["refs/tags/open is refs/heads/main"]);
    forge
        .push(&["HEAD:refs/replace/1111111111111111111111111111111111111111"])
        .refused("ref-known", &["is not taken"]);
    forge.push(&["HEAD:refs/namespaces/x/refs/heads/main"]).refused("ref-known", &["is not taken"]);
    forge.push(&["HEAD:refs/heads/ma\u{202e}in"]).refused("ref-readable", &["not seen"]);
    let tree = forge.git("work", &["rev-parse", "HEAD^{tree}"]);
    forge.push(&[&format!("{tree}:refs/tags/tree")]).refused("ref-commit", &["no commit"]);
    // a protected branch that is another one would be moved by its name
    forge.push(&["HEAD:refs/heads/trunk"]).taken();
    forge.git("server.git", &["symbolic-ref", "refs/heads/release/2", "refs/heads/trunk"]);
    forge.commit("alice", "a", "2");
    forge
        .push(&["HEAD:refs/heads/trunk"])
        .undecided(&["stands for one that is not protected", "refs/heads/release/2 is refs/heads/trunk"]);
}

#[test]
fn replaced_objects_and_missing_files_hide_nothing() {
    let forge = Forge::new("");
    let base = forge.main();
    // the server's own replace refs say that alice's commit is bob's: the bytes of the id count
    let tip = forge.commit("alice", "a", "1");
    forge.push(&["HEAD:refs/heads/feature"]).taken();
    forge.git("work", &["reset", "--quiet", "--hard", &base]);
    let faked = forge.commit("bob", "a", "1");
    forge.push(&["HEAD:refs/heads/faked"]).taken();
    forge.git("server.git", &["replace", &tip, &faked]);
    forge.git("work", &["reset", "--quiet", "--hard", &tip]);
    let own = forge.review("alice", &tip, &["--base", &base]);
    forge.push(&[MAIN, &own]).refused("source-reviewed", &["alice wrote part of it"]);
    fs::remove_file(forge.at("root.yaml")).unwrap();
    forge.push(&[MAIN]).undecided(&["cannot read the trust root"]);
    fs::write(forge.at("hook.yaml"), "protected: []\n").unwrap();
    assert!(!forge.push(&[MAIN]).taken);
    assert_eq!(forge.main(), base);
}

#[test]
fn more_than_is_looked_at_is_refused_in_time() {
    let forge = Forge::new("");
    let tip = forge.tip();
    let refs: String = (0..10_000).map(|n| format!("create refs/heads/x/{n} {tip}\n")).collect();
    fs::write(forge.at("refs"), refs).unwrap();
    let begun = Instant::now();
    let input = fs::File::open(forge.at("refs")).unwrap();
    let made = std::process::Command::new("git")
        .args(["update-ref", "--stdin"])
        .stdin(input)
        .current_dir(forge.at("work"))
        .status();
    assert!(made.unwrap().success());
    forge.push(&["refs/heads/x/*:refs/heads/x/*"]).refused("push-bounded", &["at most 1000 refs"]);
    // a history that is too long is not read; a hundred megabytes are git's to refuse
    forge.git("server.git", &["config", "receive.maxInputSize", "1m"]);
    let mut noise = 88_172_645_463_325_252_u64;
    let bytes = (0..4_000_000).map(|_| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        (noise >> 32) as u8
    });
    fs::write(forge.at("work/huge"), bytes.collect::<Vec<_>>()).unwrap();
    forge.git("work", &["add", "--all"]);
    forge.commit_staged("alice", "huge");
    let pushed = forge.push(&[MAIN]);
    assert!(!pushed.taken && pushed.said.contains("exceeds maximum"), "{}", pushed.said);
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_long_history_is_refused() {
    let forge = Forge::new("");
    let base = forge.main();
    let stream: String = (0..10_050)
        .map(|n| {
            let from = if n == 0 { format!("from {base}\n") } else { String::new() };
            format!("commit refs/heads/long\ncommitter a <alice@acme.example> {n} +0000\ndata 1\nx\n{from}\n")
        })
        .collect();
    fs::write(forge.at("stream"), stream).unwrap();
    let input = fs::File::open(forge.at("stream")).unwrap();
    let made = std::process::Command::new("git")
        .args(["fast-import", "--quiet"])
        .stdin(input)
        .current_dir(forge.at("work"))
        .status();
    assert!(made.unwrap().success());
    forge.push(&["long:refs/heads/main"]).undecided(&["more commits than are read at once", "at most 10000"]);
}

#[test]
fn commits_are_signed_where_that_is_asked() {
    let forge = Forge::new("  signed: true\n");
    let base = forge.main();
    let tip = forge.commit("alice", "a", "1");
    let review = forge.review("bob", &tip, &["--base", &base]);
    forge.push(&[MAIN, &review]).refused("commit-signed", &["not signed", "hook.yaml:6:11"]);
    // with alice's own key, in her name
    let ssh = forge.at("ssh");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", path(&ssh)])
        .status();
    assert!(made.unwrap().success());
    let public = fs::read_to_string(forge.at("ssh.pub")).unwrap();
    let public: Vec<&str> = public.split(' ').take(2).collect();
    let root = fs::read_to_string(forge.at("root.yaml")).unwrap();
    let alice = root.find("  alice:\n").unwrap();
    let keys = alice + root[alice..].find("    keys:\n").unwrap() + "    keys:\n".len();
    let root = format!("{}      - key: \"{}\"\n{}", &root[..keys], public.join(" "), &root[keys..]);
    fs::write(forge.at("root.yaml"), root).unwrap();
    let signing = format!("user.signingkey={}", path(&ssh));
    let commit = |who: &str| {
        let (name, email) = (format!("user.name={who}"), format!("user.email={who}@acme.example"));
        let who = ["-c", &name, "-c", &email, "-c", "gpg.format=ssh", "-c", &signing];
        forge.git(
            "work",
            &[&who[..], &["commit", "--quiet", "--amend", "--no-edit", "--reset-author", "-S"]].concat(),
        );
        forge.tip()
    };
    let borrowed = commit("bob");
    let review = forge.review("carol", &borrowed, &["--base", &base]);
    let reason = "signed by alice, and committed by bob@acme.example";
    forge.push(&[MAIN, &review]).refused("commit-signed", &[reason]);
    let signed = commit("alice");
    let review = forge.review("bob", &signed, &["--base", &base]);
    forge.push(&[MAIN, &review]).taken();
}

/// A scanner of the test's own: it prints what it is told to.
fn scanner(forge: &Forge, script: &str) {
    let file = forge.at("scanner");
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    forge.configure(&format!(
        "protected:\n- branches: [main]\n  approvals: 1\nsecrets:\n  command: [{}, \"{{commits}}\"]\n  found: 7\n  within: 2s\n",
        path(&file)
    ));
}

#[test]
fn a_scanner_that_does_not_work_is_no_clean_scan() {
    let forge = Forge::new("");
    let push = || forge.push(&["HEAD:refs/heads/feature"]);
    forge.commit("alice", "a", "1");
    for (script, reason) in [
        ("exit 0", "exit code 0, and no report"),
        ("echo '{}'", "exit code 0, and no report"),
        ("echo '[]'; exit 1", "exit code 1"),
        ("echo '[]'; kill -9 $$", "a signal"),
        ("sleep 60 & echo '[]'; wait", "did not end in time"),
        ("yes", "printed more than"),
    ] {
        scanner(&forge, script);
        let begun = Instant::now();
        push().undecided(&["cannot be decided whether secrets", reason]);
        assert!(begun.elapsed() < Duration::from_secs(20), "{script}");
    }
    fs::remove_file(forge.at("scanner")).unwrap();
    push().undecided(&["cannot be started"]);
    scanner(&forge, "exit 7");
    push().refused("secrets-absent", &["does not say where"]);
    scanner(
        &forge,
        r#"echo '[{"RuleID":"key","File":"a\u001b[2J","StartLine":3,"Commit":"12","Secret":"hunter2"}]'"#,
    );
    let pushed = push();
    pushed.refused("secrets-absent", &[":3 in commit 12, by the scanner's rule key"]);
    assert!(!pushed.said.contains("hunter2") && !pushed.said.contains('\u{1b}'), "{}", pushed.said);
    // it sees what is pushed while git keeps it apart, and nothing else
    scanner(&forge, "git log --format=%H $1 > \"$(dirname $0)/seen\" && echo '[]'");
    push().taken();
    assert_eq!(fs::read_to_string(forge.at("seen")).unwrap().trim(), forge.tip());
}

#[test]
fn gitleaks_finds_a_secret_before_it_lands() {
    let Some(gitleaks) = part("gitleaks", cache("tools/gitleaks")) else { return };
    let forge = Forge::new("");
    let command = format!(
        "[{}, git, --no-banner, --log-level=error, --redact, --ignore-gitleaks-allow, --exit-code=7, \
         --report-format=json, --report-path=-, \"--log-opts=--full-history --diff-merges=first-parent {{commits}}\", .]",
        path(&gitleaks)
    );
    forge.configure(&format!(
        "protected:\n- branches: [main]\n  approvals: 1\nsecrets:\n  command: {command}\n  found: 7\n"
    ));
    forge.commit("alice", "a", "nothing\n");
    forge.push(&["HEAD:refs/heads/feature"]).taken();
    // made here, so that no scanner of this repository's finds it
    let secret = format!("ghp_{}", "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xY5zA7".chars().rev().collect::<String>());
    let tip = forge.commit("alice", "shop.env", &format!("x=1\nTOKEN={secret} # gitleaks:allow\n"));
    // a later commit that takes it out leaves it in the history
    fs::remove_file(forge.at("work/shop.env")).unwrap();
    forge.git("work", &["add", "--all"]);
    forge.commit_staged("alice", "take it out");
    let pushed = forge.push(&["HEAD:refs/heads/feature"]);
    pushed.refused("secrets-absent", &["shop.env:2", &tip[..12], "github-pat"]);
    assert!(!pushed.said.contains(&secret), "{}", pushed.said);
    // a merge that hides it in itself alone
    forge.git("work", &["reset", "--quiet", "--hard", "HEAD~2"]);
    forge.git("work", &["checkout", "--quiet", "-b", "side", "HEAD~1"]);
    forge.commit("alice", "b", "1\n");
    forge.git("work", &["checkout", "--quiet", "main"]);
    forge.git(
        "work",
        &[
            "-c",
            "user.name=a",
            "-c",
            "user.email=alice@acme.example",
            "merge",
            "--quiet",
            "--no-commit",
            "--no-ff",
            "side",
        ],
    );
    fs::write(forge.at("work/evil.env"), format!("TOKEN={secret}\n")).unwrap();
    forge.git("work", &["add", "--all"]);
    forge.commit_staged("alice", "merge");
    forge.push(&["HEAD:refs/heads/feature"]).refused("secrets-absent", &["evil.env:1"]);
}

#[test]
fn programs_get_one_document() {
    let forge = Forge::new("");
    let config = forge.at("hook.yaml");
    let run = |line: &str| {
        let mut child = tools::portcullis_command();
        child.args(["git-hook", "pre-receive", "--format", "json", "--config", path(&config)]);
        child
            .current_dir(forge.at("server.git"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut child = child.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), line.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (tools::code(&output), tools::stdout(&output))
    };
    let (zero, main) = ("0".repeat(40), forge.main());
    let (code, said) = run(&format!("{main} {zero} refs/heads/main\n"));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(r#""rule": "branch-kept""#) && said.contains(r#""admitted": false"#), "{said}");
    let (code, said) = run("");
    assert_eq!((code, said.contains(r#""admitted": true"#)), (0, true), "{said}");
    fs::remove_file(&config).unwrap();
    assert_eq!(run("").0, 2);
    expect(2, &["git-hook", "pre-receive"]);
}

impl hook::Pushed {
    /// Refused by two rules, in this order or the other.
    fn refused_by_two(&self, one: &str, other: &str) {
        assert!(!self.taken);
        for rule in [one, other] {
            assert!(self.said.contains(&format!("error[{rule}]")), "{}", self.said);
        }
    }
}
