//! What a request does: the closed list.

use axum::http::{HeaderMap, Method};

use crate::proxy::s3::address::{Address, decode};
use crate::proxy::s3::answer::{Refusal, bad, never, unknown};
use crate::proxy::s3::document::is_document;
use crate::proxy::s3::headers;

const SOURCE: &str = "x-amz-copy-source";
/// MinIO's name for itself: behind it, signed by the proxy, a `GET` gives out users with their secrets.
const ADMINISTRATION: &str = "minio";
const OF_LISTS: [&str; 18] = [
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "location",
    "marker",
    "max-keys",
    "max-uploads",
    "policyStatus",
    "prefix",
    "start-after",
    "tagging",
    "upload-id-marker",
    "uploads",
    "version-id-marker",
    "versions",
];
/// Of `GET /`, the list of buckets.
const OF_SERVICE: [&str; 4] = ["bucket-region", "continuation-token", "max-buckets", "prefix"];
const OF_OBJECTS: [&str; 12] = [
    "attributes",
    "legal-hold",
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "retention",
    "tagging",
    "versionId",
];

/// What a request does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// It changes nothing.
    Read,
    /// It writes an object.
    Put,
    /// It writes an object that is another's copy.
    Copy(Address),
    /// It writes configuration, named by its word.
    Document(&'static str),
    /// It begins an upload in parts.
    Begin,
    /// It brings a part.
    Part { number: u16, upload: String },
    /// It brings a part out of another object.
    PartCopy { number: u16, upload: String, source: Address },
    /// It lists the parts that are there.
    Parts(String),
    /// It makes an object of the parts.
    Complete(String),
    /// It gives the parts up.
    Abort(String),
}

impl Operation {
    pub(super) fn of(method: &Method, headers: &HeaderMap, address: &Address) -> Result<Self, Refusal> {
        let words: Vec<&str> = address.query.keys().map(String::as_str).collect();
        let upload = || address.query.get("uploadId").cloned().unwrap_or_default();
        let source = || source(headers);
        let is_object = !address.key.is_empty();
        if address.bucket == ADMINISTRATION {
            return Err(never("this is where MinIO is administered, and no bucket"));
        }
        match (method.as_str(), is_object, words.as_slice()) {
            ("GET" | "HEAD", true, _) if words.contains(&"uploadId") => Ok(Self::Parts(upload())),
            ("GET" | "HEAD", ..) => Self::read(address, &words),
            _ if address.bucket.is_empty() => {
                Err(unknown("nothing but the list of buckets is asked without a bucket"))
            }
            ("PUT", true, []) => Ok(source()?.map_or(Self::Put, Self::Copy)),
            ("PUT", true, ["partNumber", "uploadId"]) => {
                let number = address.query.get("partNumber").and_then(|text| text.parse().ok());
                let number = number.filter(|number| (1..=10_000).contains(number));
                let number = number.ok_or_else(|| bad("partNumber is none of 1 to 10000"))?;
                let upload = upload();
                Ok(match source()? {
                    Some(source) => Self::PartCopy { number, upload, source },
                    None => Self::Part { number, upload },
                })
            }
            ("POST", true, ["uploads"]) => Ok(Self::Begin),
            ("POST", true, ["uploadId"]) => Ok(Self::Complete(upload())),
            ("DELETE", true, ["uploadId"]) => Ok(Self::Abort(upload())),
            ("PUT", _, [word]) => {
                let word = is_document(word, is_object);
                word.map(Self::Document).ok_or_else(|| not_listed(method, &words))
            }
            ("PUT", false, []) => Err(never("buckets are not made through here")),
            ("DELETE", ..) => Err(never(
                "nothing is deleted through here: what is in force, and its documents, are replaced by what is reviewed",
            )),
            ("POST", false, ["delete"]) => Err(never("nothing is deleted through here")),
            _ => Err(not_listed(method, &words)),
        }
    }

