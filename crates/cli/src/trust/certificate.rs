//! Whose certificate must have signed, in the words of cosign's flags; and the Sigstore instance that must have issued it.

use std::path::PathBuf;

use attest::sigstore::{Certificate, EMBEDDED, Instance, Mismatch, contents};
use attest::{Envelope, Json, OpenError, TrustRoot};
use jiff::Timestamp;
use regex::Regex;

use super::NotOpened;
use crate::failure::Failure;
use crate::input;

/// Whose certificate, and which instance.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Certificates")]
pub(crate) struct Certificates {
    /// The identity in the certificate, exactly
    #[arg(long, value_name = "IDENTITY", conflicts_with_all = ["key", "trust_root"])]
    certificate_identity: Option<String>,
    /// A pattern for the WHOLE identity. cosign takes one that matches anywhere in it, so that
    /// `https://github.com/acme` also lets in `https://evil.example/?https://github.com/acme`; here it does not:
    /// write `https://github.com/acme/.*`
    #[arg(long, value_name = "REGEXP", conflicts_with_all = ["certificate_identity", "key", "trust_root"])]
    certificate_identity_regexp: Option<String>,
    /// The issuer in the certificate, exactly
    #[arg(long, value_name = "URL", conflicts_with_all = ["key", "trust_root"])]
    certificate_oidc_issuer: Option<String>,
    /// A pattern for the WHOLE issuer
    #[arg(long, value_name = "REGEXP", conflicts_with_all = ["certificate_oidc_issuer", "key", "trust_root"])]
    certificate_oidc_issuer_regexp: Option<String>,
    /// What must have started the workflow, as in push
    #[arg(long, value_name = "EVENT", conflicts_with_all = ["key", "trust_root"])]
    certificate_github_workflow_trigger: Option<String>,
    /// The commit that the workflow must have run on
    #[arg(long, value_name = "SHA", conflicts_with_all = ["key", "trust_root"])]
    certificate_github_workflow_sha: Option<String>,
    /// The workflow's name; anybody may call his so
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "trust_root"])]
    certificate_github_workflow_name: Option<String>,
    /// The repository of the workflow, as in acme/shop
    #[arg(long, value_name = "OWNER/NAME", conflicts_with_all = ["key", "trust_root"])]
    certificate_github_workflow_repository: Option<String>,
    /// The ref of the workflow, as in refs/heads/main
    #[arg(long, value_name = "REF", conflicts_with_all = ["key", "trust_root"])]
    certificate_github_workflow_ref: Option<String>,
    /// The Sigstore instance's trusted root; the public good instance's without
    #[arg(long, value_name = "FILE", conflicts_with = "trust_root")]
    trusted_root: Option<PathBuf>,
    /// A Sigstore instance whose trusted root comes with Portcullis: public-good, staging or github
    #[arg(long, value_name = "NAME", conflicts_with_all = ["trusted_root", "trust_root"])]
    instance: Option<String>,
    /// Do not ask for an entry in a log: only with --key, or where the instance has no log
    #[arg(long, visible_alias = "private-infrastructure", conflicts_with = "trust_root")]
    insecure_ignore_tlog: bool,
    /// Do not ask for the certificate's entry in a log: only where the instance has no such log
    #[arg(long, conflicts_with = "trust_root")]
    insecure_ignore_sct: bool,
}

/// Whose certificate it must be.
#[derive(Debug)]
pub(crate) struct Wanted {
    identity: Text,
    issuer: Text,
    claims: Vec<(&'static str, String)>,
    /// The instance, as a trust root lists it.
    listed: String,
}

#[derive(Debug)]
enum Text {
    Exactly(String),
    /// As it was written, and with its ends.
    Matching(String, Regex),
}

impl Text {
    fn check(&self, what: &'static str, found: &str) -> Result<(), Mismatch> {
        let wanted = match self {
            Self::Exactly(text) if text == found => return Ok(()),
            Self::Matching(_, pattern) if pattern.is_match(found) => return Ok(()),
            Self::Exactly(text) => text.clone(),
            Self::Matching(text, _) => format!("that all of it matches {text}"),
        };
        Err(Mismatch { what, wanted, found: Some(found.to_owned()) })
    }
}

impl Certificates {
    /// Whether they ask for a certificate.
    pub(super) fn ask_for_a_certificate(&self) -> bool {
        [
            &self.certificate_identity,
            &self.certificate_identity_regexp,
            &self.certificate_oidc_issuer,
            &self.certificate_oidc_issuer_regexp,
        ]
        .iter()
        .any(|flag| flag.is_some())
            || !self.claims().is_empty()
    }

