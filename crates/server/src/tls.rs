//! Keys and certificates from files, for both ends of a connection. One provider of cryptography: aws-lc-rs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::client::ClientTls;
use crate::config::KeyPair;

/// Where this kind of system keeps the authorities that it trusts.
pub(crate) const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A key or a certificate cannot be used.
#[derive(Debug)]
pub struct TlsError {
    /// The file, or what was made of files.
    pub file: PathBuf,
    /// Why not. Never shows what is in a key.
    pub why: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used for TLS: {}", self.file.display(), self.why)
    }
}
impl std::error::Error for TlsError {}

/// The service's end, with the authorities of clients where they may come with certificates. A client without one
/// gets as far as being told what it needs.
pub(crate) fn server(
    pair: &KeyPair,
    authorities: Option<&Path>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let failed = |file: &Path| {
        let file = file.to_owned();
        move |e: &dyn fmt::Display| TlsError { file: file.clone(), why: e.to_string() }
    };
    let at = failed(&pair.certificate);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| at(&e))?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let at = failed(file);
            let roots = Arc::new(roots(file)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().map_err(|e| at(&e))?)
        }
    };
    let (chain, key) = key_pair(&pair.certificate, &pair.key)?;
    let mut server =
        builder.with_single_cert(chain, key).map_err(|e| unfit(&pair.certificate, &pair.key, &e))?;
    server.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    // a resumed session would not look at the client's certificate again
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(server)
}

/// A client's end.
pub(crate) fn client(tls: &ClientTls) -> Result<ClientConfig, TlsError> {
    let ca = tls.ca.clone().unwrap_or_else(|| PathBuf::from(SYSTEM));
    let at = |e: &dyn fmt::Display| TlsError { file: ca.clone(), why: e.to_string() };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| at(&e))?;
    let builder = builder.with_root_certificates(roots(&ca)?);
    let mut client = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key_file)) => {
            let (chain, key) = key_pair(certificate, key_file)?;
            let authenticated = builder.with_client_auth_cert(chain, key);
            authenticated.map_err(|e| unfit(certificate, key_file, &e))?
        }
    };
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(client)
}

/// Why a connection failed. The library calls an authority that nobody named by a name of its code.
pub(crate) fn in_words(why: &dyn fmt::Display) -> String {
    let unknown = "nobody who is trusted here vouches for the other end's certificate";
    why.to_string().replace("invalid peer certificate: UnknownIssuer", unknown)
}

fn roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(file)?);
    if roots.is_empty() {
        return Err(TlsError {
            file: file.to_owned(),
            why: "it has no certificate of an authority".to_owned(),
        });
    }
    Ok(roots)
}

/// The certificates in a PEM file.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |e: pem::Error| TlsError { file: file.to_owned(), why: e.to_string() };
    CertificateDer::pem_file_iter(file).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}

type Loaded = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn key_pair(certificate: &Path, key: &Path) -> Result<Loaded, TlsError> {
    let chain = certificates(certificate)?;
    if chain.is_empty() {
        return Err(TlsError {
            file: certificate.to_owned(),
            why: "the file holds no certificate".to_owned(),
        });
    }
    let failed = |e: pem::Error| {
        let why = match e {
            pem::Error::NoItemsFound => "the file holds no private key".to_owned(),
            e => e.to_string(),
        };
        TlsError { file: key.to_owned(), why }
    };
    Ok((chain, PrivateKeyDer::from_pem_file(key).map_err(failed)?))
}

/// Which two files do not do together: only a person knows which of them is the wrong one.
fn unfit(certificate: &Path, key: &Path, error: &rustls::Error) -> TlsError {
    let key = key.display();
    let why = match error {
        rustls::Error::InconsistentKeys(_) => format!("it does not belong to the key {key}"),
        e => format!("with the key {key}: {e}"),
    };
    TlsError { file: certificate.to_owned(), why }
}
