//! The fetcher: the one part of a build that sees a network, and it never sees the build.
//!
//! It speaks to hosts that the operator named, never to one that a definition chose: a definition could otherwise send
//! the orchestrator to addresses behind its own firewall. A redirect to another host is followed only where that host
//! is named too.

use std::fmt;
use std::io::{Read as _, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The hosts from which the paved roads fetch.
pub const HOSTS: [&str; 8] = [
    "deb.debian.org",
    "snapshot.debian.org",
    "static.crates.io",
    "index.crates.io",
    "registry.npmjs.org",
    "pypi.org",
    "files.pythonhosted.org",
    "proxy.golang.org",
];
const REDIRECTS: usize = 5;
const TRIES: u32 = 3;

/// Something that fetches. A trait, so that a build can be made without any network at all.
pub trait Fetcher {
    /// Writes what a URI gives, at most `limit` bytes.
    ///
    /// # Errors
    /// [`FetchError`] with the URI and why.
    fn fetch(&self, uri: &str, limit: u64, out: &mut dyn Write) -> Result<(), FetchError>;

    /// What a URI gives, in memory.
    ///
    /// # Errors
    /// [`FetchError`].
    fn get(&self, uri: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        self.fetch(uri, limit, &mut bytes)?;
        Ok(bytes)
    }
}

/// A URI gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// The URI.
    pub uri: String,
    /// Why.
    pub why: String,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be fetched: {}", self.uri, self.why)
    }
}
impl std::error::Error for FetchError {}

/// Never fetches: everything must be in the store.
#[derive(Clone, Copy, Debug)]
pub struct Offline;

impl Fetcher for Offline {
    fn fetch(&self, uri: &str, _: u64, _: &mut dyn Write) -> Result<(), FetchError> {
        Err(FetchError { uri: uri.to_owned(), why: "nothing is fetched with --offline".to_owned() })
    }
}

/// Fetches over HTTP and HTTPS.
#[derive(Clone, Debug)]
pub struct Web {
    agent: ureq::Agent,
    hosts: Vec<String>,
    mirrors: Vec<(String, String)>,
}

impl Web {
    /// A fetcher for the paved roads' hosts and `hosts`. A URI that begins with a mirror's first half is fetched from
    /// the second half instead; the declared digest makes any mirror as good as the origin.
    #[must_use]
    pub fn new(hosts: &[String], mirrors: &[(String, String)]) -> Self {
        let found = rustls_native_certs::load_native_certs().certs;
        let certificates: Vec<Certificate<'static>> =
            found.iter().map(|c| Certificate::from_der(c).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(certificates)))
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_global(Some(Duration::from_secs(1800)))
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build();
        let hosts = HOSTS.iter().map(|h| (*h).to_owned()).chain(hosts.iter().cloned()).collect();
        Self { agent: config.into(), hosts, mirrors: mirrors.to_vec() }
    }

    fn mirrored(&self, uri: &str) -> String {
        let rest = |(from, to): &(String, String)| uri.strip_prefix(from).map(|rest| format!("{to}{rest}"));
        self.mirrors.iter().find_map(rest).unwrap_or_else(|| uri.to_owned())
    }

    fn check(&self, uri: &str) -> Result<(), String> {
        let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
        if scheme.is_some_and(|s| !matches!(s, "http" | "https")) {
            return Err("only http and https are fetched".to_owned());
        }
        let parsed: ureq::http::Uri = uri.parse().map_err(|_| "it is no URI".to_owned())?;
        let host = parsed.host().unwrap_or_default();
        if scheme.is_none() {
            Err("it is no URI that says where it can be fetched".to_owned())
        } else if parsed.authority().is_some_and(|a| a.as_str().contains('@')) {
            Err("it has a user name in it".to_owned())
        } else if self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            Ok(())
        } else {
            Err(format!("the host {host} is not one that the operator named with --allow-host"))
        }
    }

    /// One try; `Err(Ok(…))` means that another may do better.
    fn attempt(&self, uri: &str, limit: u64, out: &mut dyn Write) -> Result<(), (bool, String)> {
        let mut at = self.mirrored(uri);
        for _ in 0..REDIRECTS {
            self.check(&at).map_err(|why| (false, why))?;
            let mut response = self.agent.get(&at).call().map_err(|e| (true, e.to_string()))?;
            let status = response.status();
            if status.is_redirection() {
                let location = response.headers().get("location").and_then(|l| l.to_str().ok());
                at = resolve(&at, location.unwrap_or_default());
                continue;
            }
            if !status.is_success() {
                return Err((status.is_server_error(), format!("the server answered {status}")));
            }
            let mut body = response.body_mut().as_reader().take(limit.saturating_add(1));
            let count = std::io::copy(&mut body, out).map_err(|e| (false, e.to_string()))?;
            return if count > limit {
                Err((false, format!("it is larger than {limit} bytes")))
            } else {
                Ok(())
            };
        }
        Err((false, format!("more than {REDIRECTS} redirects")))
    }
}

impl Fetcher for Web {
    fn fetch(&self, uri: &str, limit: u64, out: &mut dyn Write) -> Result<(), FetchError> {
        let failed = |why: String| FetchError { uri: uri.to_owned(), why };
        let mut tried = 1;
        loop {
            let mut counted = Counted { out, count: 0 };
            match self.attempt(uri, limit, &mut counted) {
                Ok(()) => return Ok(()),
                // a body that broke off has left bytes behind: the caller's file is no longer empty
                Err((true, _)) if tried < TRIES && counted.count == 0 => {
                    std::thread::sleep(Duration::from_secs(1 << tried));
                    tried += 1;
                }
                Err((_, why)) => return Err(failed(why)),
            }
        }
    }
}

struct Counted<'a> {
    out: &'a mut dyn Write,
    count: usize,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.count += count;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Where a redirect leads: an absolute URI, or a path on the same host.
fn resolve(at: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let (scheme, rest) = at.split_once("://").unwrap_or(("https", at));
    let host = rest.split('/').next().unwrap_or_default();
    if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{host}{location}")
    } else {
        let folder = rest.rsplit_once('/').map_or(host, |(folder, _)| folder);
        format!("{scheme}://{folder}/{location}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_hosts_are_spoken_to() {
        let web = Web::new(&["files.acme.example".to_owned()], &[]);
        assert_eq!(web.check("https://files.acme.example/a"), Ok(()));
        assert_eq!(web.check("https://static.crates.io/a"), Ok(()));
        for (uri, why) in [
            ("http://169.254.169.254/latest", "169.254.169.254"),
            ("http://localhost:8080/", "localhost"),
            ("https://evil.files.acme.example/", "evil"),
            ("https://files.acme.example@evil.example/", "user name"),
            ("file:///etc/passwd", "only http"),
            ("gopher://files.acme.example/", "only http"),
            ("", "no URI"),
            ("files.acme.example/x", "no URI"),
        ] {
            assert!(web.check(uri).is_err_and(|e| e.contains(why)), "{uri}");
        }
    }

    #[test]
    fn redirects_are_resolved() {
        for (location, wanted) in [
            ("https://b.example/x", "https://b.example/x"),
            ("//b.example/x", "https://b.example/x"),
            ("/x", "https://a.example/x"),
            ("x", "https://a.example/p/x"),
        ] {
            assert_eq!(resolve("https://a.example/p/q", location), wanted);
        }
    }
}
