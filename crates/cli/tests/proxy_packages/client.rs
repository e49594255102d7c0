//! What clients of package indexes are given, and what they say.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use crate::site::Site;
use crate::tools::{stderr, stdout};

/// What a client said, on both of its streams, and whether it was content.
pub fn said(output: &Output) -> (bool, String) {
    (output.status.success(), stdout(output) + &stderr(output))
}

/// The certificate of `ci` with its key, in one file.
pub fn identity(site: &Site) -> PathBuf {
    let file = site.at("tls/ci.pem");
    let both = ["tls/ci.crt", "tls/ci.key"].map(|part| fs::read_to_string(site.at(part)).unwrap());
    fs::write(&file, both.concat()).unwrap();
    file
}
