//! A book, a trust root and requests to play with.

use attest::breakglass::Grant;
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Artifact, Digest, DigestSet, Object, SecretKey, Signer as _, Statement, TrustRoot};
use jiff::Timestamp;
use policy::scenario::test_key;
use policy::{Book, Case, DeploymentRequest, Frame, Guardrails, SourceFile, Submitted, Verdict, evaluate};

pub const NOW: &str = "2026-11-22T09:00:00Z";
pub const BREAKGLASS: &str = "breakglass: { group: oncall, expires: 4h, reviewed-within: 24h }\n";

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn root() -> TrustRoot {
    let keys = |name: &str, more: &str| {
        let pem = test_key(name).public().to_pem();
        let pem: String = pem.lines().map(|l| format!("          {l}\n")).collect();
        format!("    keys:\n      - key: |\n{pem}{more}")
    };
    let revoked = "        revoked: { from: 2026-01-01T00:00:00Z, reason: \"lost laptop\" }\n";
    let old = "        until: 2026-01-01T00:00:00Z\n";
    let text = format!(
        "version: 1\nsigners:\n  vendor:\n{}  ci:\n{}  left:\n{}  aged:\n{}people:\n  alice:\n    identities: [alice@x, alice-at-the-forge]\n{}  bob:\n    identities: [bob@x]\n{}  carol:\n    identities: [carol@x]\n{}  dave:\n    identities: [dave@x]\n{}groups:\n  oncall: [alice, ci, carol, dave]\n",
        keys("vendor", ""),
        keys("ci", ""),
        keys("left", revoked),
        keys("aged", old),
        keys("alice", ""),
        keys("bob", ""),
        keys("carol", revoked),
        keys("dave", old),
    );
    TrustRoot::parse("trust-root.yaml", &text).unwrap_or_else(|e| panic!("{e:?}\n{text}"))
}

/// A policy that asks for the vendor's signature; `more` is more of it.
pub fn book(more: &str) -> Book {
    let text = format!(
        "environment: prod/shop\nartifact: registry.example/shop\nrequire: {{ signed-by: [vendor] }}\n{more}"
    );
    Book::load(vec![SourceFile { name: "book/shop.yaml".to_owned(), text }], &Guardrails::none()).unwrap()
}

pub fn request() -> DeploymentRequest {
    let digests = DigestSet::from(Digest::sha256(b"shop"));
    let mut request =
        DeploymentRequest::new(Artifact::new("registry.example/shop", digests), "prod/shop", "test");
    request.requester = Some("bob@x".to_owned());
    request
}

pub fn case(request: DeploymentRequest, book: &Book, root: &TrustRoot) -> Case {
    let frame = Frame {
        at: at(NOW),
        last_seen: None,
        book: book.digest().clone(),
        trust_root: root.digest().clone(),
        trust_root_version: root.version(),
        beside: policy::Beside::default(),
        engine: "test".to_owned(),
    };
    Case::open(request, frame)
}

pub fn judge(request: DeploymentRequest, book: &Book) -> Verdict {
    let root = root();
    evaluate(&case(request, book, &root), book, &root)
}

pub fn grant() -> Grant {
    Grant {
        id: "inc-7".to_owned(),
        environment: "prod/shop".to_owned(),
        artifact: None,
        requester: None,
        reason: "checkout is down".to_owned(),
        ticket: "INC-7".to_owned(),
        issued: at("2026-11-22T08:00:00Z"),
        expires: at("2026-11-22T10:00:00Z"),
    }
}

pub fn submitted(bytes: String) -> Submitted {
    Submitted { name: "grant".to_owned(), bytes: bytes.into_bytes() }
}

pub fn given(grant: &Grant, by: &str) -> Submitted {
    submitted(grant.sign(&test_key(by)).unwrap().to_string())
}

/// A statement that nobody's rule reads, about some artifact.
pub fn signature(by: &str, about: &str) -> Submitted {
    signed(&test_key(by), about)
}

pub fn signed(key: &SecretKey, about: &str) -> Submitted {
    let digests = Digest::sha256(about.as_bytes()).into();
    let statement = Statement::write(about, &digests, "https://example.com/x", Object::new());
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[key]).unwrap();
    submitted(dsse.to_json().to_string())
}
