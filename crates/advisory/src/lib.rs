//! What is known of bad versions, and what an artifact is made of.
//!
//! Floor 1. Does no I/O and reads no clock. [`Record`]s of OSV make a [`Database`]; provenance and SBOM make
//! [`Component`]s; [`judge`] brings both together, under what trusted OpenVEX documents say.

mod component;
pub mod cvss;
mod database;
pub mod dependencies;
mod ecosystem;
mod exposure;
pub mod order;
pub mod osv;
pub mod purl;
mod range;
pub mod scanners;
pub mod vet;
pub mod vex;

pub use component::Component;
pub use database::{Certainty, Database, Match, TooLarge, Wanted};
pub use ecosystem::Ecosystem;
pub use exposure::{Exposure, judge};
pub use order::Order;
pub use osv::{Record, Unread};
pub use purl::Purl;
