//! Who asks. A name counts only together with who vouches for it.

use std::fmt;

/// How the name of a token's bearer begins.
pub(crate) const TOKEN: &str = "token ";

/// A requester, proven.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// A name in a certificate of the configured authority.
    Certificate(String),
    /// A name in a token; another issuer's same name is somebody else.
    Token {
        /// Who issued the token.
        issuer: String,
        /// The name.
        identity: String,
    },
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(name) => write!(f, "certificate {name}"),
            Self::Token { issuer, identity } => write!(f, "{TOKEN}{issuer} {identity}"),
        }
    }
}
