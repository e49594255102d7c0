//! Where evidence and grants go: the local store in a folder, or a choke point's store over the network.

use std::path::PathBuf;
use std::time::Duration;

use attest::{Digest, Json};
use evidence::{ReadError, WriteError};
use server::{Client, ClientError, ClientTls};

use crate::failure::Failure;

/// An answer says what was stored, or why not.
const MAX_ANSWER: u64 = 1 << 20;
/// How long the body of an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A choke point that keeps evidence
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Choke point")]
pub(crate) struct Server {
    /// Send it to the choke point at this address
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Come with this certificate, PEM
    #[arg(long, value_name = "FILE", requires_all = ["server", "client_key"])]
    client_certificate: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// The authority that vouches for the choke point, PEM; this machine's where it is absent
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
}

impl Server {
    /// The address, if one was given.
    pub(crate) fn url(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Sends a document, and gives the answer to it.
    pub(crate) fn put(&self, path: &str, body: &Json) -> Result<Json, Failure> {
        let url = self.server.as_deref().unwrap_or_default();
        let asked = Asked { method: "PUT", path, key: None, token: None };
        let (status, bytes) = self.send(&asked, body).map_err(|e| lost(url, &e))?;
        match attest::json::parse(&bytes) {
            Ok(answer) if (200..300).contains(&status) => Ok(answer),
            Ok(refusal) => Err(refused(status, &refusal)),
            Err(_) => Err(no_json(url, status)),
        }
    }

    /// Sends a document, and gives status and body of the answer, whatever they say.
    pub(crate) fn send(&self, asked: &Asked<'_>, body: &Json) -> Result<(u16, Vec<u8>), ClientError> {
        let url = self.server.as_deref().unwrap_or_default();
        let identity = self.client_certificate.clone().zip(self.client_key.clone());
        let tls = ClientTls { ca: self.ca.clone(), identity };
        let client = Client::new(url, &tls, asked.token.clone())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(asked.key.map(|key| ("idempotency-key", key)));
        runtime.map_err(ClientError::Io)?.block_on(async {
            let body = body.to_string().into_bytes();
            let answer = client.send(asked.method, asked.path, &headers, body).await?;
            let status = answer.status;
            let all = tokio::time::timeout(PATIENCE, answer.all(MAX_ANSWER)).await;
            Ok((status, all.or(Err(ClientError::Late))??))
        })
    }
}

/// What is asked of a choke point, beside the document.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// The same key is the same request.
    pub(crate) key: Option<&'a str>,
    pub(crate) token: Option<String>,
}

/// An answer, and not a choke point's.
pub(crate) fn no_json(url: &str, status: u16) -> Failure {
    Failure::new(&format!("the choke point {url} answers {status}"))
        .line("found", "an answer that is no JSON")
        .line("fix", "check that the address is a choke point's, and not a proxy's before it")
}

/// A refusal in the server's words.
pub(crate) fn refused(status: u16, refusal: &Json) -> Failure {
    let field = |key| refusal.as_object().ok()?.string(key).ok();
    let message = field("message").map_or_else(|| format!("the choke point answers {status}"), str::to_owned);
    ["wanted", "found", "fix"].into_iter().fold(Failure::new(&message), |failure, label| match field(label) {
        Some(text) => failure.line(label, text),
        None => failure,
    })
}

pub(crate) fn lost(url: &str, error: &ClientError) -> Failure {
    Failure::new(&format!("the choke point {url} cannot be used"))
        .line("found", &error.to_string())
        .line("fix", "check the address, --ca, --client-certificate, and whether it runs")
}

/// Whether the choke point stored what was sent: it names it as we do.
pub(crate) fn check_stored(answer: &Json, ours: &[Digest]) -> Result<(), Failure> {
    let wanted = ours.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let found = answer.as_object().ok().and_then(|o| o.string("digest").ok()).unwrap_or("nothing");
    if found == wanted {
        return Ok(());
    }
    Err(Failure::new("the choke point stored something else than was sent")
        .line("wanted", &wanted)
        .line("found", found)
        .line("fix", "check that both run the same version"))
}

/// Something could not be stored.
pub(crate) fn not_stored(error: &WriteError) -> Failure {
    let failure = Failure::new("the evidence store does not take it")
        .code("store-error")
        .line("found", &error.to_string());
    match error {
        WriteError::Io(..) => {
            failure.line("fix", "make room, or let this user write to the folder of --store")
        }
        WriteError::TooMany(_) => failure.line("fix", "attach what the policy asks for, and no more"),
        _ => failure,
    }
}

/// Nobody knows what is stored.
pub(crate) fn not_read(error: &ReadError) -> Failure {
    Failure::new("the evidence store cannot be read").code("store-error").line("found", &error.to_string())
}
