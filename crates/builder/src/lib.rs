//! Sources to artifact and signed provenance.
//!
//! Floor 2. The trusted orchestrator fetches the commit and every declared input itself, runs the untrusted command in
//! a sandbox that can reach neither the network nor a key, hashes what comes out, and hands a record to a signer that
//! is another process. Nothing that the build does can make the provenance say something false.

mod capture;
mod definition;
mod git;
pub mod lock;
mod locked;
mod orchestrate;
mod record;
mod road;
mod sandbox;
mod sign;
mod store;

pub use capture::{CaptureError, capture};
pub use definition::{BuildDefinition, DEFINITION_FILE, Input, Target};
pub use git::{Checkout, GitError};
pub use orchestrate::{BuildError, BuildRequest, Built, Step, build};
pub use lock::{LockError, Resolver};
pub use locked::{LOCK_FILE, Locked, MAX_INPUTS};
pub use record::{BUILD_FAILURE, BuildRecord, FailureRecord, one_line};
pub use road::{Paved, Project, Road, RoadError, SCRIPT_FILE};
pub use sandbox::SandboxError;
pub use sign::{
    DEFAULT_RATE, LOCAL_DEMO, SignError, SignerConfig, harden, request_failure, request_signature, serve,
};
pub use store::{Store, StoreError};