    /// Whether a key's signature must be in a log, too: where somebody says which log it would be, and does not say no.
    pub(super) fn demands_a_log(&self) -> bool {
        (self.trusted_root.is_some() || self.instance.is_some()) && !self.insecure_ignore_tlog
    }

    /// What is not asked for, for whoever reads the result.
    pub(super) fn ignored(&self) -> Vec<&'static str> {
        let all =
            [(self.insecure_ignore_tlog, "a log entry"), (self.insecure_ignore_sct, "a certificate log")];
        all.into_iter().filter_map(|(is_ignored, what)| is_ignored.then_some(what)).collect()
    }

    fn claims(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("trigger", &self.certificate_github_workflow_trigger),
            ("commit", &self.certificate_github_workflow_sha),
            ("workflow name", &self.certificate_github_workflow_name),
            ("repository", &self.certificate_github_workflow_repository),
            ("ref", &self.certificate_github_workflow_ref),
        ];
        all.into_iter().filter_map(|(what, flag)| Some((what, flag.clone()?))).collect()
    }

    /// The instance that counts.
    pub(super) fn instance(&self) -> Result<Instance, Failure> {
        let failed = |e: attest::sigstore::InstanceError| {
            Failure::new("the Sigstore instance cannot be used").line("found", &e.to_string()).line(
                "fix",
                "give the instance's trusted_root.json with --trusted-root, or a name with --instance",
            )
        };
        match (&self.trusted_root, &self.instance) {
            (Some(file), _) => {
                Instance::parse("trusted-root", &input::text("trusted root", file)?).map_err(failed)
            }
            (None, Some(name)) => {
                Instance::embedded(name).map_err(|e| failed(e).line("wanted", &EMBEDDED.join(", ")))
            }
            (None, None) => Instance::embedded("public-good").map_err(failed),
        }
    }

    /// The instance as a trust root lists it. One that comes with Portcullis is named: its text need not be read again.
    pub(super) fn listed(&self, instance: &Instance) -> String {
        let text = if self.trusted_root.is_some() { instance.text() } else { "embedded" };
        let [name, text] = [instance.name(), text].map(|text| Json::from(text).to_string());
        format!("sigstore: {{ {name}: {{ trusted-root: {text} }} }}\n")
    }

    /// Whose certificate it must be; every flag that only widens is refused where it would hide what is missing.
    pub(super) fn wanted(&self) -> Result<Wanted, Failure> {
        let missing = |what: &str, flags: &str| {
            Failure::new(&format!("nothing says which {what} the certificate must have"))
                .line("fix", &format!("give {flags}: any certificate of the instance would do otherwise"))
        };
        let identity = text(&self.certificate_identity, &self.certificate_identity_regexp)?
            .ok_or_else(|| missing("identity", "--certificate-identity or --certificate-identity-regexp"))?;
        let issuer =
            text(&self.certificate_oidc_issuer, &self.certificate_oidc_issuer_regexp)?.ok_or_else(|| {
                missing("issuer", "--certificate-oidc-issuer or --certificate-oidc-issuer-regexp")
            })?;
        let instance = self.instance()?;
        let has = |kind: &str| {
            let parts = contents(instance.text())
                .map_err(|e| Failure::new("the trusted root cannot be read").line("found", &e.to_string()))?;
            Ok::<_, Failure>(parts.iter().any(|part| part.kind == kind))
        };
        if self.insecure_ignore_tlog && has("log")? {
            return Err(Failure::new("--insecure-ignore-tlog cannot be used here")
                .line(
                    "found",
                    "a certificate counts for minutes, and this instance's log says when it signed",
                )
                .line("fix", "leave the flag out, or give a trusted root without a log"));
        }
        if self.insecure_ignore_sct && has("certificate log")? {
            return Err(Failure::new("--insecure-ignore-sct cannot be used here")
                .line(
                    "found",
                    "this instance's certificates are logged, so one that is not was never issued openly",
                )
                .line("fix", "leave the flag out, or give a trusted root without a certificate log"));
        }
        Ok(Wanted { identity, issuer, claims: self.claims(), listed: self.listed(&instance) })
    }
}

