//! One trust root, one book with a policy for each case, and the three ways of asking: the library, the command line, and a
//! real `portcullis serve` over HTTPS.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use attest::bundle::{Bundle, LogEntry};
use attest::dsse::{Dsse, IN_TOTO};
use attest::merkle::leaf_hash;
use attest::note::{self, Checkpoint, NoteKey};
use attest::open::leaf_body;
use attest::{Artifact, Digest, Json, Object, SecretKey, Signer, Statement, TrustRoot};
use base64::Engine as _;
use jiff::Timestamp;
use policy::{Beside, Book, Case, DeploymentRequest, Frame, Guardrails, SourceFile, Submitted, evaluate};
use server::{Client, ClientTls};

use crate::tools::{code, expect, path, portcullis, portcullis_command, stderr, stdout};

pub const CI: u8 = 1;
pub const RELEASER: u8 = 2;
pub const WINDOWED: u8 = 3;
pub const STRANGER: u8 = 9;
const LOG: u8 = 90;
const WITNESS: u8 = 91;
const ENVIRONMENT: &str = "prod/shop";

pub fn secret(seed: u8) -> SecretKey {
    SecretKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

pub fn pem(seed: u8) -> String {
    secret(seed).public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
}

/// Everybody whom the cases believe.
pub fn trust_root() -> String {
    let vkey =
        |name: &str, seed| NoteKey { name: name.to_owned(), key: secret(seed).public().clone() }.to_vkey();
    format!(
        "version: 1\nsigstore: {{ public-good: {{ trusted-root: embedded }} }}\nbuilders:\n  ci:\n    ids: [\"id:ci\"]\n    keys:\n      - key: |\n{}releasers:\n  carol:\n    keys:\n      - key: |\n{}  windowed:\n    keys:\n      - key: |\n{}        from: 2026-01-01T00:00:00Z\n        until: 2026-06-01T00:00:00Z\nlogs:\n  builds: {{ key: \"{}\" }}\nwitnesses:\n  w: {{ key: \"{}\" }}\n",
        pem(CI),
        pem(RELEASER),
        pem(WINDOWED),
        vkey("log.example", LOG),
        vkey("w.example", WITNESS),
    )
}

/// One way in which a verifier once failed, as it is asked of us.
pub struct Ask {
    /// The row of the catalogue, and a word for the case.
    pub name: String,
    /// What stands under `require`, indented by two.
    pub require: &'static str,
    /// What is submitted.
    pub evidence: Vec<Vec<u8>>,
    /// What it is about.
    pub digest: Digest,
    /// The rule that must refuse; [`MET`] where nothing may.
    pub rule: &'static str,
    /// What its finding must say, in what was wrong or what was found.
    pub says: &'static str,
}

/// Instead of a rule: this one is admitted, so that what differs from it in one thing is refused for that.
pub const MET: &str = "met";

impl Ask {
    fn is_met(&self) -> bool {
        self.rule == MET
    }

    fn artifact(&self) -> Artifact {
        Artifact::new(&self.repository(), self.digest.clone().into())
    }

    fn repository(&self) -> String {
        format!("registry.example/{}", self.name)
    }

    fn policy(&self) -> String {
        format!("environment: {ENVIRONMENT}\nartifact: {}\nrequire:\n{}", self.repository(), self.require)
    }

    /// What a finding says is right, or what is wrong with it.
    fn check(&self, surface: &str, findings: &[(String, String)]) {
        if self.is_met() {
            return;
        }
        // evidence that cannot be taken out of its annotation makes the review unreadable
        let is_right = |rule: &str| {
            rule == self.rule
                || (surface == "the webhook"
                    && self.rule == "evidence-readable"
                    && rule == "request-readable")
        };
        let right = findings.iter().any(|(rule, text)| is_right(rule) && text.contains(self.says));
        assert!(
            right,
            "{surface}, {}: wanted {} to say {:?}\n{findings:#?}",
            self.name, self.rule, self.says
        );
    }
}

/// The artifact of every case that does not bring its own.
pub fn digest() -> Digest {
    Digest::sha256(b"shop")
}

#[allow(clippy::disallowed_methods, reason = "the server and the command line go by the real clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

pub fn statement(predicate_type: &str, predicate: Object) -> String {
    Statement::write("shop", &digest().into(), predicate_type, predicate)
}

pub fn sign(payload: &[u8], seeds: &[u8]) -> Dsse {
    let keys: Vec<SecretKey> = seeds.iter().map(|seed| secret(*seed)).collect();
    let signers: Vec<&dyn Signer> = keys.iter().map(|k| k as &dyn Signer).collect();
    Dsse::sign(IN_TOTO, payload, &signers).unwrap()
}

pub fn bundle(dsse: &Dsse, entries: &[LogEntry]) -> Vec<u8> {
    Bundle::write(dsse, "", entries).to_string().into_bytes()
}

/// A log entry for the first signature, which may be swapped for another's; seen by the witness.
pub fn entry(dsse: &Dsse, seed: u8, swap: impl Fn(String) -> String) -> LogEntry {
    entry_at(dsse, seed, "2026-11-01T00:00:00Z", swap)
}

/// As [`entry`], and when the witness saw it.
pub fn entry_at(dsse: &Dsse, seed: u8, seen: &str, swap: impl Fn(String) -> String) -> LogEntry {
    let envelope = Digest::sha256(dsse.to_json().to_string().as_bytes());
    let body = leaf_body(dsse, &envelope, secret(seed).public());
    let body = swap(String::from_utf8(body).unwrap()).into_bytes();
    let checkpoint = Checkpoint { origin: "log.example".to_owned(), size: 1, root: leaf_hash(&body) };
    let mut text = note::sign(&checkpoint.to_text(), "log.example", &secret(LOG)).unwrap();
    let seen = seen.parse().unwrap();
    text.push_str(&note::cosign(&checkpoint.to_text(), "w.example", seen, &secret(WITNESS)).unwrap());
    LogEntry { index: 0, size: 1, proof: Vec::new(), checkpoint: text, body }
}

/// On all three surfaces.
pub fn ask_everywhere(trust_root: &str, asks: &[Ask]) {
    ask_the_library(trust_root, asks);
    let place = Place::under(trust_root, asks);
    place.ask_the_command_line(asks);
    place.ask_the_webhook(asks);
}

/// The library: the pure function over the frozen case.
pub fn ask_the_library(trust_root: &str, asks: &[Ask]) {
    let root = TrustRoot::parse("trust-root.yaml", trust_root).unwrap_or_else(|e| panic!("{e:?}"));
    let files = asks.iter().map(|a| SourceFile { name: format!("book/{}.yaml", a.name), text: a.policy() });
    let book = Book::load(files.collect(), &Guardrails::none()).unwrap_or_else(|e| panic!("{e:?}"));
    for ask in asks {
        let mut request = DeploymentRequest::new(ask.artifact(), ENVIRONMENT, "test");
        request.envelopes = ask
            .evidence
            .iter()
            .enumerate()
            .map(|(n, bytes)| Submitted { name: format!("bundle {n}"), bytes: bytes.clone() })
            .collect();
        let frame = Frame {
            at: now(),
            last_seen: None,
            book: book.digest().clone(),
            trust_root: root.digest().clone(),
            trust_root_version: 1,
            beside: Beside::default(),
            engine: "test".to_owned(),
        };
        let verdict = evaluate(&Case::open(request, frame), &book, &root);
        let findings = findings(&verdict.to_json());
        assert_eq!(verdict.is_met(), ask.is_met(), "the library, {}: {findings:#?}", ask.name);
        ask.check("the library", &findings);
    }
}

fn findings(verdict: &Json) -> Vec<(String, String)> {
    let object = verdict.as_object().unwrap();
    let read = |finding: &Json| {
        let finding = finding.as_object().unwrap();
        (finding.string("rule").unwrap().to_owned(), finding.to_string())
    };
    object.array("findings").unwrap().iter().map(read).collect()
}

/// A folder with everything that the command line and the server read.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new(asks: &[Ask]) -> Self {
        Self::under(&trust_root(), asks)
    }

    pub fn under(trust_root: &str, asks: &[Ask]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        expect(0, &["init", path(&folder.path().join("deploy"))]);
        let place = Self { folder };
        fs::write(place.at("trust-root.yaml"), trust_root).unwrap();
        for what in ["book", "governance"] {
            fs::remove_dir_all(place.at(what)).unwrap();
        }
        fs::create_dir(place.at("book")).unwrap();
        fs::write(place.at("guardrails.yaml"), "{}\n").unwrap();
        for ask in asks {
            fs::write(place.at("book").join(format!("{}.yaml", ask.name)), ask.policy()).unwrap();
        }
        let config = fs::read_to_string(place.at("serve.yaml")).unwrap();
        let (begin, end) = (config.find("governance:\n").unwrap(), config.find("log: {").unwrap());
        let begin = config[..begin].replace("guardrails: guardrails.yaml\n", "");
        let config = format!("{begin}{}", &config[end..]);
        let config = config.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:9464", "127.0.0.1:0");
        fs::write(place.at("serve.yaml"), config).unwrap();
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("deploy").join(name)
    }

    /// The command line: `portcullis verify`, which must end with 1, and with 0 where it is met.
    pub fn ask_the_command_line(&self, asks: &[Ask]) {
        for ask in asks {
            let files: Vec<PathBuf> =
                (0..ask.evidence.len()).map(|n| self.at(&format!("{}.{n}", ask.name))).collect();
            for (file, bytes) in files.iter().zip(&ask.evidence) {
                fs::write(file, bytes).unwrap();
            }
            let (book, root) = (self.at("book"), self.at("trust-root.yaml"));
            let (artifact, uri) = (ask.digest.to_string(), ask.repository());
            let mut words =
                vec!["verify", &artifact, "--as", &uri, "--environment", ENVIRONMENT, "--format", "json"];
            words.extend(["--book", path(&book), "--trust-root", path(&root)]);
            words.extend(files.iter().flat_map(|file| ["--bundle", path(file)]));
            let output = portcullis(&words);
            let exit = i32::from(!ask.is_met());
            assert_eq!(code(&output), exit, "{}\n{}{}", ask.name, stdout(&output), stderr(&output));
            let verdict = attest::json::parse(stdout(&output).trim_end().as_bytes()).unwrap();
            let decision = verdict.as_object().unwrap().string("decision").unwrap();
            assert_eq!(decision == "reject", !ask.is_met(), "{}", ask.name);
            ask.check("the command line", &findings(&verdict));
        }
    }

    /// The webhook: a Pod with the evidence in its annotation, asked for as the API server asks.
    pub fn ask_the_webhook(&self, asks: &[Ask]) {
        let serving = Serving::start(&self.at("serve.yaml"));
        for ask in asks {
            let review = review(ask).to_string();
            let text = serving.send(self, &review);
            let answer = attest::json::parse(text.as_bytes()).unwrap();
            let response = answer.as_object().unwrap().object("response").unwrap();
            assert_eq!(response.flag("allowed").unwrap(), ask.is_met(), "the webhook, {}: {text}", ask.name);
            if ask.is_met() {
                continue;
            }
            let message = response.object("status").unwrap().string("message").unwrap();
            ask.check("the webhook", &rules_in(message));
        }
    }
}

