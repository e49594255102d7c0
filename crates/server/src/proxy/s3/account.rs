//! Keys out of files: the proxy's own for the store, and those by which clients say who they are.

use std::collections::BTreeMap;
use std::path::Path;

use attest::digest::parse_hex;
use attest::yaml::{Fields, Node, Problems};
use axum::http::request::Parts;
use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;

use crate::fields::{list, text};
use crate::proxy::s3::address::Address;
use crate::proxy::s3::headers;
use crate::proxy::s3::sign::{Canonical, Keys, Scope};

/// How far a client's clock may be from this one.
const SKEW_SECONDS: i64 = 15 * 60;

/// Clients by their access key ids: who each is, and the keys.
#[derive(Debug)]
pub(super) struct Accounts(BTreeMap<String, (String, Keys)>);

/// `{ access-key-id: …, secret-access-key: … }`
pub(super) fn keys(file: &Path) -> Result<Keys, String> {
    open(file, |node, problems| {
        let fields = Fields::read(node, "the keys", &["access-key-id", "secret-access-key"], problems)?;
        pair(&fields, problems)
    })
}

fn pair(fields: &Fields<'_>, problems: &mut Problems) -> Option<Keys> {
    let (id, secret) = (text(fields, "access-key-id", problems), text(fields, "secret-access-key", problems));
    Some(Keys { id: id?, secret: secret? })
}

fn open<T>(file: &Path, read: impl Fn(&Node, &mut Problems) -> Option<T>) -> Result<T, String> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
    let node = Node::parse(&name, &text).map_err(|e| e.to_string())?;
    let mut problems = Problems::new();
    let value = read(&node, &mut problems);
    problems.finish(value).map_err(|all| {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        all.join("; ")
    })
}

impl Accounts {
    /// `accounts: [{ name: ci.example, access-key-id: …, secret-access-key: … }]`
    pub(super) fn open(file: &Path) -> Result<Self, String> {
        let known = ["name", "access-key-id", "secret-access-key"];
        let all = open(file, |node, problems| {
            let fields = Fields::read(node, "the accounts", &["accounts"], problems)?;
            fields.required("accounts", problems);
            Some(list(&fields, "accounts", problems, |node, problems| {
                let fields = Fields::read(node, "an account", &known, problems)?;
                let (name, keys) = (text(&fields, "name", problems), pair(&fields, problems));
                Some((name?, keys?))
            }))
        })?;
        let count = all.len();
        let by_id: BTreeMap<_, _> =
            all.into_iter().map(|(name, keys)| (keys.id.clone(), (name, keys))).collect();
        if by_id.len() < count {
            return Err(format!("{}: two accounts have one access-key-id", file.display()));
        }
        Ok(Self(by_id))
    }

    /// Who signed a request. The signature holds the method, the place, and the headers that it names, of which those that
    /// say what is done must be.
    pub(super) fn who(
        &self,
        head: &Parts,
        address: &Address,
        region: &str,
        now: Timestamp,
    ) -> Result<String, String> {
        let text = headers::text(&head.headers, "authorization")?
            .ok_or("nobody knows who asks: sign the request (AWS4-HMAC-SHA256, in its Authorization)")?;
        let claim = Claim::read(text).ok_or("Authorization is no signature of version 4")?;
        let (name, keys) = self.0.get(claim.id).ok_or("nobody here has this access key id")?;
        let time = headers::text(&head.headers, "x-amz-date")?.ok_or("the signature has no x-amz-date")?;
        let scope = Scope { time, region };
        if claim.scope != scope.text() {
            return Err(format!("the signature is for {}, wanted {}", claim.scope, scope.text()));
        }
        let parsed = BrokenDownTime::parse("%Y%m%dT%H%M%SZ", time).and_then(|t| t.to_datetime());
        let parsed = parsed.and_then(|t| t.to_zoned(jiff::tz::TimeZone::UTC)).map(|t| t.timestamp());
        let signed_at = parsed.or(Err("x-amz-date is no time, as in 20130524T000000Z"))?;
        if now.duration_since(signed_at).as_secs().abs() > SKEW_SECONDS {
            return Err(format!(
                "the signature is of {time}, and it is {now}: mend the clock, or sign again"
            ));
        }
        let headers = claim.headers(head)?;
        let payload = headers::text(&head.headers, "x-amz-content-sha256")?.unwrap_or("UNSIGNED-PAYLOAD");
        let canonical = Canonical {
            method: head.method.as_str(),
            path: &address.path(),
            query: &address.signed_query(),
            headers: &headers,
            payload,
        };
        let is_signed = parse_hex(claim.signature).is_some_and(|s| canonical.is_signed(keys, &scope, &s));
        is_signed
            .then(|| name.clone())
            .ok_or("the signature is not one by this access key's secret".to_owned())
    }
}

/// What an `Authorization` says of itself.
struct Claim<'h> {
    id: &'h str,
    scope: &'h str,
    names: Vec<&'h str>,
    signature: &'h str,
}

impl<'h> Claim<'h> {
    fn read(text: &'h str) -> Option<Self> {
        let fields = text.strip_prefix("AWS4-HMAC-SHA256")?.split(',').map(str::trim);
        let fields: Vec<(&str, &str)> = fields.map(|field| field.split_once('=')).collect::<Option<_>>()?;
        let [("Credential", credential), ("SignedHeaders", names), ("Signature", signature)] = fields[..]
        else {
            return None;
        };
        let (id, scope) = credential.split_once('/')?;
        Some(Self { id, scope, names: names.split(';').collect(), signature })
    }

    /// The headers that are signed, which all that say what is done must be.
    fn headers(&self, head: &Parts) -> Result<BTreeMap<String, String>, String> {
        let mut signed = BTreeMap::new();
        for name in &self.names {
            let name = axum::http::HeaderName::try_from(*name).or(Err("SignedHeaders names no header"))?;
            let mut values = head.headers.get_all(&name).iter().filter_map(|value| value.to_str().ok());
            let value = values.next().map(str::to_owned);
            // over HTTP/2 the host stands in the address
            let host = || head.uri.authority().map(ToString::to_string).filter(|_| name == "host");
            let value = value.or_else(host).ok_or_else(|| format!("the signed header {name} is missing"))?;
            signed.insert(name.as_str().to_owned(), value);
        }
        let says = |name: &str| name.starts_with("x-amz-") && !name.starts_with("x-amz-checksum-");
        let unsigned =
            head.headers.keys().find(|name| says(name.as_str()) && !signed.contains_key(name.as_str()));
        match unsigned {
            Some(name) => Err(format!("the header {name} is not signed")),
            None if !signed.contains_key("host") => Err("the header host is not signed".to_owned()),
            None => Ok(signed),
        }
    }
}
