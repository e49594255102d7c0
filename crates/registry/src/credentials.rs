//! Who we are to which registry. Given as a value: nothing is found in the environment or in a home folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use attest::json::ShapeError;
use attest::{Json, json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::reference::DOCKER_HUB;

/// Docker Hub's name in Docker's own files.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// Registries whose tokens come from another host of the same operator.
const TOKEN_HOSTS: [(&str, &str); 2] =
    [(DOCKER_HUB, "auth.docker.io"), ("registry.gitlab.com", "gitlab.com")];

/// Logins by registry, and the hosts that may see each beside the registry itself.
#[derive(Clone, Default)]
pub struct Credentials {
    logins: BTreeMap<String, Zeroizing<String>>,
    token_hosts: BTreeSet<(String, String)>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("for", &self.logins.keys()).finish_non_exhaustive()
    }
}

/// A file with logins cannot be read. Never shows what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsError {
    /// No strict JSON; the field is the byte.
    Json(usize),
    /// The field at this path is not as Docker writes it.
    Shape(String),
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(offset) => write!(f, "no JSON from byte {offset}"),
            Self::Shape(path) => write!(f, "{path} is not as Docker writes it"),
        }
    }
}
impl std::error::Error for CredentialsError {}

impl Credentials {
    /// Nobody to everybody.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Reads the text of a Docker `config.json`: the logins under `auths`. Entries without a user's name and password,
    /// which say that a helper or a token has them, are left out.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn parse_docker(text: &str) -> Result<Self, CredentialsError> {
        let value = json::parse(text.as_bytes()).map_err(|e| CredentialsError::Json(e.offset))?;
        let shape = |e: ShapeError| CredentialsError::Shape(e.path);
        let auths = value.as_object().and_then(|o| o.optional_object("auths")).map_err(shape)?;
        let mut credentials = Self::anonymous();
        for (key, entry) in auths.into_iter().flat_map(attest::Object::iter) {
            let at = |e: ShapeError| shape(e.within(key).within("auths"));
            let login = login(entry).map_err(at)?;
            if let Some(login) = login {
                credentials.logins.insert(registry_of(key), login);
            }
        }
        Ok(credentials)
    }

    /// Only the login for one registry; nothing where there is none for it.
    #[must_use]
    pub fn only(mut self, registry: &str) -> Option<Self> {
        let own = registry_of(registry);
        self.logins.retain(|of, _| *of == own);
        (!self.logins.is_empty()).then_some(self)
    }

    /// With a login for one registry, as in `registry.example:5000` or `docker.io`.
    #[must_use]
    pub fn with_login(mut self, registry: &str, user: &str, password: &str) -> Self {
        self.logins.insert(registry_of(registry), Zeroizing::new(format!("{user}:{password}")));
        self
    }

    /// With another host (`host[:port]`) that gives out tokens for this registry, and sees its login for that.
    #[must_use]
    pub fn with_token_host(mut self, registry: &str, host: &str) -> Self {
        self.token_hosts.insert((registry_of(registry), host.to_owned()));
        self
    }

    /// The value of a Basic `Authorization` for a registry.
    pub(crate) fn basic(&self, registry: &str) -> Option<Zeroizing<String>> {
        let login = self.logins.get(registry)?;
        Some(Zeroizing::new(format!("Basic {}", STANDARD.encode(login.as_bytes()))))
    }

    /// The hosts that give out tokens for a registry beside itself.
    pub(crate) fn token_hosts<'a>(&'a self, registry: &'a str) -> impl Iterator<Item = &'a str> {
        let own = self.token_hosts.iter().map(|(of, host)| (of.as_str(), host.as_str()));
        own.chain(TOKEN_HOSTS).filter(move |(of, _)| *of == registry).map(|(_, host)| host)
    }
}

fn login(entry: &Json) -> Result<Option<Zeroizing<String>>, ShapeError> {
    let entry = entry.as_object()?;
    let user = entry.optional_string("username")?.filter(|u| !u.is_empty());
    let password = entry.optional_string("password")?.filter(|p| !p.is_empty());
    if let Some((user, password)) = user.zip(password) {
        return Ok(Some(Zeroizing::new(format!("{user}:{password}"))));
    }
    let Some(auth) = entry.optional_string("auth")?.filter(|a| !a.is_empty()) else { return Ok(None) };
    let wanted = || ShapeError::new("auth", "base64 of USER:PASSWORD", "something else");
    let bytes = Zeroizing::new(STANDARD.decode(auth).or(Err(wanted()))?);
    let text = std::str::from_utf8(&bytes).or(Err(wanted()))?.trim_end_matches('\0');
    let (_, password) = text.split_once(':').ok_or_else(wanted)?;
    Ok((!password.is_empty()).then(|| Zeroizing::new(text.to_owned())))
}

/// The registry that a key of Docker's file is about.
fn registry_of(key: &str) -> String {
    if key == DOCKER_HUB_KEY || key == "index.docker.io" {
        return DOCKER_HUB.to_owned();
    }
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    bare.split('/').next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_file_is_read() {
        let text = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"dTpw"},
            "https://R.example/v2/":{"username":"a","password":"b"},
            "helped.example":{},
            "token.example":{"auth":"","identitytoken":"x"}
        },"credsStore":"desktop"}"#;
        let credentials = Credentials::parse_docker(text).unwrap();
        assert_eq!(credentials.basic("docker.io").unwrap().as_str(), "Basic dTpw");
        assert_eq!(credentials.basic("r.example").unwrap().as_str(), "Basic YTpi");
        for other in ["helped.example", "token.example", "r.example:444", "evil.r.example"] {
            assert!(credentials.basic(other).is_none(), "{other}");
        }
        assert!(!format!("{credentials:?}").contains("u:p"));
        let only = credentials.clone().only("docker.io").unwrap();
        assert!(only.basic("docker.io").is_some() && only.basic("r.example").is_none());
        assert!(credentials.only("other.example").is_none());
    }

    #[test]
    fn what_is_wrong_is_named_and_not_shown() {
        for (text, wanted) in [
            ("nonsense", CredentialsError::Json(0)),
            (r#"{"auths":[]}"#, CredentialsError::Shape("auths".to_owned())),
            (
                r#"{"auths":{"r.example":{"auth":"secret!"}}}"#,
                CredentialsError::Shape("auths.r.example.auth".to_owned()),
            ),
            (
                r#"{"auths":{"r.example":{"auth":"bm9jb2xvbg=="}}}"#,
                CredentialsError::Shape("auths.r.example.auth".to_owned()),
            ),
        ] {
            assert_eq!(Credentials::parse_docker(text).unwrap_err(), wanted, "{text}");
        }
    }

    #[test]
    fn a_host_sees_a_login_only_where_it_was_named() {
        let credentials = Credentials::anonymous().with_token_host("r.example", "auth.example");
        let hosts = |registry| credentials.token_hosts(registry).collect::<Vec<_>>();
        assert_eq!(hosts("docker.io"), ["auth.docker.io"]);
        assert_eq!(hosts("r.example"), ["auth.example"]);
        assert!(hosts("other.example").is_empty());
    }
}
