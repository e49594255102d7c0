//! The signer: a process of its own, the only one that holds the builder's key.
//!
//! It speaks over a Unix socket, one record in and one bundle out. It signs nothing but provenance that it writes
//! itself from a record, and logs every signature before it answers. For any builder id but the demo's it insists on
//! a user of its own, so that nothing that a build or the orchestrator does can reach the key.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Digest, Json, Object, Signer};
use tlog::{Files, Log};

use crate::record::BuildRecord;

/// The builder id that needs no user of its own, and that only a demo's trust root admits.
pub const LOCAL_DEMO: &str = "https://portcullis.dev/builders/local-demo";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const MAX_RECORD: usize = 4 << 20;

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
}

/// Why nothing was signed.
#[derive(Debug)]
pub enum SignError {
    /// The socket failed.
    Io(io::Error),
    /// The signer has no user of its own.
    Privileges(String),
    /// The signer refused; the field is why.
    Refused(String),
    /// The answer cannot be read.
    Answer,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "the signer cannot be reached: {e}"),
            Self::Privileges(why) => write!(f, "the signer refuses to sign: {why}"),
            Self::Refused(why) => write!(f, "the signer refused: {why}"),
            Self::Answer => f.write_str("the signer gave an answer that cannot be read"),
        }
    }
}
impl std::error::Error for SignError {}

/// Serves requests on a socket.
///
/// # Errors
/// [`SignError`] where the socket fails or the log stops. A request that is refused does not end the signer.
pub fn serve(
    listener: &UnixListener,
    config: &SignerConfig,
    signer: &dyn Signer,
    log: &mut Log<Files>,
) -> Result<(), SignError> {
    let mut served = 0;
    while config.requests.is_none_or(|limit| served < limit) {
        let (stream, _) = listener.accept().map_err(SignError::Io)?;
        stream.set_write_timeout(Some(Duration::from_secs(10))).map_err(SignError::Io)?;
        let answer = match answer(&stream, config, signer, log) {
            Ok(bundle) => Object::new().with("bundle", bundle),
            Err(e) => Object::new().with("error", e.to_string()),
        };
        // a requester that went away loses nothing but its answer: the signature is in the log
        writeln!(&stream, "{answer}").ok();
        served += 1;
    }
    Ok(())
}

fn answer(
    stream: &UnixStream,
    config: &SignerConfig,
    signer: &dyn Signer,
    log: &mut Log<Files>,
) -> Result<Json, SignError> {
    // the request is read whole before anything is answered: who is refused early could not read why
    let line = read_request(stream).map_err(SignError::Io)?;
    check_privileges(stream, config)?;
    let refuse = |why: String| SignError::Refused(why);
    let json = attest::json::parse(line.trim_end().as_bytes()).map_err(|e| refuse(e.to_string()))?;
    let record = BuildRecord::read(&json).map_err(|e| refuse(e.to_string()))?;
    let statement = record.statement(&config.builder_id, VERSION);
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[signer]).map_err(|e| refuse(e.to_string()))?;
    let envelope = Digest::sha256(dsse.to_json().to_string().as_bytes());
    let body = attest::open::leaf_body(&dsse, &envelope, signer.public());
    let receipt = log.append(&body).map_err(|e| refuse(e.to_string()))?;
    Ok(Bundle::write(&dsse, &signer.public().id(), &[receipt.to_entry(&body)]))
}

/// One line, within a size and one deadline for all of it: a requester that sends a byte now and then holds nobody up.
fn read_request(mut stream: &UnixStream) -> io::Result<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    while !bytes.ends_with(b"\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > MAX_RECORD {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer)? {
            0 => break,
            n => bytes.extend(buffer.get(..n).unwrap_or_default()),
        }
    }
    String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

impl SignerConfig {
    /// A production key is held by a user who is not root, who alone can read it, and who knows whom to sign for.
    ///
    /// # Errors
    /// [`SignError::Privileges`] saying what is missing.
    pub fn check(&self) -> Result<(), SignError> {
        if self.builder_id == LOCAL_DEMO {
            return Ok(());
        }
        let own = rustix::process::geteuid().as_raw();
        let metadata = std::fs::metadata(&self.secret_file).map_err(SignError::Io)?;
        if own == 0 {
            Err(self.refusal("it runs as root"))
        } else if metadata.uid() != own {
            Err(self.refusal("the file with its key or PIN belongs to another user"))
        } else if metadata.mode() & 0o077 != 0 {
            Err(self.refusal("the file with its key or PIN can be read by others"))
        } else if self.allow_uid.is_none_or(|uid| uid == own) {
            Err(self.refusal("--allow-uid does not name another user, the orchestrator's"))
        } else {
            Ok(())
        }
    }

    fn refusal(&self, why: &str) -> SignError {
        let id = &self.builder_id;
        SignError::Privileges(format!(
            "{why}; for {id} it needs a user of its own, --allow-uid with the orchestrator's, and a key file of mode 0600"
        ))
    }
}

/// Only the orchestrator's user is signed for.
fn check_privileges(stream: &UnixStream, config: &SignerConfig) -> Result<(), SignError> {
    config.check()?;
    let peer =
        rustix::net::sockopt::socket_peercred(stream).map_err(|e| SignError::Io(e.into()))?.uid.as_raw();
    if config.builder_id == LOCAL_DEMO || config.allow_uid == Some(peer) {
        return Ok(());
    }
    Err(config.refusal(&format!("user {peer} asks, who is not the one named by --allow-uid")))
}

/// Asks the signer at a socket for a bundle.
///
/// # Errors
/// [`SignError`] with what the signer said.
pub fn request_signature(socket: &Path, record: &BuildRecord) -> Result<Json, SignError> {
    let mut stream = UnixStream::connect(socket).map_err(SignError::Io)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(SignError::Io)?;
    writeln!(stream, "{}", record.to_json()).map_err(SignError::Io)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(SignError::Io)?;
    let json = attest::json::parse(line.trim_end().as_bytes()).or(Err(SignError::Answer))?;
    let object = json.as_object().or(Err(SignError::Answer))?;
    if let Ok(Some(why)) = object.optional_string("error") {
        return Err(SignError::Refused(why.to_owned()));
    }
    object.get("bundle").cloned().ok_or(SignError::Answer)
}
