//! The cases of slsa-verifier, all of them, through the engine: a trust root and a policy for each case, and its evidence as
//! it lies there. No bad case is accepted, every good one is, and what refuses says the suite's own reason.

#[path = "../../attest/tests/data/mod.rs"]
mod data;
mod layout;
#[path = "slsa_verifier/case.rs"]
mod suite;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use attest::digest::Hasher;
use attest::open::Verified;
use attest::{
    Algorithm, Artifact, Digest, DigestSet, Envelope, Json, Object, Opener, Predicate, Statement, TrustRoot,
    Unopened,
};
use evidence::{Piece, choose, unpack};
use jiff::Timestamp;
use layout::from_layout;
use policy::{
    Beside, Book, Case as Frozen, DeploymentRequest, Frame, Guardrails, Outcome, SourceFile, Submitted,
};
use suite::Case;

const NOW: &str = "2026-11-23T12:00:00Z";

/// The half of opening that knows no time, once for each trust root and envelope.
#[derive(Default)]
struct Kept(RefCell<BTreeMap<(String, String), Opened>>);

type Opened = Result<Arc<Verified>, Unopened>;

impl Opener for Kept {
    fn verify(&self, root: &TrustRoot, bytes: &[u8], digest: &Digest) -> Opened {
        let key = (root.digest().hex(), digest.hex());
        if let Some(kept) = self.0.borrow().get(&key) {
            return kept.clone();
        }
        let verified = attest::Directly.verify(root, bytes, digest);
        self.0.borrow_mut().insert(key, verified.clone());
        verified
    }
}

/// What the engine says: nothing where it accepts, else each finding as its rule and text.
type Answer = Vec<(String, String)>;

struct Suite<'a> {
    data: &'a Path,
    roots: BTreeMap<String, TrustRoot>,
    opener: Kept,
}

impl Suite<'_> {
    fn judge(&mut self, case: &Case) -> Answer {
        let text = case.trust_root(&|name| self.keys(name));
        let root = self.roots.entry(text).or_insert_with_key(|text| {
            TrustRoot::parse("trust-root.yaml", text)
                .unwrap_or_else(|e| panic!("{}: {e:?}\n{text}", case.id()))
        });
        let pieces = match read(&self.data.join(case.text("provenance").unwrap())) {
            Ok(pieces) => pieces,
            Err(e) => return vec![("evidence-readable".to_owned(), e)],
        };
        let now: Timestamp = NOW.parse().unwrap();
        let opener: &dyn Opener = &self.opener;
        let pieces = choose(pieces, |bytes| opener.open(root, bytes, now).is_ok());
        let policy = case.policy(&pieces.iter().find_map(parameters).unwrap_or_default());
        let file = SourceFile { name: "case.yaml".to_owned(), text: policy.clone() };
        let book = Book::load(vec![file], &Guardrails::none())
            .unwrap_or_else(|e| panic!("{}: {e:?}\n{policy}", case.id()));
        let artifact = Artifact::new("registry.example/case", digests(case, self.data));
        let mut request = DeploymentRequest::new(artifact, "prod/case", "test");
        request.envelopes = pieces.into_iter().map(|p| Submitted { name: p.name, bytes: p.bytes }).collect();
        let frame = Frame {
            at: now,
            last_seen: None,
            book: book.digest().clone(),
            trust_root: root.digest().clone(),
            trust_root_version: root.version(),
            beside: Beside::default(),
            engine: "test".to_owned(),
        };
        let verdict = policy::evaluate_with(&Frozen::open(request, frame), &book, root, opener);
        let findings =
            verdict.findings().iter().map(|f| (f.rule.to_string(), format!("{}: {}", f.message, f.found)));
        match verdict.outcome() {
            Outcome::Met => Vec::new(),
            Outcome::Unmet => findings.collect(),
            Outcome::CannotDecide(why) => panic!("{}: cannot decide: {why}", case.id()),
        }
    }

    fn keys(&self, name: &str) -> Vec<(String, String)> {
        let path = self.data.join(name);
        let read = |path: &Path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        };
        if path.is_file() {
            return vec![read(&path)];
        }
        let mut keys: Vec<_> = std::fs::read_dir(path).unwrap().map(|e| read(&e.unwrap().path())).collect();
        keys.sort();
        keys
    }
}

fn read(path: &Path) -> Result<Vec<Piece>, String> {
    if path.is_dir() {
        return from_layout(path);
    }
    unpack(&std::fs::read(path).unwrap(), &path.file_name().unwrap().to_string_lossy())
        .map_err(|e| e.to_string())
}

