//! Keys, logs and trust roots as files: what `init`, `demo` and `build` set up.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attest::note::NoteKey;
use attest::{Scheme, SecretKey, Signer as _};
use tlog::{Files, Log, LogSigner, OpenLogError};

use crate::command::keygen::{make, write_new};
use crate::failure::Failure;

/// Makes a folder and its parents.
pub(crate) fn folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|e| Failure::io("make the folder", path, &e))
}

/// Writes a file that a person will read or edit.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    tlog::write_durably(path, text.as_bytes()).map_err(|e| Failure::io("write", path, &e))
}

/// The key in a file, unencrypted; made where there is none yet.
pub(crate) fn key(path: &Path, scheme: Scheme) -> Result<SecretKey, Failure> {
    if !path.exists() {
        let key = make(scheme)?;
        let pem = key
            .to_pem(None)
            .map_err(|e| Failure::new("the key cannot be written").line("found", &e.to_string()))?;
        write_new(path, pem.as_bytes(), 0o600)?;
        write(&path.with_extension("pub"), &key.public().to_pem())?;
        return Ok(key);
    }
    let pem = crate::input::text("private key", path)?;
    SecretKey::from_pem(&pem, None).map_err(|e| {
        Failure::new(&format!("the private key {} cannot be used", path.display()))
            .line("found", &e.to_string())
    })
}

/// The key that signs a log, made where there is none yet.
fn signing_key(key_file: &Path) -> Result<SecretKey, Failure> {
    let signer = key(key_file, Scheme::Ed25519)?;
    // the notes of checkpoints know no other; a log whose key nobody can check would be found out too late
    if signer.public().scheme() != Scheme::Ed25519 {
        return Err(Failure::new(&format!("{} cannot sign a log", key_file.display()))
            .line("wanted", "an Ed25519 key")
            .line("found", &format!("a key for {}", signer.public().scheme().name()))
            .line("fix", "portcullis keygen NAME --algorithm ed25519 --no-passphrase"));
    }
    Ok(signer)
}

/// The key of a log that is there, or is shared: never a new one.
pub(crate) fn log_signer(key_file: &Path) -> Result<Arc<LogSigner>, Failure> {
    crate::input::text("log's key", key_file)?;
    Ok(Arc::new(signing_key(key_file)?))
}

/// The log in a folder, made where there is none yet, with its verifier key beside it in `log.vkey`.
pub(crate) fn log(dir: &Path, origin: &str, key_file: &Path) -> Result<Log<Files>, Failure> {
    let files = Files::new(dir);
    let signer = || signing_key(key_file).map(Box::new);
    let failed = |e: OpenLogError| {
        let failure = Failure::new(&format!("the log in {} cannot be used", dir.display()));
        let failure = failure.line("found", &e.to_string());
        match e {
            OpenLogError::Read(_)
            | OpenLogError::Root
            | OpenLogError::Checkpoint
            | OpenLogError::Journal(_) => failure
                .line(
                    "fix",
                    "keep this copy for the investigation, and restore the log from a backup or a mirror",
                )
                .line("or", "where it is whole, and the key another one: name the log's own key and origin"),
            _ => failure,
        }
    };
    match Log::open(files.clone(), origin, signer()?) {
        Err(OpenLogError::None) => {
            // a log without its checkpoint is no new log: a second tree over the first would be a fork
            if let Some(part) = ["tile", "journal", "blobs"].iter().find(|part| dir.join(part).exists()) {
                return Err(Failure::new(&format!("the log in {} has no checkpoint", dir.display()))
                    .line("wanted", "the file `checkpoint`, or an empty folder for a new log")
                    .line("found", &format!("{part}, and no checkpoint"))
                    .line("fix", "restore the checkpoint from a backup or a mirror; never begin a new log over an old one"));
            }
            let signer = signer()?;
            let vkey = NoteKey { name: origin.to_owned(), key: signer.public().clone() }.to_vkey();
            let log = Log::create(files, origin, signer).map_err(failed)?;
            write(&dir.join("log.vkey"), &format!("{vkey}\n"))?;
            Ok(log)
        }
        other => other.map_err(failed),
    }
}

/// A key under a name, as a trust root lists it, `indent` blanks deep.
pub(crate) fn listed(key: &SecretKey, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let body: String = key.public().to_pem().lines().map(|l| format!("{pad}    {l}\n")).collect();
    format!("{pad}- key: |\n{body}")
}

/// A verifier key in a trust root.
pub(crate) fn vkey(dir: &Path) -> Result<String, Failure> {
    Ok(crate::input::text("log's key", &dir.join("log.vkey"))?.trim().to_owned())
}

/// The folder in which this user's state or cache is kept.
pub(crate) fn home(below: &str) -> Result<PathBuf, Failure> {
    let home = std::env::home_dir().filter(|h| h.is_absolute());
    home.map(|h| h.join(below)).ok_or_else(|| {
        Failure::new("this user has no home folder").line("fix", "say where: --state DIR and --store DIR")
    })
}

/// A new name for one run of a build, which nobody else gives to another.
pub(crate) fn invocation() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(attest::digest::to_hex(&bytes))
}

/// A number from 0 to 99 that nobody can guess.
pub(crate) fn percent() -> Result<u8, Failure> {
    let mut bytes = [0; 2];
    random(&mut bytes)?;
    Ok(u8::try_from(u16::from_le_bytes(bytes) % 100).unwrap_or(0))
}

fn random(bytes: &mut [u8]) -> Result<(), Failure> {
    let source = Path::new("/dev/urandom");
    let read = fs::File::open(source).and_then(|mut file| file.read_exact(bytes));
    read.map_err(|e| Failure::io("read randomness from", source, &e))
}
