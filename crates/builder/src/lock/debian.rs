//! Debian packages: which exact files a list of names stands for, as apt itself resolves it.
//!
//! apt runs on lists and a (empty) state of its own, never on this machine's, so that the answer does not depend on what
//! is installed here. It checks the archive's signature; the SHA-256 that it prints is the signed one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::{Algorithm, Digest};

use super::LockError;

/// The suite where a definition names none.
pub const SUITE: &str = "bookworm";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const ARCHIVE: &str = "https://deb.debian.org/debian";

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) uri: String,
    pub(crate) digest: Digest,
}

/// apt on a folder of its own.
pub(crate) struct Apt {
    folder: PathBuf,
    /// Its state is shared by everybody who uses the store: one at a time.
    _lock: fs::File,
}

impl Apt {
    /// Fetches the archive's lists into `folder`.
    pub(crate) fn update(folder: &Path, suite: &str, has_sources: bool) -> Result<Self, LockError> {
        let failed = |e| LockError::Io(folder.to_owned(), e);
        for name in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(name)).map_err(failed)?;
        }
        let lock = fs::File::create(folder.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        fs::write(folder.join("status"), "").map_err(failed)?;
        fs::write(folder.join("sources.list"), sources(suite, has_sources)?).map_err(failed)?;
        let apt = Self { folder: fs::canonicalize(folder).map_err(failed)?, _lock: lock };
        apt.run("fetch the lists of Debian's archive", &["update", "--error-on=any"], Path::new("/"))?;
        Ok(apt)
    }

    /// The packages and everything that they need.
    pub(crate) fn packages(&self, names: &[String]) -> Result<Vec<Package>, LockError> {
        let mut words = vec!["install", "--"];
        words.extend(names.iter().map(String::as_str));
        self.uris("resolve the toolchain's packages", &words, Path::new("/"))
    }

    /// What it takes to build a source package: `NAME=VERSION`, or the folder of one.
    pub(crate) fn build_dependencies(&self, of: &str, folder: &Path) -> Result<Vec<Package>, LockError> {
        self.uris("resolve the build dependencies", &["build-dep", "--", of], folder)
    }

    /// The files of a source package: `NAME=VERSION`.
    pub(crate) fn source(&self, of: &str) -> Result<Vec<Package>, LockError> {
        self.uris("resolve the source package", &["source", "--", of], Path::new("/"))
    }

    fn uris(&self, what: &str, words: &[&str], folder: &Path) -> Result<Vec<Package>, LockError> {
        let text = self.run(what, &[&["--print-uris", "-qq", "-y"], words].concat(), folder)?;
        let lines = text.lines().filter(|line| line.starts_with('\''));
        let read = |line: &str| {
            package(line)
                .ok_or_else(|| LockError::Apt { what: what.to_owned(), said: format!("it printed: {line}") })
        };
        lines.map(read).collect()
    }

    fn run(&self, what: &str, words: &[&str], folder: &Path) -> Result<String, LockError> {
        let mut command = Command::new("apt-get");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        for (name, value) in self.settings() {
            command.arg("-o").arg(format!("{name}={value}"));
        }
        let output = command.args(words).current_dir(folder).output().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => LockError::NoApt,
            _ => LockError::Io(PathBuf::from("apt-get"), e),
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let lines = said.lines().filter(|l| l.starts_with("E:") || l.contains("Depends:"));
            let lines: Vec<&str> = lines.map(str::trim).take(8).collect();
            let said = if lines.is_empty() { said.trim().to_owned() } else { lines.join("; ") };
            return Err(LockError::Apt { what: what.to_owned(), said });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Everything that could make this machine's apt answer otherwise than another one's.
    fn settings(&self) -> [(&'static str, String); 14] {
        let at = |name: &str| self.folder.join(name).display().to_string();
        [
            ("Dir::Etc::SourceList", at("sources.list")),
            ("Dir::Etc::SourceParts", "/dev/null".to_owned()),
            ("Dir::Etc::Preferences", "/dev/null".to_owned()),
            ("Dir::Etc::PreferencesParts", "/dev/null".to_owned()),
            ("Dir::State", at("state")),
            ("Dir::State::status", at("status")),
            ("Dir::Cache", at("cache")),
            ("Debug::NoLocking", "1".to_owned()),
            ("APT::Architecture", architecture().to_owned()),
            ("APT::Architectures", architecture().to_owned()),
            ("APT::Install-Recommends", "0".to_owned()),
            ("Acquire::ForceHash", "SHA256".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "0".to_owned()),
        ]
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The archive's parts: the suite, its updates and its security fixes.
fn sources(suite: &str, has_sources: bool) -> Result<String, LockError> {
    let is_plain = suite.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    if suite.is_empty() || !is_plain || suite.starts_with('-') {
        return Err(LockError::Suite(suite.to_owned()));
    }
    let base = suite.strip_suffix("-backports").unwrap_or(suite);
    let mut parts = vec![(ARCHIVE.to_owned(), base.to_owned())];
    if !matches!(base, "sid" | "unstable" | "testing" | "experimental") {
        parts.push((ARCHIVE.to_owned(), format!("{base}-updates")));
        parts.push((format!("{ARCHIVE}-security"), format!("{base}-security")));
    }
    if base != suite {
        parts.push((ARCHIVE.to_owned(), suite.to_owned()));
    }
    let kinds: &[&str] = if has_sources { &["deb", "deb-src"] } else { &["deb"] };
    let line = |(uri, suite): &(String, String)| {
        kinds
            .iter()
            .map(|kind| format!("{kind} [signed-by={KEYRING}] {uri} {suite} main\n"))
            .collect::<String>()
    };
    Ok(parts.iter().map(line).collect())
}

/// `'URI' FILE SIZE SHA256:HEX`.
fn package(line: &str) -> Option<Package> {
    let mut words = line.split_ascii_whitespace();
    let uri = words.next()?.strip_prefix('\'')?.strip_suffix('\'')?;
    let hex = words.nth(2)?.strip_prefix("SHA256:")?;
    let digest = Digest::from_hex(Algorithm::Sha256, hex).ok()?;
    uri.starts_with(ARCHIVE).then(|| Package { uri: uri.to_owned(), digest })
}

impl Package {
    /// The file's name: the URI's last part, as it is written on a disk.
    pub(crate) fn file(&self) -> String {
        let last = self.uri.rsplit('/').next().unwrap_or_default();
        let mut name = String::new();
        let mut rest = last;
        while let Some((before, after)) = rest.split_once('%') {
            name.push_str(before);
            let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
            match byte.filter(u8::is_ascii_graphic) {
                Some(byte) => name.push(char::from(byte)),
                None => name.push('_'),
            }
            rest = after.get(2..).unwrap_or_default();
        }
        name.push_str(rest);
        name.replace('/', "_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "a1a83af8cbd854af887b72ad196b1f4af58387815e21ced1000253a116a46e2a";

    #[test]
    fn what_apt_prints_is_read() {
        let line = format!(
            "'https://deb.debian.org/debian/pool/main/a/acl/libacl1_2.3.1-3%2bb1_amd64.deb' libacl1_1%3a2.deb 395 SHA256:{HEX}"
        );
        let found = package(&line).unwrap();
        assert_eq!(
            (found.file().as_str(), found.digest.hex().as_str()),
            ("libacl1_2.3.1-3+b1_amd64.deb", HEX)
        );
        assert!(package(&line.replace("SHA256", "MD5Sum")).is_none(), "a weak hash is no answer");
        assert!(
            package(&line.replace("deb.debian.org", "evil.example")).is_none(),
            "another archive is no answer"
        );
    }

    #[test]
    fn a_suite_cannot_smuggle_a_source_in() {
        assert!(sources("bookworm", false).unwrap().lines().all(|l| l.starts_with("deb [signed-by=")));
        assert_eq!(sources("bookworm", true).unwrap().lines().count(), 6);
        assert!(sources("bookworm-backports", false).unwrap().contains("debian bookworm main"));
        assert_eq!(
            sources("sid", false).unwrap().lines().count(),
            1,
            "sid has no updates and no security suite"
        );
        for bad in ["", "-o", "bookworm main\ndeb [trusted=yes] https://evil.example x", "Bookworm", "../x"] {
            assert!(matches!(sources(bad, false), Err(LockError::Suite(_))), "{bad:?}");
        }
    }
}
