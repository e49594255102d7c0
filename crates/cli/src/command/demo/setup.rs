//! The demo's files: keys, trust root, book, and the facts that people state.

use std::path::{Path, PathBuf};

use attest::bundle::Bundle;
use attest::claims::{REVIEW, Review, TEST_RESULT, TestOutcome, TestResult};
use attest::dsse::{Dsse, IN_TOTO};
use attest::note::NoteKey;
use attest::{Algorithm, Digest, Object, Scheme, SecretKey, Signer as _, Statement};
use builder::{LOCAL_DEMO, Store, capture};

use super::source::Repository;
use crate::clock;
use crate::command::throw_away::payload;
use crate::failure::Failure;
use crate::keys::{folder, key, listed, log, vkey, write};

/// The origin of the demo's decision log.
pub(super) const DECISIONS: &str = "portcullis.local/demo/decisions";
const BUILDS: &str = "portcullis.local/builds";

const POLICY: &str = include_str!("tree.yaml");
const GUARDRAILS: &str = include_str!("guardrails.yaml");

pub(super) struct Setup {
    dir: PathBuf,
    repository: Repository,
    forge: SecretKey,
    tester: SecretKey,
    alice: SecretKey,
    /// The first, reviewed commit.
    pub(super) first: String,
}

impl Setup {
    pub(super) fn write(dir: &Path, upstream: &Path, say: impl Fn(&str)) -> Result<Self, Failure> {
        for below in ["keys", "artifacts", "builder", "store"] {
            folder(&dir.join(below))?;
        }
        say("  capturing this machine's C toolchain as an archive");
        let archive = dir.join("toolchain.tar");
        let failed = |what: &str, e: &dyn std::fmt::Display| Failure::new(what).line("found", &e.to_string());
        let toolchain = capture(&archive).map_err(|e| failed("the toolchain cannot be captured", &e))?;
        Store::new(&dir.join("store"))
            .put(&archive)
            .map_err(|e| failed("the toolchain cannot be stored", &e))?;
        std::fs::remove_file(&archive).ok();
        say(&format!("  importing {}", super::UPSTREAM));
        let repository = Repository::import(&dir.join("source"), upstream, &toolchain)?;
        let first = repository.head()?;
        let path = |name: &str| dir.join("keys").join(format!("{name}.key"));
        let (forge, tester) =
            (key(&path("forge"), Scheme::Ed25519)?, key(&path("ci-tests"), Scheme::Ed25519)?);
        let (alice, builder) =
            (key(&path("alice"), Scheme::P256)?, key(&dir.join("builder/local-demo.key"), Scheme::P256)?);
        log(&dir.join("builder/builds"), BUILDS, &dir.join("builder/builds-log.key"))?;
        log(&dir.join("log"), DECISIONS, &path("decisions-log"))?;
        let setup = Self { dir: dir.to_owned(), repository, forge, tester, alice, first };
        write(&dir.join("trust-root.yaml"), &setup.trust_root(&builder)?)?;
        let origin = format!("file://{}", dir.join("source").display());
        write(&dir.join("book/tree.yaml"), &POLICY.replace("REPOSITORY", &origin))?;
        write(&dir.join("guardrails.yaml"), GUARDRAILS)?;
        Ok(setup)
    }

    fn trust_root(&self, builder: &SecretKey) -> Result<String, Failure> {
        let builds = vkey(&self.dir.join("builder/builds"))?;
        let decisions = vkey(&self.dir.join("log"))?;
        NoteKey::parse(&builds).ok_or_else(|| Failure::new("the log of builds has no key"))?;
        Ok(format!(
            "# Who may say what in the demo. The builder counts in demo/ only.
version: 1
builders:
  local-demo:
    ids: [\"{LOCAL_DEMO}\"]
    environments: [\"demo/*\"]
    hermetic: [\">=0.1.0\"]
    keys:
{}review-authorities:
  forge:
    keys:
{}testers:
  ci-tests:
    keys:
{}people:
  alice:
    identities: [alice@demo.example]
    keys:
{}  bob:
    identities: [bob@demo.example]
    roles: [reviewer]
logs:
  builds: {{ key: \"{builds}\" }}
  decisions: {{ key: \"{decisions}\" }}
",
            listed(builder, 6),
            listed(&self.forge, 6),
            listed(&self.tester, 6),
            listed(&self.alice, 6),
        ))
    }

    fn commit(&self) -> Result<Digest, Failure> {
        let head = self.repository.head()?;
        Digest::from_hex(Algorithm::GitCommit, &head)
            .map_err(|e| Failure::new("git gave no commit").line("found", &e.to_string()))
    }

    /// What the forge saw: who approved the head of main.
    pub(super) fn review(
        &self,
        reviewer: &str,
        base: Option<String>,
        name: &str,
    ) -> Result<PathBuf, Failure> {
        let review = Review {
            repository: format!("file://{}", self.dir.join("source").display()),
            base,
            authors: vec!["alice@demo.example".to_owned()],
            reviewers: vec![reviewer.to_owned()],
            reviewed: clock::now(None)?,
        };
        self.state(name, &self.commit()?, REVIEW, review.to_json(), &self.forge)
    }

    /// What the tests said about the head of main.
    pub(super) fn test_result(&self, name: &str) -> Result<PathBuf, Failure> {
        let names = vec!["smoke".to_owned()];
        let result = TestResult { names, result: TestOutcome::Pass, failed: Vec::new(), of: None };
        self.state(name, &self.commit()?, TEST_RESULT, result.to_json(), &self.tester)
    }

    fn state(
        &self,
        name: &str,
        subject: &Digest,
        predicate_type: &str,
        predicate: Object,
        key: &SecretKey,
    ) -> Result<PathBuf, Failure> {
        let statement = Statement::write("main", &subject.clone().into(), predicate_type, predicate);
        self.sign(name, statement.as_bytes(), key)
    }

    fn sign(&self, name: &str, statement: &[u8], key: &SecretKey) -> Result<PathBuf, Failure> {
        let dsse = Dsse::sign(IN_TOTO, statement, &[key])
            .map_err(|e| Failure::new("a fact cannot be signed").line("found", &e.to_string()))?;
        let path = self.dir.join("artifacts").join(format!("{name}.json"));
        write(&path, &format!("{}\n", Bundle::write(&dsse, &key.public().id(), &[])))?;
        Ok(path)
    }

    pub(super) fn push_unreviewed(&self) -> Result<(), Failure> {
        self.repository.replace("tree.c", "v2.1.0", "v2.1.0+improved", "A small improvement")
    }

    /// A copy of a file with its last byte changed.
    pub(super) fn flip(&self, file: &Path) -> Result<PathBuf, Failure> {
        let mut bytes = std::fs::read(file).map_err(|e| Failure::io("read", file, &e))?;
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        let path = self.dir.join("artifacts/flipped");
        tlog::write_durably(&path, &bytes).map_err(|e| Failure::io("write", &path, &e))?;
        Ok(path)
    }

    /// The builder's own statement, word for word, signed by alice.
    pub(super) fn workstation_provenance(&self, bundle: &Path) -> Result<PathBuf, Failure> {
        let payload = payload(bundle)?;
        self.sign("workstation", payload.as_bytes(), &self.alice)
    }

    pub(super) fn fork(&self) -> Result<(), Failure> {
        let fork = self.repository.fork(&self.dir.join("fork"))?;
        fork.replace("tree.c", "v2.1.0", "v2.1.0+forked", "Nothing to see here")
    }
}
