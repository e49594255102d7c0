//! Takes secrets out of a request's body before it is judged or logged.
//!
//! By shape, not by guess: Kubernetes Secrets, values under names that say they are secret, environment variables
//! with such names, private keys, bearer tokens, and credentials inside URIs. Rules see only the redacted body.

use crate::json::Json;

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

/// Replaces every secret in `value`.
pub fn redact(value: &mut Json) {
    match value {
        Json::Object(object) => {
            let is_secret = matches!(object.get("kind"), Some(Json::String(kind)) if kind == "Secret");
            let name = match object.get("name") {
                Some(Json::String(name)) => is_secret_name(name),
                _ => false,
            };
            for (key, value) in object.iter_mut() {
                let whole = (is_secret && matches!(key, "data" | "stringData"))
                    || (name && key == "value")
                    // kubectl keeps the whole object here, Secrets included, as one text
                    || key == "kubectl.kubernetes.io/last-applied-configuration"
                    || (is_secret_name(key) && !matches!(key, "secretName" | "secretKeyRef" | "secretRef"));
                if whole { redact_all(value) } else { redact(value) }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(redact),
        Json::String(text) => redact_text(text),
        Json::Null | Json::Bool(_) | Json::Int(_) | Json::Number(_) => {}
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
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

fn redact_text(text: &mut String) {
    let lower = text.to_ascii_lowercase();
    if text.contains("PRIVATE KEY-----") || lower.starts_with("bearer ") || lower.starts_with("basic ") {
        *text = REDACTED.to_owned();
        return;
    }
    // `--password=x` among arguments
    if let Some((name, value)) = text.split_once('=')
        && name.starts_with('-')
        && is_secret_name(name)
        && !value.is_empty()
    {
        *text = format!("{name}={REDACTED}");
        return;
    }
    *text = without_credentials(text);
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
    let mut redacted = value.to_owned();
    redact_text(&mut redacted);
    let mut pairs = value.split(['?', '&', ' ', ';', ',']).filter_map(|pair| pair.split_once('='));
    if redacted != value || pairs.any(|(name, value)| is_named_secret(name) && !value.is_empty()) {
        return true;
    }
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | ',' | '/' | ':');
    let is_token = |word: &str| {
        let is_long = |prefix: &&str| word.split_once(*prefix).is_some_and(|(_, rest)| rest.len() >= 16);
        TOKENS.iter().any(is_long) || is_aws_key(word) || is_jwt(word)
    };
    value.split(is_end).any(is_token)
}

fn is_aws_key(word: &str) -> bool {
    let is_key = word.starts_with("AKIA") || word.starts_with("ASIA");
    is_key && word.len() == 20 && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn is_jwt(word: &str) -> bool {
    word.len() > 60 && word.starts_with("eyJ") && word.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_published_is_looked_at_closely() {
        for (name, value) in [
            ("DB_PASSWORD", "x"),
            ("api_key", "x"),
            ("npm-token", "x"),
            ("", "https://bob:x@h.example/"),
            ("", "--password=x"),
            ("", "ghp_0123456789abcdefghij"),
            ("", "curl -H 'X: glpat-0123456789abcdefghij'"),
            ("", "AKIAIOSFODNN7EXAMPLE"),
            ("", "-----BEGIN EC PRIVATE KEY-----"),
            ("", "https://h.example/x?private_token=hunter2"),
            ("", "DB_PASSWORD=hunter2"),
            ("", "x-ghp_0123456789abcdefghij"),
        ] {
            assert!(is_secret(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("TOKENIZERS_PARALLELISM", "false"),
            ("DB_PASSWORD", ""),
            ("", "npm_config_cache"),
            ("", "AKIA"),
            ("MODE", "release"),
            ("", "https://h.example/a@b"),
            ("KEY", "value"),
        ] {
            assert!(!is_secret(name, value), "{name}={value}");
        }
    }

    #[test]
    fn an_option_that_says_what_follows_is_believed() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(has_secret(&words("curl --password hunter2")) && has_secret(&words("make DB_PASSWORD=x")));
        assert!(!has_secret(&words("make --jobs 2")) && !has_secret(&words("--token")));
    }

    #[test]
    fn secrets_of_every_shape_are_gone_and_the_rest_stays() {
        let text = r#"{"kind":"Pod","spec":{"containers":[{"image":"shop","args":["--debug","--db-password=hunter2"],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{hunter2}"},"headers":{"Authorization":"hunter2"},
            "env":[{"name":"DB_PASSWORD","value":"hunter2"},{"name":"MODE","value":"prod"}]}],
            "volumes":[{"secret":{"secretName":"hunter2"}}],"url":"https://bob:hunter2@db.example/x",
            "auth":"Bearer hunter2","k":"-----BEGIN PRIVATE KEY-----\nhunter2"},
            "list":[{"kind":"Secret","data":{"a":"hunter2","b":{"c":7}}}]}"#;
        let mut value = crate::json::parse(text.as_bytes()).unwrap();
        redact(&mut value);
        let out = value.to_string();
        assert!(!out.contains("hunter2"), "{out}");
        for kept in ["shop", "--debug", "MODE", "prod", "DB_PASSWORD", "db.example/x"] {
            assert!(out.contains(kept), "{kept} in {out}");
        }
        let mut again = value.clone();
        redact(&mut again);
        assert_eq!(again, value, "redacting twice changes nothing: replay sees the same case");
    }
}
