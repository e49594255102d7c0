//! One claim of a policy test: who says what about what.

use attest::claims::{IMPORT, RELEASE, REVIEW, TEST_RESULT, VSA, VULNS};
use attest::provenance::{BUILD_TYPE, SLSA_V1, SLSA_V02};
use attest::time::parse_time;
use attest::yaml::{Fields, LoadError, Node, Problems};
use attest::{Algorithm, Digest, DigestSet, Json, Object};
use jiff::Timestamp;

use super::to_json;

/// A claim.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The names of the trust root that sign; any other name is a stranger's key.
    pub signed_by: Vec<String>,
    /// What it is about.
    pub about: Subject,
    /// The refs at which the commit that it is about was, as a verifier of sources says.
    pub refs: Vec<String>,
    /// What it says.
    pub said: Said,
    /// The log that proves it, inline.
    pub logged: Option<Logged>,
}

/// What a claim is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The artifact of the test.
    Artifact,
    /// Another artifact.
    Other,
    /// A commit.
    Commit(Digest),
    /// The package of an import.
    Package(DigestSet),
}

/// What a claim says.
#[derive(Clone, Debug)]
pub struct Said {
    /// The predicate's type.
    pub predicate_type: String,
    /// The predicate.
    pub predicate: Object,
}

/// A proof that the claim is in a log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The log's name in the trust root.
    pub log: String,
    /// Which witnesses saw it, and when.
    pub seen: Vec<(String, Timestamp)>,
}

const PROVENANCE: [&str; 14] = [
    "builder",
    "version",
    "format",
    "repository",
    "ref",
    "commit",
    "history",
    "target",
    "parameters",
    "command",
    "hermetic",
    "finished",
    "tools",
    "dependencies",
];

const SUMMARY: [&str; 9] =
    ["verifier", "resource", "environment", "policy", "digest", "result", "levels", "verified", "expires"];

pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Claim> {
    let known = [
        "signed-by",
        "about",
        "logged",
        "refs",
        "provenance",
        "test",
        "scan",
        "release",
        "review",
        "summary",
        "import",
        "signature",
        "predicate",
    ];
    let fields = Fields::read(node, "a claim", &known, problems)?;
    let signed_by = fields.required("signed-by", problems)?;
    let signed_by = problems.keep(signed_by.strings())?.into_iter().map(|(name, _)| name).collect();
    let given: Vec<&str> = known.iter().skip(4).filter(|k| fields.optional(k).is_some()).copied().collect();
    let [kind] = given.as_slice() else {
        problems.push(
            LoadError::new(&node.place, "a claim says exactly one thing")
                .wanted(
                    "one of provenance, test, scan, release, review, summary, import, signature, predicate",
                )
                .found(&if given.is_empty() { "none".to_owned() } else { given.join(", ") }),
        );
        return None;
    };
    let value = fields.optional(kind)?;
    let said = read_said(kind, value, problems)?;
    let about = match fields.optional("about") {
        None if *kind == "import" => package(&said),
        None => Subject::Artifact,
        Some(node) => problems.keep(read_subject(node))?,
    };
    let refs = match fields.optional("refs") {
        None => Vec::new(),
        Some(node) => problems.keep(node.strings())?.into_iter().map(|(name, _)| name).collect(),
    };
    let logged = match fields.optional("logged") {
        None => None,
        Some(node) => Some(read_logged(node, problems)?),
    };
    Some(Claim { signed_by, about, refs, said, logged })
}

/// The package that an import is about.
fn package(said: &Said) -> Subject {
    let first = said.predicate.array("packages").ok().and_then(|all| all.first()?.as_object().ok());
    let digest = first.and_then(|one| DigestSet::read(one.object("digest").ok()?).ok());
    digest.map_or(Subject::Other, Subject::Package)
}

fn read_subject(node: &Node) -> Result<Subject, LoadError> {
    match node.string()? {
        "artifact" => Ok(Subject::Artifact),
        "another artifact" => Ok(Subject::Other),
        text => match Digest::parse(text) {
            Ok(digest) if digest.algorithm() == Algorithm::GitCommit => Ok(Subject::Commit(digest)),
            _ => Err(node.mismatch("`artifact`, `another artifact`, or gitCommit:HEX")),
        },
    }
}

fn read_logged(node: &Node, problems: &mut Problems) -> Option<Logged> {
    let fields = Fields::read(node, "`logged`", &["log", "seen"], problems)?;
    let log = fields.required("log", problems)?;
    let mut seen = Vec::new();
    if let Some(node) = fields.optional("seen") {
        for (name, _, value) in problems.keep(node.entries())? {
            seen.push((name.to_owned(), problems.keep(read_time(value))?));
        }
    }
    Some(Logged { log: problems.keep(log.string())?.to_owned(), seen })
}

