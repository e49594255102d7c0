//! Builds to read: signed here with keys of our own, for every binary that reads provenance.
#![allow(dead_code, reason = "not every test uses every function")]

use std::fs;
use std::path::PathBuf;

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::provenance::{BUILD_TYPE, Dependency, Source};
use attest::time::parse_time;
use attest::{Algorithm, Digest, DigestSet, Object, Provenance, Scheme, SecretKey, Signer as _};

pub const OFFICIAL: &str = "https://ci.acme.example/builders/official";
pub const JENKINS: &str = "https://jenkins.acme.example/shop/non-isolated";

/// A folder with keys, a trust root and builds.
pub struct Builds {
    pub dir: tempfile::TempDir,
    official: SecretKey,
    jenkins: SecretKey,
    lab: SecretKey,
}

impl Builds {
    pub fn new() -> Self {
        let key = || SecretKey::generate(Scheme::P256).unwrap();
        let builds = Self { dir: tempfile::tempdir().unwrap(), official: key(), jenkins: key(), lab: key() };
        fs::write(builds.at("jenkins.key"), builds.jenkins.to_pem(None).unwrap().as_bytes()).unwrap();
        fs::write(builds.at("official.pub"), builds.official.public().to_pem()).unwrap();
        builds.trust("", "");
        builds
    }

    pub fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The trust root: `about` are more lines of official-ci, `key` more lines of its key.
    pub fn trust(&self, about: &str, key: &str) {
        let pem = |key: &SecretKey| {
            key.public().to_pem().lines().map(|l| format!("          {l}\n")).collect::<String>()
        };
        let text = format!(
            "version: 1
builders:
  official-ci:
    ids: [\"{OFFICIAL}\"]
    hermetic: [\">=0.1.0\"]
{about}    keys:
      - key: |
{}{key}  jenkins:
    ids: [\"{JENKINS}\"]
    keys:
      - key: |
{}rebuilders:
  lab:
    operator: the lab
    keys:
      - key: |
{}",
            pem(&self.official),
            pem(&self.jenkins),
            pem(&self.lab)
        );
        fs::write(self.at("trust-root.yaml"), text).unwrap();
    }

    /// Signs a build as official-ci: `NAME.sigstore.json` about an artifact whose bytes are its name.
    pub fn official(&self, name: &str, provenance: &Provenance) -> String {
        let bundle = self.bundle(name, provenance, &self.official);
        let path = self.at(&format!("{name}.sigstore.json"));
        fs::write(&path, bundle).unwrap();
        fs::write(self.at(name), name).unwrap();
        path
    }

    /// The same, as jenkins, who may not speak for official-ci.
    pub fn forged(&self, name: &str, provenance: &Provenance) -> String {
        let path = self.at(&format!("{name}.sigstore.json"));
        fs::write(&path, self.bundle(name, provenance, &self.jenkins)).unwrap();
        path
    }

    /// The same, as the rebuilder lab.
    pub fn rebuilt(&self, name: &str, provenance: &Provenance) -> String {
        let path = self.at(&format!("{name}.rebuilt.sigstore.json"));
        fs::write(&path, self.bundle(name, provenance, &self.lab)).unwrap();
        path
    }

    /// The same, where a builder's store keeps it.
    pub fn stored(&self, name: &str, provenance: &Provenance) {
        fs::create_dir_all(self.at("store/provenance")).unwrap();
        let path = self.at(&format!("store/provenance/{}.sigstore.json", digest(name).hex()));
        fs::write(path, self.bundle(name, provenance, &self.official)).unwrap();
    }

    /// The same, about an artifact with these digests.
    pub fn about(&self, name: &str, digests: &DigestSet, provenance: &Provenance) -> String {
        let path = self.at(&format!("{name}.sigstore.json"));
        fs::write(&path, signed(name, digests, provenance, &self.official)).unwrap();
        path
    }

    fn bundle(&self, name: &str, provenance: &Provenance, key: &SecretKey) -> String {
        signed(name, &digest(name).into(), provenance, key)
    }
}

fn signed(name: &str, digests: &DigestSet, provenance: &Provenance, key: &SecretKey) -> String {
    let statement = provenance.statement(name, digests).unwrap();
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[key]).unwrap();
    Bundle::write(&dsse, &key.public().id(), &[]).to_string()
}

pub fn digest(name: &str) -> Digest {
    Digest::sha256(name.as_bytes())
}

pub fn commit(byte: u8) -> Digest {
    Digest::from_bytes(Algorithm::GitCommit, vec![byte; 20]).unwrap()
}

/// An input by the name of its artifact.
pub fn input(name: &str) -> Dependency {
    Dependency {
        uri: format!("https://example.org/{name}"),
        digests: digest(name).into(),
        is_tool: false,
        ..Dependency::default()
    }
}

/// A hermetic build of official-ci from a commit.
pub fn build(byte: u8, dependencies: &[Dependency]) -> Provenance {
    Provenance {
        build_type: BUILD_TYPE.to_owned(),
        builder_id: OFFICIAL.to_owned(),
        builder_version: Some("1.4.2".to_owned()),
        source: Some(Source {
            repository: "https://github.com/acme/shop".to_owned(),
            reference: Some("refs/heads/main".to_owned()),
            digests: commit(byte).into(),
            ..Source::default()
        }),
        target: Some("shop".to_owned()),
        parameters: Object::new().with("flavour", "release"),
        dependencies: dependencies.to_vec(),
        command: Some(vec!["make".to_owned()]),
        hermetic: true,
        finished: parse_time("2026-11-20T09:00:00Z"),
        ..Provenance::of_job("", "")
    }
}
