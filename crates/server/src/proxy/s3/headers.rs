//! Which headers go on to the store: those that are known, each once. What begins with `x-amz-` and is not known changes
//! something that nobody decided about.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Headers of every request that are about the request itself, and end here.
const ABOUT_THE_REQUEST: [&str; 8] = [
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-security-token",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-te",
    "x-amz-trailer",
    "x-amz-user-agent",
];
/// Whose bucket it has to be: a client's safeguard, everywhere.
const OWNER: &str = "x-amz-expected-bucket-owner";
const OF_READS: [&str; 9] = [
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "x-amz-checksum-mode",
    "x-amz-optional-object-attributes",
    "x-amz-object-attributes",
    "x-amz-request-payer",
];
/// What lies beside an object's bytes, and when it may be written.
const OF_WRITES: [&str; 12] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "if-match",
    "if-none-match",
    "x-amz-storage-class",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
];
const META: &str = "x-amz-meta-";
/// What an object brings along when it is copied.
const COPIED: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];

/// For a request that reads.
pub(super) fn of_read(headers: &HeaderMap) -> Result<HeaderMap, String> {
    choose(headers, |name| OF_READS.contains(&name) || name == OWNER, &[])
}

/// For a request that writes an object, or begins to; `more` are those that are read here.
pub(super) fn of_write(headers: &HeaderMap, more: &[&str]) -> Result<HeaderMap, String> {
    let mut chosen = choose(headers, is_of_write, more)?;
    if let Some(value) = chosen.remove("content-encoding") {
        let codings = value.to_str().unwrap_or_default().split(',').map(str::trim);
        let codings: Vec<&str> = codings.filter(|coding| !matches!(*coding, "aws-chunked" | "")).collect();
        if let Ok(value) = HeaderValue::from_str(&codings.join(","))
            && !codings.is_empty()
        {
            chosen.insert("content-encoding", value);
        }
    }
    Ok(chosen)
}

/// For a request that writes a document: the document says all.
pub(super) fn of_document(headers: &HeaderMap) -> Result<HeaderMap, String> {
    if headers.contains_key("x-amz-acl") {
        return Err("x-amz-acl names an access list that stands nowhere: send the document itself".to_owned());
    }
    choose(headers, |name| name == OWNER, &[])
}

/// What a copy takes over from its source.
pub(super) fn of_source(answer: &HeaderMap) -> HeaderMap {
    let is_copied = |name: &str| COPIED.contains(&name) || name.starts_with(META);
    answer.iter().filter(|(name, _)| is_copied(name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect()
}

fn is_of_write(name: &str) -> bool {
    OF_WRITES.contains(&name) || name == OWNER || name.starts_with(META)
}

fn choose(headers: &HeaderMap, goes_on: impl Fn(&str) -> bool, more: &[&str]) -> Result<HeaderMap, String> {
    let mut chosen = HeaderMap::new();
    for name in headers.keys() {
        let word = name.as_str();
        let ends_here = ABOUT_THE_REQUEST.contains(&word) || more.contains(&word) || is_checksum(word);
        if goes_on(word) {
            chosen.insert(name.clone(), only(headers, name)?.clone());
        } else if is_plain(word, headers) {
        } else if word.starts_with("x-amz-") && !ends_here {
            return Err(format!(
                "the header {word} changes something that nobody decides about here: leave it out, or send the document that says it"
            ));
        }
    }
    Ok(chosen)
}

/// An access list that is the one that objects have anyway.
fn is_plain(word: &str, headers: &HeaderMap) -> bool {
    word == "x-amz-acl" && headers.get_all(word).iter().all(|value| value == "private")
}

fn is_checksum(word: &str) -> bool {
    let is_about = matches!(word, "x-amz-checksum-algorithm" | "x-amz-checksum-type");
    is_about || crate::proxy::s3::checksum::Sum::named(word).is_some()
}

/// The one value of a header.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h HeaderValue, String> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value.to_str().is_ok() => Ok(value),
        (Some(_), None) => Err(format!("the header {name} is no plain text")),
        _ => Err(format!("the header {name} stands there twice")),
    }
}

/// The one value of a header, where it is there.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, String> {
    let name = HeaderName::from_static(name);
    if !headers.contains_key(&name) {
        return Ok(None);
    }
    Ok(only(headers, &name)?.to_str().ok())
}
