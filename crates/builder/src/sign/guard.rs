//! What keeps the key out of reach: a user of its own, and a process that nobody can look into.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use super::{LOCAL_DEMO, SignError, SignerConfig};

/// Closes this process to debuggers and other readers of its memory, of the same user too, and lets no crash write the
/// key to a disk. To be called before the key is read.
///
/// # Errors
/// [`SignError::Privileges`] where the system does not let it; nothing may be signed then.
pub fn harden() -> Result<(), SignError> {
    let refused = |what: &str, e: rustix::io::Errno| {
        SignError::Privileges(format!("{what}: {}", std::io::Error::from(e)))
    };
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| refused("its memory cannot be closed to other processes", e))?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|e| refused("core dumps cannot be turned off", e))?;
    match rustix::process::dumpable_behavior() {
        Ok(DumpableBehavior::NotDumpable) => Ok(()),
        _ => Err(SignError::Privileges("its memory is still open to other processes".to_owned())),
    }
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

    /// Only the orchestrator's user is signed for.
    pub(super) fn check_peer(&self, stream: &UnixStream) -> Result<(), SignError> {
        self.check()?;
        let peer =
            rustix::net::sockopt::socket_peercred(stream).map_err(|e| SignError::Io(e.into()))?.uid.as_raw();
        if self.allow_uid == Some(peer) {
            return Ok(());
        }
        if self.builder_id == LOCAL_DEMO {
            let own = rustix::process::geteuid().as_raw();
            let why = format!("user {peer} asks, and the demo's signer signs for its own user, {own}, alone");
            return if peer == own { Ok(()) } else { Err(SignError::Privileges(why)) };
        }
        Err(self.refusal(&format!("user {peer} asks, who is not the one named by --allow-uid")))
    }

    fn refusal(&self, why: &str) -> SignError {
        let id = &self.builder_id;
        SignError::Privileges(format!(
            "{why}; for {id} it needs a user of its own, --allow-uid with the orchestrator's, and a key file (or PIN file) of mode 0600"
        ))
    }
}
