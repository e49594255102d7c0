//! What a grant let in on a node, durable before the image is taken: the choke point's log and its alarms may be out of
//! reach, and hear of it later.

use std::io;
use std::path::{Path, PathBuf};

use attest::{Digest, Json, Object};
use policy::{Case, HeldGrant};

/// Writes down that a grant let an image in; the file's name is the digest of what it holds, so that the same is kept once.
///
/// # Errors
/// Where it is not durable: then the image is not taken.
pub fn keep(folder: &Path, case: &Case, grant: &HeldGrant, rules: &[&str]) -> io::Result<PathBuf> {
    let text = entry(case, grant, rules).to_string();
    let path = folder.join(format!("{}.json", Digest::sha256(text.as_bytes()).hex()));
    std::fs::create_dir_all(folder)?;
    tlog::write_durably(&path, text.as_bytes())?;
    Ok(path)
}

fn entry(case: &Case, grant: &HeldGrant, rules: &[&str]) -> Json {
    let signed = case.request().grant.as_ref().map(|grant| grant.bytes.as_slice()).unwrap_or_default();
    Object::new()
        .with("format", "portcullis-spooled/v1")
        .with("at", case.at().to_string())
        .with("chokepoint", case.request().chokepoint.as_str())
        .with("environment", case.environment())
        .with("artifact", case.artifact().to_json())
        .with("person", grant.person())
        .with("reason", grant.grant().reason.as_str())
        .with("rules", rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>())
        .with("grant", attest::json::parse(signed).unwrap_or(Json::Null))
        .into()
}
