//! From an answer to an object, to "there is none", or to an error; and nothing else.

use attest::json::Limits;
use attest::{Json, Object, json};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::client::Body;

use crate::address::Address;
use crate::chain;
use crate::error::ClusterError;

/// etcd takes objects of 1.5 MiB; as JSON with the managed fields they stay below this.
const MAX_BYTES: usize = 4 << 20;

pub(crate) async fn read(
    address: &Address,
    response: http::Response<Body>,
) -> Result<Option<Json>, ClusterError> {
    let status = response.status().as_u16();
    match status {
        401 => return Err(ClusterError::Unauthenticated(address.to_string())),
        403 => return Err(ClusterError::Forbidden(address.to_string())),
        200 | 404 => {}
        other => return Err(ClusterError::Status(address.to_string(), other)),
    }
    let unfit = |why: String| ClusterError::Answer(address.to_string(), why);
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
    let bytes = body.map(http_body_util::Collected::to_bytes).map_err(|e| {
        match e.downcast::<LengthLimitError>() {
            Ok(_) => unfit(format!("more than {MAX_BYTES} bytes")),
            Err(e) => ClusterError::Unreachable(chain(e.as_ref())),
        }
    })?;
    // what others define may hold fractions: they are kept as they stand
    let value = json::parse_with(&bytes, Limits::default().exact()).map_err(|e| unfit(e.to_string()))?;
    let object = value.as_object().map_err(|e| unfit(e.to_string()))?;
    if status == 404 {
        // a proxy's page, or the word that the whole API is not there, says nothing about the object
        return match says_there_is_none(object, address) {
            true => Ok(None),
            false => Err(unfit("404, but not from the API server about this object".to_owned())),
        };
    }
    if !is_asked_for(object, address) {
        return Err(unfit("another object".to_owned()));
    }
    Ok(Some(value))
}

fn is_asked_for(object: &Object, address: &Address) -> bool {
    let Ok(metadata) = object.object("metadata") else { return false };
    object.string("kind").is_ok_and(|kind| kind == address.kind)
        && object.string("apiVersion").is_ok_and(|version| version == address.api_version)
        && metadata.string("name").is_ok_and(|name| name == address.name)
        && metadata.string("namespace").is_ok_and(|namespace| namespace == address.namespace)
}

fn says_there_is_none(status: &Object, address: &Address) -> bool {
    let Ok(details) = status.object("details") else { return false };
    status.string("kind").is_ok_and(|kind| kind == "Status")
        && status.string("reason").is_ok_and(|reason| reason == "NotFound")
        && details.string("name").is_ok_and(|name| name == address.name)
}
