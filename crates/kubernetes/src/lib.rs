//! x
pub mod images; pub mod manifests; mod path; mod reference; mod refusal; mod review;
pub use images::{ImageUse, images}; pub use path::Path; pub use reference::{Reference, ReferenceError}; pub use refusal::Refusal; pub use review::{GroupKind, Operation, Review, ReviewError, User};
