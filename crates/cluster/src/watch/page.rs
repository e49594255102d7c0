//! One page of a list.

use attest::json::{Limits, parse_with};
use attest::{Json, Object};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::client::Body;

use crate::chain;
use crate::error::ClusterError;

/// What one page may hold, in bytes. Five hundred Pods with everything that their managers note are a quarter of it.
pub(super) const MAX_PAGE: usize = 16 << 20;

pub(super) struct Page {
    pub(super) items: Vec<Json>,
    /// Where the list stands.
    pub(super) version: String,
    /// What gives the next page; empty on the last.
    pub(super) next: String,
}

pub(super) fn check_status(what: &str, status: u16) -> Result<(), ClusterError> {
    match status {
        200 => Ok(()),
        401 => Err(ClusterError::Unauthenticated(what.to_owned())),
        403 => Err(ClusterError::NotListed(what.to_owned())),
        other => Err(ClusterError::Status(what.to_owned(), other)),
    }
}

pub(super) async fn read(what: &str, response: http::Response<Body>) -> Result<Page, ClusterError> {
    check_status(what, response.status().as_u16())?;
    let body = Limited::new(response.into_body(), MAX_PAGE).collect().await;
    let bytes = body.map(http_body_util::Collected::to_bytes).map_err(|e| {
        match e.downcast::<LengthLimitError>() {
            Ok(_) => ClusterError::Large(what.to_owned(), MAX_PAGE),
            Err(e) => ClusterError::Unreachable(chain(e.as_ref())),
        }
    })?;
    let unfit = |why: String| ClusterError::Answer(what.to_owned(), why);
    let value = parse_with(&bytes, limits(MAX_PAGE)).map_err(|e| unfit(e.to_string()))?;
    drop(bytes);
    let Json::Object(mut object) = value else { return Err(unfit("no list".to_owned())) };
    let metadata: &Object = object.object("metadata").map_err(|e| unfit(e.to_string()))?;
    let version = metadata.string("resourceVersion").map_err(|e| unfit(e.to_string()))?.to_owned();
    let next = metadata.optional_string("continue").map_err(|e| unfit(e.to_string()))?;
    let next = next.unwrap_or_default().to_owned();
    // an empty list is `null` in some versions, and a list that is missing is none
    let items = match object.remove("items") {
        Some(Json::Array(items)) => items,
        Some(Json::Null) => Vec::new(),
        _ => return Err(unfit("no list".to_owned())),
    };
    Ok(Page { items, version, next })
}

/// Others define these documents: numbers stay as they stand, and a page holds many objects.
pub(super) fn limits(bytes: usize) -> Limits {
    Limits { bytes, depth: 128, values: 4_000_000, exact_numbers: true }
}
