//! A decision log that is made up as it is read: as long as anybody wants, in little memory.
#![allow(dead_code, reason = "the tests and the benchmark use different parts")]

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use attest::dsse::{Dsse, IN_TOTO};
use attest::merkle::{Hash, leaf_hash};
use attest::note::Checkpoint;
use attest::provenance::{BUILD_TYPE, Dependency, Source};
use attest::{Algorithm, Artifact, Digest, Object, Provenance, SecretKey, Signer as _, TrustRoot};
use chokepoint::{Position, Record};
use jiff::Timestamp;
use policy::{Case, DeploymentRequest, Frame, Submitted};
use tlog::Storage;

pub const OFFICIAL: &str = "https://ci.acme.example/builders/official";

/// A log whose leaf at each place is whatever a function says.
pub struct Generated {
    leaf: Box<dyn Fn(u64) -> Vec<u8> + Send + Sync>,
    /// The roots of full tiles, level by level, from level 1 up.
    levels: Vec<Vec<Hash>>,
    pub size: u64,
    pub blobs: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Generated {
    pub fn new(size: u64, leaf: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let mut levels = vec![Vec::new()];
        for tile in 0..size / 256 {
            let leaves: Vec<Hash> = (tile * 256..(tile + 1) * 256).map(|n| leaf_hash(&leaf(n))).collect();
            levels[0].push(tlog::root_of(&leaves));
        }
        while levels.last().unwrap().len() >= 256 {
            let next = levels.last().unwrap().chunks_exact(256).map(tlog::root_of).collect();
            levels.push(next);
        }
        Self { leaf: Box::new(leaf), levels, size, blobs: Mutex::default() }
    }

    pub fn of_leaves(leaves: Vec<Vec<u8>>) -> Self {
        let size = leaves.len() as u64;
        Self::new(size, move |n| leaves[n as usize].clone())
    }

    pub fn put(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        self.blobs.lock().unwrap().insert(digest.hex(), bytes.to_vec());
        digest
    }

    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        let root = tlog::Reader::new(self, size).root().unwrap();
        Checkpoint { origin: "test.example".to_owned(), size, root }
    }

    fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let (path, width) = path.split_once(".p/").unwrap_or((path, "256"));
        let width: u64 = width.parse().ok()?;
        let (level, number) = path.split_once('/')?;
        let number: u64 = number.replace(['x', '/'], "").parse().ok()?;
        let range = number * 256..number * 256 + width;
        if matches!(level, "entries" | "0") && range.end > self.size {
            return None;
        }
        Some(match level {
            "entries" => range
                .flat_map(|n| {
                    let leaf = (self.leaf)(n);
                    [u16::try_from(leaf.len()).unwrap().to_be_bytes().to_vec(), leaf].concat()
                })
                .collect(),
            "0" => range.flat_map(|n| leaf_hash(&(self.leaf)(n))).collect(),
            level => {
                let hashes = self.levels.get(level.parse::<usize>().ok()? - 1)?;
                hashes.get(range.start as usize..range.end as usize)?.concat()
            }
        })
    }
}

