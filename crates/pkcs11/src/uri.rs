//! `pkcs11:` URIs (RFC 7512): which key in which token, through which module, with the PIN from where.
//!
//! Strict: an attribute that is not understood is refused, because leaving it out could choose another key.

use std::fmt;
use std::path::{Path, PathBuf};

const SCHEME: &str = "pkcs11:";
/// Attributes of the path part, divided by `;`.
const PATH: [&str; 5] = ["token", "serial", "object", "id", "type"];
/// Attributes of the query part, divided by `&`.
const QUERY: [&str; 2] = ["module-path", "pin-source"];

/// A key in a token. It holds no secret: a PIN in it is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    token: Option<String>,
    serial: Option<String>,
    object: Option<String>,
    id: Option<Vec<u8>>,
    module_path: Option<PathBuf>,
    pin_source: Option<PathBuf>,
}

/// Why a text is no `pkcs11:` URI that names a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UriError {
    /// It does not begin with `pkcs11:`.
    Scheme,
    /// A part that is not `name=value`.
    NoValue(String),
    /// An attribute that is not understood, or in the wrong part of the URI.
    Unknown(String),
    /// An attribute that stands twice.
    Twice(&'static str),
    /// An attribute without a value.
    Empty(&'static str),
    /// A `%` without two hex digits, or a character that must be written so.
    Escape(&'static str),
    /// Bytes that are no text.
    NotText(&'static str),
    /// `pin-value`: everybody on the machine could read it. What it said is not kept.
    PinValue,
    /// A `pin-source` that is no file.
    PinSource,
    /// A `module-path` that is not absolute.
    ModulePath,
    /// A `type` that does not sign.
    Type,
    /// Neither `object` nor `id`.
    NoObject,
    /// Neither `token` nor `serial`.
    NoToken,
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("it does not begin with pkcs11:"),
            Self::NoValue(part) => write!(f, "`{part}` is not an attribute with a value, as in token=NAME"),
            Self::Unknown(name) => write!(
                f,
                "the attribute `{name}` is not understood here (wanted {}, and after a `?` {})",
                PATH.join(", "),
                QUERY.join(", ")
            ),
            Self::Twice(name) => write!(f, "the attribute `{name}` stands twice"),
            Self::Empty(name) => write!(f, "the attribute `{name}` has no value"),
            Self::Escape(name) => {
                write!(f, "the attribute `{name}` has a character that must be written as % and two hex digits")
            }
            Self::NotText(name) => write!(f, "the attribute `{name}` is no text in UTF-8"),
            Self::PinValue => f.write_str(
                "the attribute `pin-value` is refused: every user could read the PIN in the list of processes \
                 (write pin-source=file:PATH)",
            ),
            Self::PinSource => f.write_str("the attribute `pin-source` names no file (wanted file:/PATH)"),
            Self::ModulePath => f.write_str("the attribute `module-path` is no absolute path"),
            Self::Type => f.write_str("the attribute `type` is not `private`: nothing else signs"),
            Self::NoObject => f.write_str("no attribute says which key (wanted object=NAME or id=%01)"),
            Self::NoToken => f.write_str("no attribute says which token (wanted token=NAME or serial=NUMBER)"),
        }
    }
}
impl std::error::Error for UriError {}

impl Uri {
    /// Whether a text wants to be such a URI.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Parses one that names a private key.
    ///
    /// # Errors
    /// [`UriError`] naming the attribute.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix(SCHEME).ok_or(UriError::Scheme)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        for part in path.split(';').filter(|_| !path.is_empty()) {
            let (name, value) = attribute(part, &PATH)?;
            uri.set(name, &unescape(name, value)?)?;
        }
        for part in query.split('&').filter(|_| !query.is_empty()) {
            let (name, value) = attribute(part, &QUERY)?;
            uri.set(name, &unescape(name, value)?)?;
        }
        if uri.token.is_none() && uri.serial.is_none() {
            return Err(UriError::NoToken);
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(UriError::NoObject);
        }
        Ok(uri)
    }

    fn set(&mut self, name: &'static str, value: &[u8]) -> Result<(), UriError> {
        if value.is_empty() {
            return Err(UriError::Empty(name));
        }
        let text = || String::from_utf8(value.to_vec()).or(Err(UriError::NotText(name)));
        let is_first = match name {
            "token" => self.token.replace(text()?).is_none(),
            "serial" => self.serial.replace(text()?).is_none(),
            "object" => self.object.replace(text()?).is_none(),
            "id" => self.id.replace(value.to_vec()).is_none(),
            "module-path" => {
                let path = PathBuf::from(text()?);
                if !path.is_absolute() {
                    return Err(UriError::ModulePath);
                }
                self.module_path.replace(path).is_none()
            }
            "pin-source" => self.pin_source.replace(file(&text()?)?).is_none(),
            _ if value == b"private" => true,
            _ => return Err(UriError::Type),
        };
        if is_first { Ok(()) } else { Err(UriError::Twice(name)) }
    }

    /// The module that it names.
    #[must_use]
    pub fn module_path(&self) -> Option<&Path> {
        self.module_path.as_deref()
    }

    /// The file whose first line is the PIN.
    #[must_use]
    pub fn pin_source(&self) -> Option<&Path> {
        self.pin_source.as_deref()
    }

    pub(crate) fn names_token(&self, label: &str, serial: &str) -> bool {
        self.token.as_deref().is_none_or(|t| t == label) && self.serial.as_deref().is_none_or(|s| s == serial)
    }

    pub(crate) fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    pub(crate) fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// The token in words.
    pub(crate) fn token_in_words(&self) -> String {
        match (&self.token, &self.serial) {
            (Some(token), Some(serial)) => format!("`{token}` with the serial number `{serial}`"),
            (Some(name), None) => format!("`{name}`"),
            (None, serial) => format!("with the serial number `{}`", serial.as_deref().unwrap_or_default()),
        }
    }

    /// The key in words.
    pub(crate) fn key_in_words(&self) -> String {
        let hex = |id: &[u8]| id.iter().map(|b| format!("%{b:02x}")).collect::<String>();
        match (&self.object, &self.id) {
            (Some(object), Some(id)) => format!("`{object}` with the id `{}`", hex(id)),
            (Some(object), None) => format!("`{object}`"),
            (None, id) => format!("with the id `{}`", hex(id.as_deref().unwrap_or_default())),
        }
    }
}

