//! The built-in policy for deployments that nobody claimed: it refuses.

use attest::Json;

use crate::book::Book;
use crate::case::Case;
use crate::finding::Finding;
use crate::rule::{Rule, or_list};

pub(crate) const RULE: Rule = Rule {
    name: "policy-missing",
    key: "",
    summary: "a policy guards this artifact in this environment",
    docs: "Exactly one policy of the book must claim the deployment: its `environment` matches, and one of its \
           `artifact` entries matches the URI under which the artifact is requested. `*` stands for exactly one \
           segment. Nothing is admitted because nobody claimed it.",
    example: "",
    threats: &["T12"],
    reads_provenance: false,
    read: None,
    schema: || Json::Null,
};

pub(crate) fn finding(case: &Case, book: &Book) -> Finding {
    let (environment, uri) = (case.environment(), case.artifact().uri());
    let folder = book.files().first().and_then(|f| f.name.split('/').next()).unwrap_or("book");
    let file = format!("{folder}/{}.yaml", environment.replace(['*', ' '], "_"));
    let here: Vec<String> = book
        .guarding(environment)
        .flat_map(|p| p.artifacts().iter().map(|a| format!("{} ({})", a.text, a.place)))
        .collect();
    let elsewhere: Vec<&str> = book
        .policies()
        .iter()
        .filter(|p| p.artifacts().iter().any(|a| attest::trust::segments_match(&a.text, uri)))
        .map(|p| p.environment().text.as_str())
        .collect();
    let found = match (here.as_slice(), elsewhere.as_slice()) {
        ([], []) => format!("no policy for {environment}, and none for {uri}"),
        ([], environments) => format!("{uri} is claimed in {} only", or_list(environments)),
        (artifacts, _) => format!("in {environment}, only {}", or_list(artifacts)),
    };
    Finding::new(
        RULE.name,
        "no policy guards this artifact in this environment",
        &format!("write one in {file}, with `environment: {environment}` and `artifact: {uri}`, and have it reviewed"),
    )
    .wanted_always(&format!("a policy for {uri} in {environment}"))
    .found(&found)
    .or("if the name or the environment is misspelt, correct the request")
}
