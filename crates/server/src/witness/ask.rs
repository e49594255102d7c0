//! The asking of witnesses in a log's own process: a thread that looks whether the checkpoint moved, and asks. No
//! decision waits for it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use attest::Object;
use attest::note::NoteKey;
use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use tlog::Storage;
use tlog::witnessing::{self, AskError, Asked, MAX_REPLY, Reply, Sizes, Transport, Witnesses};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::service::Clock;
use crate::tls::{self, TlsError};

/// One question to one witness, from the connection to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// A round that came to nothing is followed by longer and longer pauses, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why witnesses cannot be asked over HTTP.
#[derive(Debug)]
pub enum HttpError {
    /// The authorities.
    Tls(TlsError),
    /// The address of this witness is none; the fields are its name and the address.
    Url(String, String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(e) => e.fmt(f),
            Self::Url(name, url) => {
                write!(f, "the address of {name} is no http:// or https:// address: {url}")
            }
        }
    }
}
impl std::error::Error for HttpError {}

/// Asks over HTTP and HTTPS.
#[derive(Clone, Debug)]
pub struct Https {
    agent: ureq::Agent,
}

impl Https {
    /// A transport that trusts the authorities in a PEM file, or those of this machine.
    ///
    /// # Errors
    /// [`HttpError`] for authorities that cannot be read, and for an address that is none.
    pub fn new(ca: Option<&Path>, witnesses: &Witnesses) -> Result<Self, HttpError> {
        for one in witnesses.of() {
            let uri = one.url.parse::<ureq::http::Uri>().ok();
            let is_address = uri.is_some_and(|uri| {
                let is_plain =
                    uri.query().is_none() && uri.authority().is_some_and(|a| !a.as_str().contains('@'));
                matches!(uri.scheme_str(), Some("http" | "https")) && is_plain
            });
            if !is_address {
                return Err(HttpError::Url(one.name.clone(), one.url.clone()));
            }
        }
        let authorities = match (ca, witnesses.of().iter().any(|one| one.url.starts_with("https"))) {
            (None, false) => Vec::new(),
            (ca, _) => tls::certificates(ca.unwrap_or(Path::new(tls::SYSTEM))).map_err(HttpError::Tls)?,
        };
        let authorities: Vec<Certificate<'static>> =
            authorities.iter().map(|c| Certificate::from_der(c).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(authorities)))
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: agent.into() })
    }
}

impl Transport for Https {
    fn post(&self, url: &str, body: &str) -> Result<Reply, String> {
        let request = self.agent.post(url).header("content-type", "text/plain; charset=utf-8");
        let mut response = request.send(body).map_err(|e| e.to_string())?;
        let limit = u64::try_from(MAX_REPLY).unwrap_or(u64::MAX);
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(|e| e.to_string())?;
        Ok(Reply { status, content_type, body })
    }
}

/// Where events go: a name, and details.
pub type Tell = Box<dyn Fn(&str, Object) + Send>;

/// What the asking needs.
pub struct Settings<S> {
    /// The log.
    pub storage: S,
    /// Its key.
    pub key: NoteKey,
    /// Whom to ask.
    pub witnesses: Witnesses,
    /// How often to look whether the checkpoint moved.
    pub rhythm: Duration,
    /// The time, for events and for `at`.
    pub clock: Clock,
    /// Where events go; called from the asking thread.
    pub tell: Tell,
}

impl<S> fmt::Debug for Settings<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("witnesses", &self.witnesses).finish_non_exhaustive()
    }
}

/// How the asking stands: values for metrics, for readiness, and for alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The size under the newest checkpoint that enough witnesses cosigned.
    pub size: Option<u64>,
    /// When that was known.
    pub at: Option<Timestamp>,
    /// How often each witness did not cosign, since the start.
    pub failures: BTreeMap<String, u64>,
    /// Who contradicts the log, and how; once there is one, nothing more is published until a person has looked and
    /// the process is started anew.
    pub contradiction: Option<(String, String)>,
}

/// The asking thread. Dropped, it ends after the round that is under way.
#[derive(Debug)]
pub struct Publisher {
    standing: Arc<Mutex<Standing>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Starts asking.
///
/// # Errors
/// Where there is no thread to be had.
pub fn start<S, T>(settings: Settings<S>, transport: T) -> io::Result<Publisher>
where
    S: Storage + Send + Sync + 'static,
    T: Transport + Send + 'static,
{
    let (stop, stopped) = sync_channel(1);
    let standing = Arc::new(Mutex::new(Standing::default()));
    let rhythm = settings.rhythm;
    let mut round =
        Round { settings, transport, sizes: Sizes::default(), standing: Arc::clone(&standing), done: None };
    let asking = move || {
        let mut pause = rhythm;
        loop {
            pause = match round.go() {
                Next::Stop => return,
                Next::Soon => rhythm,
                Next::Later => (pause * 2).min(LONGEST_PAUSE.max(rhythm)),
            };
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("witnesses".to_owned()).spawn(asking)?;
    Ok(Publisher { standing, stop: Some(stop), thread: Some(thread) })
}

/// What comes after a round.
enum Next {
    Soon,
    Later,
    Stop,
}

struct Round<S, T> {
    settings: Settings<S>,
    transport: T,
    sizes: Sizes,
    standing: Arc<Mutex<Standing>>,
    /// The checkpoint that is witnessed.
    done: Option<Vec<u8>>,
}

impl<S: Storage + Sync, T: Transport> Round<S, T> {
    fn go(&mut self) -> Next {
        let newest = self.settings.storage.read("checkpoint").ok().flatten();
        if newest.is_some() && newest == self.done {
            return Next::Soon;
        }
        let Settings { storage, key, witnesses, .. } = &self.settings;
        match witnessing::ask(storage, key, witnesses, &self.sizes, &self.transport) {
            Ok(asked) => self.asked(&asked, newest),
            Err(AskError::Contradiction(contradiction)) => {
                self.contradicted(witnessing::WITNESSED, &contradiction.to_string())
            }
            Err(e) => {
                (self.settings.tell)("witnesses-not-asked", Object::new().with("found", e.to_string()));
                Next::Later
            }
        }
    }

    fn asked(&mut self, asked: &Asked, newest: Option<Vec<u8>>) -> Next {
        for (name, word) in &asked.words {
            let Err(why) = word else { continue };
            let details = Object::new().with("witness", name.as_str()).with("found", why.to_string());
            (self.settings.tell)("not-cosigned", details);
            let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
            *standing.failures.entry(name.clone()).or_default() += 1;
        }
        if let Some((name, contradiction)) = asked.contradictions().next() {
            return self.contradicted(name, &contradiction.to_string());
        }
        if !asked.is_witnessed {
            return Next::Later;
        }
        self.done = newest;
        let size = i64::try_from(asked.checkpoint.size).unwrap_or(i64::MAX);
        (self.settings.tell)("witnessed", Object::new().with("size", size));
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        (standing.size, standing.at) = (Some(asked.checkpoint.size), Some((self.settings.clock)()));
        Next::Soon
    }

    fn contradicted(&self, who: &str, what: &str) -> Next {
        (self.settings.tell)("log-contradicted", Object::new().with("by", who).with("found", what));
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.contradiction = Some((who.to_owned(), what.to_owned()));
        Next::Stop
    }
}
