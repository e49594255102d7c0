//! Policy tests: what is claimed, written out, and the verdict that it must get.
//!
//! A scenario says who signs what. The claims are signed with throw-away keys that stand in for those of the trust
//! root, and go through the same opening and the same rules as real evidence. Nothing is stubbed.

use attest::yaml::{Fields, LoadError, Node, Problems, Value};
use attest::{Artifact, Digest, DigestSet, Json, Object, TrustRoot};
use jiff::Timestamp;

use crate::book::Book;
use crate::case::{Case, Frame};
use crate::evaluate::evaluate;
use crate::request::{DeploymentRequest, Submitted};
use crate::verdict::{Outcome, Verdict};

mod claim;
mod sign;

pub use claim::{Claim, Logged, Said, Subject};
pub use sign::{sign_claim, test_key};

/// A file of policy tests.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// The book's folder, relative to the file.
    pub book: String,
    /// The trust root, relative to the file.
    pub trust_root: String,
    /// The tests.
    pub tests: Vec<Scenario>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it shows.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// Where to.
    pub environment: String,
    /// What.
    pub artifact: String,
    /// Who asks.
    pub requester: Option<String>,
    /// What is claimed.
    pub claims: Vec<Claim>,
    /// The rules that must refuse, in any order; empty means that the policy must be met.
    pub expect: Vec<String>,
    /// The rules that must warn.
    pub warn: Vec<String>,
}

/// What a test gave.
#[derive(Clone, Debug)]
pub struct TestOutcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The artifact, for messages.
    pub artifact: String,
    /// What differs from what was expected; nothing where it passed.
    pub difference: Option<String>,
}

impl TestFile {
    /// Parses a file of tests.
    ///
    /// # Errors
    /// All problems, each with its place.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let value = read(&node, &mut problems);
        problems.finish(value)
    }
}

impl Scenario {
    /// The digest of the artifact that the claims are about: its name's.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::sha256(self.artifact.as_bytes())
    }

    /// The trust root with the throw-away keys, and the case.
    #[must_use]
    pub fn prepare(&self, book: &Book, root: &TrustRoot) -> (TrustRoot, Case) {
        let root = root.rekeyed(|name| attest::Signer::public(&test_key(name)).clone());
        let numbered = (1..).zip(&self.claims);
        let envelopes = numbered
            .map(|(n, claim)| Submitted {
                name: format!("evidence {n}"),
                bytes: sign_claim(claim, self, &root),
            })
            .collect();
        let artifact = Artifact::new(&self.artifact, DigestSet::from(self.digest()));
        let mut request = DeploymentRequest::new(artifact, &self.environment, "policy test");
        request.requester = self.requester.clone();
        request.envelopes = envelopes;
        let frame = Frame {
            at: self.at,
            last_seen: None,
            book: book.digest().clone(),
            trust_root: root.digest().clone(),
            trust_root_version: root.version(),
            beside: crate::case::Beside::default(),
            engine: "policy test".to_owned(),
        };
        (root, Case::open(request, frame))
    }

    /// Judges the case and compares.
    #[must_use]
    pub fn run(&self, book: &Book, root: &TrustRoot) -> TestOutcome {
        let (root, case) = self.prepare(book, root);
        let verdict = evaluate(&case, book, &root);
        let rules = |findings: &[crate::finding::Finding]| {
            let mut rules: Vec<String> = findings.iter().map(|f| f.rule.to_owned()).collect();
            rules.sort();
            rules.dedup();
            rules
        };
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            list
        };
        let shown = |list: &[String]| if list.is_empty() { "met".to_owned() } else { list.join(", ") };
        let (found, warned) = (rules(verdict.findings()), rules(verdict.warnings()));
        let difference = match verdict.outcome() {
            Outcome::CannotDecide(why) => Some(format!("cannot be decided: {why}")),
            _ if found != sorted(&self.expect) => {
                Some(format!("expected {}, got {}", shown(&sorted(&self.expect)), shown(&found)))
            }
            _ if warned != sorted(&self.warn) => {
                Some(format!("expected the warnings {:?}, got {warned:?}", sorted(&self.warn)))
            }
            Outcome::Met | Outcome::Unmet => None,
        };
        TestOutcome { artifact: case.artifact().short(), verdict, difference }
    }
}

fn read(node: &Node, problems: &mut Problems) -> Option<TestFile> {
    let fields = Fields::read(node, "a file of policy tests", &["book", "trust-root", "tests"], problems)?;
    let book = fields.required("book", problems)?;
    let trust_root = fields.required("trust-root", problems)?;
    let tests = fields.required("tests", problems)?;
    let items = problems.keep(tests.list())?;
    Some(TestFile {
        book: problems.keep(book.string())?.to_owned(),
        trust_root: problems.keep(trust_root.string())?.to_owned(),
        tests: items.iter().filter_map(|item| read_scenario(item, problems)).collect(),
    })
}

fn read_scenario(node: &Node, problems: &mut Problems) -> Option<Scenario> {
    let known = ["name", "at", "environment", "artifact", "requester", "evidence", "expect", "warn"];
    let fields = Fields::read(node, "a policy test", &known, problems)?;
    let name = fields.required("name", problems)?;
    let at = fields.required("at", problems)?;
    let environment = fields.required("environment", problems)?;
    let artifact = fields.required("artifact", problems)?;
    let requester = fields.optional("requester").and_then(|n| problems.keep(n.string()));
    let mut claims = Vec::new();
    if let Some(items) = fields.optional("evidence").and_then(|n| problems.keep(n.list())) {
        claims.extend(items.iter().filter_map(|item| claim::read(item, problems)));
    }
    let expect = fields.required("expect", problems)?;
    let expect = match &expect.value {
        Value::Scalar { text, .. } if text == "met" => Vec::new(),
        _ => read_rules(expect, problems)?,
    };
    let warn = match fields.optional("warn") {
        Some(node) => read_rules(node, problems)?,
        None => Vec::new(),
    };
    Some(Scenario {
        name: problems.keep(name.string())?.to_owned(),
        at: problems.keep(claim::read_time(at))?,
        environment: problems.keep(environment.string())?.to_owned(),
        artifact: problems.keep(artifact.string())?.to_owned(),
        requester: requester.map(str::to_owned),
        claims,
        expect,
        warn,
    })
}

fn read_rules(node: &Node, problems: &mut Problems) -> Option<Vec<String>> {
    let rules = problems.keep(node.strings())?;
    for (rule, place) in &rules {
        if crate::rules::by_name(rule).is_none() {
            let known: Vec<&str> = crate::rules::all().map(|r| r.name).collect();
            let error = LoadError::new(place, &format!("there is no rule `{rule}`"));
            problems.push(match attest::yaml::suggest(rule, &known) {
                Some(near) => error.fix(&format!("write `{near}`")),
                None => error.fix("write `met`, or the names of the rules that must refuse"),
            });
        }
    }
    Some(rules.into_iter().map(|(rule, _)| rule).collect())
}

/// The JSON that a YAML value amounts to, for predicates that a test writes out.
fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar { text, plain } => match text.parse::<i64>() {
            Ok(number) if *plain => Json::Int(number),
            _ if *plain && text == "true" => Json::Bool(true),
            _ if *plain && text == "false" => Json::Bool(false),
            _ => Json::from(text.as_str()),
        },
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(pairs) => {
            let key = |node: &Node| match &node.value {
                Value::Scalar { text, .. } => text.clone(),
                Value::List(_) | Value::Map(_) => String::new(),
            };
            Json::Object(pairs.iter().map(|(k, v)| (key(k), to_json(v))).collect::<Object>())
        }
    }
}
