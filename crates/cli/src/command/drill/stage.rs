//! Where drills are staged: a folder with a repository, keys, a builder, facts, and what a choke point is set up with.
//! What costs time is made once, when the first drill asks for it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attest::{Digest, Scheme, SecretKey};
use builder::{Store, capture};
use jiff::Timestamp;

use crate::clock;
use crate::failure::Failure;
use crate::keys;
use crate::output::Output;

mod bucket;
mod build;
mod cluster;
mod decide;
mod facts;
mod postgresql;
mod process;
mod program;
mod repository;
mod rules;
mod webhook;

pub(super) use bucket::Bucket;
pub(super) use build::{Built, Wish};
pub(super) use cluster::ApiServer;
pub(super) use decide::{DECISIONS, Deployment, later};
pub(super) use facts::{People, about, digest};
pub(super) use postgresql::PostgreSql;
pub(super) use process::Process;
pub(super) use program::{Ran, word, words_of};
pub(super) use repository::{ALICE, BOB, Repository};
pub(super) use rules::Rules;
pub(super) use webhook::{Webhook, open};

/// Whose signatures count for something, and the thief's own.
const KEYS: [&str; 10] = [
    "forge",
    "alice",
    "bob",
    "bob-second",
    "carol",
    "release-desk",
    "scanner",
    "workstation",
    "rebuilder",
    "witness",
];
/// The origin of the builder's log of signatures.
pub(super) const BUILDS: &str = "portcullis.local/builds";

pub(super) struct Stage<'a> {
    dir: PathBuf,
    output: &'a Output,
    /// Where etcd and kube-apiserver are, as somebody said.
    kubernetes: Option<PathBuf>,
    keys: BTreeMap<&'static str, SecretKey>,
    builder: SecretKey,
    repository: OnceCell<Repository>,
    toolchain: OnceCell<Digest>,
    built: RefCell<BTreeMap<String, Built>>,
    postgresql: OnceCell<Option<PostgreSql>>,
    numbers: Cell<u32>,
}

impl<'a> Stage<'a> {
    /// Keys and logs; everything else is made when it is asked for.
    pub(super) fn set(dir: &Path, kubernetes: Option<&Path>, output: &'a Output) -> Result<Self, Failure> {
        for below in ["keys", "facts", "builder", "store", "home"] {
            keys::folder(&dir.join(below))?;
        }
        let file = |name: &str| dir.join("keys").join(format!("{name}.key"));
        let made = KEYS.iter().map(|name| Ok((*name, keys::key(&file(name), Scheme::Ed25519)?)));
        let keys = made.collect::<Result<_, Failure>>()?;
        let builder = keys::key(&dir.join("builder/local-demo.key"), Scheme::P256)?;
        keys::log(&dir.join("builder/builds"), BUILDS, &dir.join("builder/builds-log.key"))?;
        Ok(Self {
            dir: dir.to_owned(),
            output,
            kubernetes: kubernetes.map(Path::to_owned),
            keys,
            builder,
            repository: OnceCell::new(),
            toolchain: OnceCell::new(),
            built: RefCell::default(),
            postgresql: OnceCell::new(),
            numbers: Cell::new(0),
        })
    }

    /// A path below the stage.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn now(&self) -> Result<Timestamp, Failure> {
        clock::now(None)
    }

    /// A new folder of this name, for what is tried once.
    pub(super) fn fresh(&self, name: &str) -> Result<PathBuf, Failure> {
        self.numbers.set(self.numbers.get() + 1);
        let dir = self.dir.join(format!("{name}-{}", self.numbers.get()));
        keys::folder(&dir)?;
        Ok(dir)
    }

    /// A key by its name; the builder's is `builder`.
    pub(super) fn key(&self, name: &str) -> Result<&SecretKey, Failure> {
        match name {
            "builder" => Ok(&self.builder),
            name => self.keys.get(name).ok_or_else(|| Failure::new(&format!("the drill has no key {name}"))),
        }
    }

    pub(super) fn key_file(&self, name: &str) -> PathBuf {
        self.dir.join("keys").join(format!("{name}.key"))
    }

    /// The repository that the policy allows, with one reviewed commit on `main`.
    pub(super) fn repository(&self) -> Result<&Repository, Failure> {
        if let Some(repository) = self.repository.get() {
            return Ok(repository);
        }
        let repository = Repository::begin(&self.dir.join("source"), &self.toolchain()?)?;
        Ok(self.repository.get_or_init(|| repository))
    }

    /// This machine's C toolchain, declared by digest.
    pub(super) fn toolchain(&self) -> Result<Digest, Failure> {
        if let Some(digest) = self.toolchain.get() {
            return Ok(digest.clone());
        }
        self.output.progress("     capturing this machine's C toolchain as an archive");
        let archive = self.dir.join("toolchain.tar");
        let failed = |what: &str, e: &dyn std::fmt::Display| Failure::new(what).line("found", &e.to_string());
        let digest = capture(&archive).map_err(|e| failed("the toolchain cannot be captured", &e))?;
        let store = Store::new(&self.dir.join("store"));
        store.put(&archive).map_err(|e| failed("the toolchain cannot be stored", &e))?;
        std::fs::remove_file(&archive).ok();
        Ok(self.toolchain.get_or_init(|| digest).clone())
    }
}