pub(super) fn read_time(node: &Node) -> Result<Timestamp, LoadError> {
    parse_time(node.string()?).ok_or_else(|| node.mismatch("a time in UTC, as in 2026-11-22T09:00:00Z"))
}

fn read_said(kind: &str, node: &Node, problems: &mut Problems) -> Option<Said> {
    let (predicate_type, known): (&str, &'static [&'static str]) = match kind {
        "provenance" => (SLSA_V1, &PROVENANCE),
        "test" => (TEST_RESULT, &["names", "result", "failed"]),
        "scan" => (VULNS, &["finished", "database", "found"]),
        "release" => (RELEASE, &["purl", "environments"]),
        "review" => (REVIEW, &["repository", "base", "authors", "reviewers"]),
        "summary" => (VSA, &SUMMARY),
        "import" => (IMPORT, &["purl", "sha256", "criteria"]),
        "signature" => ("https://portcullis.dev/signature/v1", &[]),
        _ => ("", &["type", "body"]),
    };
    let fields = Fields::read(node, "what a claim says", known, problems)?;
    let get = |key: &str| fields.optional(key).map(to_json);
    let list = |key: &str| get(key).unwrap_or(Json::Array(Vec::new()));
    let said =
        |predicate_type: &str, predicate| Said { predicate_type: predicate_type.to_owned(), predicate };
    let time = Json::from("2026-01-01T00:00:00Z");
    Some(match kind {
        "provenance" => provenance(get),
        "test" => {
            let names = match list("names") {
                Json::Array(names) => names,
                other => vec![other],
            };
            let named = names.into_iter().map(|n| Json::from(Object::new().with("name", n))).collect();
            let result = get("result").unwrap_or_else(|| Json::from("PASSED"));
            let object = Object::new().with("result", result).with("configuration", Json::Array(named));
            said(predicate_type, object.with("failedTests", list("failed")))
        }
        "scan" => said(predicate_type, scan(get, list("found"))),
        "release" => {
            let purl = get("purl").unwrap_or_else(|| Json::from("pkg:generic/example"));
            said(
                predicate_type,
                Object::new().with("purl", purl).with("portcullis_environments", list("environments")),
            )
        }
        "review" => {
            let mut object = Object::new();
            object.set_some("repository", get("repository"));
            object.set_some("base", get("base"));
            let object = object.with("authors", list("authors")).with("reviewers", list("reviewers"));
            said(predicate_type, object.with("reviewedOn", time))
        }
        "summary" => said(predicate_type, summary(get, list("levels"))),
        "import" => said(predicate_type, import(get, list("criteria")).with("reviewedOn", time)),
        "signature" => said(predicate_type, Object::new()),
        _ => match (get("type"), get("body")) {
            (Some(Json::String(kind)), Some(Json::Object(body))) => said(&kind, body),
            _ => {
                problems.push(node.mismatch("`type`, a text, and `body`, a map"));
                return None;
            }
        },
    })
}

/// A review of one package.
fn import(get: impl Fn(&str) -> Option<Json>, criteria: Json) -> Object {
    let (mut digest, mut one) = (Object::new(), Object::new());
    digest.set_some("sha256", get("sha256"));
    one.set_some("purl", get("purl"));
    let one = one.with("digest", digest).with("criteria", criteria);
    Object::new().with("packages", Json::Array(vec![one.into()]))
}

fn scan(get: impl Fn(&str) -> Option<Json>, found: Json) -> Object {
    let mut results = Vec::new();
    if let Json::Array(items) = found {
        for (index, severity) in items.into_iter().enumerate() {
            let severity = Object::new().with("method", "severity").with("score", severity);
            let list = Json::Array(vec![severity.into()]);
            results
                .push(Object::new().with("id", format!("CVE-2026-{index:04}")).with("severity", list).into());
        }
    }
    let mut database = Object::new();
    database.set_some("lastUpdate", get("database"));
    let scanner = Object::new()
        .with("uri", "https://scanner.example")
        .with("db", database)
        .with("result", Json::Array(results));
    let mut metadata = Object::new();
    metadata.set_some("scanFinishedOn", get("finished"));
    Object::new().with("scanner", scanner).with("metadata", metadata)
}