/// `error[RULE]: …` and what follows, for each.
fn rules_in(message: &str) -> Vec<(String, String)> {
    let each = message.split("error[").skip(1);
    each.filter_map(|part| Some((part.split_once(']')?.0.to_owned(), part.to_owned()))).collect()
}

fn review(ask: &Ask) -> Json {
    let annotations = match ask.evidence.as_slice() {
        [] => String::new(),
        evidence => {
            let text = kubernetes::evidence::encode(evidence).unwrap_or_else(|_| packed(evidence));
            format!(r#","annotations":{{"portcullis.dev/evidence":"{text}"}}"#)
        }
    };
    let text = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"{}",
        "kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},
        "name":"web","namespace":"shop","operation":"CREATE","dryRun":false,
        "userInfo":{{"username":"alice@acme.example","groups":["system:authenticated"]}},
        "object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web","namespace":"shop"{annotations}}},
        "spec":{{"containers":[{{"name":"web","image":"{}@{}"}}]}}}}}}}}"#,
        ask.name,
        ask.repository(),
        ask.digest
    );
    attest::json::parse(text.as_bytes()).unwrap()
}

/// What the annotation's own writer refuses to write, as somebody else would.
fn packed(evidence: &[Vec<u8>]) -> String {
    let items: Vec<String> = evidence.iter().map(|e| String::from_utf8_lossy(e).into_owned()).collect();
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(format!("[{}]", items.join(",")).as_bytes()).unwrap();
    base64::engine::general_purpose::STANDARD.encode(writer.finish().unwrap())
}

struct Serving {
    child: Child,
    url: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Serving {
    fn start(config: &Path) -> Self {
        let mut command = portcullis_command();
        let mut child =
            command.args(["serve", "--config"]).arg(config).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let line = lines.by_ref().find(|line| {
            said.push(line.clone());
            line.contains("\"listening\"")
        });
        let line = line.unwrap_or_else(|| panic!("{said:?}"));
        std::thread::spawn(move || lines.for_each(drop));
        let address = attest::json::parse(line.as_bytes()).unwrap();
        let address = address.as_object().unwrap().string("address").unwrap().to_owned();
        Self { child, url: format!("https://{address}") }
    }

    fn send(&self, place: &Place, review: &str) -> String {
        let tls = |part: &str| place.at(&format!("tls/{part}"));
        let identity = Some((tls("apiserver.crt"), tls("apiserver.key")));
        let client = Client::new(&self.url, &ClientTls { ca: Some(tls("ca.crt")), identity }, None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let headers = [("content-type", "application/json")];
            let to = "/v1/kubernetes/validate?timeout=10s";
            let answer = client.send("POST", to, &headers, review.as_bytes().to_vec()).await.unwrap();
            String::from_utf8(answer.all(1 << 20).await.unwrap()).unwrap()
        })
    }
}
