//! The API's description, OpenAPI 3.1. `docs/reference/webhook-api.json` is this, and a test compares.

use attest::Json;

use crate::http::openapi::{Route, describe};

const REFUSALS: [&str; 9] = ["400", "403", "408", "413", "415", "429", "500", "503", "504"];

const ROUTES: [Route; 12] = [
    Route {
        path: "/healthz",
        method: "get",
        id: "isAlive",
        summary: "Whether the process answers. Needs no identity; also on the metrics listener.",
        query: &[],
        body: None,
        answer: ("200", "application/json", "Alive"),
        refusals: &[],
    },
    Route {
        path: "/readyz",
        method: "get",
        id: "isReady",
        summary: "Whether it can decide; 503 where not, with what is wrong. Needs no identity; also on the metrics listener.",
        query: &[],
        body: None,
        answer: ("200", "application/json", "Readiness"),
        refusals: &[],
    },
    Route {
        path: "/v1/openapi.json",
        method: "get",
        id: "describe",
        summary: "This document. Needs no identity.",
        query: &[],
        body: None,
        answer: ("200", "application/json", "Document"),
        refusals: &[],
    },
    Route {
        path: "/v1/kubernetes/validate",
        method: "post",
        id: "validate",
        summary: "Decide about what the API server is asked to admit (permission: clients; there only where `webhook: environments` are). Answers only once the decision is on record. 429: it could not be decided in time, and nothing was judged.",
        query: &[("timeout", "how long the API server waits, as in 10s; at most 30s count")],
        body: Some("AdmissionReview"),
        answer: ("200", "application/json", "AdmissionReview"),
        refusals: &REFUSALS,
    },
    Route {
        path: "/v1/kubernetes/mutate",
        method: "post",
        id: "mutate",
        summary: "Put digests and known evidence into an object before it is decided about (permission: clients; there only where `webhook: environments` are). Decides nothing.",
        query: &[("timeout", "how long the API server waits, as in 10s; at most 30s count")],
        body: Some("AdmissionReview"),
        answer: ("200", "application/json", "AdmissionReview"),
        refusals: &REFUSALS,
    },
    Route {
        path: "/v1/decisions",
        method: "post",
        id: "decide",
        summary: "Decide whether this artifact may go into this environment (permission: decisions). Answers only once the decision is on record. 200 alone means that it may: 403 is a refusal, 503 that nothing can be decided now. The requester is whoever asks. Under the same Idempotency-Key the same question has the same answer for ten minutes. With `Accept: text/plain` the answer is the text alone.",
        query: &[("timeout", "how long the asker waits, as in 10s; at most 30s count")],
        body: Some("Question"),
        answer: ("200", "application/json", "Ruling"),
        refusals: &["400", "401", "403", "408", "409", "413", "415", "429", "503"],
    },
    Route {
        path: "/v1/decisions/spooled",
        method: "post",
        id: "bringSpooled",
        summary: "Bring what was let in by breakglass grants while this choke point could not be reached (permission: decisions). Each is on record when this answers, and alarmed where somebody of the trust root signed its grant; brought again, it is the same. 429: too much is brought whose grants do not hold here; those that hold are on record all the same.",
        query: &[],
        body: Some("Spooled"),
        answer: ("200", "application/json", "Brought"),
        refusals: &["400", "401", "403", "408", "413", "415", "429", "503"],
    },
    Route {
        path: "/v1/signatures",
        method: "post",
        id: "sign",
        summary: "Sign these bytes with a release key, once their release is admitted and on record (permission: the key's `signing: names`). The signature is on record before it is answered. 403: refused, or admitted by a dry run or an outage alone; nothing is signed. The requester is the name in the certificate. Under the same Idempotency-Key the same question has the same signature for ten minutes.",
        query: &[("timeout", "how long the asker waits, as in 10s; at most 30s count")],
        body: Some("SignatureQuestion"),
        answer: ("200", "application/json", "Signature"),
        refusals: &["400", "403", "408", "409", "413", "415", "429", "503"],
    },
    Route {
        path: "/v1/evidence",
        method: "put",
        id: "attachEvidence",
        summary: "Keep a bundle, or a list of bundles, in the local evidence store (permission: attach). Whether it is believed is decided at each deployment. Sent again, it is the same.",
        query: &[],
        body: Some("Evidence"),
        answer: ("200", "application/json", "Kept"),
        refusals: &["400", "403", "408", "413", "415", "429", "503"],
    },
    Route {
        path: "/v1/grants",
        method: "put",
        id: "attachGrant",
        summary: "Keep a signed breakglass grant (permission: attach). Whether it is believed is decided at each deployment that names it.",
        query: &[],
        body: Some("Evidence"),
        answer: ("200", "application/json", "Kept"),
        refusals: &["400", "403", "408", "413", "415", "429", "503"],
    },
    Route {
        path: "/v1/reviews",
        method: "put",
        id: "reviewGrant",
        summary: "Put a second person's signed review of what a breakglass grant let in on record (permission: attach; whose word it is, the signature says). 422: it does not count, with the reason.",
        query: &[],
        body: Some("Evidence"),
        answer: ("200", "application/json", "Kept"),
        refusals: &["400", "403", "408", "413", "415", "422", "429", "503"],
    },
    Route {
        path: "/v1/alarms/closed",
        method: "put",
        id: "closeAlarm",
        summary: "Close an alarm, because somebody has seen it (permission: alarms: close). It is on record, with the name in the certificate, and every sink is told.",
        query: &[],
        body: Some("Closing"),
        answer: ("200", "application/json", "Kept"),
        refusals: &["400", "403", "408", "413", "415", "422", "429", "503"],
    },
];

const SCHEMAS: &str = include_str!("schemas.json");

/// The description of the API.
#[must_use]
pub fn openapi() -> Json {
    describe("Portcullis choke point", &ROUTES, SCHEMAS, |route| route.path.starts_with("/v1/decisions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_that_is_named_is_described() {
        let text = openapi().to_string();
        let document = openapi();
        let schemas =
            document.as_object().unwrap().object("components").unwrap().object("schemas").unwrap().clone();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.get(name).is_some(), "{name}");
        }
        assert_eq!(document.as_object().unwrap().object("paths").unwrap().iter().count(), ROUTES.len());
    }
}
