//! The signer's process: closed to others, and one signature a build however often it is killed.

mod tools;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use attest::{Digest, Json};
use builder::{FailureRecord, LOCAL_DEMO, SignError, request_failure};
use tools::{expect, path};

/// A user that is nobody else's on this machine, for tests that root runs.
const UID: u32 = 12345;

struct Setting {
    dir: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        let setting = Self { dir: tempfile::tempdir().unwrap() };
        expect(0, &["keygen", &setting.at("ci"), "--no-passphrase"]);
        fs::copy(env!("CARGO_BIN_EXE_portcullis"), setting.at("portcullis")).unwrap();
        if is_root() {
            for name in ["ci.key", "ci.pub", ""] {
                std::os::unix::fs::chown(setting.dir.path().join(name), Some(UID), Some(UID)).unwrap();
            }
        }
        setting
    }

    fn at(&self, name: &str) -> String {
        path(&self.dir.path().join(name)).to_owned()
    }

    /// A program as the signer's user.
    fn as_signer(&self, program: &str) -> Command {
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={UID}"), &format!("--regid={UID}"), "--clear-groups", "--", program]);
        command
    }

    fn start(&self, more: &[&str]) -> Signer {
        fs::remove_file(self.at("s")).ok();
        let mut child = self
            .as_signer(&self.at("portcullis"))
            .args(["builder", "signer", "--builder-id", LOCAL_DEMO])
            .args(["--socket", &self.at("s"), "--key", &self.at("ci.key")])
            .args(["--log", &self.at("log"), "--log-key", &self.at("log.key")])
            // root asks, and it is another user
            .args(if is_root() { ["--allow-uid", "0"].as_slice() } else { &[] })
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        for _ in 0..1000 {
            if Path::new(&self.at("s")).exists() {
                return Signer(child);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        panic!("the signer did not start: {:?}", child.wait_with_output().unwrap());
    }

    fn ask(&self, invocation: &str, reason: &str) -> Result<Json, SignError> {
        let record = FailureRecord {
            repository: "https://github.com/acme/shop".to_owned(),
            reference: "refs/heads/main".to_owned(),
            target: "shop".to_owned(),
            commit: Digest::parse(&format!("gitCommit:{}", "a".repeat(40))).unwrap(),
            reason: reason.to_owned(),
            log: Digest::sha256(b"the log"),
            started: "2026-01-01T08:00:00Z".parse().unwrap(),
            finished: "2026-01-01T08:30:00Z".parse().unwrap(),
            invocation: invocation.to_owned(),
        };
        request_failure(Path::new(&self.at("s")), &record)
    }
}

/// Killed when the test is done with it.
struct Signer(Child);

impl Drop for Signer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n")
}

#[test]
fn nobody_of_the_same_user_can_look_into_the_signer() {
    let setting = Setting::new();
    let signer = setting.start(&[]);
    let open = setting.as_signer("sleep").arg("60").spawn().map(Signer).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let can_read = |file: &str, of: &Signer| {
        let file = format!("/proc/{}/{file}", of.0.id());
        let reader =
            setting.as_signer("dd").args([&format!("if={file}"), "of=/dev/null", "count=0"]).output();
        reader.unwrap().status.success()
    };
    for file in ["mem", "environ", "maps", "auxv"] {
        assert!(
            can_read(file, &open),
            "{file} of a process of the same user is open, or this test shows nothing"
        );
        assert!(!can_read(file, &signer), "{file} of the signer is open to its own user");
    }
    let descriptors = format!("/proc/{}/fd", signer.0.id());
    assert!(!setting.as_signer("ls").arg(descriptors).output().unwrap().status.success());
    // who may be asked for its limits sees that it leaves no core
    if let Ok(limits) = fs::read_to_string(format!("/proc/{}/limits", signer.0.id())) {
        let core = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        assert_eq!(core.split_whitespace().nth(5), Some("0"), "{core}");
    }
}

#[test]
fn killed_again_and_again_it_gives_one_bundle_a_build() {
    let setting = Setting::new();
    for round in 0..12_u64 {
        let invocation = format!("run-{round:05}");
        let mut signer = setting.start(&[]);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round * 400));
            signer.0.kill().ok();
            signer.0.wait().ok();
        });
        let first = setting.ask(&invocation, "exit status 2");
        killer.join().unwrap();
        let signer = setting.start(&[]);
        let again = setting.ask(&invocation, "exit status 2").unwrap();
        if let Ok(first) = first {
            assert_eq!(first.to_string(), again.to_string(), "round {round}");
        }
        let refused = setting.ask(&invocation, "another reason").unwrap_err().to_string();
        assert!(refused.contains("is already signed with other content"), "{refused}");
        drop(signer);
    }
    let text = expect(0, &["log", "verify", &setting.at("log")]);
    assert!(text.contains("12 records"), "one leaf a build: {text}");
}

#[test]
fn more_than_the_rate_is_refused_with_the_time_to_come_back() {
    let setting = Setting::new();
    let signer = setting.start(&["--rate", "2"]);
    for n in 0..2 {
        setting.ask(&format!("run-{n:05}"), "exit status 2").unwrap();
    }
    let refused = setting.ask("run-00009", "exit status 2").unwrap_err().to_string();
    assert!(refused.contains("the 2 signatures of this hour are used up; try again at 20"), "{refused}");
    // what was signed is still given
    setting.ask("run-00001", "exit status 2").unwrap();
    drop(signer);
}
