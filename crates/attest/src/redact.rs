//! Takes secrets out of a request's body before it is judged or logged.
//!
//! By shape, not by guess: Kubernetes Secrets, values under names that say they are secret, environment variables
//! with such names, what follows such an option of a command, private keys, bearer tokens, and credentials inside URIs
//! and DSNs. Rules see only the redacted body.

mod text;

use crate::json::{Json, Object};
use text::{is_secret_flag, redact_text};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

const SECRET_WORDS: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "private_key",
    "privatekey",
    "credential",
    "_pass",
    "pwd",
    "authorization",
    "access_key",
    "accesskey",
    "connection_string",
];

/// Words that say it where they stand alone between `_`, `-` and `.`.
const WHOLE_WORDS: [&str; 8] = ["pass", "dsn", "cred", "creds", "pat", "jwt", "cookie", "cookies"];

/// Whatever [`has_whole_word`] looks for has one of these in it.
const PARTS: [&str; 8] = ["key", "auth", "pass", "dsn", "cred", "pat", "jwt", "cookie"];

/// Replaces every secret in `value`. What is redacted already stays as it is, byte for byte.
pub fn redact(value: &mut Json) {
    match value {
        Json::Object(object) => redact_object(object),
        Json::Array(items) => redact_items(items),
        Json::String(text) => redact_text(text),
        Json::Null | Json::Bool(_) | Json::Int(_) | Json::Number(_) => {}
    }
}

fn redact_object(object: &mut Object) {
    let is_secret = matches!(object.get("kind"), Some(Json::String(kind)) if kind == "Secret");
    // what the name says once it is redacted itself counts too: that is what the next reading sees
    let name = match object.get("name") {
        Some(Json::String(name)) => {
            let mut shown = name.clone();
            redact_text(&mut shown);
            is_secret_name(name) || is_secret_name(&shown)
        }
        _ => false,
    };
    for (key, value) in object.iter_mut() {
        let whole = (is_secret && matches!(key, "data" | "stringData"))
            || (name && key == "value")
            // kubectl keeps the whole object here, Secrets included, as one text
            || key == "kubectl.kubernetes.io/last-applied-configuration"
            || is_secret_key(key);
        if whole { redact_all(value) } else { redact(value) }
    }
}

/// Redacts each item, and what stands after an option such as `--password`.
fn redact_items(items: &mut [Json]) {
    let mut is_told = false;
    for item in items {
        redact(item);
        let says = matches!(item, Json::String(word) if is_secret_flag(word));
        // an object in a list of words is no value of an option
        if is_told && !says && !matches!(item, Json::Object(_) | Json::Array(_)) {
            redact_all(item);
        }
        is_told = says;
    }
}

/// Whether what stands under a key is secret. Labels and annotations (with a `/`) are looked at less closely: their words
/// are about other things more often than not.
fn is_secret_key(key: &str) -> bool {
    if matches!(key, "secretName" | "secretKeyRef" | "secretRef") {
        return false;
    }
    has_secret_word(key) || (!key.contains('/') && is_secret_name(key))
}

/// Whether a name says that its value is secret.
fn is_secret_name(name: &str) -> bool {
    has_secret_word(name) || has_whole_word(name)
}

fn has_secret_word(name: &str) -> bool {
    holds_one(name, &SECRET_WORDS)
}

/// Whether one of these lower-case words stands anywhere in a name, however it writes letters. Every key of every request
/// comes here several times, so nothing is copied, and most bytes begin no word.
fn holds_one(name: &str, words: &[&str]) -> bool {
    // the last five bits of a letter are the same in both cases; what other byte has them is found out below
    let bit = |byte: &u8| 1_u32 << (byte & 31);
    let firsts =
        words.iter().filter_map(|word| word.as_bytes().first()).fold(0, |all, first| all | bit(first));
    let begins = |rest: &[u8], word: &str| {
        rest.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    };
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if firsts & bit(first) != 0 {
            let lower = first.to_ascii_lowercase();
            let is_here = |word: &&str| word.as_bytes().first() == Some(&lower) && begins(rest, word);
            if words.iter().any(is_here) {
                return true;
            }
        }
        rest = after;
    }
    false
}

