//! What the API server asks to what is deployed, and what was decided to what it hears.
//!
//! Floor 2. Pure: no I/O, no clock, nothing is decided here. [`Review::parse`] → [`Subject::of`] → (the adapter looks
//! up owners as [`Chain`] asks) → [`requests`] → (the choke point decides) → [`answer()`]. Everything that a tenant can
//! write (labels, annotations, owner references, names) is believed only as far as something else proves it.

pub mod answer;
pub mod audit_event;
mod canonical;
pub mod controller;
mod decided;
mod deployment;
pub mod difference;
mod digest;
pub mod evidence;
pub mod images;
pub mod manifests;
pub mod mapping;
mod owner;
mod path;
pub mod pin;
mod reference;
mod refusal;
mod review;
pub mod running;
mod subject;
pub mod template;

pub use answer::{Outcome, Ruling, answer, answer_busy, answer_malformed, answer_nothing, answer_patch};
pub use canonical::canonical;
pub use decided::{Admitted, Decided, Entry};
pub use deployment::{Context, Deployment, Kind as DeploymentKind, attached, makes, requests, unread};
pub use difference::{Difference, difference};
pub use digest::{DigestForm, FormError, configuration_digest, configuration_form, reference_page};
pub use evidence::{Attached, EvidenceError};
pub use images::{ImageUse, images};
pub use mapping::Mapping;
pub use owner::{Chain, Link, Lookup, Owner, Ownership, Seen, Step};
pub use path::{Path, PathError};
pub use reference::{Reference, ReferenceError};
pub use refusal::Refusal;
pub use review::{GroupKind, Operation, Review, ReviewError, ReviewErrorKind, User};
pub use subject::{Guarded, Judged, Nothing, Subject, Use};
pub use template::{Maker, digest_of_template, pod_is_of_template, template_digest};
