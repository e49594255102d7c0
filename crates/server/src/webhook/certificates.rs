//! A listener's own certificate, and the authorities of its clients: looked at again and again, replaced while
//! connections stay.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use attest::Digest;
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use crate::certificate::validity;
use crate::config::KeyPair;
use crate::connection::{HTTP1, HTTP2};
use crate::tls::{self, TlsError};

/// What a connection that begins now is served with.
pub(crate) struct Certificates {
    files: Files,
    current: Mutex<Current>,
}

/// The chain and its key, and the authorities of clients where they may come with certificates.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) own: KeyPair,
    pub(crate) authorities: Option<PathBuf>,
}

#[derive(Clone)]
struct Current {
    server: Arc<ServerConfig>,
    /// From when until when, in seconds since 1970.
    validity: (i64, i64),
    /// Of the files that it was made of.
    files: Option<Digest>,
    /// Of the files that were tried last and did not do, and why they did not.
    refused: Option<(Option<Digest>, String)>,
}

impl Certificates {
    pub(crate) fn load(files: Files) -> Result<Self, TlsError> {
        Ok(Self { current: Mutex::new(read(&files)?), files })
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a connection that begins now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current().server))
    }

    /// Seconds until the certificate ends; below 0 once it has.
    pub(crate) fn left(&self, now: Timestamp) -> i64 {
        self.current().validity.1.saturating_sub(now.as_second())
    }

    /// Whether it counts now, and if not, why.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), String> {
        let (from, until) = self.current().validity;
        let time = |seconds: i64| Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default();
        if now.as_second() > until {
            return Err(format!("the certificate ended at {}", time(until)));
        }
        if now.as_second() < from {
            return Err(format!("the certificate begins at {}", time(from)));
        }
        Ok(())
    }

    /// Why the files on disk are not in force, where they are not.
    pub(crate) fn refused(&self) -> Option<String> {
        self.current().refused.as_ref().map(|(_, why)| why.clone())
    }

    /// Looks at the files; nothing where they are what they were. Files that do not do leave the last good ones.
    pub(crate) fn reload(&self, now: Timestamp) -> Option<Result<String, String>> {
        let files = digest(&self.files);
        let old = self.current().clone();
        if files == old.files {
            self.current().refused = None;
            return None;
        }
        if old.refused.as_ref().is_some_and(|(refused, _)| *refused == files) {
            return None;
        }
        let is_good = |(from, until): (i64, i64)| (from..=until).contains(&now.as_second());
        let refused = match read(&self.files) {
            Ok(new) if is_good(old.validity) && !is_good(new.validity) => {
                "the certificate on disk does not count now; the one in force does".to_owned()
            }
            Ok(new) => {
                let until = Timestamp::from_second(new.validity.1).map(|t| t.to_string()).unwrap_or_default();
                *self.current() = new;
                return Some(Ok(until));
            }
            Err(e) => e.to_string(),
        };
        self.current().refused = Some((files, refused.clone()));
        Some(Err(refused))
    }
}

fn read(of: &Files) -> Result<Current, TlsError> {
    // first the digest: files that change meanwhile are looked at again
    let files = digest(of);
    let server = tls::server(&of.own, of.authorities.as_deref(), &[HTTP2, HTTP1])?;
    let chain = tls::certificates(&of.own.certificate)?;
    let unreadable =
        || TlsError { file: of.own.certificate.clone(), why: "its dates cannot be read".to_owned() };
    let validity = chain.first().and_then(|leaf| validity(leaf)).ok_or_else(unreadable)?;
    Ok(Current { server: Arc::new(server), validity, files, refused: None })
}

fn digest(of: &Files) -> Option<Digest> {
    digest_of(
        [Some(&*of.own.certificate), Some(&*of.own.key), of.authorities.as_deref()].into_iter().flatten(),
    )
}

/// One digest of what is in small files; nothing where one cannot be read.
pub(crate) fn digest_of<'a>(files: impl Iterator<Item = &'a Path>) -> Option<Digest> {
    let mut all = Vec::new();
    for file in files {
        all.extend_from_slice(Digest::sha256(&small(file)?).to_string().as_bytes());
    }
    Some(Digest::sha256(&all))
}

fn small(file: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(file).ok()?.take(4 << 20).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