fn summary(get: impl Fn(&str) -> Option<Json>, levels: Json) -> Object {
    let text = |value: &str| Json::from(value);
    let mut policy =
        Object::new().with("uri", get("policy").unwrap_or_else(|| text("https://policy.example")));
    policy.set_some("digest", get("digest").map(|sha256| Object::new().with("sha256", sha256)));
    let mut verifier = Object::new();
    verifier.set_some("id", get("verifier"));
    let mut object = Object::new()
        .with("verifier", verifier)
        .with("policy", policy)
        .with("verificationResult", get("result").unwrap_or_else(|| text("PASSED")))
        .with("verifiedLevels", levels);
    for (key, field) in [
        ("resource", "resourceUri"),
        ("verified", "timeVerified"),
        ("environment", "portcullis_environment"),
        ("expires", "portcullis_expires"),
    ] {
        object.set_some(field, get(key));
    }
    object
}

fn provenance(get: impl Fn(&str) -> Option<Json>) -> Said {
    if get("format") == Some(Json::from("0.2")) {
        return provenance_v02(get);
    }
    let mut external = Object::new();
    let mut inputs = Vec::new();
    if let Some(repository) = get("repository") {
        let mut source = Object::new().with("repository", repository.clone());
        source.set_some("ref", get("ref"));
        external.set("source", source);
        let text = repository.as_str().unwrap_or_default().to_owned();
        let mut annotations = Object::new().with("role", "source");
        annotations.set_some("history", get("history"));
        let mut input = Object::new().with("uri", format!("git+{text}"));
        if let Some(commit) = get("commit") {
            input.set("digest", Object::new().with("gitCommit", commit));
        }
        inputs.push(input.with("annotations", annotations).into());
    }
    external.set_some("target", get("target"));
    external.set_some("parameters", get("parameters"));
    for (key, role) in [("tools", "tool"), ("dependencies", "input")] {
        if let Some(Json::Array(items)) = get(key) {
            inputs.extend(items.iter().map(|item| dependency(item, role)));
        }
    }
    let mut internal = Object::new();
    internal.set_some("portcullis_command", get("command"));
    internal.set_some("portcullis_hermetic", get("hermetic"));
    let definition = Object::new()
        .with("buildType", BUILD_TYPE)
        .with("externalParameters", external)
        .with("internalParameters", internal)
        .with("resolvedDependencies", Json::Array(inputs));
    let mut builder = Object::new();
    builder.set_some("id", get("builder"));
    builder.set_some("version", get("version").map(|v| Object::new().with("portcullis", v)));
    let mut metadata = Object::new();
    metadata.set_some("finishedOn", get("finished"));
    let run = Object::new().with("builder", builder).with("metadata", metadata);
    let predicate = Object::new().with("buildDefinition", definition).with("runDetails", run);
    Said { predicate_type: SLSA_V1.to_owned(), predicate }
}

/// `{ uri: …, sha256: … }`.
fn dependency(item: &Json, role: &str) -> Json {
    let mut out = Object::new();
    if let Ok(object) = item.as_object() {
        out.set_some("uri", object.get("uri").cloned());
        if let Some(sha256) = object.get("sha256") {
            out.set("digest", Object::new().with("sha256", sha256.clone()));
        }
    }
    out.with("annotations", Object::new().with("role", role)).into()
}

fn provenance_v02(get: impl Fn(&str) -> Option<Json>) -> Said {
    let text = |key: &str| get(key).and_then(|v| v.as_str().map(str::to_owned).ok());
    let mut config = Object::new();
    let reference = text("ref").map(|r| format!("@{r}")).unwrap_or_default();
    config.set_some("uri", text("repository").map(|r| format!("git+{r}{reference}")));
    config.set_some("digest", get("commit").map(|c| Object::new().with("sha1", c)));
    config.set_some("entryPoint", get("target"));
    let mut invocation = Object::new().with("configSource", config);
    invocation.set_some("parameters", get("parameters"));
    let mut metadata = Object::new();
    metadata.set_some("buildFinishedOn", get("finished"));
    let mut builder = Object::new();
    builder.set_some("id", get("builder"));
    let predicate = Object::new()
        .with("builder", builder)
        .with("buildType", "https://example.com/build")
        .with("invocation", invocation)
        .with("metadata", metadata);
    Said { predicate_type: SLSA_V02.to_owned(), predicate }
}

impl Subject {
    /// The digests of the subject, where the artifact has this one.
    pub(super) fn digests(&self, artifact: &Digest) -> DigestSet {
        match self {
            Self::Artifact => artifact.clone().into(),
            Self::Other => Digest::sha256(b"another artifact").into(),
            Self::Commit(commit) => commit.clone().into(),
            Self::Package(digests) => digests.clone(),
        }
    }
}
