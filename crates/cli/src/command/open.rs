//! `portcullis open BUNDLE INPUT`: steps one and two alone.

use std::path::PathBuf;

use attest::digest::DigestSet;
use attest::{Artifact, Envelope, Json, Object, OpenError, TrustRoot};

use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

/// Is this bundle authentic, and is it about this artifact?
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  portcullis open shop.sigstore.json ./shop --key ci.pub
  portcullis open shop.sigstore.json sha256:9f3c… --trust-root trust-root.yaml")]
pub(crate) struct Args {
    /// The bundle, envelope or JWT
    bundle: PathBuf,
    /// A file, or sha256:HEX
    input: String,
    /// The public key that must have signed
    #[arg(long, value_name = "FILE", conflicts_with = "trust_root")]
    key: Option<PathBuf>,
    /// A trust root, one of whose signers must have signed
    #[arg(long, value_name = "FILE")]
    trust_root: Option<PathBuf>,
    /// The identity in the certificate (certificates are not supported yet)
    #[arg(long, value_name = "IDENTITY")]
    certificate_identity: Option<String>,
    /// The issuer in the certificate (certificates are not supported yet)
    #[arg(long, value_name = "URL")]
    certificate_oidc_issuer: Option<String>,
    /// Sigstore's trusted root (certificates are not supported yet)
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// The time that counts for keys
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub(crate) fn run(args: &Args, output: &Output) -> Result<Exit, Failure> {
    if args.certificate_identity.is_some()
        || args.certificate_oidc_issuer.is_some()
        || args.trusted_root.is_some()
    {
        return Err(not_supported());
    }
    let submitted = input::bundle(&args.bundle)?;
    let root = trust_root(args)?;
    let at = clock::now(args.at.as_deref())?;
    let refused = |what: &str, why: &str| Failure::new(what).line("found", why).found();
    let envelope = Envelope::parse(&submitted.bytes)
        .map_err(|e| refused(&format!("{} cannot be read", submitted.name), &e.to_string()))?;
    if envelope.needs_certificate() {
        return Err(not_supported());
    }
    let attestation = root.open(&envelope, at).map_err(|e| match e {
        OpenError::CertificateNotSupported => not_supported(),
        OpenError::UnknownSigner if args.key.is_some() => refused(
            &format!("{} is not authentic", submitted.name),
            "no signature on it verifies under the key that was given",
        )
        .line("fix", "give the key of the one who signed it, or the bundle that this key signed"),
        e => refused(&format!("{} is not authentic", submitted.name), &e.to_string()),
    })?;
    let digests: DigestSet = input::digests(&args.input, &envelope.mentioned_algorithms())?;
    let artifact = Artifact::new(&args.input, digests);
    let evidence = attestation.about(&artifact).map_err(|e| {
        let found = e.found.map_or("nothing with a digest that decides".to_owned(), |d| d.to_string());
        let wanted = e.wanted.map(|d| d.to_string()).unwrap_or_default();
        let subjects = if e.subjects > 1 { format!(" and {} more", e.subjects - 1) } else { String::new() };
        Failure::new("the bundle is authentic, and applies to another artifact")
            .line("wanted", &wanted)
            .line("found", &format!("{found}{subjects}"))
            .line("fix", "submit the bundle of this artifact, or the artifact of this bundle")
            .found()
    })?;
    let statement = attestation.statement();
    let human = format!(
        "authentic, and about {}\n  says      {} ({})\n  signed by {}\n",
        args.input,
        evidence.predicate().kind(),
        statement.predicate_type,
        evidence.signer_names(),
    );
    output.result(&human, || {
        let signers: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
        let subjects = statement.subjects.iter().map(|s| {
            Json::from(Object::new().with("name", s.name.as_str()).with("digest", s.digests.to_json()))
        });
        let object = Object::new()
            .with("authentic", true)
            .with("about", args.input.as_str())
            .with("signed_by", signers)
            .with("predicate_type", statement.predicate_type.as_str())
            .with("subjects", Json::Array(subjects.collect()))
            .with("envelope", attestation.envelope().to_string());
        Json::from(object)
    });
    Ok(Exit::Clean)
}

fn trust_root(args: &Args) -> Result<TrustRoot, Failure> {
    if let Some(path) = &args.trust_root {
        return input::trust_root(path);
    }
    let Some(path) = &args.key else {
        return Err(
            Failure::new("nothing says whom to trust").line("fix", "give --key FILE or --trust-root FILE")
        );
    };
    let pem = input::text("public key", path)?;
    let key = attest::PublicKey::from_pem(&pem).map_err(|e| {
        Failure::new(&format!("the public key {} cannot be used", path.display()))
            .line("found", &e.to_string())
    })?;
    let indented: String = key.to_pem().lines().map(|l| format!("          {l}\n")).collect();
    let text = format!("version: 1\nsigners:\n  the key:\n    keys:\n      - key: |\n{indented}");
    TrustRoot::parse("--key", &text).map_err(|e| Failure::load("trust-root-invalid", e))
}

fn not_supported() -> Failure {
    Failure::new("certificate-based bundles are not supported yet")
        .line("wanted", "a bundle signed with a key")
        .line("fix", "sign with a key: cosign attest-blob --key, or portcullis attest")
}
