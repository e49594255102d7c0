//! Sources to artifact and signed provenance.
//!
//! Floor 2. The trusted orchestrator fetches the commit and every declared input itself, runs the untrusted command in
//! a sandbox that can reach neither the network nor a key, hashes what comes out, and hands a record to a signer that
//! is another process. Nothing that the build does can make the provenance say something false.

mod cache;
mod capture;
mod chain;
mod collect;
mod definition;
mod fetch;
mod git;
mod image;
mod lease;
pub mod lock;
mod locked;
mod orchestrate;
mod plan;
mod rebuild;
mod record;
mod road;
mod root;
mod run;
mod sandbox;
mod sign;
mod stage;
mod store;
mod trial;

pub use capture::{CaptureError, capture};
pub use chain::ChainError;
pub use definition::{
    Action, Base, BuildDefinition, DEFINITION_FILE, Image, ImageFile, Input, Limits, Target, Test, Toolchain,
};
pub use fetch::{FetchError, Fetcher, HOSTS, Offline, Web};
pub use git::GitError;
pub use lease::{Lease, Swept, sweep};
pub use lock::{LockError, Resolver};
pub use locked::{LOCK_FILE, Locked, MAX_INPUTS, MadeFor};
pub use orchestrate::{BuildError, BuildRequest, Built, Cache, FailedBuild, Orchestrator, Step};
pub use rebuild::{Difference, Rebuilt, Variations, explain};
pub use record::{BUILD_FAILURE, BuildRecord, FailureRecord, TestRecord, one_line};
pub use road::{Paved, Project, Road, RoadError, SCRIPT_FILE};
pub use root::RootError;
pub use sandbox::canary::{Bait, CanaryError, probe};
pub use sandbox::{SandboxError, Tier};
pub use sign::{
    DEFAULT_RATE, LOCAL_DEMO, SignError, SignerConfig, harden, request_failure, request_signature,
    request_test, request_token, serve,
};
pub use store::{Store, StoreError};
pub use trial::junit::{Report as TestReport, parse as read_test_report};
