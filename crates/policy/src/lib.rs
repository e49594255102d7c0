//! Facts to verdict, and what to tell a person: the language, the book, rules, findings, diagnostics.
//!
//! Floor 1. Pure and total: no I/O, no clock, no async, no panic. [`evaluate`] is the third of the chapter's steps,
//! and the only function that makes a [`Verdict`].

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
