//! From a client's certificate, which TLS has verified, to the one name in it that counts.

use std::collections::BTreeSet;

use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::config::CertificateName;
use crate::identity::Identity;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Who the certificate's owner is. A certificate with two such names has none: nobody is two people.
///
/// # Errors
/// What the certificate would have needed.
pub(crate) fn identity(der: &[u8], which: CertificateName) -> Result<Identity, String> {
    let certificate = Certificate::from_der(der).or(Err("the client's certificate cannot be read"))?;
    let (names, kind) = match which {
        CertificateName::Uri => (alternative_names(&certificate, which), "URI in subjectAltName"),
        CertificateName::Email => {
            (alternative_names(&certificate, which), "e-mail address in subjectAltName")
        }
        CertificateName::CommonName => (common_names(&certificate), "common name"),
    };
    match names.as_slice() {
        [name] if !name.is_empty() && !name.chars().any(char::is_control) => {
            Ok(Identity::Certificate(name.clone()))
        }
        names => Err(format!("the client's certificate needs exactly one {kind}, and has {}", names.len())),
    }
}

/// Every name that a certificate has: common names, and DNS names, URIs and e-mail addresses among its alternative
/// names. For a list of those who may come, where any of them will do.
pub(crate) fn names(der: &[u8]) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(der) else { return Vec::new() };
    let mut names = common_names(&certificate);
    if let Ok(Some((_, others))) = certificate.tbs_certificate.get::<SubjectAltName>() {
        names.extend(others.0.iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
            GeneralName::Rfc822Name(address) => Some(address.to_string()),
            _ => None,
        }));
    }
    names.retain(|name| !name.is_empty() && !name.chars().any(char::is_control));
    // the common name stands among the alternative ones too
    let mut told = BTreeSet::new();
    names.retain(|name| told.insert(name.clone()));
    names
}

/// The public key that a certificate is for: its SubjectPublicKeyInfo in DER.
pub(crate) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    Certificate::from_der(der).ok()?.tbs_certificate.subject_public_key_info.to_der().ok()
}

/// From when until when a certificate counts, in seconds since 1970.
pub(crate) fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let certificate = Certificate::from_der(der).ok()?;
    let seconds = |time: &x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).ok();
    let validity = &certificate.tbs_certificate.validity;
    Some((seconds(&validity.not_before)?, seconds(&validity.not_after)?))
}

fn alternative_names(certificate: &Certificate, which: CertificateName) -> Vec<String> {
    let Ok(Some((_, names))) = certificate.tbs_certificate.get::<SubjectAltName>() else { return Vec::new() };
    let one = |name: &GeneralName| match (name, which) {
        (GeneralName::UniformResourceIdentifier(uri), CertificateName::Uri) => Some(uri.to_string()),
        (GeneralName::Rfc822Name(address), CertificateName::Email) => Some(address.to_string()),
        _ => None,
    };
    names.0.iter().filter_map(one).collect()
}

fn common_names(certificate: &Certificate) -> Vec<String> {
    let attributes = certificate.tbs_certificate.subject.0.iter().flat_map(|set| set.0.iter());
    let text = |value: &x509_cert::der::Any| {
        let der = value.to_der().ok()?;
        let utf8 = Utf8StringRef::from_der(&der).map(|t| t.as_str().to_owned());
        utf8.or_else(|_| PrintableStringRef::from_der(&der).map(|t| t.as_str().to_owned())).ok()
    };
    attributes.filter(|a| a.oid == COMMON_NAME).map(|a| text(&a.value).unwrap_or_default()).collect()
}
