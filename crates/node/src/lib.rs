//! The last look before an image is unpacked: containerd asks a program on the node, which asks nobody.
//!
//! Floor 3. Everything that it needs lies in folders of the node: policies, a trust root, and what was brought of summaries,
//! evidence and grants. The answer is the same pure function as everywhere. It makes no decision of its own: an image is taken
//! because a choke point's summary of a recorded decision, or other evidence, meets the node's policy; or because a grant
//! holds, and then that stands in the spool before the image is taken.

pub mod ask;
pub mod check;
pub mod config;
pub mod spool;
