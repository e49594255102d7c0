//! The questions that can be asked of a registry.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use attest::Digest;
use rustls::crypto::aws_lc_rs;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::answer::{Answer, Unknown};
use crate::credentials::Credentials;
use crate::document::{Descriptor, Fetched};
use crate::evidence::{self, Evidence, Source as _, Wanted};
use crate::limits::Limits;
use crate::push::{self, PushError, Pushed};
use crate::reference::Reference;
use crate::session::{Access, Session};

/// Whom to speak to, and how.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who we are to which registry.
    pub credentials: Credentials,
    /// What one question may cost.
    pub limits: Limits,
    /// Registries, as `host[:port]`, that are spoken to without TLS. Those of this machine are, by their names
    /// `localhost`, `127.0.0.1` and `::1`.
    pub plain_http: BTreeSet<String>,
}

/// A client of registries. Every question has limits of its own.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    plain: OnceLock<ureq::Agent>,
    secure: OnceLock<ureq::Agent>,
}

impl Client {
    /// A client. Nothing is read and nobody is asked before the first question.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, plain: OnceLock::new(), secure: OnceLock::new() }
    }

    /// A manifest or an index: by its digest, where the reference has one, else by its tag, else by `latest`. The bytes
    /// were hashed, and have the digest that was asked for or announced.
    pub fn manifest(&self, reference: &Reference) -> Answer<Fetched> {
        self.ask(reference, |session| match reference.digest() {
            Some(digest) => session.by_digest(digest),
            None => session.by_tag(reference.tag().unwrap_or("latest")),
        })
    }

    /// A blob of at most `limit` bytes, of a repository; the bytes were hashed.
    pub fn blob(&self, repository: &Reference, digest: &Digest, limit: u64) -> Answer<Vec<u8>> {
        self.ask(repository, |session| session.blob(digest, limit.min(session.limits().blob)))
    }

    /// Everything that is attached to an image, as the registry lists it; where it keeps no list, as pushers did under
    /// a tag. None where the list is empty.
    pub fn referrers(&self, repository: &Reference, image: &Digest) -> Answer<Vec<Descriptor>> {
        self.ask(repository, |session| {
            let all = session.referrers(image)?;
            Ok(Some(all).filter(|all| !all.is_empty()))
        })
    }

    /// The evidence that is attached to an image: Sigstore bundles, and what cosign 2 keeps under tags.
    pub fn evidence_for(&self, repository: &Reference, image: &Digest, wanted: &Wanted) -> Answer<Evidence> {
        self.ask(repository, |session| evidence::evidence(session, image, wanted, session.limits()))
    }

    /// As [`Client::evidence_for`], with less time where there is less.
    pub fn evidence_within(
        &self,
        repository: &Reference,
        image: &Digest,
        wanted: &Wanted,
        time: Duration,
    ) -> Answer<Evidence> {
        let session = Session::new(self, repository, Access::Read).map(|session| session.within(time));
        Answer::of(session.and_then(|s| evidence::evidence(&s, image, wanted, s.limits())))
    }

    /// Attaches a Sigstore bundle to an image that is there.
    ///
    /// # Errors
    /// [`PushError`].
    pub fn push_evidence(
        &self,
        repository: &Reference,
        image: &Digest,
        bundle: &[u8],
    ) -> Result<Pushed, PushError> {
        push::push(&Session::new(self, repository, Access::Write)?, image, bundle)
    }

    fn ask<T>(
        &self,
        reference: &Reference,
        question: impl FnOnce(&Session<'_>) -> Result<Option<T>, Unknown>,
    ) -> Answer<T> {
        Answer::of(Session::new(self, reference, Access::Read).and_then(|session| question(&session)))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The connections; this machine's authorities are read only where they are needed.
    pub(crate) fn agent(&self, is_plain: bool) -> &ureq::Agent {
        if is_plain {
            self.plain.get_or_init(|| agent(&[] as &[&[u8]]))
        } else {
            self.secure.get_or_init(|| agent(&rustls_native_certs::load_native_certs().certs))
        }
    }
}

fn agent(authorities: &[impl AsRef<[u8]>]) -> ureq::Agent {
    let authorities: Vec<Certificate<'static>> =
        authorities.iter().map(|c| Certificate::from_der(c.as_ref()).to_owned()).collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(authorities)))
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
        .build();
    config.into()
}
