//! Whom to trust, as commands that open bundles ask for it, and what is proven under that.

mod certificate;

use std::path::{Path, PathBuf};

use attest::open::Disowned;
use attest::sigstore::Mismatch;
use attest::statement::Subject;
use attest::{Attestation, Envelope, OpenError, Predicate, Provenance, Role, TrustRoot};
use jiff::Timestamp;
use policy::Submitted;

use crate::clock;
use crate::failure::Failure;
use crate::input;

/// Whom to trust.
#[derive(Debug, clap::Args)]
pub(crate) struct Trust {
    /// The public key that must have signed
    #[arg(long, value_name = "FILE", conflicts_with = "trust_root")]
    key: Option<PathBuf>,
    /// A trust root, one of whose signers must have signed
    #[arg(long, value_name = "FILE")]
    trust_root: Option<PathBuf>,
    /// The time that counts for keys
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    certificate: Box<certificate::Certificates>,
}

/// A trust root at a time.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) root: TrustRoot,
    pub(crate) at: Timestamp,
    /// Whether a key or a certificate alone was named: then nobody said for which builders it speaks.
    pub(crate) is_key: bool,
    /// What somebody chose not to ask for.
    pub(crate) ignored: Vec<&'static str>,
    demands_a_log: bool,
    wanted: Option<certificate::Wanted>,
}

/// Why an envelope does not open.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// It does not hold, or is a stranger's.
    Open(OpenError),
    /// It holds, under another certificate than the wanted one.
    Other(Mismatch),
    /// A key signed it.
    NoCertificate,
    /// A key signed it, and no log that counts has it.
    NotLogged,
}

impl From<Mismatch> for NotOpened {
    fn from(mismatch: Mismatch) -> Self {
        Self::Other(mismatch)
    }
}

impl std::fmt::Display for NotOpened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(e) => e.fmt(f),
            Self::Other(mismatch) => mismatch.fmt(f),
            Self::NoCertificate => f.write_str("it is not signed under a certificate"),
            Self::NotLogged => f.write_str("no log of the Sigstore instance has this signature"),
        }
    }
}

/// A provenance that somebody signed who may speak for its builder.
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    /// Where it lies.
    pub(crate) file: String,
    /// What came out of the build.
    pub(crate) subjects: Vec<Subject>,
    /// How.
    pub(crate) provenance: Provenance,
    /// The name in the trust root of who says so.
    pub(crate) signer: String,
    /// Why builds like this one are recalled.
    pub(crate) recalled: Option<String>,
    /// Whether a rebuilder says so, beside the builder.
    pub(crate) is_rebuild: bool,
}

/// What a bundle turned out to be.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Proven provenance.
    Provenance(Box<Proven>),
    /// Authentic, and something else.
    Other(Attestation),
    /// What a key said that counts no more.
    Disowned(Box<Disowned>),
    /// Nothing is proven; the field says why.
    Not(String),
}

impl Trust {
    /// A trust root that was read already.
    pub(crate) fn of_root(root: TrustRoot, at: Timestamp) -> Trusted {
        Trusted { root, at, is_key: false, ignored: Vec::new(), demands_a_log: false, wanted: None }
    }

    /// One key alone.
    pub(crate) fn of_key(key: &Path, at: Timestamp) -> Result<Trusted, Failure> {
        Ok(Trusted { is_key: true, ..Self::of_root(root_of_key(key, "")?, at) })
    }

    pub(crate) fn read(&self) -> Result<Trusted, Failure> {
        let at = clock::now(self.at.as_deref())?;
        if let Some(path) = &self.trust_root {
            return Ok(Self::of_root(input::trust_root(path)?, at));
        }
        let (flags, ignored) = (&self.certificate, self.certificate.ignored());
        if let Some(path) = &self.key {
            // an entry of a log that is known must hold, whoever signed
            let root = root_of_key(path, &flags.listed(&flags.instance()?))?;
            let demands_a_log = flags.demands_a_log();
            return Ok(Trusted { is_key: true, ignored, demands_a_log, ..Self::of_root(root, at) });
        }
        if !flags.ask_for_a_certificate() {
            return Err(Failure::new("nothing says whom to trust").line(
                "fix",
                "give --key FILE, --trust-root FILE, or --certificate-identity and --certificate-oidc-issuer",
            ));
        }
        let wanted = flags.wanted()?;
        let root = wanted.nobody()?;
        Ok(Trusted { is_key: true, ignored, wanted: Some(wanted), ..Self::of_root(root, at) })
    }
}

