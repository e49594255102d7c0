//! What other systems call a policy, read strictly: in-toto layouts, verified in their own terms, and translated; Google's
//! Binary Authorization, translated, with its attestations as evidence.
//!
//! Floor 1. Does no I/O, reads no clock, runs nothing, knows of no policy: a translation is text, and what it could not
//! say stands in it, line by line.

pub mod binauthz;
mod draft;
pub mod layout;

pub use draft::{Draft, Effect, Untranslated};