    fn read(address: &Address, words: &[&str]) -> Result<Self, Refusal> {
        let is_known = |word: &&str| match (address.bucket.is_empty(), address.key.is_empty()) {
            (true, _) => OF_SERVICE.contains(word),
            (false, true) => OF_LISTS.contains(word) || is_document(word, false).is_some(),
            (false, false) => OF_OBJECTS.contains(word) || is_document(word, true).is_some(),
        };
        if words.iter().all(is_known) { Ok(Self::Read) } else { Err(not_listed(&Method::GET, words)) }
    }
}

fn not_listed(method: &Method, words: &[&str]) -> Refusal {
    let words = if words.is_empty() { String::new() } else { format!(" with `{}`", words.join("`, `")) };
    unknown(&format!("{method}{words} is not among what goes through here"))
}

/// The object that is copied.
fn source(headers: &HeaderMap) -> Result<Option<Address>, Refusal> {
    let Some(text) = headers::text(headers, SOURCE).map_err(|why| bad(&why))? else { return Ok(None) };
    // the name is in its percent form, or not: both are read, and a `?` of a name must be
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let path = path.strip_prefix('/').unwrap_or(path);
    decode(path).map_err(|why| bad(&why))?;
    let address = Address::read(&format!("/{path}"), query).map_err(|why| bad(&why))?;
    let is_plain = address.query.keys().all(|word| word == "versionId");
    if address.key.is_empty() || !is_plain {
        return Err(bad(&format!("{SOURCE} names no object, as in BUCKET/KEY or BUCKET/KEY?versionId=ID")));
    }
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};

    use super::{Address, Operation};

    fn of(method: &str, path: &str, query: &str) -> Result<Operation, u16> {
        let address = Address::read(path, query).unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Operation::of(&method, &HeaderMap::new(), &address).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn what_is_not_listed_does_not_go_through() {
        assert_eq!(of("GET", "/shop/a", ""), Ok(Operation::Read));
        assert_eq!(of("GET", "/shop", "list-type=2&prefix=a"), Ok(Operation::Read));
        assert_eq!(of("PUT", "/shop/a", "x-id=PutObject"), Ok(Operation::Put));
        assert_eq!(of("PUT", "/shop", "acl"), Ok(Operation::Document("acl")));
        assert_eq!(of("PUT", "/shop/a", "acl"), Ok(Operation::Document("acl")));
        for (method, path, query, status) in [
            ("GET", "/minio/admin/v3/export-iam", "", 403),
            ("PUT", "/%6dinio/admin/v3/import-iam", "", 403),
            ("DELETE", "/shop/a", "", 403),
            ("DELETE", "/shop", "", 403),
            ("DELETE", "/shop", "policy", 403),
            ("POST", "/shop", "delete", 403),
            ("PUT", "/shop", "", 403),
            ("PUT", "/", "", 501),
            ("POST", "/shop", "", 501),
            ("PUT", "/shop", "acl&policy", 501),
            ("PUT", "/shop/a", "policy", 501),
            ("PUT", "/shop/a", "tagging", 501),
            ("PUT", "/shop/a", "versionId=1", 501),
            ("PUT", "/shop/a", "acl&versionId=1", 501),
            ("PUT", "/shop/a", "x-amz-acl=public-read", 501),
            ("PUT", "/shop/a", "retention", 501),
            ("PUT", "/shop/a", "partNumber=10001&uploadId=a", 400),
            ("PUT", "/shop/a", "partNumber=0&uploadId=a", 400),
            ("POST", "/shop/a", "select&select-type=2", 501),
            ("POST", "/shop/a", "restore", 501),
            ("GET", "/shop/a", "torrent", 501),
            ("GET", "/shop", "session", 501),
            ("PATCH", "/shop/a", "", 501),
            ("OPTIONS", "/shop/a", "", 501),
        ] {
            assert_eq!(of(method, path, query), Err(status), "{method} {path}?{query}");
        }
    }
}
