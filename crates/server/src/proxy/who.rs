//! Who asks: a name in a certificate, or a token. Clients that know only passwords send the token as one.

use attest::time::Span;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::proxy::handle::Names;
use crate::proxy::listen::Proxy;
use crate::token::TokenError;

const LONGEST: usize = 32 << 10;
/// The issuer's keys are asked for again after this.
const AGAIN: Span = Span::seconds(30);

/// Why a request is not looked at.
#[derive(Debug)]
pub(crate) enum Stranger {
    /// Nobody knows who asks.
    Unknown(String),
    /// Who asks may not.
    NotPermitted(String),
    /// It cannot be found out now.
    Unclear(String),
}

impl Stranger {
    pub(crate) fn status(&self, is_with_tokens: bool) -> StatusCode {
        match self {
            // 401 promises that a login would help
            Self::Unknown(_) if is_with_tokens => StatusCode::UNAUTHORIZED,
            Self::Unknown(_) | Self::NotPermitted(_) => StatusCode::FORBIDDEN,
            Self::Unclear(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unauthenticated",
            Self::NotPermitted(_) => "not-permitted",
            Self::Unclear(_) => "cannot-decide",
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Unknown(found) => format!("nobody knows who asks: {found}"),
            Self::NotPermitted(found) => found.clone(),
            Self::Unclear(found) => {
                format!("nobody knows who asks: {found}; try again in {AGAIN}")
            }
        }
    }
}

impl Proxy {
    /// Who asks; nothing where anybody may. With a certificate and a token, nobody could say who of the two it is.
    pub(crate) async fn requester(
        &self,
        names: &Names,
        headers: &HeaderMap,
    ) -> Result<Option<String>, Stranger> {
        let config = self.config();
        if config.clients.is_none() && config.issuers.is_empty() {
            return Ok(None);
        }
        // where no issuer is known, nothing that stands there can be a token: it is not looked at, and not sent on
        let said = if config.issuers.is_empty() { None } else { token(headers)? };
        match (said, &names.0) {
            (Some(_), Some(_)) => Err(Stranger::Unknown("both a certificate and a token".to_owned())),
            (Some(token), None) => match self.tokens().identify(&token, self.now()).await {
                Ok(identity) => Ok(Some(identity.to_string())),
                Err(e @ TokenError::Keys(_)) => Err(Stranger::Unclear(e.to_string())),
                Err(e) => Err(Stranger::Unknown(e.to_string())),
            },
            (None, Some(names)) => self.certified(names).map(Some),
            (None, None) => Err(Stranger::Unknown(self.wanted().to_owned())),
        }
    }

    /// Whether nothing that a connection with these names could bring lets anybody in.
    pub(crate) fn is_stranger(&self, names: &Names) -> bool {
        let config = self.config();
        let is_known = names.0.as_ref().is_some_and(|names| self.certified(names).is_ok());
        config.clients.is_some() && config.issuers.is_empty() && !is_known
    }

    fn certified(&self, names: &[String]) -> Result<String, Stranger> {
        let clients = self.config().clients.as_ref();
        let known = clients.and_then(|clients| names.iter().find(|name| clients.names.contains(name)));
        known.cloned().ok_or_else(|| {
            let found = "this certificate has no name that `clients: names` of this proxy has";
            Stranger::NotPermitted(found.to_owned())
        })
    }

    fn wanted(&self) -> &'static str {
        match (self.config().clients.is_some(), self.config().issuers.is_empty()) {
            (true, true) => "come with a client certificate",
            (true, false) => "come with a client certificate, or with a token as a bearer or as the password",
            _ => "come with a token as a bearer, or as the password of any user",
        }
    }

    /// Tells a client that has a token to send it: many send nothing before.
    pub(crate) fn challenge(&self, response: &mut Response) {
        let mut challenge = |text: String| {
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().append(header::WWW_AUTHENTICATE, value);
            }
        };
        // what the configuration lets a name be stands between quotes here
        let name: String = self.config().name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        challenge(format!("Basic realm=\"{name}\", charset=\"UTF-8\""));
    }
}

/// The token that a request has; nothing where it has none.
fn token(headers: &HeaderMap) -> Result<Option<String>, Stranger> {
    let unknown = |found: &str| Stranger::Unknown(found.to_owned());
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => return Err(unknown("two tokens")),
        (Some(value), None) => value,
    };
    let text = value.to_str().ok().filter(|text| text.len() <= LONGEST);
    let (scheme, said) = text
        .and_then(|text| text.split_once(' '))
        .ok_or_else(|| unknown("an Authorization header that cannot be read"))?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(said.trim().to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unknown("an Authorization header that is neither a bearer token nor a password"));
    }
    let decoded = STANDARD.decode(said.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    // the user is whoever the client says: the token says who it is
    let password = decoded.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password);
    password
        .map(|password| Some(password.to_owned()))
        .ok_or_else(|| unknown("a password that cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_as_a_bearer_or_as_a_password() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            token(&headers).map_err(|e| e.text())
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer a.b.c"]), Ok(Some("a.b.c".to_owned())));
        assert_eq!(read(&["bearer  a.b.c "]), Ok(Some("a.b.c".to_owned())));
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(read(&[&basic("anybody:a.b.c")]), Ok(Some("a.b.c".to_owned())));
        assert_eq!(read(&[&basic(":a:b")]), Ok(Some("a:b".to_owned())));
        for (values, why) in [
            (vec!["Bearer a", "Bearer a"], "two tokens"),
            (vec!["Bearer"], "cannot be read"),
            (vec!["Basic !!"], "cannot be read"),
            (vec!["AWS4-HMAC-SHA256 Credential=a"], "neither"),
        ] {
            let found = read(&values).unwrap_err();
            assert!(found.contains(why), "{values:?}: {found}");
        }
    }
}
