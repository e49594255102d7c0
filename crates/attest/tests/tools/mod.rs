//! GnuPG, OpenSSH and git as they are installed, with keys of the test's own.
#![allow(dead_code, reason = "not every test uses every tool")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attest::{PublicKey, TrustRoot};
use tempfile::TempDir;

/// A folder for GnuPG, and whatever a test writes.
pub struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub fn new() -> Self {
        // a short name: that of a socket has a bound
        Self { home: tempfile::Builder::new().prefix("g").tempdir().unwrap() }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Makes a key without a passphrase, for signing.
    pub fn key(self, name: &str, algorithm: &str) -> Self {
        self.run(&[
            "--passphrase",
            "",
            "--quick-gen-key",
            &format!("{name} <{name}@a.example>"),
            algorithm,
            "sign",
            "never",
        ]);
        self
    }

    pub fn run(&self, args: &[&str]) -> Vec<u8> {
        let output = self.try_run(args);
        assert!(output.status.success(), "gpg {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    pub fn try_run(&self, args: &[&str]) -> Output {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--yes", "--pinentry-mode", "loopback", "--homedir"]).arg(self.home());
        command.args(args).output().expect("gpg is installed: cargo xtask setup")
    }

    /// The block of a key, armored.
    pub fn block(&self, name: &str) -> String {
        let args =
            ["--armor", "--export-options", "export-minimal", "--export", &format!("{name}@a.example")];
        String::from_utf8(self.run(&args)).unwrap()
    }

    pub fn public(&self, name: &str) -> PublicKey {
        PublicKey::from_listed(&self.block(name)).unwrap().remove(0)
    }

    pub fn fingerprints(&self, name: &str) -> Vec<String> {
        let listing = self.run(&["--with-colons", "--list-keys", &format!("{name}@a.example")]);
        let listing = String::from_utf8(listing).unwrap();
        let prints = listing.lines().filter_map(|l| l.strip_prefix("fpr:::::::::"));
        prints.map(|l| l.trim_end_matches(':').to_owned()).collect()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Signs a message; `args` say how.
    pub fn sign(&self, name: &str, args: &[&str], message: &[u8]) -> Vec<u8> {
        let file = self.write("message", message);
        let user = format!("{name}@a.example");
        let mut all = vec!["--local-user", user.as_str(), "--output", "-"];
        all.extend(args);
        all.push(file.to_str().unwrap());
        self.run(&all)
    }

    /// Whether gpgv accepts a detached signature.
    pub fn accepts(&self, signature: &[u8], message: &[u8]) -> bool {
        let (signature, message) = (self.write("judged.sig", signature), self.write("judged", message));
        self.gpgv(&[&signature, &message])
    }

    /// Whether gpgv accepts a clear-signed text.
    pub fn accepts_text(&self, text: &[u8]) -> bool {
        self.gpgv(&[&self.write("judged.asc", text)])
    }

    fn gpgv(&self, files: &[&PathBuf]) -> bool {
        let ring = self.home().join("ring.gpg");
        if !ring.exists() {
            std::fs::write(&ring, self.run(&["--export"])).unwrap();
        }
        let mut command = Command::new("gpgv");
        command.arg("--homedir").arg(self.home()).arg("--keyring").arg(ring).args(files);
        command.output().expect("gpgv is installed: cargo xtask setup").status.success()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        drop(Command::new("gpgconf").arg("--homedir").arg(self.home()).args(["--kill", "all"]).status());
    }
}

/// A folder with keys of OpenSSH.
pub struct Ssh {
    pub folder: TempDir,
}

impl Ssh {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a key, and gives its line.
    pub fn key(&self, name: &str, kind: &str, bits: &str) -> String {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-b", bits, "-N", "", "-C", "for tests", "-f"]).arg(self.path(name));
        assert!(command.status().expect("ssh-keygen is installed: cargo xtask setup").success());
        std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    /// Signs a message for a namespace.
    pub fn sign(&self, name: &str, namespace: &str, options: &[&str], message: &[u8]) -> String {
        let file = self.path("message");
        std::fs::write(&file, message).unwrap();
        drop(std::fs::remove_file(self.path("message.sig")));
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-Y", "sign", "-n", namespace])
            .args(options)
            .arg("-f")
            .arg(self.path(name))
            .arg(file);
        assert!(command.output().unwrap().status.success());
        std::fs::read_to_string(self.path("message.sig")).unwrap()
    }

    /// Whether ssh-keygen accepts a signature for the key of this name.
    pub fn accepts(&self, name: &str, namespace: &str, signature: &[u8], message: &[u8]) -> bool {
        let line = std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        std::fs::write(self.path("allowed"), format!("a@a.example {line}")).unwrap();
        std::fs::write(self.path("judged.sig"), signature).unwrap();
        std::fs::write(self.path("judged"), message).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-n", namespace, "-I", "a@a.example", "-f"]).arg(self.path("allowed"));
        command.arg("-s").arg(self.path("judged.sig"));
        command.stdin(std::fs::File::open(self.path("judged")).unwrap());
        command.output().unwrap().status.success()
    }
}

/// A trust root in which one name has these keys; `more` is more of every key.
pub fn root(section: &str, name: &str, keys: &[&str], more: &str) -> TrustRoot {
    TrustRoot::parse("trust-root.yaml", &root_text(section, name, keys, more))
        .unwrap_or_else(|e| panic!("{e:?}"))
}

pub fn root_text(section: &str, name: &str, keys: &[&str], more: &str) -> String {
    let mut text = format!("version: 1\n{section}:\n  {name}:\n    keys:\n");
    for key in keys {
        text.push_str("      - key: |\n");
        key.trim_end().lines().for_each(|line| text.push_str(&format!("          {line}\n")));
        text.push_str(more);
    }
    text
}

/// Every single-bit flip of some bytes.
pub fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

/// Many larger changes: bytes set, removed, inserted, runs doubled; the same ones every time.
pub fn mutants(bytes: &[u8], count: u64) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    (0..count).map(move |_| {
        let mut changed = bytes.to_vec();
        for _ in 0..=next(2) {
            let at = next(changed.len());
            match next(5) {
                0 => changed[at] = u8::try_from(next(256)).unwrap(),
                1 => drop(changed.remove(at)),
                2 => changed.insert(at, b" \n\r\t-=:\0"[next(8)]),
                3 => {
                    let end = (at + 1 + next(40)).min(changed.len());
                    let run = changed[at..end].to_vec();
                    changed.splice(at..at, run);
                }
                _ => {
                    let other = next(changed.len());
                    changed.swap(at, other);
                }
            }
        }
        changed
    })
}
