//! What a certificate says of whoever signed: Fulcio's extensions as typed facts.

use sigstore_verify::crypto::{CertificateInfo, SubjectAltName};

/// The certificate under which something was signed, verified under an instance (Fulcio's certificate specification,
/// 1.3.6.1.4.1.57264.1.*). Only opening an envelope makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    instance: String,
    identity: String,
    issuer: String,
    fingerprint: String,
    claims: Claims,
}

/// The claims of a build, each as the certificate has it, or as its first version had it under another number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claims {
    source_repository: Option<String>,
    source_ref: Option<String>,
    source_digest: Option<String>,
    workflow: Option<String>,
    workflow_name: Option<String>,
    build_signer: Option<String>,
    runner: Option<String>,
    trigger: Option<String>,
    invocation: Option<String>,
}

impl Certificate {
    /// Nothing where the certificate names no identity or no issuer: such a one is nobody's.
    pub(super) fn read(instance: &str, fingerprint: String, info: &CertificateInfo) -> Option<Self> {
        let identity = info.identity.as_ref().map(SubjectAltName::as_str)?.to_owned();
        let issuer = info.issuer.clone()?;
        if identity.is_empty() || issuer.is_empty() {
            return None;
        }
        let (claims, old) = (&info.ci_claims, &info.ci_claims.deprecated_github);
        let old_repository =
            old.workflow_repository.as_ref().map(|name| format!("https://github.com/{name}"));
        let claims = Claims {
            source_repository: claims.source_repository_uri.clone().or(old_repository),
            source_ref: claims.source_repository_ref.clone().or_else(|| old.workflow_ref.clone()),
            source_digest: claims.source_repository_digest.clone().or_else(|| old.workflow_sha.clone()),
            workflow: claims.build_config_uri.clone(),
            workflow_name: old.workflow_name.clone(),
            build_signer: claims.build_signer_uri.clone(),
            runner: claims.runner_environment.clone(),
            trigger: claims.build_trigger.clone().or_else(|| old.workflow_trigger.clone()),
            invocation: claims.run_invocation_uri.clone(),
        };
        Some(Self { instance: instance.to_owned(), identity, issuer, fingerprint, claims })
    }

    /// The Sigstore instance, by its name in the trust root.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The subject alternative name: a workflow's URI, or a person's e-mail address.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Who vouched for the identity: the OIDC issuer's URL.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// SHA-256 of the certificate, in hex.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The repository whose build signed, as in `https://github.com/acme/shop`.
    #[must_use]
    pub fn source_repository(&self) -> Option<&str> {
        self.claims.source_repository.as_deref()
    }

    /// The ref that was built, as in `refs/heads/main`.
    #[must_use]
    pub fn source_ref(&self) -> Option<&str> {
        self.claims.source_ref.as_deref()
    }

    /// The commit that was built, in hex.
    #[must_use]
    pub fn source_digest(&self) -> Option<&str> {
        self.claims.source_digest.as_deref()
    }

    /// The top-level build instructions: the workflow's URI with its ref.
    #[must_use]
    pub fn workflow(&self) -> Option<&str> {
        self.claims.workflow.as_deref()
    }

    /// What the workflow calls itself; anybody may call his so.
    #[must_use]
    pub fn workflow_name(&self) -> Option<&str> {
        self.claims.workflow_name.as_deref()
    }

    /// The instructions that signed: the reusable workflow's URI with its ref, where there is one.
    #[must_use]
    pub fn build_signer(&self) -> Option<&str> {
        self.claims.build_signer.as_deref()
    }

    /// On whose machine it ran: `github-hosted` or `self-hosted`.
    #[must_use]
    pub fn runner(&self) -> Option<&str> {
        self.claims.runner.as_deref()
    }

    /// What started the build: `push`, `workflow_dispatch`, …
    #[must_use]
    pub fn trigger(&self) -> Option<&str> {
        self.claims.trigger.as_deref()
    }

    /// Which run it was.
    #[must_use]
    pub fn invocation(&self) -> Option<&str> {
        self.claims.invocation.as_deref()
    }
}
