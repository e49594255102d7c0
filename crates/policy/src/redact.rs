//! Takes secrets out of a request's body before it is judged or logged.
//!
//! By shape, not by guess: Kubernetes Secrets, values under names that say they are secret, environment variables
//! with such names, private keys, bearer tokens, and credentials inside URIs. Rules see only the redacted body.

use attest::Json;

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
        Json::Null | Json::Bool(_) | Json::Int(_) => {}
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
        Json::String(_) | Json::Bool(_) | Json::Int(_) => *value = Json::from(REDACTED),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_every_shape_are_gone_and_the_rest_stays() {
        let text = r#"{"kind":"Pod","spec":{"containers":[{"image":"shop","args":["--debug","--db-password=hunter2"],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{hunter2}"},"headers":{"Authorization":"hunter2"},
            "env":[{"name":"DB_PASSWORD","value":"hunter2"},{"name":"MODE","value":"prod"}]}],
            "volumes":[{"secret":{"secretName":"hunter2"}}],"url":"https://bob:hunter2@db.example/x",
            "auth":"Bearer hunter2","k":"-----BEGIN PRIVATE KEY-----\nhunter2"},
            "list":[{"kind":"Secret","data":{"a":"hunter2","b":{"c":7}}}]}"#;
        let mut value = attest::json::parse(text.as_bytes()).unwrap();
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
