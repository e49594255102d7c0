//! A server, a folder with the tree, and writers that keep what they wrote until it is in the tree, as a spool does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use attest::merkle::{is_consistent, leaf_hash};
use attest::note::{Checkpoint, Note, NoteKey};
use attest::{Algorithm, Digest, SecretKey, Signer as _};
use replicas::{Config, Duty, Login, PostgreSql, Sequencing, Server};
use tempfile::TempDir;
use tlog::{AppendError, ApplyError, Batch, Blobs, Files, Level, LogSigner, Reader, Target, verify};

use crate::cluster::Cluster;

pub const ORIGIN: &str = "log.example/decisions";

pub struct World {
    pub cluster: Cluster,
    pub dir: TempDir,
}

pub fn signer() -> Arc<LogSigner> {
    Arc::new(SecretKey::from_ed25519_seed(&[5; 32]).unwrap())
}

pub fn key() -> NoteKey {
    NoteKey { name: ORIGIN.to_owned(), key: SecretKey::from_ed25519_seed(&[5; 32]).unwrap().public().clone() }
}

/// A configuration of a replica that may sequence, by a server's socket and the folder of a world.
pub fn config(socket: &Path, port: u16, dir: &Path) -> Config {
    let login = |user: &str| Login { user: user.to_owned(), password_file: None };
    Config {
        server: Server {
            host: socket.display().to_string(),
            port,
            database: "postgres".to_owned(),
            ca: None,
        },
        writer: login("writer"),
        tiles: Some(dir.join("log")),
        sequence: Some(Sequencing {
            login: login("sequencer"),
            state: dir.join("signed"),
            interval: Duration::from_millis(50),
        }),
    }
}

impl World {
    pub fn new() -> Self {
        let world = Self { cluster: Cluster::start(), dir: tempfile::tempdir().unwrap() };
        let mut owner = world.config();
        owner.writer.user = "postgres".to_owned();
        replicas::create(&owner, ORIGIN, signer()).unwrap();
        replicas::create(&owner, ORIGIN, signer()).unwrap();
        world.cluster.sql(
            "CREATE ROLE writer LOGIN IN ROLE portcullis_writer; CREATE ROLE sequencer LOGIN IN ROLE portcullis_sequencer",
        );
        world
    }

    pub fn config(&self) -> Config {
        config(self.cluster.dir(), self.cluster.port, self.dir.path())
    }

    /// One that only inserts.
    pub fn writing(&self) -> Config {
        Config { sequence: None, ..self.config() }
    }

