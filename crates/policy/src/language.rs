//! Text to policy: the YAML language, its JSON Schema, and its canonical layout.

mod format;
pub(crate) mod read;
mod schema;

pub use format::format;
pub use schema::schema;
