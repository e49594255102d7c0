//! The built-in rule that an artifact is named by what it is, and not by what somebody calls it today.

use attest::Json;

use crate::case::Case;
use crate::finding::Finding;
use crate::rule::Rule;

pub(crate) const RULE: Rule = Rule {
    name: "digest-required",
    key: "",
    summary: "the request names the artifact by its digest",
    docs: "A tag or a name can mean other bytes tomorrow, and other bytes for whoever fetches them. So what is deployed must be named with a \
           digest that decides (sha256, sha384, sha512 or a git object id); beside it, a tag is for people, and decides nothing. Without one \
           nothing else about evidence is said: it could be about anything. Neither a breakglass grant nor what is made again from \
           its template goes on without a digest.",
    example: "",
    threats: &["T5"],
    reads_provenance: false,
    read: None,
    schema: || Json::Null,
};

/// The finding, where the artifact has no digest.
pub(crate) fn finding(case: &Case) -> Option<Finding> {
    if !case.artifact().digests().is_empty() {
        return None;
    }
    let uri = case.artifact().uri();
    let wanted = "a name with a digest, as in registry.example/shop@sha256:…";
    let message = "the artifact is named without a digest";
    let finding = match &case.request().suggestion {
        Some(digest) => Finding::new(RULE.name, message, &format!("write {uri}@{digest}"))
            .or("if those are not the bytes you mean, write the digest of the ones you tested"),
        None => Finding::new(
            RULE.name,
            message,
            &format!("write {uri}@sha256:… with the digest that the build printed"),
        ),
    };
    Some(finding.wanted_always(wanted).found(&format!("{uri}, without a digest")))
}