    pub fn tiles(&self) -> Files {
        Files::new(&self.dir.path().join("log"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn open(&self, config: &Config, name: &str) -> Writer {
        Writer::new(replicas::open(config, ORIGIN, &signer(), name).unwrap(), name)
    }

    pub fn checkpoint(&self) -> Checkpoint {
        checkpoint(&self.tiles())
    }

    /// The whole log is whole, and has exactly these writers' entries, each once and in order.
    pub fn check(&self, writers: &[&Writer]) -> Checkpoint {
        let mut found: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        let entry = |_, leaf: &[u8]| {
            let json = attest::json::parse(leaf).unwrap();
            let writer = json.as_object().unwrap().string("writer").unwrap().to_owned();
            found.entry(writer).or_default().push(leaf.to_vec());
        };
        let verified = verify(&self.tiles(), &key(), None, entry).unwrap();
        for writer in writers {
            let own = found.remove(&writer.name).unwrap_or_default();
            assert_eq!(own.len(), writer.leaves.len(), "{}", writer.name);
            assert!(own == writer.leaves, "the entries of {} are others, or in another order", writer.name);
        }
        assert!(found.is_empty(), "{:?}", found.keys());
        let blobs = Blobs::new(self.tiles());
        for digest in writers.iter().flat_map(|writer| &writer.blobs) {
            blobs.get(digest).unwrap();
        }
        verified.checkpoint
    }

    /// Both checkpoints are of one log, as the tree proves it.
    pub fn check_continues(&self, old: &Checkpoint) {
        let new = self.checkpoint();
        let tiles = self.tiles();
        let proof = match old.size {
            0 => Vec::new(),
            size => Reader::new(&tiles, new.size).consistency(size).unwrap(),
        };
        assert!(
            is_consistent(old.size, &old.root, new.size, &new.root, &proof),
            "{} and {}",
            old.size,
            new.size
        );
    }
}

pub fn checkpoint(tiles: &Files) -> Checkpoint {
    let text = std::fs::read_to_string(tiles.root().join("checkpoint")).unwrap();
    let note = Note::parse(&text).unwrap();
    assert!(note.is_signed_by(&key()));
    Checkpoint::parse(note.text()).unwrap()
}

/// What a writer's next entry is, after these.
pub fn entry(writer: &str, leaves: &[Vec<u8>], more: &str) -> Vec<u8> {
    let previous = leaves.last().map(|leaf| {
        let digest = Digest::from_bytes(Algorithm::Sha256, leaf_hash(leaf).to_vec()).unwrap();
        format!(r#","previous":"{digest}""#)
    });
    let (sequence, previous) = (leaves.len(), previous.unwrap_or_default());
    format!(r#"{{"writer":"{writer}","sequence":{sequence}{previous},"more":"{more}"}}"#).into_bytes()
}

/// A writer with a spool that keeps everything.
pub struct Writer {
    pub target: PostgreSql,
    pub name: String,
    pub leaves: Vec<Vec<u8>>,
    pub batches: Vec<Batch>,
    pub blobs: Vec<Digest>,
}

impl Writer {
    pub fn new(target: PostgreSql, name: &str) -> Self {
        Self { target, name: name.to_owned(), leaves: Vec::new(), batches: Vec::new(), blobs: Vec::new() }
    }

    /// A batch of so many entries and a blob, not brought anywhere yet.
    pub fn spool(&mut self, count: usize) {
        let mut batch = Batch::default();
        for _ in 0..count {
            let leaf = entry(&self.name, &self.leaves, "");
            self.leaves.push(leaf.clone());
            batch.leaves.push(leaf);
        }
        // one of its own, and one that everybody has
        let own = format!("blob of {} after {}", self.name, self.leaves.len()).into_bytes();
        batch.blobs = vec![own, b"the book".to_vec()];
        self.blobs.extend(batch.blobs.iter().map(|blob| Digest::sha256(blob)));
        self.batches.push(batch);
    }

    /// Brings what the target does not have, from where the target says that it stands.
    pub fn bring(&mut self) -> Result<(), ApplyError> {
        let (mut first, taken) = (0, self.target.taken());
        for (at, batch) in self.batches.iter().enumerate() {
            let past = first + batch.leaves.len() as u64;
            if past > taken {
                return self.target.apply(first, &self.batches[at..]);
            }
            first = past;
        }
        Ok(())
    }

    /// As [`Writer::bring`], again and again while the target is out of reach.
    pub fn insist(&mut self) {
        let start = Instant::now();
        while let Err(e) = self.bring() {
            assert!(matches!(e, ApplyError::Unreachable(_)), "{e}");
            assert!(start.elapsed() < Duration::from_secs(60), "{e}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn write(&mut self, count: usize) {
        self.spool(count);
        self.insist();
    }

    /// Waits until all that was written is in the tree; brings again what was lost meanwhile.
    pub fn settle(&mut self) {
        let start = Instant::now();
        loop {
            self.insist();
            let reached = self.target.reached(Level::Sequenced);
            if reached.as_ref().is_ok_and(|reached| *reached == self.leaves.len() as u64) {
                return;
            }
            let duty = self.target.health().map(|health| (health.duty(), health.held()));
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{reached:?} of {}, {duty:?}",
                self.leaves.len()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until its sequencer says something like this.
    pub fn wait_for(&self, what: impl Fn(&Duty) -> bool) -> Duty {
        let (start, health) = (Instant::now(), self.target.health().unwrap());
        loop {
            let duty = health.duty();
            if what(&duty) {
                return duty;
            }
            assert!(start.elapsed() < Duration::from_secs(40), "{duty:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn refusal(&self) -> String {
        match self.wait_for(|duty| matches!(duty, Duty::Refused(_))) {
            Duty::Refused(why) => why,
            other => panic!("{other:?}"),
        }
    }

    pub fn stopped(&mut self) -> String {
        match self.bring() {
            Err(ApplyError::Stop(AppendError::Io(e))) => e.to_string(),
            other => panic!("{other:?}"),
        }
    }
}
