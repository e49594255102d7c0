//! in-toto layouts and links (in-toto specification 1.0): who had to do which step, and what may have gone in and out.
//!
//! Read in the old form and in DSSE. Refuses what two verifiers read differently, and never runs an inspection.

mod apply;
mod canonical;
mod finding;
mod glob;
mod key;
mod link;
mod metadata;
mod model;
mod read;
mod rule;
mod translate;
mod verify;

pub use apply::Artifacts;
pub use canonical::canonical;
pub use finding::{Finding, Report, SignedStep, Undecided};
pub use glob::{Pattern, PatternError};
pub use key::{KeyRefused, read_key};
pub use link::Link;
pub use metadata::{Form, Metadata};
pub use model::{Inspection, Layout, LayoutKey, Step};
pub use rule::{Rule, Side};
pub use translate::translate;
pub use verify::{Given, Links, Unpacked, unpacks, verify};
