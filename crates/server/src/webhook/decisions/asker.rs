//! Who asks: a name in a client's certificate, or in a token. Never anything that the question says.

use axum::http::HeaderMap;
use jiff::Timestamp;

use crate::http::{Refusal, bearer};
use crate::token::TokenError;
use crate::webhook::decisions::Deciding;
use crate::webhook::http::{Caller, list_of};

/// Longer names are a mistake or an attack.
const MAX_NAME: usize = 500;

/// The name under which somebody asks: as it stands in the certificate, or `token ISSUER NAME`.
///
/// # Errors
/// 401 where nobody knows who asks, 403 where it may not be asked by them.
pub(super) async fn who(
    deciding: &Deciding,
    caller: &Caller,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<String, Refusal> {
    let unknown = |found: &str| {
        Refusal::new(401, "unauthenticated", "nobody knows who asks")
            .wanted("a client certificate of the configured authority, or a bearer token of an issuer in `decisions`")
            .found(found)
            .fix("show one of the two")
    };
    match (bearer(headers).map_err(unknown)?, &caller.0) {
        (None, None) => Err(unknown("neither")),
        // nobody could say whose permissions count
        (Some(_), Some(_)) => Err(unknown("both")),
        (None, Some(own)) => certified(&deciding.config.names, own),
        (Some(token), None) => {
            let identified = deciding.tokens.identify(token, now).await;
            let name = identified.map_err(|e| match &e {
                TokenError::Keys(_) => {
                    Refusal::new(503, "issuer-away", "cannot decide: nobody can tell who asks")
                        .found(&e.to_string())
                        .fix("try again; where it stays so, look at the issuer's `keys`")
                        .again(5)
                }
                _ => unknown(&e.to_string()),
            })?;
            let name = name.to_string();
            let is_name = name.len() <= MAX_NAME && !name.chars().any(char::is_control);
            is_name.then_some(name).ok_or_else(|| unknown("a token with a name that is too long, or no line"))
        }
    }
}

/// The one name of a certificate that may ask. With two, nobody could say who asks.
fn certified(names: &[String], own: &[String]) -> Result<String, Refusal> {
    let mut found = own.iter().filter(|name| names.contains(name));
    let refusal = |message: &str, fix: &str| {
        Refusal::new(403, "not-permitted", message)
            .wanted("a client certificate with one name that `decisions: names` has")
            .found(&format!("a certificate with {}", list_of(own)))
            .fix(fix)
    };
    match (found.next(), found.next()) {
        (Some(name), None) => Ok(name.clone()),
        (Some(_), Some(_)) => Err(refusal(
            "this certificate is of two who may ask for decisions",
            "come with a certificate for one of the names",
        )),
        (None, _) => Err(refusal(
            "this certificate may not ask for decisions",
            "come with another certificate, or have its name added to `decisions: names`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_asks_under_exactly_one_name() {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let may = names(&["a.example", "b.example"]);
        assert_eq!(certified(&may, &names(&["other", "a.example"])).unwrap(), "a.example");
        for own in [&["c.example"][..], &[], &["a.example", "b.example"], &["A.example"]] {
            assert!(certified(&may, &names(own)).is_err(), "{own:?}");
        }
    }
}
