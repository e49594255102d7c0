//! What is known of bad versions, and what an artifact is made of.
//!
//! Floor 1. Does no I/O and reads no clock. [`Record`]s of OSV make a [`Database`]; provenance and SBOM make
//! [`Component`]s; [`judge`] brings both together, under what trusted OpenVEX documents say.

pub mod order;

pub use order::Order;