/// `PGPASS`, `ENCRYPTION_KEY`, `REDIS_AUTH`; not `PUBLIC_KEY`, and not the `key` of every second object of Kubernetes.
fn has_whole_word(name: &str) -> bool {
    if !holds_one(name, &PARTS) {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(['_', '-', '.']).filter(|word| !word.is_empty()).collect();
    let is_key = |pair: &[&str]| match pair {
        [kind, "key" | "keys"] => !matches!(*kind, "public" | "authorized" | "host" | "known"),
        ["key", _] => true,
        _ => false,
    };
    let is_pass = |word: &&str| word.ends_with("pass") && !matches!(*word, "bypass" | "compass" | "trespass");
    let is_auth = words.len() > 1 && words.last() == Some(&"auth");
    name == "KEY"
        || is_auth
        || words.windows(2).any(is_key)
        || words.iter().any(|word| WHOLE_WORDS.contains(word) || is_pass(word) || word.ends_with("ionkey"))
}

/// Replaces every scalar below; the shape stays.
fn redact_all(value: &mut Json) {
    match value {
        Json::Object(object) => object.iter_mut().for_each(|(_, v)| redact_all(v)),
        Json::Array(items) => items.iter_mut().for_each(redact_all),
        Json::Null => {}
        Json::String(_) | Json::Bool(_) | Json::Int(_) | Json::Number(_) => *value = Json::from(REDACTED),
    }
}

/// Whether a text is a secret from its first letter to its last.
fn is_marked(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.contains("PRIVATE KEY-----") || lower.starts_with("bearer ") || lower.starts_with("basic ")
}

/// `--password=x` among arguments, where all that follows is the value, spaces included.
fn with_option(text: &str, is_secret: fn(&str) -> bool) -> Option<String> {
    let (name, value) = text.split_once('=')?;
    let is_option = name.starts_with('-') && is_secret(name) && !value.is_empty();
    is_option.then(|| format!("{name}={REDACTED}"))
}

/// `https://user:password@host/…` without what stands before the host.
#[must_use]
pub fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{REDACTED}@{host}{path}"),
        None => text.to_owned(),
    }
}

/// The beginnings of tokens that say whose they are.
const TOKENS: [&str; 14] = [
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "sk_live_",
    "rk_live_",
    "npm_",
    "pypi-AgE",
    "AIzaSy",
    "hvs.",
];

/// The shortest of them with the sixteen signs that make it one, and as long as a key of AWS is.
const SHORTEST_TOKEN: usize = 20;

/// Whether a value must not be published: by the word its name ends with, or by its own shape. For texts that become
/// provenance, where a false alarm costs a rename and a miss costs a key.
#[must_use]
pub fn is_secret(name: &str, value: &str) -> bool {
    (is_named_secret(name) && !value.is_empty()) || has_secret_shape(value)
}

/// Whether a secret stands among the words of a command: by itself, or after an option that says so.
#[must_use]
pub fn has_secret(words: &[String]) -> bool {
    let is_told = |pair: &[String]| match pair {
        [option, value] => option.starts_with("--") && !option.contains('=') && is_secret(option, value),
        _ => false,
    };
    words.iter().any(|word| is_secret("", word)) || words.windows(2).any(is_told)
}

fn is_named_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split(['_', '-', '.']).collect();
    let pair = words.windows(2).any(|w| matches!(w, ["api" | "access" | "private", "key"]));
    let secret =
        ["password", "passwd", "passphrase", "secret", "token", "apikey", "credential", "credentials", "pwd"];
    pair || words.last().is_some_and(|word| secret.contains(word))
}

fn has_secret_shape(value: &str) -> bool {
    let is_told = is_marked(value) || with_option(value, has_secret_word).is_some();
    let mut pairs = value.split(['?', '&', ' ', ';', ',']).filter_map(|pair| pair.split_once('='));
    if is_told
        || without_credentials(value) != value
        || pairs.any(|(name, value)| is_named_secret(name) && !value.is_empty())
    {
        return true;
    }
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | ',' | '/' | ':');
    value.split(is_end).any(is_token)
}

fn is_token(word: &str) -> bool {
    if word.len() < SHORTEST_TOKEN {
        return false;
    }
    let is_long = |prefix: &&str| word.split_once(*prefix).is_some_and(|(_, rest)| rest.len() >= 16);
    TOKENS.iter().any(is_long) || is_aws_key(word) || is_jwt(word)
}

fn is_aws_key(word: &str) -> bool {
    let is_key = word.starts_with("AKIA") || word.starts_with("ASIA");
    is_key && word.len() == 20 && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn is_jwt(word: &str) -> bool {
    word.len() > 60 && word.starts_with("eyJ") && word.split('.').count() == 3
}

#[cfg(test)]
mod tests;
