//! One registry that may be asked, with the login that its file has now.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attest::Digest;
use registry::{Answer, Client, Credentials, Evidence, Reference, Settings, Wanted};

use crate::webhook::config::Registry;

/// A registry, and the client for the login that was read last.
#[derive(Debug)]
pub(crate) struct One {
    pub(crate) registry: Registry,
    client: Mutex<Option<(Option<Digest>, Arc<Client>)>>,
}

impl One {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, client: Mutex::new(None) }
    }

    /// Why its login cannot be used.
    pub(crate) fn wrong(&self) -> Option<(PathBuf, String)> {
        let file = self.registry.credentials.clone()?;
        self.client().err().map(|why| (file, why))
    }

    pub(crate) fn within(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.registry.within.as_seconds()).unwrap_or(0))
    }

    pub(crate) fn ask(
        &self,
        reference: &Reference,
        image: &Digest,
        time: Duration,
    ) -> Result<Answer<Evidence>, String> {
        Ok(self.client()?.evidence_within(reference, image, &Wanted::All, time))
    }

    /// Logins of clouds last for hours: another one in the file counts at once.
    fn client(&self) -> Result<Arc<Client>, String> {
        let text = self.registry.credentials.as_deref().map(read).transpose()?;
        let digest = text.as_ref().map(|text| Digest::sha256(text.as_bytes()));
        let mut known = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = known.as_ref().filter(|(of, _)| *of == digest) {
            return Ok(Arc::clone(client));
        }
        let host = self.registry.host();
        let mut credentials = match text {
            None => Credentials::anonymous(),
            Some(text) => {
                let all = Credentials::parse_docker(&text).map_err(|e| e.to_string())?;
                all.only(host).ok_or_else(|| format!("it has no login for {host}"))?
            }
        };
        for token_host in &self.registry.token_hosts {
            credentials = credentials.with_token_host(host, token_host);
        }
        let plain_http = self.registry.plain_http.then(|| host.to_owned()).into_iter().collect();
        let client = Arc::new(Client::new(Settings { credentials, plain_http, ..Settings::default() }));
        *known = Some((digest, Arc::clone(&client)));
        Ok(client)
    }
}

fn read(file: &Path) -> Result<zeroize::Zeroizing<String>, String> {
    std::fs::read_to_string(file).map(Into::into).map_err(|e| format!("the login cannot be read: {e}"))
}