impl Storage for Generated {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        if let Some(hex) = path.strip_prefix("blobs/sha256/") {
            return Ok(self.blobs.lock().unwrap().get(&hex[3..]).cloned());
        }
        Ok(path.strip_prefix("tile/").and_then(|path| self.tile(path)))
    }

    fn length(&self, path: &str) -> io::Result<Option<usize>> {
        Ok(if path.starts_with("blobs/packs") { None } else { self.read(path)?.map(|bytes| bytes.len()) })
    }

    fn write(&self, _: &str, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

/// official-ci with key 1, a forge with key 2, alice and bob, a builder for something else with key 3.
pub fn root() -> TrustRoot {
    let pem = |seed| -> String {
        key(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
    };
    let text = format!(
        "version: 1
builders:
  official-ci:
    ids: [\"{OFFICIAL}\"]
    keys:
      - key: |
{}  other-ci:
    ids: [\"https://other.example/ci\"]
    keys:
      - key: |
{}review-authorities:
  forge:
    keys:
      - key: |
{}people:
  alice:
    identities: [\"alice@acme.example\"]
  bob:
    identities: [\"bob@acme.example\"]
",
        pem(1),
        pem(3),
        pem(2)
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

pub fn artifact(number: u64) -> Digest {
    Digest::sha256(format!("artifact {number}").as_bytes())
}

pub fn commit(number: u64) -> Digest {
    let hex = Digest::sha256(format!("commit {number}").as_bytes()).hex();
    Digest::from_hex(Algorithm::GitCommit, &hex[..40]).unwrap()
}

pub fn base(number: u64) -> Digest {
    Digest::sha256(format!("base {number}").as_bytes())
}

pub fn repository(number: u64) -> String {
    format!("https://git.acme.example/team-{}/service-{number}", number % 7)
}

/// How an artifact was built: one commit in three has two artifacts, a base has many.
pub fn provenance(number: u64, repositories: u64) -> Provenance {
    let source = Source {
        repository: repository(number % repositories),
        reference: Some("refs/heads/main".to_owned()),
        digests: commit(number - number % 3 % 2).into(),
        ..Source::default()
    };
    let input = |name: &str, digest: Digest, is_tool| Dependency {
        name: Some(name.to_owned()),
        uri: format!("https://registry.acme.example/{name}"),
        digests: digest.into(),
        is_tool,
        ..Dependency::default()
    };
    Provenance {
        format: "1.0".to_owned(),
        build_type: BUILD_TYPE.to_owned(),
        builder_id: OFFICIAL.to_owned(),
        builder_version: Some("1.0.0".to_owned()),
        source: Some(source),
        target: Some("service".to_owned()),
        dependencies: vec![
            input("base-image", base(number % 5), false),
            input("gcc", base(1000 + number % 2), true),
        ],
        hermetic: true,
        finished: Some(at(-3600)),
        ..Provenance::default()
    }
}

pub fn signed(seed: u8, subject: &Digest, kind: &str, predicate: Object) -> Submitted {
    let statement = attest::Statement::write("service", &subject.clone().into(), kind, predicate);
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key(seed)]).unwrap();
    Submitted { name: "bundle".to_owned(), bytes: dsse.to_json().to_string().into_bytes() }
}

/// A case about an artifact with this evidence, kept in the log's blobs; its digest.
pub fn case(log: &Generated, digest: &Digest, envelopes: Vec<Submitted>) -> Digest {
    let root = root();
    let mut request = DeploymentRequest::new(
        Artifact::new("registry.acme.example/x", digest.clone().into()),
        "prod/shop",
        "test",
    );
    for envelope in &envelopes {
        log.put(&envelope.bytes);
    }
    request.envelopes = envelopes;
    let frame = Frame {
        at: at(0),
        last_seen: None,
        book: Digest::sha256(b"book"),
        trust_root: log.put(root.text().as_bytes()),
        trust_root_version: 1,
        engine: "test".to_owned(),
        beside: policy::Beside::default(),
    };
    log.put(Case::open(request, frame).to_json().to_string().as_bytes())
}

/// A record in which everything follows from a few numbers.
pub fn record(sequence: u64, digest: &Digest, workload: Option<String>, environment: &str) -> Record {
    let name = format!("registry.acme.example/{}", workload.as_deref().unwrap_or("file").replace('/', "-"));
    let artifact = Artifact::new(&name, digest.clone().into());
    Record {
        position: Position { writer: "w".to_owned(), epoch: 0, sequence, previous: None },
        at: at(i64::try_from(sequence).unwrap()),
        decision: "admit".to_owned(),
        basis: "policy".to_owned(),
        outcome: "met".to_owned(),
        environment: environment.to_owned(),
        artifact: artifact.short(),
        digest: Some(digest.clone()),
        workload,
        requester: Some("alice@acme.example".to_owned()),
        chokepoint: "kubernetes".to_owned(),
        grant: None,
        rules: Vec::new(),
        trust_root_version: 1,
        case: Digest::sha256(&sequence.to_be_bytes()),
        decided: Digest::sha256(b"decided"),
        book: Digest::sha256(b"book"),
    }
}

pub fn leaf(record: &Record) -> Vec<u8> {
    record.to_json().to_string().into_bytes()
}

/// Numbers that look random and are the same every time (SplitMix64).
pub fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
