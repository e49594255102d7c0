//! A mirror behind HTTP. It is believed about nothing, and costs at most so many bytes and so much time.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::files::Source;

/// Fetches from one place, and follows nobody elsewhere.
#[derive(Clone, Debug)]
pub struct Web {
    agent: ureq::Agent,
    base: String,
    until: Instant,
}

impl Web {
    /// A mirror below a URL, as in `https://tuf-repo-cdn.sigstore.dev`, asked for at most so long in all.
    ///
    /// # Errors
    /// The URL is none that can be fetched from.
    pub fn new(url: &str, within: Duration) -> Result<Self, String> {
        let parsed: ureq::http::Uri = url.parse().map_err(|_| format!("{url} is no URL"))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.query().is_some() {
            return Err(format!("{url} is no URL of a folder behind http or https"));
        }
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
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build();
        let base = url.trim_end_matches('/').to_owned();
        Ok(Self { agent: config.into(), base, until: Instant::now() + within })
    }
}

impl Source for Web {
    fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
        let uri = format!("{}/{path}", self.base);
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("no time was left to fetch {uri}"));
        }
        let request = self.agent.get(&uri).config().timeout_global(Some(left)).build();
        let mut response = request.call().map_err(|e| format!("{uri}: {e}"))?;
        match response.status().as_u16() {
            200 => {}
            404 => return Ok(None),
            status => return Err(format!("{uri}: the server answered {status}")),
        }
        let mut bytes = Vec::new();
        let mut body = response.body_mut().as_reader().take(limit.saturating_add(1));
        body.read_to_end(&mut bytes).map_err(|e| format!("{uri}: {e}"))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            return Err(format!("{uri} is larger than {limit} bytes"));
        }
        Ok(Some(bytes))
    }
}
