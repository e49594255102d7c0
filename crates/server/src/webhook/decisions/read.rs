//! From a body to a question, strictly: what nothing reads is refused, so that nobody believes that it counts.

use attest::json::{Limits, ShapeError, each, parse_with};
use attest::redact::without_credentials;
use attest::{Algorithm, Artifact, Digest, DigestSet, Json, Object};
use evidence::Store;
use policy::{DeploymentRequest, Submitted};

use crate::http::Refusal;
use crate::webhook::judge::Question;

/// Which choke point asks, in a case.
pub(crate) const CHOKEPOINT: &str = "decisions";
const MAX_NAME: usize = 250;
const MAX_URI: usize = 2000;
const KEYS: [&str; 7] =
    ["environment", "artifact", "evidence", "evidence-digests", "grant", "workload", "dry-run"];

/// The question in a body, by whoever sent it. `cluster` is the one of the webhook beside, whose workloads are the API
/// server's to name.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn question(bytes: &[u8], asker: &str, cluster: Option<&str>) -> Result<Question, Refusal> {
    let bad = |found: &str| {
        Refusal::new(400, "malformed", "the body is no question about a deployment")
            .wanted("an object with `environment` and `artifact`, as /v1/openapi.json describes it")
            .found(found)
    };
    let limits = Limits { bytes: bytes.len(), ..Limits::default() };
    let json = parse_with(bytes, limits).map_err(|e| bad(&e.to_string()))?;
    of(&json, asker, cluster).map_err(|e| bad(&e.to_string()))
}

