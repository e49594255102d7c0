//! The API's description, OpenAPI 3.1. `docs/reference/builder-api.json` is this, and a test compares.

use attest::{Json, Object};

/// A route: path, method, what it does, statuses with what they mean, parameters of the query, permission.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) method: &'static str,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) query: &'static [(&'static str, &'static str)],
    /// The schema of what is sent, where something is.
    pub(crate) body: Option<&'static str>,
    pub(crate) answer: (&'static str, &'static str, &'static str),
    pub(crate) refusals: &'static [&'static str],
}

const ROUTES: [Route; 9] = [
    Route {
        path: "/healthz",
        method: "get",
        id: "isAlive",
        summary: "Whether the process answers. Needs no identity.",
        query: &[],
        body: None,
        answer: ("200", "application/json", "Alive"),
        refusals: &[],
    },
    Route {
        path: "/readyz",
        method: "get",
        id: "isReady",
        summary: "Whether a build submitted now would be kept, built and signed; 503 where not. Needs no identity.",
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
        path: "/v1/builds",
        method: "post",
        id: "submit",
        summary: "Ask for a build (permission build). The answer means that it is on disk and will be built or reported. Sent again with the same Idempotency-Key header, the answer is 200 and the same build.",
        query: &[],
        body: Some("BuildRequest"),
        answer: ("201", "application/json", "Build"),
        refusals: &["400", "401", "403", "408", "409", "413", "415", "429", "503"],
    },
    Route {
        path: "/v1/builds",
        method: "get",
        id: "list",
        summary: "Builds that the asker may read, newest first.",
        query: &[
            ("repository", "only of this repository"),
            ("state", "only in this state"),
            ("limit", "how many, 1 to 100; 20 where it is absent"),
            ("before", "`next` of the page before"),
        ],
        body: None,
        answer: ("200", "application/json", "Builds"),
        refusals: &["400", "401", "403", "503"],
    },
    Route {
        path: "/v1/builds/{id}",
        method: "get",
        id: "show",
        summary: "One build (permission read).",
        query: &[],
        body: None,
        answer: ("200", "application/json", "Build"),
        refusals: &["401", "403", "404", "503"],
    },
    Route {
        path: "/v1/builds/{id}/log",
        method: "get",
        id: "log",
        summary: "What the build says (permission read).",
        query: &[
            ("follow", "true: stay, and send more as it comes, until the build ends"),
            ("from", "begin behind so many bytes"),
        ],
        body: None,
        answer: ("200", "text/plain", "Text"),
        refusals: &["400", "401", "403", "404", "503"],
    },
    Route {
        path: "/v1/builds/{id}/cancel",
        method: "post",
        id: "cancel",
        summary: "End the build (permission build). One that runs is ended soon; one that is over stays as it is.",
        query: &[],
        body: None,
        answer: ("200", "application/json", "Build"),
        refusals: &["401", "403", "404", "503"],
    },
    Route {
        path: "/v1/builds/{id}/outputs/{name}",
        method: "get",
        id: "output",
        summary: "An artifact, or its bundle NAME.sigstore.json (permission read).",
        query: &[],
        body: None,
        answer: ("200", "application/octet-stream", "Bytes"),
        refusals: &["401", "403", "404", "409", "410", "503"],
    },
];

/// The shapes of answers and requests.
const SCHEMAS: &str = include_str!("schemas.json");

/// The description of the API.
#[must_use]
pub fn openapi() -> Json {
    describe("Portcullis build service", &ROUTES, SCHEMAS, |_| true)
}

/// The document of routes, shapes and ways to say who asks: with a certificate, and where it is so, with a token.
pub(crate) fn describe(
    title: &str,
    routes: &[Route],
    schemas: &str,
    takes_token: impl Fn(&Route) -> bool,
) -> Json {
    let security = Object::new()
        .with("certificate", Object::new().with("type", "mutualTLS"))
        .with("token", Object::new().with("type", "http").with("scheme", "bearer"));
    let mut paths = Object::new();
    for route in routes {
        let mut methods = match paths.remove(route.path) {
            Some(Json::Object(methods)) => methods,
            _ => Object::new(),
        };
        methods.set(route.method, operation(route, takes_token(route)));
        paths.set(route.path, methods);
    }
    let schemas = attest::json::parse(schemas.as_bytes()).unwrap_or(Json::Null);
    let info = Object::new().with("title", title).with("version", "1");
    Object::new()
        .with("openapi", "3.1.0")
        .with("info", info)
        .with("paths", paths)
        .with("components", Object::new().with("schemas", schemas).with("securitySchemes", security))
        .into()
}

fn operation(route: &Route, takes_token: bool) -> Object {
    let mut operation = Object::new().with("operationId", route.id).with("summary", route.summary);
    let text = || Object::new().with("type", "string");
    let in_path = route.path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        Object::new().with("name", name).with("in", "path").with("required", true).with("schema", text())
    });
    let in_query = route.query.iter().map(|(name, meaning)| {
        let parameter = Object::new().with("name", *name).with("in", "query").with("description", *meaning);
        let is_time = *name == "timeout";
        let schema = if is_time { text().with("pattern", "^[1-9][0-9]{0,8}s$") } else { text() };
        parameter.with("schema", schema)
    });
    let mut parameters: Vec<Object> = in_path.chain(in_query).collect();
    if matches!(route.id, "submit" | "decide" | "sign") {
        let header = Object::new().with("name", "Idempotency-Key").with("in", "header");
        let schema = text().with("maxLength", 128).with("pattern", "^[!-~]([ -~]*[!-~])?$");
        parameters.push(header.with("schema", schema));
    }
    if let Some(schema) = route.body {
        let body = Object::new().with("required", true).with("content", content("application/json", schema));
        operation.set("requestBody", body);
    }
    operation.set("parameters", parameters);
    let (status, kind, schema) = route.answer;
    let mut responses = Object::new();
    let content = |kind: &str, schema: &str| {
        let content = content(kind, schema);
        // what people read instead, where they ask for it first
        if route.id == "decide" {
            content.with("text/plain", Object::new().with("schema", text()))
        } else {
            content
        }
    };
    responses.set(status, Object::new().with("description", "done").with("content", content(kind, schema)));
    for status in route.refusals {
        let refusal = Object::new().with("description", "not done; the body says why, and how to mend it");
        let is_decision = route.id == "decide" && matches!(*status, "403" | "503");
        let schema = if is_decision { "NotAdmitted" } else { "Refusal" };
        responses.set(status, refusal.with("content", content("application/json", schema)));
    }
    operation.set("responses", responses);
    if !route.refusals.is_empty() {
        let one = |name: &str| Object::new().with(name, Json::Array(Vec::new()));
        let ways = ["certificate"].into_iter().chain(takes_token.then_some("token"));
        operation.set("security", ways.map(one).collect::<Vec<Object>>());
    }
    operation
}

fn content(kind: &str, schema: &str) -> Object {
    let reference = Object::new().with("$ref", format!("#/components/schemas/{schema}"));
    Object::new().with(kind, Object::new().with("schema", reference))
}
