//! A real decision log, made by a choke point whose book only warns, and an OSV dump in a folder.
#![allow(dead_code, reason = "not every test uses every function")]

use std::path::PathBuf;

use attest::dsse::{Dsse, IN_TOTO};
use attest::note::{Checkpoint, Note};
use attest::provenance::{BUILD_TYPE, Dependency, SLSA_V1};
use attest::{Artifact, Digest, Provenance, SecretKey, Signer as _, TrustRoot};
use chokepoint::Chokepoint;
use inventory::Inventory;
use jiff::Timestamp;
use policy::{Book, DeploymentRequest, Guardrails, SourceFile, Submitted};
use tlog::{Files, Log};

const BUILDER: &str = "https://ci.acme.example/builders/official";

pub struct World(tempfile::TempDir);

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

/// Key 1 is the builder's, key 2 a scanner's.
pub fn root() -> TrustRoot {
    let pem = |seed| -> String {
        key(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
    };
    let text = format!(
        "version: 1\nbuilders:\n  ci:\n    ids: [\"{BUILDER}\"]\n    keys:\n      - key: |\n{}scanners:\n  lister:\n    keys:\n      - key: |\n{}",
        pem(1),
        pem(2)
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

pub fn digest(name: &str) -> Digest {
    Digest::sha256(name.as_bytes())
}

pub fn lodash(version: &str) -> String {
    format!("pkg:npm/lodash@{version}")
}

pub fn bom(purl: &str) -> String {
    format!(
        r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{{"type":"library","name":"x","purl":"{purl}"}}]}}"#
    )
}

/// A record about a package of npm, mended in a version.
pub fn advisory(id: &str, package: &str, fixed: &str, severity: &str, more: &str) -> String {
    let rated = if severity.is_empty() {
        String::new()
    } else {
        format!(r#""database_specific":{{"severity":"{severity}"}},"#)
    };
    format!(
        r#"{{"id":"{id}","modified":"2026-11-01T00:00:00Z",{more}{rated}"affected":[{{"package":{{"ecosystem":"npm","name":"{package}"}},
        "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"{fixed}"}}]}}]}}]}}"#
    )
}

pub fn sign(seed: u8, name: &str, kind: &str, predicate: &str) -> Submitted {
    let json = attest::json::parse(predicate.as_bytes()).unwrap();
    let object = json.as_object().unwrap().clone();
    let statement = attest::Statement::write(name, &digest(name).into(), kind, object);
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key(seed)]).unwrap();
    Submitted { name: "bundle".to_owned(), bytes: dsse.to_json().to_string().into_bytes() }
}

impl World {
    pub fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(world.osv()).unwrap();
        world
    }

    pub fn log(&self) -> PathBuf {
        self.0.path().join("log")
    }

    pub fn osv(&self) -> PathBuf {
        self.0.path().join("osv")
    }

    pub fn advise(&self, file: &str, record: &str) {
        std::fs::write(self.osv().join(format!("{file}.json")), record).unwrap();
    }

    pub fn provenance(&self, name: &str, inputs: &[&str]) -> Submitted {
        self.provenance_by(1, name, inputs)
    }

    pub fn provenance_by(&self, seed: u8, name: &str, inputs: &[&str]) -> Submitted {
        let input = |uri: &&str| Dependency {
            uri: (*uri).to_owned(),
            digests: digest(uri).into(),
            ..Dependency::default()
        };
        let provenance = Provenance {
            build_type: BUILD_TYPE.to_owned(),
            builder_id: BUILDER.to_owned(),
            dependencies: inputs.iter().map(input).collect(),
            finished: Some(at(-10)),
            ..Provenance::of_job("", "")
        };
        let statement = provenance.statement(name, &digest(name).into()).unwrap();
        assert!(statement.contains(SLSA_V1));
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key(seed)]).unwrap();
        Submitted { name: "bundle".to_owned(), bytes: dsse.to_json().to_string().into_bytes() }
    }

    /// A choke point lets an artifact in, for a workload.
    pub fn admit(&self, name: &str, workload: &str, envelopes: Vec<Submitted>) {
        let files = Files::new(&self.log());
        let signer = || Box::new(key(8));
        let log = if self.log().join("checkpoint").exists() {
            Log::open(files, "test.example", signer()).unwrap()
        } else {
            std::fs::create_dir_all(self.log()).unwrap();
            Log::create(files, "test.example", signer()).unwrap()
        };
        let text = "environment: prod/shop\nartifact: registry.acme.example/*\nmode: dry-run\nrequire: { built-by: [ci] }\n";
        let file = SourceFile { name: "book/shop.yaml".to_owned(), text: text.to_owned() };
        let book = Book::load(vec![file], &Guardrails::none()).unwrap();
        let point = Chokepoint::open(book, root(), log).unwrap();
        let artifact = Artifact::new(&format!("registry.acme.example/{name}"), digest(name).into());
        let mut request = DeploymentRequest::new(artifact, "prod/shop", "test");
        request.envelopes = envelopes;
        request.workload = Some(format!("eu-1/shop/Deployment/{workload}"));
        assert!(point.decide(request, at(0)).unwrap().is_admitted());
    }

    fn checkpoint(&self) -> Checkpoint {
        let text = std::fs::read_to_string(self.log().join("checkpoint")).unwrap();
        Checkpoint::parse(Note::parse(&text).unwrap().text()).unwrap()
    }

    pub fn size(&self) -> u64 {
        self.checkpoint().size
    }

    pub async fn inventory(&self) -> Inventory {
        let (inventory, _) = Inventory::open(&self.0.path().join("inventory")).await.unwrap();
        inventory.follow(&Files::new(&self.log()), &self.checkpoint(), &mut |_| {}).await.unwrap();
        inventory
    }

    pub fn remove_blobs(&self) {
        std::fs::remove_dir_all(self.log().join("blobs")).unwrap();
    }
}
