//! What runs, and what was decided about it: an index in SQLite that can be made again from the log.
//!
//! Floor 3. Two files in one folder: `index.sqlite` holds nothing that the log does not, and is thrown away and made
//! again whenever it is in doubt; `observed.sqlite` holds what clusters reported to run, which no log can give back.
//! Nothing is decided from either: a verdict comes from a case, and a case from the log.

mod admitted;
pub mod advisories;
mod ask;
pub mod audit;
mod deployed;
mod error;
mod facts;
mod follow;
mod live;
mod numbers;
mod observe;
mod schema;
mod store;
mod subtrees;

pub use ask::{Decided, Decisions, Happened, Subject};
pub use deployed::{Deployment, From};
pub use error::{InventoryError, Notice};
pub use facts::{Fact, FactKind};
pub use follow::{Followed, Progress};
pub use live::{Live, LivePages, Source};
pub use observe::{Instance, Observation, ObservedCluster};
pub use store::Inventory;
