//! Keys as Google's APIs write them: PEM, and the name of an algorithm.

use attest::yaml::{Fields, Node, Problems};
use attest::{PublicKey, Scheme};

/// A key of somebody who attests, or why it cannot be used. What is not understood is told, with what it is called.
#[derive(Clone, Debug)]
pub(super) struct AttestorKey {
    pub(super) id: String,
    pub(super) key: Result<PublicKey, String>,
}

/// Reads `{publicKeyPem, signatureAlgorithm}`, with `keyId` where there is one.
pub(super) fn read_pkix(node: &Node, problems: &mut Problems) -> Option<AttestorKey> {
    let fields =
        Fields::read(node, "a PKIX key", &["publicKeyPem", "signatureAlgorithm", "keyId"], problems)?;
    let pem = fields.required("publicKeyPem", problems)?;
    let pem = problems.keep(pem.string())?;
    let algorithm = match fields.optional("signatureAlgorithm") {
        Some(node) => Some(problems.keep(node.string())?),
        None => None,
    };
    let id = fields.optional("keyId").and_then(|n| n.string().ok()).unwrap_or_default().to_owned();
    let key =
        PublicKey::from_pem(pem).map_err(|e| e.to_string()).and_then(|key| with_algorithm(key, algorithm));
    Some(AttestorKey { id, key })
}

/// The key for its algorithm. An algorithm that is not verified here is no reason to verify with another.
fn with_algorithm(key: PublicKey, algorithm: Option<&str>) -> Result<PublicKey, String> {
    let Some(algorithm) = algorithm else { return Ok(key) };
    let scheme = match algorithm {
        "ECDSA_P256_SHA256" | "EC_SIGN_P256_SHA256" => Scheme::P256,
        "ECDSA_P384_SHA384" | "EC_SIGN_P384_SHA384" => Scheme::P384,
        "RSA_PSS_2048_SHA256"
        | "RSA_PSS_3072_SHA256"
        | "RSA_PSS_4096_SHA256"
        | "RSA_SIGN_PSS_2048_SHA256"
        | "RSA_SIGN_PSS_3072_SHA256"
        | "RSA_SIGN_PSS_4096_SHA256" => Scheme::RsaPss,
        "RSA_SIGN_PKCS1_2048_SHA256" | "RSA_SIGN_PKCS1_3072_SHA256" | "RSA_SIGN_PKCS1_4096_SHA256" => {
            Scheme::RsaPkcs1
        }
        "ML_DSA_65" => Scheme::MlDsa65,
        other => return Err(format!("signs with {other}, which is not verified here")),
    };
    key.with_scheme(scheme).map_err(|e| format!("called {algorithm}: {e}"))
}

/// A list that may be absent.
pub(super) fn items<'a>(fields: &Fields<'a>, key: &str, problems: &mut Problems) -> &'a [Node] {
    fields.optional(key).and_then(|node| problems.keep(node.list())).unwrap_or_default()
}

/// A text that may be absent. `ENABLE` and numbers are texts to Google's tools; what YAML reads as a truth value is not.
pub(super) fn text<'a>(fields: &Fields<'a>, key: &str, problems: &mut Problems) -> Option<&'a str> {
    fields.optional(key).and_then(|node| problems.keep(node.string()))
}
