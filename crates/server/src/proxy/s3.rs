//! Object stores with S3's API. What a `PUT` brings is the artifact, and so is every document that says who may do what
//! with a bucket. The list of what goes through is closed: S3 grows by a word behind the question mark, or by a header.
//!
//! Clients' signatures are taken off; the proxy signs what it sends itself, over the SHA-256 of the very bytes that were
//! decided about: so the store, too, takes no others.

mod account;
mod address;
mod answer;
mod checksum;
mod chunks;
mod copy;
mod document;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod headers;
mod multipart;
mod object;
mod operation;
mod sign;
mod store;
mod take;
mod uploads;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use attest::Digest;
use attest::yaml::{Fields, Problems};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::fields::{path, text};
use crate::proxy::adapter::{Adapter, With};
use crate::proxy::s3::account::Accounts;
use crate::proxy::s3::address::Address;
use crate::proxy::s3::answer::{Refusal, bad, error, word};
use crate::proxy::s3::operation::Operation;
use crate::proxy::s3::sign::Keys;
use crate::proxy::s3::uploads::Uploads;
use crate::webhook::certificates::digest_of;

/// An object store.
#[derive(Debug)]
pub(crate) struct S3 {
    region: String,
    /// The file with the store's own keys.
    keys: PathBuf,
    /// The file with those of clients, where they sign.
    accounts: Option<PathBuf>,
    opened: Mutex<Option<Arc<Opened>>>,
    /// Of the files that were tried last.
    tried: Mutex<Option<Digest>>,
    uploads: Uploads,
}

/// What stands in the files.
#[derive(Debug)]
struct Opened {
    keys: Keys,
    accounts: Option<Accounts>,
    /// Of the files that it was read out of.
    files: Option<Digest>,
}

impl S3 {
    pub(crate) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let (region, keys) = (text(fields, "region", problems), path(fields, "keys", problems));
        let accounts = match fields.optional("accounts") {
            Some(node) => Some(PathBuf::from(problems.keep(node.string())?)),
            None => None,
        };
        let (opened, tried, uploads) = (Mutex::default(), Mutex::default(), Uploads::default());
        Some(Self { region: region?, keys: keys?, accounts, opened, tried, uploads })
    }

    /// What is in force now: a request goes on with what it began with.
    fn opened(&self) -> Result<Arc<Opened>, Response> {
        let missing = || error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "no keys were opened");
        lock(&self.opened).clone().ok_or_else(missing)
    }

    fn files(&self) -> Option<Digest> {
        digest_of(std::iter::once(self.keys.as_path()).chain(self.accounts.as_deref()))
    }

    async fn respond(&self, request: Request<Body>, with: &With) -> Result<Response, Response> {
        let opened = self.opened()?;
        let (head, body) = request.into_parts();
        let address = Address::read(head.uri.path(), head.uri.query().unwrap_or_default());
        let address = address.map_err(|why| refused(&bad(&why)))?;
        let mut with = with.clone();
        if let Some(accounts) = &opened.accounts {
            let found = accounts.who(&head, &address, &self.region, with.proxy.now());
            with.identified(found.map_err(|why| error(StatusCode::FORBIDDEN, "AccessDenied", &why))?)?;
        }
        let operation = Operation::of(&head.method, &head.headers, &address).map_err(|r| refused(&r))?;
        match operation {
            Operation::Read => self.read_on(&head, &address, &with).await,
            Operation::Put => self.put(&head, body, &address, &with).await,
            Operation::Copy(source) => self.copy(&head, &address, &source, &with).await,
            Operation::Document(word) => self.document(&head, body, &address, word, &with).await,
            Operation::Begin => self.begin(&head, &address, &with),
            Operation::Part { number, upload } => {
                self.part(&head, body, &address, (number, &upload), &with).await
            }
            Operation::PartCopy { number, upload, source } => {
                self.part_copy(&head, &address, (number, &upload), &source, &with).await
            }
            Operation::Parts(upload) => self.parts(&address, &upload, &with),
            Operation::Complete(upload) => self.complete(&head, body, &address, &upload, &with).await,
            Operation::Abort(upload) => self.abort(&address, &upload, &with),
        }
    }
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(refusal: &Refusal) -> Response {
    error(refusal.status, refusal.code, &refusal.text)
}

impl Adapter for S3 {
    fn answer<'a>(&'a self, request: Request<Body>, with: &'a With) -> BoxFuture<'a, Response> {
        Box::pin(async move { self.respond(request, with).await.unwrap_or_else(|refusal| refusal) })
    }

    fn sweep(&self, now: Timestamp) {
        self.uploads.sweep(now);
    }

    fn refuse(&self, status: StatusCode, code: &str, text: &str) -> Response {
        error(status, word(code), text)
    }

    fn tells_requesters(&self) -> bool {
        self.accounts.is_some()
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        std::iter::once(&mut self.keys).chain(&mut self.accounts).collect()
    }

    fn open(&self) -> Result<(), String> {
        // first the digest: files that change meanwhile are looked at again
        let files = self.files();
        lock(&self.tried).clone_from(&files);
        let keys = account::keys(&self.keys)?;
        let accounts = self.accounts.as_deref().map(Accounts::open).transpose()?;
        *lock(&self.opened) = Some(Arc::new(Opened { keys, accounts, files }));
        Ok(())
    }

    fn reload(&self) -> Option<Result<(), String>> {
        let found = self.files();
        let is_old = lock(&self.opened).as_ref().is_some_and(|opened| opened.files == found);
        if is_old || *lock(&self.tried) == found {
            return None;
        }
        Some(self.open())
    }

    fn named(&self) -> Vec<(&'static str, &Path)> {
        let accounts = self.accounts.as_deref().map(|file| ("the accounts of a proxy's clients", file));
        std::iter::once(("a proxy's key file for the store", self.keys.as_path())).chain(accounts).collect()
    }
}
