//! What a registry wants to see of us, and the token that says it.
//!
//! The registry's challenge is what an attacker would write. It can name where tokens come from, so that host has to be
//! the registry's own or one that was allowed for it; and what the token may do, which is not listened to, and may not
//! stand in that address either.

use std::collections::BTreeMap;
use std::fmt;

use attest::json;
use zeroize::Zeroizing;

use crate::address::{Address, Origin};
use crate::answer::{Unknown, Why};
use crate::credentials::Credentials;
use crate::reference::Reference;
use crate::wire::{Ask, Reply, Wire};

const MAX_ANSWER: u64 = 64 << 10;
const MAX_TOKEN: usize = 16 << 10;
/// A token is good for so long where its server does not say.
const USUAL_SECONDS: u64 = 60;

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
        let asked = format!("a token for {}", self.reference.name());
        let failed = |why| Unknown::new(&asked, why);
        let scope = format!("repository:{}:{}", self.reference.repository(), self.actions);
        let at = challenge.address(&scope, |realm| self.is_allowed(realm)).map_err(failed)?;
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
            200 => read(&reply.bytes)
                .map(|token| token.authorization)
                .map_err(|what| failed(Why::Token(what.to_owned()))),
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

/// A token, and for how long it is good.
pub struct Token {
    authorization: Zeroizing<String>,
    seconds: u64,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(for {} s)", self.seconds)
    }
}

impl Token {
    /// Reads what a registry's token server answered; it is not believed to be more than one word.
    ///
    /// # Errors
    /// Why there is no token in it.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        read(bytes)
    }

    /// The value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> &str {
        &self.authorization
    }

    /// For how many seconds it is good, as its server says.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.seconds
    }
}

fn read(bytes: &[u8]) -> Result<Token, &'static str> {
    let value = json::parse(bytes).or(Err("the answer is no JSON"))?;
    let object = value.as_object().or(Err("the answer is no object"))?;
    let token = object.optional_string("token").or(Err("the token is no text"))?;
    let token = match token {
        Some(token) => token,
        None => object.string("access_token").or(Err("the answer has none"))?,
    };
    let is_token =
        !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
    if !is_token {
        return Err("the token is none");
    }
    let seconds = match object.get("expires_in") {
        None => USUAL_SECONDS,
        Some(value) => {
            value.as_int().ok().and_then(|n| u64::try_from(n).ok()).ok_or("its end is no number")?
        }
    };
    Ok(Token { authorization: Zeroizing::new(format!("Bearer {token}")), seconds })
}

/// One way in which a registry lets somebody in.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    fields: BTreeMap<String, String>,
}

impl Challenge {
    /// Where a token for this scope is to be had, if that is somewhere that is allowed.
    fn address(&self, scope: &str, is_allowed: impl Fn(&Origin) -> bool) -> Result<Address, Why> {
        let realm = self.fields.get("realm").map(String::as_str).unwrap_or_default();
        let realm = Address::parse(realm).ok_or_else(|| Why::Token("the realm is no address".to_owned()))?;
        if !is_allowed(&realm.origin) {
            return Err(Why::TokenHost(realm.origin.to_string()));
        }
        if asks_for_itself(&realm) {
            return Err(Why::Token("the realm says itself what the token is for".to_owned()));
        }
        let at = match self.fields.get("service") {
            Some(service) => realm.with("service", service),
            None => realm,
        };
        Ok(at.with("scope", scope))
    }
}

/// Whether a realm has a query that says for what or for whom a token is: beside what is added here, a server takes the one or
/// the other. What hides its name could be that.
fn asks_for_itself(realm: &Address) -> bool {
    let (_, query) = realm.path.split_once('?').unwrap_or_default();
    query.split(['&', ';']).any(|field| {
        let key = field.split('=').next().unwrap_or_default().to_ascii_lowercase();
        key.contains(['%', '+']) || ["scope", "service", "account"].iter().any(|own| key.starts_with(own))
    })
}

/// A registry that wants a token, by the `WWW-Authenticate` of its refusal: for whoever asks by other means than
/// [`crate::Client`], and sends the login to nobody else all the same.
#[derive(Debug)]
pub struct TokenWanted(Challenge);

impl TokenWanted {
    /// Reads a value of the header; nothing where it is not a token that is wanted.
    #[must_use]
    pub fn read(header: &str) -> Option<Self> {
        challenges(header).into_iter().find(|c| c.scheme.eq_ignore_ascii_case("bearer")).map(Self)
    }

    /// The address at which a token is to be had for a scope, as in `repository:shop:pull,push`. It is one of `allowed`, each
    /// `https://HOST[:PORT]` or `http://…`: the registry itself, and who was named beside it.
    ///
    /// # Errors
    /// [`Why::Token`] and [`Why::TokenHost`].
    pub fn address(&self, scope: &str, allowed: &[&str]) -> Result<String, Why> {
        let is_allowed = |realm: &Origin| {
            allowed.iter().filter_map(|one| Address::parse(one)).any(|one| one.origin == *realm)
        };
        self.0.address(scope, is_allowed).map(|at| at.to_string())
    }
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
        let of = |text: &[u8]| read(text).map(|token| (token.authorization().to_owned(), token.seconds()));
        assert_eq!(of(br#"{"token":"abc"}"#).unwrap(), ("Bearer abc".to_owned(), 60));
        assert_eq!(
            of(br#"{"access_token":"abc","expires_in":300}"#).unwrap(),
            ("Bearer abc".to_owned(), 300)
        );
        assert!(of(br#"{"token":"abc","expires_in":"long"}"#).is_err());
        assert!(!format!("{:?}", read(br#"{"token":"abc"}"#).unwrap()).contains("abc"));
    }

    #[test]
    fn a_token_is_asked_for_where_the_registry_or_its_keeper_says_and_nowhere_else() {
        let wanted =
            |realm: &str| TokenWanted::read(&format!("Bearer realm=\"{realm}\",service=\"r\"")).unwrap();
        let allowed = ["https://r.example:5000", "https://auth.example"];
        let scope = "repository:shop:pull,push";
        let ask = |realm: &str| wanted(realm).address(scope, &allowed);
        assert_eq!(
            ask("https://auth.example/token").unwrap(),
            "https://auth.example/token?service=r&scope=repository%3Ashop%3Apull%2Cpush"
        );
        assert!(ask("https://R.example:5000/token?a=b").unwrap().contains("?a=b&service=r"));
        for own in [
            "scope=repository:other:pull,push",
            "a=b&scope=repository:other:pull,push",
            "a=b;SCOPE=repository:other:pull,push",
            "s%63ope=repository:other:pull,push",
            "scope[]=repository:other:pull,push",
            "service=other",
            "account=admin",
            "scope",
        ] {
            let found = ask(&format!("https://auth.example/token?{own}")).unwrap_err();
            assert!(found.to_string().contains("says itself what the token is for"), "{own}: {found}");
        }
        for other in [
            "http://auth.example/token",
            "https://auth.example:444/",
            "https://evil.example/",
            "file:///x",
            "",
        ] {
            assert!(ask(other).is_err(), "{other}");
        }
        assert!(TokenWanted::read("Basic realm=\"https://auth.example\"").is_none());
    }

    #[test]
    fn what_is_no_token_is_none() {
        for bad in
            [&b"<html>"[..], b"{}", b"[]", br#"{"token":""}"#, br#"{"token":"a\r\nx: y"}"#, br#"{"token":1}"#]
        {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
