//! What all servers and the client share: certificates, keys, a book, and reviews with evidence that is admitted.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use attest::claims::{REVIEW, Review, Scan, TEST_RESULT, TestOutcome, TestResult, VULNS};
use attest::dsse::{Dsse, IN_TOTO};
use attest::provenance::{BUILD_TYPE, Dependency, Provenance, SLSA_V1, Source};
use attest::{Algorithm, Digest, DigestSet, Json, Object, Scheme, SecretKey, Signer, Statement};
use base64::Engine as _;
use bytes::Bytes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Reviews of different images: the evidence of one is not the evidence of another.
const REVIEWS: usize = 256;
const NAMES: [&str; 4] = ["ci", "forge", "tester", "scanner"];
const CHECKS: &str = "checks.json";

pub struct Fixture {
    folder: tempfile::TempDir,
    pub bodies: Arc<Vec<Bytes>>,
}

impl Fixture {
    pub fn new(folder: tempfile::TempDir) -> Self {
        let at = folder.path().to_owned();
        certificates(&at);
        let keys = NAMES.map(|_| SecretKey::generate(Scheme::P256).unwrap());
        write_files(&at, &keys);
        let bodies = (0..REVIEWS).map(|number| review(number, &keys, &at)).collect();
        Self { folder, bodies: Arc::new(bodies) }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The API server's side.
    pub fn client_tls(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(chain(&self.path().join("ca.crt")));
        let (chain, key) = pair(self.path(), "client");
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn chain(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file).unwrap().collect::<Result<_, _>>().unwrap()
}

fn pair(folder: &Path, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
    (chain(&folder.join(format!("{name}.crt"))), key)
}

/// A floor's side: the same certificate, and the client's is checked too.
pub fn server_tls(folder: &Path) -> Arc<rustls::ServerConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(chain(&folder.join("ca.crt")));
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let (chain, key) = pair(folder, "server");
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

fn certificates(folder: &Path) {
    let script = "
        set -e
        key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
        key ca; openssl req -x509 -new -key ca.key -subj /CN=bench-ca -days 2 -out ca.crt
        for name in server client; do
          key $name
          openssl req -new -key $name.key -subj /CN=$name -out $name.csr
          printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > $name.ext
          openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.crt
        done";
    let output = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn write_files(folder: &Path, keys: &[SecretKey; 4]) {
    let pem = |i: usize| -> String {
        keys[i].public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
    };
    let listed = |i: usize| format!("  {}:\n    keys:\n      - key: |\n{}", NAMES[i], pem(i));
    let root = format!(
        "version: 1\nbuilders:\n{}    ids: [\"id:ci\"]\n    hermetic: [\">=1.0.0\"]\nreview-authorities:\n{}testers:\n{}scanners:\n{}people:\n  a: {{ identities: [a@x] }}\n  b: {{ identities: [b@x] }}\n",
        listed(0),
        listed(1),
        listed(2),
        listed(3)
    );
    let policy = "environment: prod/shop\nartifact: registry.example/shop\nrequire:\n  built-by: [ci]\n  source: { repository: \"https://git.example/shop\", branch: main, reviewed: { approvals: 1 } }\n  target: //shop:image\n  hermetic: true\n  built-within: 30d\n  tests: [unit]\n  scanned: { within: 7d, worst: medium }\n";
    std::fs::create_dir_all(folder.join("book")).unwrap();
    std::fs::write(folder.join("trust-root.yaml"), root).unwrap();
    std::fs::write(folder.join("book/shop.yaml"), policy).unwrap();
    let log = SecretKey::generate(Scheme::Ed25519).unwrap();
    std::fs::write(folder.join("log.key"), log.to_pem(None).unwrap().as_bytes()).unwrap();
}

/// The configuration of a server whose log is new.
pub fn configuration(folder: &Path, run: &Path, cache: &str) -> PathBuf {
    let (shared, own) = (folder.display(), run.display());
    let text = format!(
        "book: {shared}/book
trust-root: {shared}/trust-root.yaml
log: {{ path: {own}/log, origin: portcullis.example/bench, key: {shared}/log.key }}
evidence: {own}/evidence
state: {own}/state
cache: {cache}
metrics: {{ listen: 127.0.0.1:0 }}
webhook:
  listen: 127.0.0.1:0
  tls: {{ certificate: {shared}/server.crt, key: {shared}/server.key }}
  clients: {{ ca: {shared}/ca.crt, names: [client] }}
  cluster: bench
  environments:
    - {{ environment: prod/shop, namespaces: [shop] }}
"
    );
    let file = run.join("serve.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

/// A real Pod's review, with provenance, review, test result and scan inline.
fn review(number: usize, keys: &[SecretKey; 4], folder: &Path) -> Bytes {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let commit = Digest::from_hex(Algorithm::GitCommit, &format!("{number:040x}")).unwrap();
    let digest = Digest::sha256(format!("shop {number}").as_bytes());
    let mut checks = Vec::new();
    let mut bundles = Vec::new();
    for (i, (kind, about, predicate)) in facts(at, &commit, &digest).into_iter().enumerate() {
        let statement = Statement::write("subject", &about, kind, predicate);
        let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&keys[i]]).unwrap();
        let base64 = base64::engine::general_purpose::STANDARD.encode(&dsse.signatures[0].bytes);
        checks.push(
            Object::new()
                .with("key", keys[i].public().to_pem())
                .with("statement", statement.as_str())
                .with("signature", base64),
        );
        bundles.push(attest::bundle::Bundle::write(&dsse, &keys[i].public().id(), &[]));
    }
    if number == 0 {
        std::fs::write(folder.join(CHECKS), Json::from(checks).to_string()).unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(Json::Array(bundles).to_string().as_bytes()).unwrap();
    let evidence = base64::engine::general_purpose::STANDARD.encode(gzip.finish().unwrap());
    let text = include_str!("review.json")
        .replace("DIGEST", &digest.hex())
        .replace("NUMBER", &format!("{number:012}"))
        .replace("EVIDENCE", &evidence);
    Bytes::from(text)
}

fn facts(at: jiff::Timestamp, commit: &Digest, shop: &Digest) -> [(&'static str, DigestSet, Object); 4] {
    let review = Review {
        repository: "https://git.example/shop".into(),
        base: None,
        authors: vec!["a@x".into()],
        reviewers: vec!["b@x".into()],
        reviewed: at,
    };
    let test =
        TestResult { names: vec!["unit".into()], result: TestOutcome::Pass, failed: Vec::new(), of: None };
    let scan = Scan {
        scanner: "s".into(),
        version: None,
        finished: at,
        database_updated: None,
        vulnerabilities: Vec::new(),
    };
    let shop: DigestSet = shop.clone().into();
    [
        (SLSA_V1, shop.clone(), provenance(at, commit).to_slsa_v1()),
        (REVIEW, commit.clone().into(), review.to_json()),
        (TEST_RESULT, shop.clone(), test.to_json()),
        (VULNS, shop, scan.to_json()),
    ]
}

fn provenance(at: jiff::Timestamp, commit: &Digest) -> Provenance {
    let dependency = |i: usize| Dependency {
        uri: format!("pkg:deb/debian/package-{i}@1.2.3-4"),
        digests: Digest::sha256(&[i as u8]).into(),
        is_tool: i == 0,
        ..Dependency::default()
    };
    Provenance {
        format: "1.0".into(),
        build_type: BUILD_TYPE.into(),
        builder_id: "id:ci".into(),
        builder_version: Some("1.2.3".into()),
        source: Some(Source {
            repository: "https://git.example/shop".into(),
            reference: Some("refs/heads/main".into()),
            digests: commit.clone().into(),
            committed: Some(at),
            ..Source::default()
        }),
        target: Some("//shop:image".into()),
        parameters: Object::new(),
        dependencies: (0..12).map(dependency).collect(),
        command: Some(vec!["make".into()]),
        environment: Default::default(),
        hermetic: true,
        invocation: Some("run".into()),
        started: Some(at),
        finished: Some(at),
        ..Provenance::default()
    }
}
