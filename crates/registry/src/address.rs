//! Addresses: exactly what is asked of whom, so that two can be compared.

use std::fmt;
use std::net::IpAddr;

/// Who answers: two addresses with the same origin are the same party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    is_plain: bool,
    host: String,
    port: u16,
}

/// An origin, and a path with its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) origin: Origin,
    /// Begins with a slash.
    pub(crate) path: String,
}

impl Origin {
    /// Whose name is `host[:port]`.
    pub(crate) fn of(authority: &str, is_plain: bool) -> Option<Self> {
        let default = if is_plain { 80 } else { 443 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, default),
        };
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        let is_good = !host.is_empty() && host.bytes().all(is_host) && port > 0;
        is_good.then(|| Self { is_plain, host: host.to_ascii_lowercase(), port })
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Whether it is this machine by its own name for itself; no name server is asked.
    pub(crate) fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }

    pub(crate) fn at(&self, path: &str) -> Address {
        Address { origin: self.clone(), path: path.to_owned() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.is_plain { ("http", 80) } else { ("https", 443) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl Address {
    /// An absolute `http` or `https` address, without a user's name and without a fragment.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_plain = match scheme.to_ascii_lowercase().as_str() {
            "http" => true,
            "https" => false,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let origin = Origin::of(authority, is_plain)?;
        is_path(&path).then_some(Self { origin, path })
    }

    /// Where `link` leads from here: an absolute address, or a path of the same origin.
    pub(crate) fn join(&self, link: &str) -> Option<Self> {
        if link.contains("://") && !link.starts_with(['/', '?']) {
            return Self::parse(link);
        }
        let here = self.path.split('?').next().unwrap_or_default();
        let path = if link.starts_with("//") {
            return None;
        } else if link.starts_with('/') {
            link.to_owned()
        } else if link.starts_with('?') {
            format!("{here}{link}")
        } else {
            let folder = here.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{link}")
        };
        is_path(&path).then(|| self.origin.at(&path))
    }

    /// The address with one more field in its query; `value` is encoded.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        self.path = format!("{}{separator}{key}={}", self.path, encode(value));
        self
    }

    /// For people: a query can hold what opens a blob to whoever has it.
    pub(crate) fn shown(&self) -> String {
        format!("{}{}", self.origin, self.path.split('?').next().unwrap_or_default())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

fn is_path(path: &str) -> bool {
    path.len() <= 8192 && path.bytes().all(|b| b.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&b))
}

fn encode(text: &str) -> String {
    let one = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_whom_it_says() {
        let at = Address::parse("https://R.example/v2/a?n=1").unwrap();
        assert_eq!(at.to_string(), "https://r.example/v2/a?n=1");
        assert_eq!(at.origin, Origin::of("r.example:443", false).unwrap());
        assert_ne!(at.origin, Origin::of("r.example:444", false).unwrap());
        assert_ne!(at.origin, Origin::of("r.example", true).unwrap());
        for (link, wanted) in [
            ("/x", Some("https://r.example/x")),
            ("?n=2", Some("https://r.example/v2/a?n=2")),
            ("b", Some("https://r.example/v2/b")),
            ("http://b.example/x", Some("http://b.example/x")),
            ("//b.example/x", None),
            ("https://r.example@b.example/x", None),
            ("https://b.example/x#y", None),
            ("file:///etc/passwd", None),
            ("/a\r\nx: y", None),
        ] {
            assert_eq!(at.join(link).map(|a| a.to_string()).as_deref(), wanted, "{link}");
        }
        assert_eq!(at.with("s", "a b&c").path, "/v2/a?n=1&s=a%20b%26c");
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for (text, wanted) in [
            ("localhost:5000", true),
            ("127.0.0.9", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]", true),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(Origin::of(text, true).unwrap().is_loopback(), wanted, "{text}");
        }
    }
}