/// One `name=value` of a part of the URI where these names may stand.
fn attribute<'a>(part: &'a str, known: &[&'static str]) -> Result<(&'static str, &'a str), UriError> {
    // before anything else, so that no other message repeats what stands behind it
    if part.trim_start().to_ascii_lowercase().starts_with("pin-value") {
        return Err(UriError::PinValue);
    }
    let (name, value) = part.split_once('=').ok_or_else(|| UriError::NoValue(part.to_owned()))?;
    let known = known.iter().find(|k| **k == name).ok_or_else(|| UriError::Unknown(name.to_owned()))?;
    Ok((known, value))
}

fn file(source: &str) -> Result<PathBuf, UriError> {
    let path = source.strip_prefix("file:").ok_or(UriError::PinSource)?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.starts_with('/') { Ok(PathBuf::from(path)) } else { Err(UriError::PinSource) }
}

/// Percent-decoding; what RFC 7512 does not allow to stand unescaped is refused.
fn unescape(name: &'static str, value: &str) -> Result<Vec<u8>, UriError> {
    let bad = || UriError::Escape(name);
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
    let mut bytes = value.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                out.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
            }
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => out.push(byte),
            b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']' | b'@' | b'!' | b'$' | b'\'' | b'(' | b')'
            | b'*' | b'+' | b',' | b'=' | b'/' => out.push(byte),
            _ => return Err(bad()),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_read_whole() {
        let uri = Uri::parse(
            "pkcs11:token=Build%20keys;object=builder;id=%01%fF?module-path=/usr/lib/x.so&pin-source=file:/run/pin",
        )
        .unwrap();
        assert_eq!(uri.object(), Some("builder"));
        assert_eq!(uri.id(), Some(&[1, 0xff][..]));
        assert_eq!(uri.module_path(), Some(Path::new("/usr/lib/x.so")));
        assert_eq!(uri.pin_source(), Some(Path::new("/run/pin")));
        assert!(uri.names_token("Build keys", "any") && !uri.names_token("build keys", "any"));
        let three_slashes = Uri::parse("pkcs11:token=t;object=o?pin-source=file:///run/pin").unwrap();
        assert_eq!(three_slashes.pin_source(), Some(Path::new("/run/pin")));
    }

    #[test]
    fn everything_wrong_names_its_attribute() {
        for (text, wanted) in [
            ("token=t;object=o", "does not begin with pkcs11:"),
            ("PKCS11:token=t;object=o", "does not begin with pkcs11:"),
            ("pkcs11:", "which token"),
            ("pkcs11:object=o", "which token"),
            ("pkcs11:token=t", "which key"),
            ("pkcs11:token=t;;object=o", "`` is not an attribute"),
            ("pkcs11:token;object=o", "`token` is not an attribute"),
            ("pkcs11:token=;object=o", "`token` has no value"),
            ("pkcs11:token=t;token=u;object=o", "`token` stands twice"),
            ("pkcs11:token=t;object=o;object=o", "`object` stands twice"),
            ("pkcs11:token=t;object=o;slot-id=3", "`slot-id` is not understood"),
            ("pkcs11:token=t;object=o;module-path=/x", "`module-path` is not understood here"),
            ("pkcs11:token=t;object=o?token=u", "`token` is not understood here"),
            ("pkcs11:token=t;object=o?module-path=x.so", "`module-path` is no absolute path"),
            ("pkcs11:token=t;object=o?pin-source=/run/pin", "`pin-source` names no file"),
            ("pkcs11:token=t;object=o?pin-source=file:pin", "`pin-source` names no file"),
            ("pkcs11:token=t;object=o?pin-source=|ask", "`pin-source` has a character"),
            ("pkcs11:token=t;object=o;type=public", "`type` is not `private`"),
            ("pkcs11:token=a b;object=o", "`token` has a character"),
            ("pkcs11:token=a%2;object=o", "`token` has a character"),
            ("pkcs11:token=%zz;object=o", "`token` has a character"),
            ("pkcs11:token=%ff;object=o", "`token` is no text"),
            ("pkcs11:token=t;object=o?pin-value=1234", "`pin-value` is refused"),
            ("pkcs11:token=t;object=o;pin-value=1234", "`pin-value` is refused"),
            ("pkcs11:token=t;object=o?PIN-VALUE=1234", "`pin-value` is refused"),
        ] {
            let error = Uri::parse(text).unwrap_err();
            assert!(error.to_string().contains(wanted), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("1234"), "a PIN is never repeated: {error}");
        }
    }
}
