//! What is brought by those who are named for it: evidence and grants, into the local store, and for the log reviews of
//! what grants let in, and the closing of alarms.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use attest::Object;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;

use crate::http::{Refusal, json};
use crate::webhook::http::{Caller, Permission, permitted};
use crate::webhook::judge::{Deadline, Kept, NotKept};
use crate::webhook::review::{body, drain};
use crate::webhook::service::Front;

const PATIENCE: Duration = Duration::from_secs(30);
/// A list of bundles.
const MAX_EVIDENCE: u64 = 4 << 20;
const MAX_GRANT: u64 = 64 << 10;
/// As many records as one may name.
const MAX_REVIEW: u64 = 512 << 10;

/// Keeps what is brought, and says under which digest deployments name it. Brought again, it is the same.
pub(crate) async fn keep(
    front: &Arc<Front>,
    caller: &Caller,
    kept: Kept,
    request: Request,
) -> Result<Response, Refusal> {
    let (what, most) = match kept {
        Kept::Evidence => ("evidence", MAX_EVIDENCE),
        Kept::Grant => ("grant", MAX_GRANT),
        Kept::Review => ("review", MAX_REVIEW),
        Kept::Closing => ("closing of an alarm", MAX_GRANT),
    };
    let counted = |result: &'static str| front.metrics.kept(what, result);
    let permission = if kept == Kept::Closing { Permission::Close } else { Permission::Attach };
    let by = match permitted(front, caller, permission) {
        Ok(by) => by,
        Err(refusal) => {
            counted("not permitted");
            drain(request.into_body()).await;
            return Err(refusal);
        }
    };
    let busy = || Refusal::new(429, "busy", "too much is brought at once; nothing was kept").again(1);
    let Ok(place) = Arc::clone(&front.bringing).try_acquire_owned() else {
        counted("busy");
        drain(request.into_body()).await;
        return Err(busy());
    };
    let bytes =
        body(request, most, &Deadline::after(PATIENCE)).await.inspect_err(|_| counted("malformed"))?;
    let (own, now, name) = (Arc::clone(front), front.now(), by.clone());
    let work = tokio::task::spawn_blocking(move || {
        let result = catch_unwind(AssertUnwindSafe(|| own.judge.keep(kept, &bytes, &name, now)));
        drop(place);
        result.unwrap_or_else(|_| Err(NotKept::Store("the store failed".to_owned())))
    });
    let result = work.await.unwrap_or_else(|e| Err(NotKept::Store(e.to_string())));
    let details = Object::new().with("what", what).with("by", by);
    match result {
        Ok(digest) => {
            counted("kept");
            front.tell("kept", details.with("digest", digest.as_str()));
            Ok(json(StatusCode::OK, &Object::new().with("digest", digest).into()))
        }
        Err(NotKept::Malformed(why)) => {
            counted("malformed");
            Err(Refusal::new(400, "malformed", &format!("this is no {what}")).found(&why))
        }
        Err(NotKept::Refused(why)) => {
            counted("refused");
            front.tell("not-kept", details.with("found", why.as_str()));
            Err(Refusal::new(422, "does-not-count", &format!("this {what} does not count")).found(&why))
        }
        Err(NotKept::Store(why)) => {
            counted("failed");
            front.tell("not-kept", details.with("found", why));
            Err(Refusal::new(503, "store-failed", "the store cannot take it now; nothing was kept")
                .fix("try again later; the choke point's log says why"))
        }
    }
}
