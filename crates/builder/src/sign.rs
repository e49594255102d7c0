//! The signer: a process of its own, the only one that holds the builder's key.
//!
//! It speaks over a Unix socket, one record in and one bundle out. It signs nothing but statements that it writes
//! itself from a record, one a build's output and never another in its place, and logs every signature before it
//! answers. For any builder id but the demo's it insists on a user of its own, so that nothing that a build or the
//! orchestrator does can reach the key.

use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use attest::merkle::leaf_hash;
use attest::{Json, Object, Signer};
use jiff::Timestamp;
use tlog::{Files, Log, Receipt, Storage};

mod check;
mod guard;
mod ledger;
mod protocol;
mod rate;
mod signature;
#[cfg(test)]
mod tests;

pub use guard::harden;
pub use protocol::{request_failure, request_signature, request_test, request_token};

use check::check_record;
use ledger::{Entry, Ledger, LedgerError, Step};
use protocol::Record;
use rate::Rate;
use signature::Signature;

/// The builder id that needs no user of its own, and that only a demo's trust root admits.
pub const LOCAL_DEMO: &str = "https://portcullis.dev/builders/local-demo";
/// Signatures an hour: more than a busy service makes, fewer than a thief would like.
pub const DEFAULT_RATE: u32 = 600;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a signer works with.
#[derive(Debug)]
pub struct SignerConfig {
    /// The builder id it signs as.
    pub builder_id: String,
    /// The file on whose secrecy the key depends, whose owner and mode are checked: the key's own, or the one with its
    /// token's PIN.
    pub secret_file: PathBuf,
    /// The user whose requests are signed: the orchestrator's. Without, only the demo's builder id is signed for.
    pub allow_uid: Option<u32>,
    /// Whether to end after so many requests; nothing means never.
    pub requests: Option<u64>,
    /// How many signatures it makes in an hour.
    pub rate: u32,
    /// The folder where it notes what it signed, beside the log.
    pub ledger: PathBuf,
}

/// Why nothing was signed.
#[derive(Debug)]
pub enum SignError {
    /// The socket failed.
    Io(io::Error),
    /// The signer has no user of its own, or its process is open to others.
    Privileges(String),
    /// The signer refused; the field is why.
    Refused(String),
    /// The log or the ledger failed. Nothing is known of the last write: the signer ends, and is to be started anew.
    Stopped(String),
    /// The answer cannot be read.
    Answer,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "the signer cannot be reached: {e}"),
            Self::Privileges(why) => write!(f, "the signer refuses to sign: {why}"),
            Self::Refused(why) => write!(f, "the signer refused: {why}"),
            Self::Stopped(why) => write!(f, "{why}; the signer must be started anew"),
            Self::Answer => f.write_str("the signer gave an answer that cannot be read"),
        }
    }
}
impl std::error::Error for SignError {}

impl From<LedgerError> for SignError {
    fn from(e: LedgerError) -> Self {
        match e {
            LedgerError::Io(_) => Self::Stopped(e.to_string()),
            LedgerError::Damaged(_) | LedgerError::EndedOtherwise(_) => Self::Refused(e.to_string()),
        }
    }
}

/// Serves requests on a socket.
///
/// # Errors
/// [`SignError`] where the socket fails, or the log or ledger stops. A request that is refused does not end the signer.
pub fn serve(
    listener: &UnixListener,
    config: &SignerConfig,
    key: &dyn Signer,
    log: &mut Log<Files>,
    now: &dyn Fn() -> Timestamp,
) -> Result<(), SignError> {
    let ledger = Ledger::new(Files::new(&config.ledger));
    let mut desk =
        Desk { builder_id: &config.builder_id, key, log, ledger, rate: Rate::new(config.rate, now()) };
    let mut served = 0;
    while config.requests.is_none_or(|limit| served < limit) {
        let (stream, _) = listener.accept().map_err(SignError::Io)?;
        stream.set_write_timeout(Some(Duration::from_secs(10))).map_err(SignError::Io)?;
        let answer = desk.answer(&stream, config, now);
        let words = match &answer {
            Ok(bundle) => Object::new().with("bundle", bundle.clone()),
            Err(e) => Object::new().with("error", e.to_string()),
        };
        // a requester that went away loses nothing: the bundle is in the ledger, and is given to who asks again
        writeln!(&stream, "{words}").ok();
        if let Err(stopped @ SignError::Stopped(_)) = answer {
            return Err(stopped);
        }
        served += 1;
    }
    Ok(())
}

