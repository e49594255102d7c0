//! What was let in elsewhere while this choke point could not be reached: taken from whoever may ask for decisions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use attest::json::{Limits, parse_with};
use attest::{Json, Object};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;

use super::asker;
use super::read::only;
use crate::http::{Refusal, json, only as only_parameters};
use crate::webhook::http::Caller;
use crate::webhook::judge::{Brought, Deadline, NotKept};
use crate::webhook::review::{body, drain};
use crate::webhook::service::Front;

const PATIENCE: Duration = Duration::from_secs(30);
/// So many records at once.
const MOST: usize = 100;
/// So many of one client in an hour that show no grant which anybody signed: nothing but the client's word, and it stays.
const RATE: usize = 1000;
const WHAT: &str = "record of another choke point";

/// Puts each on record, and answers once all are; where one is not, whoever brings them comes again with all.
pub(crate) async fn take(front: &Arc<Front>, caller: &Caller, request: Request) -> Result<Response, Refusal> {
    let nobody = || Refusal::new(404, "no-such-route", "nobody may ask for decisions here");
    let deciding = front.decisions.as_ref().ok_or_else(nobody)?;
    let counted = |result: &'static str| front.metrics.kept(WHAT, result);
    let (head, rest) = request.into_parts();
    let who = asker::who(deciding, caller, &head.headers, front.now()).await;
    let by = match who.and_then(|by| only_parameters(head.uri.query(), &[]).map(|()| by)) {
        Ok(by) => by,
        Err(refusal) => {
            drain(rest).await;
            counted("not permitted");
            return Err(refusal);
        }
    };
    let Ok(place) = Arc::clone(&front.bringing).try_acquire_owned() else {
        counted("busy");
        drain(rest).await;
        return Err(Refusal::new(429, "busy", "too much is brought at once; nothing was kept").again(1));
    };
    let request = Request::from_parts(head, rest);
    let bytes = body(request, front.config.webhook.body, &Deadline::after(PATIENCE)).await;
    let records = bytes.and_then(|bytes| read(&bytes)).inspect_err(|_| counted("malformed"))?;
    let (own, now, name) = (Arc::clone(front), front.now(), by.clone());
    let work = tokio::task::spawn_blocking(move || {
        let result = catch_unwind(AssertUnwindSafe(|| all(&own, &records, &name, now)));
        drop(place);
        result.unwrap_or_else(|_| Err(NotKept::Store("the choke point failed".to_owned())))
    });
    let result = work.await.unwrap_or_else(|e| Err(NotKept::Store(e.to_string())));
    let details = Object::new().with("what", WHAT).with("by", by);
    match result {
        Ok(None) => {
            counted("too often");
            Err(too_often(front, details))
        }
        Ok(Some(digests)) => {
            counted("kept");
            front.tell("kept", details.with("digests", digests.clone()));
            let one = |digest: String| Json::from(Object::new().with("digest", digest));
            let all: Vec<Json> = digests.into_iter().map(one).collect();
            Ok(json(StatusCode::OK, &Object::new().with("records", Json::Array(all)).into()))
        }
        Err(NotKept::Malformed(why) | NotKept::Refused(why)) => {
            counted("malformed");
            Err(Refusal::new(400, "malformed", &format!("this is no {WHAT}")).found(&why))
        }
        Err(NotKept::Store(why)) => {
            counted("failed");
            front.tell("not-kept", details.with("found", why));
            Err(Refusal::new(503, "store-failed", "not all of it is on record now")
                .fix("keep it, and bring it again later; the choke point's log says why")
                .again(5))
        }
    }
}

fn all(front: &Front, records: &[Json], by: &str, now: Timestamp) -> Result<Option<Vec<String>>, NotKept> {
    let nobody = || NotKept::Store("nobody may ask for decisions here".to_owned());
    let deciding = front.decisions.as_ref().ok_or_else(nobody)?;
    let allowance = deciding.brought.allowance(by, RATE, now);
    front.judge.bring(&Brought { records, by, now, allowance })
}

fn too_often(front: &Front, details: Object) -> Refusal {
    let message = format!(
        "{} brings more than {RATE} records in an hour whose grants do not hold here",
        details.string("by").unwrap_or_default()
    );
    front.tell("not-kept", details.with("found", "too often"));
    Refusal::new(429, "too-often", &message)
        .fix("keep them, and bring them later; those whose grant holds are on record")
        .again(600)
}

fn read(bytes: &[u8]) -> Result<Vec<Json>, Refusal> {
    let bad = |found: &str| {
        let wanted = format!("`records`, a list of 1 to {MOST}, as /v1/openapi.json describes it");
        Refusal::new(400, "malformed", "the body is no list of records").wanted(&wanted).found(found)
    };
    let limits = Limits { bytes: bytes.len(), ..Limits::default() };
    let json = parse_with(bytes, limits).map_err(|e| bad(&e.to_string()))?;
    let object = json.as_object().and_then(|object| only(object, &["records"]).map(|()| object));
    let records = object.and_then(|object| object.array("records")).map_err(|e| bad(&e.to_string()))?;
    match records.len() {
        1..=MOST => Ok(records.to_vec()),
        count => Err(bad(&format!("{count} of them"))),
    }
}
