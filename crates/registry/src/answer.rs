//! The three values, and why one is unknown.

use std::fmt;

use attest::Digest;

use crate::document::DocumentError;

/// What is known about something that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer<T> {
    /// It is there.
    Found(T),
    /// The registry itself said that there is none.
    None,
    /// Nobody knows. Never to be read as none.
    Unknown(Unknown),
}

impl<T> Answer<T> {
    pub(crate) fn of(result: Result<Option<T>, Unknown>) -> Self {
        match result {
            Ok(Some(value)) => Self::Found(value),
            Ok(None) => Self::None,
            Err(unknown) => Self::Unknown(unknown),
        }
    }
}

/// Something could not be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What was asked: a method and an address, or a file.
    pub asked: String,
    /// Why nobody knows.
    pub why: Why,
}

impl Unknown {
    pub(crate) fn new(asked: &str, why: Why) -> Self {
        Self { asked: asked.to_owned(), why }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.why)
    }
}
impl std::error::Error for Unknown {}

/// Why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No connection, or one that broke.
    Broken(String),
    /// It took longer than the limits have, for all or between two bytes.
    Slow,
    /// 401: no credentials, or not these.
    Unauthorized,
    /// 403: these credentials may not.
    Forbidden,
    /// 429.
    TooManyRequests,
    /// Any other status that says neither yes nor no.
    Status(u16),
    /// 404, and not in a registry's words: a proxy's page, or something else that listens there.
    NotARegistry,
    /// The answer is encoded, and what is hashed are bytes as they are.
    Encoded(String),
    /// More bytes than the limit.
    TooLarge(u64),
    /// More of something than the limit.
    TooMany(&'static str, usize),
    /// The bytes have another digest than the one asked for or announced.
    WrongDigest {
        /// The one asked for or announced.
        wanted: Digest,
        /// Of the bytes.
        found: Digest,
    },
    /// The bytes are more or fewer than what names them says.
    WrongSize {
        /// As named.
        wanted: u64,
        /// The bytes.
        found: u64,
    },
    /// What should be a manifest or an index is none.
    Document(DocumentError),
    /// A list names this, and it is not there.
    Missing(Digest),
    /// A list names a record for this image, and the record is about another one; the field is the other.
    WrongSubject(Option<Digest>),
    /// The list of records continues where it must not: another host, a page that was read already.
    Paging(String),
    /// A redirect that is not followed.
    Redirect(String),
    /// The registry sends us for a token to a host that nobody allowed for it.
    TokenHost(String),
    /// What should be a token is none.
    Token(String),
    /// A header of the answer, by this name, cannot be read.
    Header(&'static str),
    /// A file of an image layout cannot be read.
    File(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(what) => write!(f, "the connection failed: {what}"),
            Self::Slow => f.write_str("it took too long"),
            Self::Unauthorized => f.write_str("the registry wants other credentials (401)"),
            Self::Forbidden => f.write_str("these credentials may not (403)"),
            Self::TooManyRequests => f.write_str("the registry has had too many requests (429)"),
            Self::Status(status) => write!(f, "the registry answers {status}"),
            Self::NotARegistry => f.write_str("404, but not in a registry's words"),
            Self::Encoded(coding) => write!(f, "the answer is encoded as {coding}, which is not asked for"),
            Self::TooLarge(limit) => write!(f, "the answer has more than {limit} bytes"),
            Self::TooMany(what, limit) => write!(f, "more than {limit} {what}"),
            Self::WrongDigest { wanted, found } => write!(f, "wanted {wanted}, found bytes of {found}"),
            Self::WrongSize { wanted, found } => write!(f, "wanted {wanted} bytes, found {found}"),
            Self::Document(e) => e.fmt(f),
            Self::Missing(digest) => write!(f, "{digest} is listed, and is not there"),
            Self::WrongSubject(Some(other)) => write!(f, "it is listed for this image, and is about {other}"),
            Self::WrongSubject(None) => f.write_str("it is listed for this image, and names no subject"),
            Self::Paging(what) => write!(f, "the list goes on where it must not: {what}"),
            Self::Redirect(what) => write!(f, "a redirect that is not followed: {what}"),
            Self::TokenHost(host) => {
                write!(f, "the registry asks for a token of {host}, which is not allowed for it")
            }
            Self::Token(what) => write!(f, "no token: {what}"),
            Self::Header(name) => write!(f, "the answer's {name} cannot be read"),
            Self::File(what) => f.write_str(what),
        }
    }
}
