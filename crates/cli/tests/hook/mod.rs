//! A real bare repository with the hook, and people who push to it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::tools::{expect, path};

pub const REPOSITORY: &str = "https://git.example/acme/shop";

pub struct Forge(tempfile::TempDir);

/// What came of a push.
pub struct Pushed {
    pub taken: bool,
    pub said: String,
}

impl Pushed {
    /// Refused by this rule and no other, for these reasons.
    pub fn refused(&self, rule: &str, reasons: &[&str]) {
        assert!(!self.taken, "taken:\n{}", self.said);
        let rules: Vec<&str> =
            self.said.lines().filter_map(|l| l.split_once("error[")?.1.split(']').next()).collect();
        assert_eq!(rules, [rule], "{}", self.said);
        for reason in reasons {
            assert!(self.said.contains(reason), "wanted `{reason}` in\n{}", self.said);
        }
    }

    /// Refused because nobody can tell.
    pub fn undecided(&self, reasons: &[&str]) {
        assert!(!self.taken && !self.said.contains("error["), "{}", self.said);
        for reason in reasons {
            assert!(self.said.contains(reason), "wanted `{reason}` in\n{}", self.said);
        }
    }

    pub fn taken(&self) {
        assert!(self.taken, "{}", self.said);
    }
}

impl Forge {
    /// A repository with one commit on `main`, made before there was a hook, and alice, bob and carol, who are reviewers.
    pub fn new(extra: &str) -> Self {
        let forge = Self(tempfile::tempdir().unwrap());
        for name in ["alice", "bob", "carol", "forge", "stranger", "tester"] {
            expect(0, &["keygen", "--no-passphrase", "--algorithm", "ed25519", path(&forge.at(name))]);
        }
        fs::write(forge.at("root.yaml"), forge.root()).unwrap();
        forge.configure(&format!("protected:\n- branches: [main, release/*]\n  approvals: 1\n{extra}"));
        forge.git(".", &["init", "--quiet", "--bare", "--initial-branch=main", "server.git"]);
        forge.git(".", &["init", "--quiet", "--initial-branch=main", "work"]);
        forge.git("work", &["remote", "add", "origin", path(&forge.at("server.git"))]);
        forge.commit("alice", "README", "shop\n");
        forge.git("work", &["push", "--quiet", "origin", "main"]);
        let hook = forge.at("server.git/hooks/pre-receive");
        let run = format!(
            "exec {} git-hook pre-receive --config {}",
            env!("CARGO_BIN_EXE_portcullis"),
            path(&forge.at("hook.yaml"))
        );
        fs::write(&hook, format!("#!/bin/sh\n{run}\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        forge
    }

    pub fn configure(&self, rest: &str) {
        let text = format!("repository: {REPOSITORY}\ntrust-root: root.yaml\n{rest}");
        fs::write(self.at("hook.yaml"), text).unwrap();
    }

    fn root(&self) -> String {
        let keys = |name: &str| {
            let pem = fs::read_to_string(self.at(&format!("{name}.pub"))).unwrap();
            let pem: String = pem.lines().map(|l| format!("          {l}\n")).collect();
            format!("    keys:\n      - key: |\n{pem}")
        };
        let person = |name: &str| {
            format!("  {name}:\n    identities: [{name}@acme.example]\n    roles: [reviewer]\n{}", keys(name))
        };
        format!(
            "version: 1\nreview-authorities:\n  forge:\n{}testers:\n  tester:\n{}people:\n{}{}{}",
            keys("forge"),
            keys("tester"),
            person("alice"),
            person("bob"),
            person("carol")
        )
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn run(&self, dir: &str, args: &[&str]) -> Output {
        let fixed = ["-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"];
        Command::new("git").args(fixed).args(args).current_dir(self.at(dir)).output().unwrap()
    }

    pub fn git(&self, dir: &str, args: &[&str]) -> String {
        let output = self.run(dir, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Somebody commits a file. Gives the commit.
    pub fn commit(&self, who: &str, file: &str, text: &str) -> String {
        fs::write(self.at("work").join(file), text).unwrap();
        self.git("work", &["add", "--all"]);
        self.commit_staged(who, "x")
    }

    pub fn commit_staged(&self, who: &str, message: &str) -> String {
        let (name, email) = (format!("user.name={who}"), format!("user.email={who}@acme.example"));
        self.git(
            "work",
            &["-c", &name, "-c", &email, "commit", "--quiet", "--allow-empty", "--message", message],
        );
        self.tip()
    }

    pub fn tip(&self) -> String {
        self.git("work", &["rev-parse", "HEAD"])
    }

    /// What the server has.
    pub fn main(&self) -> String {
        self.git("server.git", &["rev-parse", "refs/heads/main"])
    }

    /// Somebody reviews a commit. Gives the refspec that brings the review.
    pub fn review(&self, who: &str, subject: &str, more: &[&str]) -> String {
        let count = fs::read_dir(self.0.path()).unwrap().count();
        let out = self.at(&format!("review-{count}.json"));
        let key = self.at(&format!("{who}.key"));
        let subject = if subject.contains(':') { subject.to_owned() } else { format!("gitCommit:{subject}") };
        let mut args = vec!["attest", "review", &subject, "--key", path(&key), "--out", path(&out)];
        if !more.contains(&"--repository") {
            args.extend(["--repository", REPOSITORY]);
        }
        args.extend(more);
        expect(0, &args);
        let tip = self.tip();
        self.carry(&out, &tip, &format!("{who}-{count}"))
    }

    /// A file as a review of a commit.
    pub fn carry(&self, file: &Path, commit: &str, name: &str) -> String {
        let blob = self.git("work", &["hash-object", "-w", path(file)]);
        format!("{blob}:refs/portcullis/reviews/{commit}/{name}")
    }

    pub fn push(&self, refs: &[&str]) -> Pushed {
        let output = self.run("work", &[&["push", "origin"], refs].concat());
        Pushed { taken: output.status.success(), said: String::from_utf8_lossy(&output.stderr).into_owned() }
    }
}
