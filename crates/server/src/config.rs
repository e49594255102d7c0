//! What the operator of a build service says: a file, reviewed like code.

pub(crate) mod read;

use std::path::PathBuf;

use attest::LoadError;
use attest::time::Span;
use attest::yaml::{Node, Problems};
use jsonwebtoken::Algorithm;

use crate::identity::Identity;

pub(crate) use read::issuer;

/// A complete configuration with everything that can be said, as the documentation shows it.
pub const EXAMPLE: &str = include_str!("config/example.yaml");

/// The configuration of a build service.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on, as in `0.0.0.0:8443`.
    pub listen: String,
    /// The service's own certificate chain and its key, PEM.
    pub tls: KeyPair,
    /// Who may come with a certificate; nothing where nobody may.
    pub certificates: Option<Certificates>,
    /// Who may come with a token.
    pub issuers: Vec<Issuer>,
    /// What may be built, and by whom.
    pub repositories: Vec<Repository>,
    /// Where the queue, logs and outputs are kept.
    pub state: PathBuf,
    /// The store of inputs.
    pub store: PathBuf,
    /// The signer's socket.
    pub signer: PathBuf,
    /// How builds run.
    pub builds: Builds,
    /// How much may wait.
    pub queue: QueueLimits,
}

/// A certificate chain and its key.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The key of the leaf.
    pub key: PathBuf,
}

/// How a client's certificate becomes an identity.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authorities that may issue client certificates, PEM.
    pub ca: PathBuf,
    /// Which name in the certificate is the identity.
    pub identity: CertificateName,
}

/// Which name in a certificate counts. One of them, so that a certificate never has two identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// The one URI among the subject's alternative names, as SPIFFE has it.
    Uri,
    /// The one e-mail address among the subject's alternative names.
    Email,
    /// The subject's common name.
    CommonName,
}

/// An issuer of tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The exact `iss`.
    pub issuer: String,
    /// The exact `aud`.
    pub audience: String,
    /// The one algorithm that its tokens are signed with: a token never chooses.
    pub algorithm: Algorithm,
    /// Where its keys are.
    pub keys: Keys,
    /// The claim that is the identity.
    pub identity: String,
    /// Claims that must be there, with these values.
    pub claims: Vec<(String, String)>,
}

/// Where an issuer's keys (a JWK set) are.
#[derive(Clone, Debug)]
pub enum Keys {
    /// In a file that somebody else keeps fresh.
    File(PathBuf),
    /// At an https address.
    Url {
        /// The address.
        url: String,
        /// The authorities that may vouch for it, PEM; nothing means those of this machine.
        ca: Option<PathBuf>,
    },
}

/// A repository that may be built.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its URL, exactly as requests must name it.
    pub url: String,
    /// The branch from which every commit that is built must descend.
    pub protected: String,
    /// The refs that may be asked for; a `*` at the end stands for any rest.
    pub refs: Vec<String>,
    /// Who may ask for builds, cancel them, and read them.
    pub may_build: Vec<Identity>,
    /// Who may only read.
    pub may_read: Vec<Identity>,
}

/// How builds run.
#[derive(Clone, Debug)]
pub struct Builds {
    /// How many run at once.
    pub at_once: usize,
    /// The sandbox, as `portcullis build --sandbox` takes it; nothing means its default.
    pub sandbox: Option<String>,
    /// A program and its arguments; ending with 0 says that this machine can build. Nothing is built before. Empty means
    /// that there is none beside each build's own canary.
    pub canary: Vec<String>,
    /// How long the source and inputs of builds are kept; nothing means the build's default.
    pub retention: Option<Span>,
    /// Whom to believe about inputs that are other builds' artifacts.
    pub trust_root: Option<PathBuf>,
    /// Other hosts from which inputs may be fetched.
    pub hosts: Vec<String>,
    /// Where inputs are fetched from instead: the start of a URI, and what stands there then.
    pub mirrors: Vec<(String, String)>,
    /// How long the service waits for running builds when it is told to stop.
    pub drain: Span,
    /// How long one build may take with everything around its command.
    pub time: Span,
    /// How many bytes of a build's log are kept.
    pub log: u64,
    /// How long outputs and logs are kept after the end of a build.
    pub keep: Span,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Builds that wait, in all.
    pub waiting: u64,
    /// Builds that wait for one identity.
    pub waiting_each: u64,
}

impl Config {
    /// Parses a configuration. Relative paths are relative to the folder of the service's process.
    ///
    /// # Errors
    /// All problems, each with its place and how to mend it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let node = Node::parse(file, text).map_err(|e| vec![e])?;
        let mut problems = Problems::new();
        let config = read::config(&node, &mut problems);
        problems.finish(config)
    }

    /// The repository of a URL.
    #[must_use]
    pub fn repository(&self, url: &str) -> Option<&Repository> {
        self.repositories.iter().find(|r| r.url == url)
    }
}

impl Repository {
    /// Whether this ref may be asked for.
    #[must_use]
    pub fn allows_ref(&self, reference: &str) -> bool {
        self.refs.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => reference.starts_with(start),
            None => reference == pattern,
        })
    }
}
