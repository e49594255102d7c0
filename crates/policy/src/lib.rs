//! Facts to verdict, and what to tell a person: the language, the book, rules, findings, diagnostics.
//!
//! Floor 1. Pure and total: no I/O, no clock, no async, no panic. [`evaluate`] is the third of the chapter's steps,
//! and the only function that makes a [`Verdict`].
//!
//! For embedding: a [`Case`] freezes everything that the verdict may look at, the time among it. A verdict is no decision yet:
//! what lets something in is on record first, which is the business of the crate `chokepoint`, or of the decision API.
//!
//! ```
//! use attest::{Artifact, Digest, Scheme, SecretKey, Signer, TrustRoot};
//! use policy::{Beside, Book, Case, DeploymentRequest, Diagnostic, Frame, Guardrails, Outcome, Severity, SourceFile, Style, Submitted};
//!
//! let text = "environment: prod/shop\nartifact: registry.example/shop\nrequire: { signed-by: [vendor] }\n";
//! let files = vec![SourceFile { name: "shop.yaml".to_owned(), text: text.to_owned() }];
//! let book = Book::load(files, &Guardrails::default()).map_err(|all| format!("{all:?}"))?;
//! let pem = SecretKey::generate(Scheme::P256)?.public().to_pem();
//! let pem: String = pem.lines().map(|line| format!("          {line}\n")).collect();
//! let root = format!("version: 1\nsigners:\n  vendor:\n    keys:\n      - key: |\n{pem}");
//! let root = TrustRoot::parse("trust-root.yaml", &root).map_err(|all| format!("{all:?}"))?;
//!
//! let artifact = Artifact::new("registry.example/shop", Digest::sha256(b"the artifact").into());
//! let mut request = DeploymentRequest::new(artifact, "prod/shop", "my choke point");
//! let bytes = b"{}".to_vec(); // what came beside it: a bundle, unopened
//! request.envelopes.push(Submitted { name: "shop.sigstore.json".to_owned(), bytes });
//! let at = "2026-11-22T09:00:00Z".parse()?;
//! let frame = Frame {
//!     at,
//!     last_seen: None,
//!     book: book.digest().clone(),
//!     trust_root: root.digest().clone(),
//!     trust_root_version: root.version(),
//!     beside: Beside::default(),
//!     engine: "my choke point 1.0".to_owned(),
//! };
//! let case = Case::open(request, frame);
//! let verdict = policy::evaluate(&case, &book, &root);
//! // only this is met; what cannot be decided is neither met nor unmet
//! assert_eq!(verdict.outcome(), &Outcome::Unmet);
//! let rules: Vec<&str> = verdict.findings().iter().map(|finding| finding.rule).collect();
//! assert_eq!(rules, ["evidence-readable", "signed-by"]);
//! for finding in verdict.findings() {
//!     let shown = Diagnostic::of_finding(finding, &case.artifact().short(), Severity::Error);
//!     println!("{}", shown.to_text(Style::Plain));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod book;
mod case;
mod diagnostic;
pub mod diff;
mod evaluate;
mod facts;
mod finding;
mod grant;
mod guardrail;
pub mod language;
mod outage;
mod policy;
mod request;

pub mod rule;
pub mod rules;
pub mod scenario;
mod selection;
mod verdict;

pub use attest::redact::{REDACTED, redact};
pub use book::{Book, SourceFile, digest_of};
pub use case::{Beside, CASE_FORMAT, Case, Frame};
pub use diagnostic::{Diagnostic, Severity, Style};
pub use diff::{Difference, diff};
pub use evaluate::{evaluate, evaluate_with};
pub use facts::Facts;
pub use finding::{Finding, one_line};
pub use grant::HeldGrant;
pub use guardrail::Guardrails;
pub use policy::{Breakglass, Located, Mode, OnOutage, Policy, Upcoming};
pub use request::{Consulted, DeploymentRequest, Outage, Standing, Submitted, Unreadable};
pub use selection::{LeftOut, Selection, select};
pub use verdict::{Outcome, PolicyName, Verdict};
