//! Forms.

use std::io::Read as _;

use super::form::parts;
use crate::proxy::fuzzing::held;

/// The parts of a form: name, file and value.
pub fn form(body: &[u8], boundary: &str) -> Option<Vec<(String, Option<String>, Vec<u8>)>> {
    let held = held(body)?;
    let read = |at, length| {
        let mut value = Vec::new();
        held.part(at, length).read_to_end(&mut value).ok().map(|_| value)
    };
    let parts = parts(&held, boundary).ok()?;
    parts.into_iter().map(|part| Some((part.name, part.file_name, read(part.at, part.length)?))).collect()
}
