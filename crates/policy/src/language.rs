//! Text to policy: the YAML language, its JSON Schema, and its canonical layout.

mod format;
mod read;
mod schema;

pub use format::format;
pub use schema::schema;
