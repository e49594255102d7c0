//! What the proxies read.

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use tokio::runtime::{Builder, Runtime};

pub use crate::proxy::debian::fuzzing::{deb, listing};
use crate::proxy::hold::{Held, Most};
pub use crate::proxy::npm::fuzzing::{package_json, publication, publish_target};
pub use crate::proxy::oci::fuzzing::repository;
pub use crate::proxy::pypi::fuzzing::form;
use crate::proxy::room::Room;
pub use crate::proxy::s3::fuzzing::{address, chunks, document};
use crate::proxy::share::Bounds;

thread_local! {
    static RUNTIME: Option<Runtime> = Builder::new_current_thread().enable_all().build().ok();
}

/// A body as the adapters have it; small ones never see the folder.
pub(super) fn held(bytes: &[u8]) -> Option<Held> {
    let most = Most { bytes: 1 << 20, time: Duration::from_secs(60) };
    let room = Room::of(Bounds { all: 1 << 20, one: 1 << 20 });
    let taken = Held::take(Body::from(bytes.to_vec()), Path::new("/"), room.taken(None), most);
    RUNTIME.with(|runtime| runtime.as_ref()?.block_on(taken).ok())
}

/// The one spelling of a path, and its text.
pub fn path(path: &str, slash: bool) -> Option<(String, String)> {
    crate::proxy::path::canonical(path, slash).ok()
}

/// Whether a query has one meaning.
pub fn query(query: &str) -> bool {
    crate::proxy::path::query(Some(query)).is_ok()
}

/// The one `package.json` of a tar archive.
pub fn archive(bytes: &[u8]) -> Option<Vec<u8>> {
    crate::proxy::archive::only_file(bytes, 1 << 20, |path| path == ["package", "package.json"]).ok()
}