fn root_of_key(path: &Path, more: &str) -> Result<TrustRoot, Failure> {
    let pem = input::text("public key", path)?;
    let key = attest::PublicKey::from_pem(&pem).map_err(|e| {
        Failure::new(&format!("the public key {} cannot be used", path.display()))
            .line("found", &e.to_string())
    })?;
    let indented: String = key.to_pem().lines().map(|l| format!("          {l}\n")).collect();
    let text = format!("version: 1\n{more}signers:\n  the key:\n    keys:\n      - key: |\n{indented}");
    TrustRoot::parse("--key", &text).map_err(|e| Failure::load("trust-root-invalid", e))
}

impl Trusted {
    /// The Sigstore instances that count, for people.
    pub(crate) fn instances(&self) -> String {
        self.root.instances().map(attest::sigstore::Instance::name).collect::<Vec<_>>().join(" or ")
    }

    /// Opens an envelope for whoever was named.
    pub(crate) fn unseal(&self, envelope: &Envelope) -> Result<Attestation, NotOpened> {
        if let Some(wanted) = &self.wanted {
            return wanted.open(&self.root, envelope, self.at);
        }
        let attestation = self.root.open(envelope, self.at).map_err(NotOpened::Open)?;
        if self.demands_a_log && attestation.logged().is_empty() {
            return Err(NotOpened::NotLogged);
        }
        Ok(attestation)
    }

    /// Opens a bundle for its provenance.
    pub(crate) fn open(&self, submitted: &Submitted) -> Opened {
        let envelope = match Envelope::parse(&submitted.bytes) {
            Ok(envelope) => envelope,
            Err(e) => return Opened::Not(format!("cannot be read: {e}")),
        };
        match self.unseal(&envelope) {
            Ok(attestation) => self.read(&submitted.name, &attestation),
            Err(e) => match self.root.disowned(&envelope, self.at) {
                Some(disowned) => Opened::Disowned(Box::new(disowned)),
                None => Opened::Not(e.to_string()),
            },
        }
    }

    /// The proven provenance in a bundle, or why there is none.
    pub(crate) fn prove(&self, submitted: &Submitted) -> Result<Proven, String> {
        match self.open(submitted) {
            Opened::Provenance(proven) => Ok(*proven),
            Opened::Other(attestation) => {
                let kind = attestation.statement().predicate.kind();
                Err(format!("it is a {kind}, and says nothing of a build"))
            }
            Opened::Disowned(disowned) => Err(disowned.reason.to_string()),
            Opened::Not(why) => Err(why),
        }
    }

    fn read(&self, file: &str, attestation: &Attestation) -> Opened {
        let statement = attestation.statement();
        let Predicate::Provenance(provenance) = &statement.predicate else {
            return Opened::Other(attestation.clone());
        };
        let Some((signer, is_rebuild)) = self.speaker(attestation, provenance) else {
            let names: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
            let id = &provenance.builder_id;
            return Opened::Not(format!(
                "signed by {}, who may not speak for the builder {id}",
                names.join(", ")
            ));
        };
        Opened::Provenance(Box::new(Proven {
            file: file.to_owned(),
            subjects: statement.subjects.clone(),
            provenance: (**provenance).clone(),
            recalled: self.recall(&signer, provenance),
            signer,
            is_rebuild,
        }))
    }

    /// Who of the signers may say this, and whether only as a rebuilder.
    fn speaker(&self, attestation: &Attestation, provenance: &Provenance) -> Option<(String, bool)> {
        let signers = attestation.signers();
        if self.is_key {
            return signers.first().map(|s| (s.name.clone(), false));
        }
        let is_certified = attestation.disagreements().is_empty();
        let builder = signers.iter().find(|s| is_certified && self.is_builder(&s.name, provenance));
        let rebuilder = signers.iter().find(|s| s.roles.contains(&Role::Rebuilder));
        builder.map(|s| (s.name.clone(), false)).or(rebuilder.map(|s| (s.name.clone(), true)))
    }

    /// Whether the trust root lets this name speak for the builder that the record claims.
    pub(crate) fn is_builder(&self, name: &str, provenance: &Provenance) -> bool {
        let builder = self.root.principal(name).and_then(|p| p.builder.as_ref());
        builder.is_some_and(|b| b.may_claim(&provenance.builder_id))
    }

    /// Why builds of this name like this one are recalled.
    pub(crate) fn recall(&self, name: &str, provenance: &Provenance) -> Option<String> {
        let builder = self.root.principal(name)?.builder.as_ref()?;
        builder.recall_of(provenance).map(|recall| recall.reason.clone())
    }
}

impl Proven {
    /// `shop@sha256:9f3c…1a04`: what came out first.
    pub(crate) fn short(&self) -> String {
        self.subjects.first().map(short).unwrap_or_default()
    }
}

/// `shop@sha256:9f3c…1a04`.
pub(crate) fn short(subject: &Subject) -> String {
    let digest = subject.digests.first().map(|d| d.short()).unwrap_or_default();
    policy::one_line(&if subject.name.is_empty() { digest } else { format!("{}@{digest}", subject.name) })
}