/// The same of a body that is parsed.
pub(crate) fn of(json: &Json, asker: &str, cluster: Option<&str>) -> Result<Question, ShapeError> {
    let object = json.as_object()?;
    only(object, &KEYS)?;
    let environment = line(object, "environment", MAX_NAME)?;
    let artifact = object.object("artifact").and_then(|a| artifact(a).map_err(|e| e.within("artifact")))?;
    let mut request = DeploymentRequest::new(artifact, environment, CHOKEPOINT);
    request.requester = Some(asker.to_owned());
    if object.get("workload").is_some() {
        let workload = line(object, "workload", MAX_URI)?;
        let is_theirs = cluster.is_some_and(|cluster| {
            workload.strip_prefix(cluster).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if is_theirs {
            return Err(ShapeError::new("workload", "one that is not the webhook's cluster's", workload));
        }
        request.workload = Some(workload.to_owned());
    }
    let inline = object.optional_array("evidence")?;
    let digests = object.optional_array("evidence-digests")?;
    if inline.len().saturating_add(digests.len()) > Store::MAX_SET {
        let wanted = format!("at most {} bundles, with those in `evidence-digests`", Store::MAX_SET);
        return Err(ShapeError::new("evidence", &wanted, "more"));
    }
    for (number, item) in inline.iter().enumerate() {
        let place = format!("evidence[{number}]");
        request.envelopes.push(piece(item, &place).map_err(|e| e.within(&place))?);
    }
    let evidence = each("evidence-digests", digests, |digest| digest_of(digest.as_str()?))?;
    let mut grant = None;
    match object.get("grant") {
        None => {}
        Some(Json::String(text)) => grant = Some(digest_of(text).map_err(|e| e.within("grant"))?),
        Some(bundle) => {
            bundle
                .as_object()
                .map_err(|e| ShapeError::new("grant", "a signed grant, or its digest", &e.found))?;
            let (name, bytes) = ("the grant in the request".to_owned(), bundle.to_string().into_bytes());
            request.grant = Some(Submitted { name, bytes });
        }
    }
    let dry_run = object.get("dry-run").map_or(Ok(false), Json::as_bool).map_err(|e| e.within("dry-run"))?;
    request.body = Some(named(&evidence, grant.as_ref()));
    Ok(Question { request, evidence, grant, dry_run })
}

/// What the case does not hold otherwise. Of its own keys alone: nobody writes anything into it that something else reads.
fn named(evidence: &[Digest], grant: Option<&Digest>) -> Json {
    let mut body = Object::new().with("format", "portcullis-question/v1");
    body.set("evidence-digests", evidence.iter().map(Digest::to_string).collect::<Vec<_>>());
    body.set_some("grant", grant.map(Digest::to_string));
    body.into()
}

pub(crate) fn artifact(object: &Object) -> Result<Artifact, ShapeError> {
    only(object, &["uri", "digest"])?;
    let uri = line(object, "uri", MAX_URI)?;
    // a second place for the digest would be one that nothing compares
    if uri.contains("@sha256:") {
        return Err(ShapeError::new("uri", "a name without a digest, which stands in `digest`", uri));
    }
    let digests = DigestSet::read(object.object("digest")?).map_err(|e| e.within("digest"))?;
    Ok(Artifact::new(&without_credentials(uri), digests))
}

fn piece(item: &Json, place: &str) -> Result<Submitted, ShapeError> {
    let object = item.as_object()?;
    only(object, &["name", "bundle", "text"])?;
    let name = if object.get("name").is_some() { line(object, "name", MAX_NAME)? } else { place };
    let bytes = match (object.get("bundle"), object.optional_string("text")?) {
        (Some(bundle), None) => {
            bundle.as_object().map(|_| bundle.to_string()).map_err(|e| e.within("bundle"))?
        }
        (None, Some(text)) => text.to_owned(),
        (Some(_), Some(_)) => return Err(ShapeError::new("", "`bundle` or `text`", "both")),
        (None, None) => return Err(ShapeError::new("", "`bundle` or `text`", "neither")),
    };
    Ok(Submitted { name: name.to_owned(), bytes: bytes.into_bytes() })
}

fn digest_of(text: &str) -> Result<Digest, ShapeError> {
    let wanted = "a digest, as in sha256:HEX";
    let digest = Digest::parse(text).map_err(|e| ShapeError::new("", wanted, &e.to_string()))?;
    let is_ours = digest.algorithm() == Algorithm::Sha256;
    is_ours.then_some(digest).ok_or_else(|| ShapeError::new("", wanted, "one of another algorithm"))
}

/// A text that people read in one line.
pub(crate) fn line<'o>(object: &'o Object, key: &str, most: usize) -> Result<&'o str, ShapeError> {
    let text = object.string(key)?;
    let count = text.chars().count();
    let is_line = (1..=most).contains(&count) && !text.chars().any(char::is_control);
    let wanted = format!("one line of 1 to {most} characters");
    is_line.then_some(text).ok_or_else(|| ShapeError::new(key, &wanted, &format!("{count} characters")))
}

