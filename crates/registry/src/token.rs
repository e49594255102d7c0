//! What a registry wants to see of us, and the token that says it.
//!
//! The registry's challenge is what an attacker would write. It can name where tokens come from, so that host has to be
//! the registry's own or one that was allowed for it; and what the token may do, which is not listened to.

use std::collections::BTreeMap;

use attest::json;
use zeroize::Zeroizing;

use crate::address::{Address, Origin};
use crate::answer::{Unknown, Why};
use crate::credentials::Credentials;
use crate::reference::Reference;
use crate::wire::{Ask, Reply, Wire};

const MAX_ANSWER: u64 = 64 << 10;
const MAX_TOKEN: usize = 16 << 10;

/// Whom the question is for.
pub(crate) struct Asker<'a> {
    pub(crate) wire: &'a Wire<'a>,
    pub(crate) credentials: &'a Credentials,
    pub(crate) origin: &'a Origin,
    pub(crate) reference: &'a Reference,
    /// `pull`, or `pull,push`.
    pub(crate) actions: &'static str,
}

impl Asker<'_> {
    /// The value of `Authorization` that answers a refusal; nothing where we have none to give.
    pub(crate) fn answer(&self, refusal: &Reply) -> Result<Option<Zeroizing<String>>, Unknown> {
        let challenges = challenges(&refusal.header("www-authenticate").unwrap_or_default());
        let of = |scheme: &str| challenges.iter().find(|c| c.scheme.eq_ignore_ascii_case(scheme));
        if let Some(bearer) = of("bearer") {
            return self.token(bearer).map(Some);
        }
        Ok(of("basic").and_then(|_| self.credentials.basic(self.reference.registry())))
    }

    fn token(&self, challenge: &Challenge) -> Result<Zeroizing<String>, Unknown> {
        let realm = challenge.fields.get("realm").map(String::as_str).unwrap_or_default();
        let asked = format!("a token for {}", self.reference.name());
        let failed = |why| Unknown::new(&asked, why);
        let realm =
            Address::parse(realm).ok_or_else(|| failed(Why::Token("the realm is no address".to_owned())))?;
        if !self.is_allowed(&realm.origin) {
            return Err(failed(Why::TokenHost(realm.origin.to_string())));
        }
        let mut at = realm;
        if let Some(service) = challenge.fields.get("service") {
            at = at.with("service", service);
        }
        let at = at.with("scope", &format!("repository:{}:{}", self.reference.repository(), self.actions));
        let ask = Ask {
            method: "GET",
            at,
            accept: "application/json",
            body: None,
            limit: MAX_ANSWER,
            follows_redirects: false,
        };
        let basic = self.credentials.basic(self.reference.registry());
        let reply = self.wire.exchange(&ask, basic.as_ref().map(|b| b.as_str()))?;
        match reply.status {
            200 => read(&reply.bytes).map_err(|what| failed(Why::Token(what.to_owned()))),
            _ => Err(failed(reply.refusal())),
        }
    }

    fn is_allowed(&self, realm: &Origin) -> bool {
        let is_named = |host: &str| {
            let is_plain =
                realm.is_plain() && self.origin.is_plain() && Wire::may_be_plain(self.wire.plain, realm);
            Origin::of(host, is_plain).is_some_and(|named| named == *realm)
        };
        realm == self.origin || self.credentials.token_hosts(self.reference.registry()).any(is_named)
    }
}

fn read(bytes: &[u8]) -> Result<Zeroizing<String>, &'static str> {
    let value = json::parse(bytes).or(Err("the answer is no JSON"))?;
    let object = value.as_object().or(Err("the answer is no object"))?;
    let token = object.optional_string("token").or(Err("the token is no text"))?;
    let token = match token {
        Some(token) => token,
        None => object.string("access_token").or(Err("the answer has none"))?,
    };
    let is_token =
        !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
    if is_token { Ok(Zeroizing::new(format!("Bearer {token}"))) } else { Err("the token is none") }
}

/// One way in which a registry lets somebody in.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    fields: BTreeMap<String, String>,
}

/// `WWW-Authenticate`: schemes, each with fields after it. A field that comes again is the first one.
fn challenges(header: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    for part in parts(header) {
        let (before, value) = part.split_once('=').unwrap_or((part, ""));
        let before = before.trim();
        let (scheme, key) = match before.split_once(' ') {
            Some((scheme, key)) => (Some(scheme), key.trim()),
            None if value.is_empty() => (Some(before), ""),
            None => (None, before),
        };
        if let Some(scheme) = scheme {
            found.push(Challenge { scheme: scheme.to_owned(), fields: BTreeMap::new() });
        }
        if let Some(challenge) = found.last_mut().filter(|_| !key.is_empty()) {
            let value = value.trim().trim_matches('"').to_owned();
            challenge.fields.entry(key.to_ascii_lowercase()).or_insert(value);
        }
    }
    found
}

/// What stands between commas; a comma in quotes is none.
fn parts(header: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let is_end = |c: char| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    };
    header.split(is_end).map(str::trim).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_told_apart() {
        let header = r#"Basic realm="a, b", Bearer realm="https://r.example/token",service="r",scope="repository:a:pull,push", Negotiate"#;
        let found = challenges(header);
        assert_eq!(
            found.iter().map(|c| c.scheme.as_str()).collect::<Vec<_>>(),
            ["Basic", "Bearer", "Negotiate"]
        );
        assert_eq!(found[0].fields["realm"], "a, b");
        assert_eq!(found[1].fields["scope"], "repository:a:pull,push");
        assert_eq!(found[1].fields["service"], "r");
        assert!(challenges("").is_empty());
        assert!(challenges("x=y").is_empty());
    }

    #[test]
    fn a_token_is_one_word() {
        assert_eq!(read(br#"{"token":"abc"}"#).unwrap().as_str(), "Bearer abc");
        assert_eq!(read(br#"{"access_token":"abc","expires_in":300}"#).unwrap().as_str(), "Bearer abc");
        for bad in
            [&b"<html>"[..], b"{}", b"[]", br#"{"token":""}"#, br#"{"token":"a\r\nx: y"}"#, br#"{"token":1}"#]
        {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
