//! `advisories fleet`: an OSV dump against everything that runs; and a new scan that `audit` judges the fleet by.

mod tools;

use std::fs;

use attest::claims::{Scan, Severity, VULNS, Vulnerability};
use attest::dsse::{Dsse, IN_TOTO};
use attest::note::NoteKey;
use attest::provenance::{BUILD_TYPE, Dependency};
use attest::time::parse_time;
use attest::{Artifact, Digest, Object, Provenance, SecretKey, Signer as _, TrustRoot};
use chokepoint::Chokepoint;
use policy::{Book, DeploymentRequest, Guardrails, SourceFile, Submitted};
use tlog::{Files, Log};
use tools::{code, portcullis, stderr, stdout};

const BUILDER: &str = "https://ci.acme.example/builders/official";
const BOOK: &str = "environment: prod/shop
artifact: registry.acme.example/shop
require: { built-by: [ci], scanned: { within: 7d, worst: medium } }
";
const AT: &str = "2026-11-23T09:00:00Z";

/// Two workloads run a shop with an old lodash, which a policy admitted with provenance and a clean scan.
struct Fleet(tempfile::TempDir);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

fn root() -> TrustRoot {
    let pem =
        |seed| key(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect::<String>();
    let text = format!(
        "version: 1\nbuilders:\n  ci:\n    ids: [\"{BUILDER}\"]\n    keys:\n      - key: |\n{}scanners:\n  scanner:\n    keys:\n      - key: |\n{}",
        pem(1),
        pem(2)
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap()
}

fn shop() -> Digest {
    Digest::sha256(b"shop")
}

fn sign(seed: u8, statement: &str) -> Vec<u8> {
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[&key(seed)]).unwrap();
    dsse.to_json().to_string().into_bytes()
}

fn signed(seed: u8, kind: &str, predicate: Object) -> Vec<u8> {
    sign(seed, &attest::Statement::write("shop", &shop().into(), kind, predicate))
}

fn scan(finished: &str, found: &[Severity]) -> Vec<u8> {
    let found =
        found.iter().map(|severity| Vulnerability { id: "CVE-2026-1".to_owned(), severity: *severity });
    let scan = Scan {
        scanner: "https://scan.acme.example".to_owned(),
        version: None,
        finished: parse_time(finished).unwrap(),
        database_updated: parse_time(finished),
        vulnerabilities: found.collect(),
    };
    signed(2, VULNS, scan.to_json())
}

fn provenance() -> Vec<u8> {
    let uri = "https://registry.npmjs.org/lodash/-/lodash-4.17.20.tgz";
    let input =
        Dependency { uri: uri.to_owned(), digests: Digest::sha256(b"l").into(), ..Dependency::default() };
    let provenance = Provenance {
        build_type: BUILD_TYPE.to_owned(),
        builder_id: BUILDER.to_owned(),
        dependencies: vec![input],
        finished: parse_time("2026-11-20T09:00:00Z"),
        ..Provenance::of_job("", "")
    };
    sign(1, &provenance.statement("shop", &shop().into()).unwrap())
}

impl Fleet {
    fn new() -> Self {
        let fleet = Self(tempfile::tempdir().unwrap());
        let dir = fleet.0.path().join("log");
        fs::create_dir(&dir).unwrap();
        fs::create_dir(fleet.0.path().join("osv")).unwrap();
        let log = Log::create(Files::new(&dir), "test.example", Box::new(key(8))).unwrap();
        let vkey = NoteKey { name: "test.example".to_owned(), key: key(8).public().clone() }.to_vkey();
        fs::write(dir.join("log.vkey"), vkey + "\n").unwrap();
        let file = SourceFile { name: "book/shop.yaml".to_owned(), text: BOOK.to_owned() };
        let book = Book::load(vec![file], &Guardrails::none()).unwrap();
        let point = Chokepoint::open(book, root(), log).unwrap();
        for workload in ["web", "cart"] {
            let artifact = Artifact::new("registry.acme.example/shop", shop().into());
            let mut request = DeploymentRequest::new(artifact, "prod/shop", "kubernetes");
            request.workload = Some(format!("eu-1/shop/Deployment/{workload}"));
            let envelopes = [provenance(), scan("2026-11-22T09:00:00Z", &[])];
            request.envelopes =
                envelopes.map(|bytes| Submitted { name: "bundle".to_owned(), bytes }).to_vec();
            let admission = point.decide(request, parse_time("2026-11-22T10:00:00Z").unwrap()).unwrap();
            assert!(admission.is_admitted(), "{:?}", admission.decision().verdict().findings());
        }
        fleet.advise("left-pad", "left-pad", "HIGH", "");
        fleet
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// A record about a package of npm, mended in 4.17.21.
    fn advise(&self, file: &str, package: &str, severity: &str, more: &str) {
        let record = format!(
            r#"{{"id":"GHSA-{file}","modified":"2026-11-01T00:00:00Z","aliases":["CVE-2026-7"],"summary":"A bad {package}",{more}
            "database_specific":{{"severity":"{severity}"}},"affected":[{{"package":{{"ecosystem":"npm","name":"{package}"}},
            "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}},{{"fixed":"4.17.21"}}]}}]}}]}}"#
        );
        fs::write(self.at(&format!("osv/{file}.json")), record).unwrap();
    }

    fn run(&self, exit: i32, args: &[&str]) -> String {
        let output = portcullis(&[args, &["--log", &self.at("log"), "--at", AT]].concat());
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), exit, "{args:?}\n{text}");
        text
    }

    fn advisories(&self, exit: i32, more: &[&str]) -> String {
        self.run(exit, &[&["advisories", "fleet", "--database", &self.at("osv")], more].concat())
    }
}

#[test]
fn a_new_advisory_names_the_workloads_and_the_version_that_mends_them() {
    let fleet = Fleet::new();
    let clean = fleet.advisories(0, &[]);
    assert_eq!(
        clean,
        "2 deployments run, of 1 artifact made of 1 component\n\
         looked up in 1 advisories, the newest of 2026-11-01T00:00:00Z\n\n\
         nothing that runs is known to be high or worse\n"
    );
    fleet.advise("new", "lodash", "HIGH", "");
    let image = format!("registry.acme.example/shop@{}", shop().short());
    let text = fleet.advisories(1, &[]);
    let expected = format!(
        "2 deployments run, of 1 artifact made of 1 component
looked up in 2 advisories, the newest of 2026-11-01T00:00:00Z

npm lodash 4.17.20
  advisory  GHSA-new (CVE-2026-7)
  severity  high
  installed 4.17.20
  fixed     4.17.21
  what      A bad lodash
  why       4.17.20 is in the range >=0, <4.17.21
  runs in   2 workloads
  - prod/shop  eu-1/shop/Deployment/cart  {image}  record 3
  - prod/shop  eu-1/shop/Deployment/web  {image}  record 2

2 deployments are affected by what is high or worse: 1 advisory
"
    );
    assert_eq!(text, expected);
    let json = fleet.advisories(1, &["--format", "json"]);
    let json = attest::json::parse(json.as_bytes()).unwrap();
    let object = json.as_object().unwrap();
    let first = object.array("advisories").unwrap()[0].as_object().unwrap();
    assert_eq!((first.string("advisory").unwrap(), first.string("fixed").unwrap()), ("GHSA-new", "4.17.21"));
    let web = first.array("workloads").unwrap()[1].as_object().unwrap();
    assert_eq!(web.string("workload").unwrap(), "eu-1/shop/Deployment/web");
    assert_eq!((web.string("digest").unwrap(), web.int("record").unwrap()), (&*shop().to_string(), 2));
    assert_eq!((object.int("affected").unwrap(), object.int("running").unwrap()), (2, 2));

    let critical = fleet.advisories(0, &["--worst", "critical"]);
    assert!(critical.contains("less bad than critical, and not listed: 1\n"), "{critical}");
    fleet.advise("new", "lodash", "HIGH", r#""withdrawn":"2026-11-02T00:00:00Z","#);
    assert!(
        fleet.advisories(0, &["--worst", "low"]).contains("nothing that runs is known to be low or worse")
    );
}

#[test]
fn only_the_named_key_may_say_that_it_does_not_matter() {
    let fleet = Fleet::new();
    fleet.advise("new", "lodash", "HIGH", "");
    let vex = format!(
        r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://acme.example/vex/1","author":"security@acme.example",
        "timestamp":"2026-11-01T00:00:00Z","version":1,"statements":[{{"vulnerability":{{"name":"CVE-2026-7"}},
        "products":[{{"@id":"shop","hashes":{{"sha-256":"{}"}}}}],"status":"not_affected",
        "justification":"vulnerable_code_not_present"}}]}}"#,
        shop().hex()
    );
    let vex = attest::json::parse(vex.as_bytes()).unwrap().as_object().unwrap().clone();
    for (seed, name) in [(5, "vex.json"), (2, "scanner.json")] {
        fs::write(fleet.at(name), signed(seed, "https://openvex.dev/ns/v0.2.0", vex.clone())).unwrap();
    }
    fs::write(fleet.at("security.pub"), key(5).public().to_pem()).unwrap();
    let said = |exit, file: &str| {
        fleet.advisories(exit, &["--vex", &fleet.at(file), "--vex-key", &fleet.at("security.pub")])
    };
    assert!(said(0, "vex.json").contains("said not to matter: 1\n"));
    assert!(said(2, "scanner.json").contains("do not count"));
    // what lies beside an artifact says nothing of advisories, whoever signed it
    let store = evidence::Store::new(&fleet.0.path().join("evidence"));
    let beside = store.put(&signed(2, "https://openvex.dev/ns/v0.2.0", vex)).unwrap();
    store.attach(&shop(), &[beside]).unwrap();
    assert!(
        fleet.advisories(1, &["--evidence", &fleet.at("evidence")]).contains("2 deployments are affected")
    );
}

#[test]
fn what_cannot_be_read_is_never_clean() {
    let fleet = Fleet::new();
    fs::write(fleet.at("osv/noise.json"), "{").unwrap();
    assert!(fleet.advisories(2, &[]).contains("advisories that cannot be read: 1"));
    fs::remove_file(fleet.at("osv/noise.json")).unwrap();
    fs::write(fleet.at("torn.zip"), "PK").unwrap();
    let torn = fleet.advisories(2, &["--database", &fleet.at("torn.zip")]);
    assert!(torn.contains("torn.zip cannot be read") && torn.contains("half a database"), "{torn}");
    // another trust root knows nobody who signed
    let stranger: String = key(9).public().to_pem().lines().map(|l| format!("          {l}\n")).collect();
    let text = format!("version: 2\nsigners:\n  vendor:\n    keys:\n      - key: |\n{stranger}");
    fs::write(fleet.at("other.yaml"), text).unwrap();
    let text = fleet.advisories(0, &["--trust-root", &fleet.at("other.yaml")]);
    let why =
        "nobody can tell what all is in 2 deployments: no proven provenance or list of parts names a package";
    assert!(text.contains(why) && text.contains("eu-1/shop/Deployment/web"), "{text}");
}

#[test]
fn a_new_scan_judges_what_runs_again() {
    let fleet = Fleet::new();
    let store = evidence::Store::new(&fleet.0.path().join("evidence"));
    let audit = |exit| fleet.run(exit, &["audit", "--evidence", &fleet.at("evidence")]);
    assert!(audit(0).contains("2 as they were"));
    let bad = scan("2026-11-23T08:00:00Z", &[Severity::Low, Severity::Critical]);
    let attached = store.put(&bad).unwrap();
    store.attach(&shop(), &[attached]).unwrap();
    let text = audit(1);
    assert!(text.contains("2 would be refused") && text.contains("error[scanned]"), "{text}");
    assert!(text.contains("CVE-2026-1") && text.contains("eu-1/shop/Deployment/web"), "{text}");
    // one by a stranger is no scan, and as at the door, evidence by a stranger is refused as what it is
    let found = Vulnerability { id: "CVE-2026-1".to_owned(), severity: Severity::Critical };
    let stranger = Scan {
        scanner: "https://scan.acme.example".to_owned(),
        version: None,
        finished: parse_time("2026-11-23T08:00:00Z").unwrap(),
        database_updated: None,
        vulnerabilities: vec![found],
    };
    let attached = store.put(&signed(9, VULNS, stranger.to_json())).unwrap();
    store.attach(&shop(), &[attached]).unwrap();
    let text = audit(1);
    assert!(text.contains("evidence-authentic") && !text.contains("CVE-2026-1"), "{text}");
}