/// Only these keys, each with a value: what is there and says nothing is a mistake of whoever asks.
pub(crate) fn only(object: &Object, known: &[&str]) -> Result<(), ShapeError> {
    if let Some((key, _)) = object.iter().find(|(key, _)| !known.contains(key)) {
        let key: String = key.chars().take(100).collect();
        return Err(ShapeError::new(&key, &known.join(", "), "a key that nothing reads"));
    }
    match object.iter().find(|(_, value)| matches!(value, Json::Null)) {
        None => Ok(()),
        Some((key, _)) => Err(ShapeError::new(key, "a value, or no such key", "null")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

    fn read_with(more: &str) -> Result<Question, String> {
        let text = format!(
            r#"{{"environment":"prod/shop","artifact":{{"uri":"r.example/shop","digest":{{"sha256":"{HEX}"}}}}{more}}}"#
        );
        let json = attest::json::parse(text.as_bytes()).map_err(|e| e.to_string())?;
        of(&json, "deployer.example", Some("eu-1")).map_err(|e| e.to_string())
    }

    #[test]
    fn everything_that_can_be_said_is_read() {
        let digest = format!("sha256:{HEX}");
        let more = format!(
            r#","evidence":[{{"name":"a","bundle":{{"x":1}}}},{{"text":"ey.J.x"}}],"evidence-digests":["{digest}"],
            "grant":"{digest}","workload":"db-1/shop","dry-run":true"#
        );
        let question = read_with(&more).unwrap();
        let request = &question.request;
        assert_eq!(request.requester.as_deref(), Some("deployer.example"));
        assert_eq!((request.environment.as_str(), request.chokepoint.as_str()), ("prod/shop", "decisions"));
        assert_eq!(request.workload.as_deref(), Some("db-1/shop"));
        let envelopes: Vec<_> = request.envelopes.iter().map(|e| (e.name.as_str(), &e.bytes[..])).collect();
        assert_eq!(envelopes, [("a", &br#"{"x":1}"#[..]), ("evidence[1]", b"ey.J.x")]);
        assert_eq!((question.evidence.len(), question.grant.unwrap().to_string()), (1, digest));
        assert!(question.dry_run && request.grant.is_none());
        let inline = read_with(r#","grant":{"payload":"x"}"#).unwrap();
        assert!(inline.grant.is_none() && !inline.dry_run);
        assert_eq!(inline.request.grant.unwrap().bytes, br#"{"payload":"x"}"#);
    }

    #[test]
    fn what_nothing_reads_or_reads_two_ways_is_refused_with_its_place() {
        for (more, wanted) in [
            (r#","requester":"alice""#, "requester: wanted environment"),
            (r#","standing":{"kind":"unchanged"}"#, "standing: wanted environment"),
            (r#","outage":"evidence-store""#, "outage: wanted"),
            (r#","chokepoint":"x""#, "chokepoint: wanted"),
            (r#","at":"2026-01-01T00:00:00Z""#, "at: wanted"),
            (r#","environment":"prod/pay""#, "environment"),
            (r#","dry-run":"yes""#, "dry-run: wanted a boolean"),
            (r#","workload":"eu-1/shop/Deployment/web""#, "not the webhook's cluster's"),
            (r#","workload":"a\nb""#, "workload: wanted one line"),
            (r#","grant":7"#, "grant: wanted a signed grant"),
            (r#","evidence":null"#, "evidence: wanted a value, or no such key, found null"),
            (r#","dry-run":null"#, "dry-run: wanted a value"),
            (r#","grant":"sha256:77""#, "grant: wanted a digest"),
            (
                r#","evidence":[{"bundle":{},"text":"x"}]"#,
                "evidence[0]: wanted `bundle` or `text`, found both",
            ),
            (r#","evidence":[{"name":"x"}]"#, "evidence[0]: wanted `bundle` or `text`, found neither"),
            (r#","evidence":[{"text":"x","signed-by":"a"}]"#, "evidence[0].signed-by"),
            (r#","evidence-digests":["md5:77"]"#, "evidence-digests[0]"),
        ] {
            let found = read_with(more).map(drop).unwrap_err();
            assert!(found.contains(wanted), "{more}: {found}");
        }
        let many = format!(r#","evidence":[{}]"#, vec![r#"{"text":"x"}"#; 65].join(","));
        assert!(read_with(&many).unwrap_err().contains("at most 64"));
        for (artifact, wanted) in [
            (r#"{"uri":"r.example/shop@sha256:aa","digest":{}}"#, "artifact.uri"),
            (r#"{"uri":"","digest":{}}"#, "artifact.uri"),
            (r#"{"uri":"x","digest":{"sha256":"77"}}"#, "artifact.digest.sha256"),
            (r#"{"uri":"x"}"#, "artifact.digest"),
            (r#"{"uri":"x","digest":{},"size":1}"#, "artifact.size"),
        ] {
            let text = format!(r#"{{"environment":"e","artifact":{artifact}}}"#);
            let found = of(&attest::json::parse(text.as_bytes()).unwrap(), "a", None).map(drop).unwrap_err();
            assert!(found.to_string().contains(wanted), "{artifact}: {found}");
        }
    }
}
