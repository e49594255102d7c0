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
use std::time::Duration;

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::{Digest, Json, Object, Signer};
use tlog::{Files, Log};

use crate::record::BuildRecord;

/// The builder id that needs no user of its own, and that only a demo's trust root admits.
pub const LOCAL_DEMO: &str = "https://portcullis.dev/builders/local-demo";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const MAX_RECORD: u64 = 4 << 20;

/// What a signer works with.
#[derive(Debug)]
pub struct SignerConfig {
    /// The builder id it signs as.
    pub builder_id: String,
    /// The key file, whose owner and mode are checked.
    pub key_file: PathBuf,
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
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(SignError::Io)?;
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
    let mut line = String::new();
    BufReader::new(stream.take(MAX_RECORD)).read_line(&mut line).map_err(SignError::Io)?;
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

/// A production key is held by a user who is neither root nor the one who asks, and only that user can read it.
fn check_privileges(stream: &UnixStream, config: &SignerConfig) -> Result<(), SignError> {
    if config.builder_id == LOCAL_DEMO {
        return Ok(());
    }
    let own = rustix::process::geteuid().as_raw();
    let peer =
        rustix::net::sockopt::socket_peercred(stream).map_err(|e| SignError::Io(e.into()))?.uid.as_raw();
    let metadata = std::fs::metadata(&config.key_file).map_err(SignError::Io)?;
    let why = if own == 0 {
        "it runs as root"
    } else if own == peer {
        "it runs as the same user as the build"
    } else if metadata.uid() != own {
        "the key file belongs to another user"
    } else if metadata.mode() & 0o077 != 0 {
        "the key file can be read by others"
    } else {
        return Ok(());
    };
    let id = &config.builder_id;
    Err(SignError::Privileges(format!(
        "{why}; for {id} it needs a user of its own, and a key file of mode 0600"
    )))
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