/// Where records become bundles.
struct Desk<'a, S> {
    builder_id: &'a str,
    key: &'a dyn Signer,
    log: &'a mut Log<S>,
    ledger: Ledger<S>,
    rate: Rate,
}

impl<S: Storage> Desk<'_, S> {
    fn answer(
        &mut self,
        stream: &UnixStream,
        config: &SignerConfig,
        now: &dyn Fn() -> Timestamp,
    ) -> Result<Json, SignError> {
        // first of all: a stranger who says nothing would hold up everybody else
        config.check_peer(stream)?;
        let line = protocol::read_request(stream).map_err(SignError::Io)?;
        let request = attest::json::parse(line.trim_end().as_bytes()).map_err(|e| refused(&e))?;
        let record = Record::read(&request).map_err(|e| refused(&e))?;
        self.sign(&record, now())
    }

    /// The one bundle of a record. Each step is durable before the next: see [`ledger`].
    fn sign(&mut self, record: &Record, now: Timestamp) -> Result<Json, SignError> {
        check_record(record, now, self.builder_id == LOCAL_DEMO).map_err(|e| refused(&e))?;
        let (slot, digest) = (record.slot(), record.digest());
        let step = match self.ledger.find(&slot)? {
            Some(entry) if entry.record != digest => return Err(refused(&other_content(record))),
            Some(entry) => entry.step,
            None => {
                self.rate.take(now).map_err(|again| refused(&self.too_many(again)))?;
                self.note(record, Step::Reserved)?
            }
        };
        let (signature, position) = match step {
            Step::Done { bundle } => return Ok(bundle),
            Step::Signed { signature, position } => (self.check_own(signature)?, position),
            Step::Reserved => {
                let signature = Signature::make(record, self.builder_id, self.key)?;
                let position = self.log.size();
                self.note(record, Step::Signed { signature: signature.clone(), position })?;
                (signature, position)
            }
        };
        let body = signature.leaf(self.key);
        let receipt = self.log_once(position, &body)?;
        let bundle = signature.hand_out(self.key, &receipt, &body);
        self.note(record, Step::Done { bundle: bundle.clone() })?;
        Ok(bundle)
    }

    fn note(&self, record: &Record, step: Step) -> Result<Step, SignError> {
        let entry = Entry { record: record.digest(), step };
        self.ledger.put(&record.slot(), &entry)?;
        Ok(entry.step)
    }

    /// What was signed before a crash is logged under the key that signed it, or not at all.
    fn check_own(&self, signature: Signature) -> Result<Signature, SignError> {
        if signature.is_of(self.key) {
            return Ok(signature);
        }
        Err(SignError::Refused(
            "the build was signed under an earlier key and the signer died before it was logged; build again"
                .to_owned(),
        ))
    }

    /// The receipt of a leaf, appended unless it is there: a signer that died may have come so far.
    fn log_once(&mut self, position: u64, body: &[u8]) -> Result<Receipt, SignError> {
        let leaf = leaf_hash(body);
        for index in position..self.log.size() {
            let receipt = self.log.prove(index).map_err(|e| SignError::Stopped(e.to_string()))?;
            if *receipt.leaf() == leaf {
                return Ok(receipt);
            }
        }
        self.log.append(body).map_err(|e| match e {
            tlog::AppendError::TooLong(_) => refused(&e),
            _ => SignError::Stopped(e.to_string()),
        })
    }

    fn too_many(&self, again: Timestamp) -> String {
        format!("{}; try again at {again}", self.rate)
    }
}

fn refused(why: &dyn fmt::Display) -> SignError {
    SignError::Refused(why.to_string())
}

fn other_content(record: &Record) -> String {
    let slot = record.slot();
    match slot.output {
        Some(output) => {
            format!("`{output}` of the build {} is already signed with other content", slot.invocation)
        }
        None => format!("the failure of the build {} is already signed with other content", slot.invocation),
    }
}
