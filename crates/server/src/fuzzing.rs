//! What reads bytes of strangers here, for the fuzz targets of `fuzz/`; built for them alone.

pub use crate::proxy::fuzzing::{
    address, archive, chunks, deb, document, form, listing, package_json, path, publication, publish_target,
    query, repository,
};
pub use crate::webhook::fuzzing::{question, spooled};