/// The digests of the artifact: of its file, where that is one, and as the case has it otherwise.
fn digests(case: &Case, data: &Path) -> DigestSet {
    let given = Digest::from_hex(Algorithm::Sha256, case.text("digest").unwrap()).unwrap();
    let Ok(bytes) = std::fs::read(data.join(case.text("artifact").unwrap())) else { return given.into() };
    let mut hasher = Hasher::new(&[Algorithm::Sha512]);
    hasher.update(&bytes);
    let digests = hasher.finish();
    assert_eq!(digests.get(Algorithm::Sha256), Some(given), "{}", case.id());
    digests
}

/// What the requester of the build chose, unproven: the policy that the case is judged by lists it.
fn parameters(piece: &Piece) -> Option<Object> {
    use base64::Engine as _;
    let Ok(Json::Object(object)) = attest::json::parse(&piece.bytes) else { return None };
    let envelope = object.optional_object("dsseEnvelope").ok()?.unwrap_or(&object);
    let payload = base64::engine::general_purpose::STANDARD.decode(envelope.string("payload").ok()?).ok()?;
    match Statement::parse(&payload).ok()?.predicate {
        Predicate::Provenance(provenance) => Some(provenance.parameters),
        _ => None,
    }
}

/// Whether what refuses is the suite's reason and nothing else: but that without provenance that opens there is none.
fn is_reason(case: &Case, answer: &Answer) -> bool {
    let is_it = |(rule, _): &(String, String)| case.rules().contains(&rule.as_str());
    let follows = |(_, text): &(String, String)| text.starts_with("no provenance says how it was built");
    answer.first().is_some_and(is_it) && answer.iter().all(|finding| is_it(finding) || follows(finding))
}

#[derive(Default)]
struct Count {
    good: usize,
    accepted: usize,
    bad: usize,
    refused: usize,
    with_the_reason: usize,
}

#[test]
fn every_case_is_decided_as_the_suite_says_and_for_its_reason() {
    let Some(dir) = data::data("slsa-verifier") else { return };
    let data = dir.parent().unwrap();
    let cases = data::json(&dir.join("cases.json"));
    let mut suite = Suite { data, roots: BTreeMap::new(), opener: Kept::default() };
    let (mut counts, mut wrong): (BTreeMap<String, Count>, Vec<String>) = (BTreeMap::new(), Vec::new());
    for object in cases.as_object().unwrap().array("cases").unwrap() {
        let case = Case { object: object.as_object().unwrap().clone() };
        let answer = suite.judge(&case);
        let count = counts.entry(case.family().to_owned()).or_default();
        if case.is_good() {
            count.good += 1;
            count.accepted += usize::from(answer.is_empty());
            if !answer.is_empty() {
                wrong.push(format!("refused, and good: {}: {answer:?}", case.id()));
            }
            continue;
        }
        count.bad += 1;
        count.refused += usize::from(!answer.is_empty());
        let is_reason = is_reason(&case, &answer);
        count.with_the_reason += usize::from(is_reason);
        if !is_reason {
            let why = case.text("why").unwrap();
            wrong.push(format!("{why}, wanted {:?}: {}: {answer:?}", case.rules(), case.id()));
        }
    }
    let table = table(&counts);
    println!("{table}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/foreign-provenance.md");
    assert!(
        std::fs::read_to_string(page).unwrap().contains(&table),
        "docs/foreign-provenance.md has another table"
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let all = counts.values().map(|c| c.good + c.bad).sum::<usize>();
    assert_eq!(all, 649);
}

fn table(counts: &BTreeMap<String, Count>) -> String {
    let mut text =
        "| family | good | accepted | bad | refused | for the suite's reason |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for (family, c) in counts {
        text += &format!(
            "| {family} | {} | {} | {} | {} | {} |\n",
            c.good, c.accepted, c.bad, c.refused, c.with_the_reason
        );
    }
    text
}

#[test]
fn every_envelope_of_the_suite_parses() {
    let Some(dir) = data::data("slsa-verifier") else { return };
    for folder in ["bcr", "npm/gha", "gha_go/v2.1.0", "gha_maven/v2.1.0", "gha_container-based/v1.7.0"] {
        for entry in std::fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| ["jsonl", "json", "slsa", "sigstore"].iter().any(|x| e == *x))
            {
                for piece in read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())) {
                    Envelope::parse(&piece.bytes).unwrap_or_else(|e| panic!("{}: {e}", piece.name));
                }
            }
        }
    }
}
