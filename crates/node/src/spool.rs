//! What a grant let in on a node, durable before the image is taken: the choke point's log and its alarms may be out of
//! reach, and hear of it later.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use attest::{Digest, Json, Object};
use chokepoint::without_secrets;
use policy::Case;

/// As `portcullis deploy --bring-spool` looks for it.
const WAITING: &str = "waiting";

/// Writes down that a grant let an image in, as `POST /v1/decisions/spooled` takes it.
///
/// # Errors
/// Where it is not durable: then the image is not taken.
pub fn keep(folder: &Path, case: &Case) -> io::Result<PathBuf> {
    let text = record(case)?.to_string();
    let digest = Digest::sha256(text.as_bytes()).hex();
    // a grant that names no requester is anybody's who reads it
    let folder = folder.join(WAITING);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let path = folder.join(format!("{}-{digest}.json", case.at().as_second()));
    tlog::write_durably(&path, text.as_bytes())?;
    Ok(path)
}

fn record(case: &Case) -> io::Result<Json> {
    let signed = case.request().grant.as_ref().map(|grant| grant.bytes.as_slice()).unwrap_or_default();
    let grant = attest::json::parse(signed).map_err(|e| io::Error::other(e.to_string()))?;
    let object = Object::new()
        .with("at", case.at().to_string())
        .with("environment", case.environment())
        .with("artifact", case.artifact().to_json())
        .with("decision", "admit")
        .with("basis", "breakglass")
        .with("chokepoint", case.request().chokepoint.as_str());
    Ok(without_secrets(&object.with("grant", grant)).into())
}