fn text(exact: &Option<String>, pattern: &Option<String>) -> Result<Option<Text>, Failure> {
    let Some(pattern) = pattern else { return Ok(exact.clone().map(Text::Exactly)) };
    let failed = |e: regex::Error| {
        let why = e.to_string();
        let last = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Failure::new(&format!("`{}` is no pattern", policy::one_line(pattern))).line("found", last)
    };
    // alone first: a parenthesis in it must not end the one around it
    Regex::new(pattern).map_err(failed)?;
    let whole = Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(failed)?;
    Ok(Some(Text::Matching(pattern.clone(), whole)))
}

impl Wanted {
    /// Nobody's trust root: everything under it that is good is somebody unknown, who can then be looked at.
    pub(super) fn nobody(&self) -> Result<TrustRoot, Failure> {
        self.root("nobody", "nobody")
    }

    /// The trust root of one identity.
    fn root(&self, identity: &str, issuer: &str) -> Result<TrustRoot, Failure> {
        let quoted = |text: &str| Json::from(text).to_string();
        let text = format!(
            "version: 1\n{}signers:\n  the certificate:\n    \
             certificate-identities: [{{ identity: {}, issuer: {} }}]\n",
            self.listed,
            quoted(identity),
            quoted(issuer),
        );
        TrustRoot::parse("--certificate-identity", &text).map_err(|e| Failure::load("trust-root-invalid", e))
    }

    /// Opens what is signed under the wanted certificate. Who signed is learnt from a certificate that holds, compared, and
    /// only then trusted.
    pub(super) fn open(
        &self,
        nobody: &TrustRoot,
        envelope: &Envelope,
        at: Timestamp,
    ) -> Result<attest::Attestation, NotOpened> {
        let found = match nobody.open(envelope, at) {
            Err(OpenError::UnknownIdentity(found)) => found,
            Err(OpenError::UnknownSigner) => return Err(NotOpened::NoCertificate),
            Err(e) => return Err(NotOpened::Open(e)),
            Ok(_) => return Err(NotOpened::NoCertificate),
        };
        self.identity.check("identity", &found.identity)?;
        self.issuer.check("issuer", &found.issuer)?;
        let root = self.root(&found.identity, &found.issuer).or(Err(NotOpened::NoCertificate))?;
        let attestation = root.open(envelope, at).map_err(NotOpened::Open)?;
        let certificate = attestation.certificate().ok_or(NotOpened::NoCertificate)?;
        for (what, wanted) in &self.claims {
            check_claim(what, wanted, certificate)?;
        }
        Ok(attestation)
    }
}

fn check_claim(what: &'static str, wanted: &str, certificate: &Certificate) -> Result<(), Mismatch> {
    let found = match what {
        "trigger" => certificate.trigger(),
        "commit" => certificate.source_digest(),
        "workflow name" => certificate.workflow_name(),
        // the flag has no host, as the first version of the certificate's extensions had none
        "repository" => certificate.source_repository().map(|uri| {
            let path = uri.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
            path.map_or(uri, |(_, path)| path)
        }),
        _ => certificate.source_ref(),
    };
    if found == Some(wanted) {
        return Ok(());
    }
    Err(Mismatch { what, wanted: wanted.to_owned(), found: found.map(str::to_owned) })
}
