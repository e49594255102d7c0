//! Debian's uploads: files by `PUT` in any order, and last a `.changes` that names them (dput).
//!
//! What comes before the `.changes` waits here, each uploader's for itself. The `.changes` says what belongs together:
//! each package of it is decided about, and only where all are admitted does anything go on, the `.changes` last.

use std::sync::Arc;

use attest::yaml::{Fields, Problems};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::proxy::adapter::{Adapter, With};
use crate::proxy::ask::Subject;
use crate::proxy::hold::Held;
use crate::proxy::metrics::End;
use crate::proxy::package::{two_meanings, unreadable};
use crate::proxy::put::plain;

mod deb;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod listing;
mod pending;
mod upload;

use listing::{Listing, is_file, is_name};
use pending::{Pending, Place};
use upload::Upload;

/// Its keys in the configuration.
pub(crate) const KEYS: [&str; 1] = ["vendor"];
const MAX_CHANGES: u64 = 4 << 20;

/// Uploads of packages of one vendor.
#[derive(Debug)]
pub(crate) struct Debian {
    vendor: String,
    pending: Pending,
    /// One upload at a time goes on: two of one name never mix.
    sending: Mutex<()>,
}

impl Debian {
    /// `vendor`: as package URLs have it, `pkg:deb/VENDOR/NAME`.
    pub(crate) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let node = fields.required("vendor", problems)?;
        let vendor = problems.keep(node.string())?;
        if !is_name(vendor) {
            problems.push(node.mismatch("whose packages they are, as in debian"));
            return None;
        }
        Some(Self { vendor: vendor.to_owned(), pending: Pending::default(), sending: Mutex::new(()) })
    }

    async fn put(&self, request: Request<Body>, with: &With) -> Result<Response, Response> {
        let (head, body) = request.into_parts();
        let held = Arc::new(with.hold(body).await?);
        if let Some(why) = two_meanings(&head) {
            return Err(self.refuse(StatusCode::BAD_REQUEST, "rejected", &why.what));
        }
        let (folder, name) = head.uri.path().rsplit_once('/').unwrap_or(("", ""));
        if !is_file(name) {
            return Err(self.refuse(
                StatusCode::BAD_REQUEST,
                "rejected",
                "this is no name of a file of an upload",
            ));
        }
        let place = Place { requester: with.requester.clone(), folder: folder.to_owned() };
        if !name.ends_with(".changes") {
            let bounds = with.proxy.config().bounds(pending::MOST);
            self.pending.put(&place, name, (held, head.headers), with.proxy.now(), bounds).map_err(
                |why| {
                    with.course.set(End::Busy);
                    let text = format!("too many files wait for their .changes: {why}");
                    self.refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", &text)
                },
            )?;
            return Ok(plain(StatusCode::CREATED, "held until its .changes comes"));
        }
        let upload = Arc::new(self.judge(&place, name, &held, &head.headers, with).await?);
        let _alone = self.sending.lock().await;
        for (file, waiting) in &upload.files {
            self.send(&place, file, &waiting.held, &waiting.headers, with).await?;
        }
        let answer = self.send(&place, name, &held, &head.headers, with).await?;
        self.pending.done(&place, &upload.files);
        Ok(answer)
    }

    /// Decides about each package of an upload; goes on only where all are admitted.
    async fn judge(
        &self,
        place: &Place,
        name: &str,
        held: &Arc<Held>,
        headers: &HeaderMap,
        with: &With,
    ) -> Result<Upload, Response> {
        let wanted = format!("at most {MAX_CHANGES} bytes");
        let changes = held
            .bytes(MAX_CHANGES)
            .map_err(|e| unreadable(name, "the list of files is too large", &wanted, &e.to_string()))
            .and_then(|bytes| Listing::read(name, &bytes));
        let upload = changes
            .and_then(|changes| Upload::of(changes, |file| self.pending.get(place, file, with.proxy.now())));
        let upload = match upload {
            Ok(upload) => upload,
            Err(why) => {
                return Err(with
                    .admit(self.nameless(why), headers)
                    .await
                    .err()
                    .unwrap_or_else(|| self.lost()));
            }
        };
        let vendor = self.vendor.clone();
        let (upload, read) = with
            .read(move || {
                let subjects = upload.subjects(&vendor);
                let read = subjects.and_then(|subjects| Ok((subjects, upload.evidence()?)));
                Ok((upload, read))
            })
            .await?;
        match read {
            Err(why) => {
                Err(with.admit(self.nameless(why), headers).await.err().unwrap_or_else(|| self.lost()))
            }
            Ok((subjects, evidence)) => {
                for subject in subjects {
                    // a copy for one at a time: there may be hundreds of packages
                    let subject = Subject { envelopes: evidence.clone(), ..subject };
                    with.admit(subject, headers).await?;
                }
                Ok(upload)
            }
        }
    }

    /// Puts a file there, unless it is there already. Another one of its name is never replaced.
    async fn send(
        &self,
        place: &Place,
        file: &str,
        held: &Arc<Held>,
        headers: &HeaderMap,
        with: &With,
    ) -> Result<Response, Response> {
        let path = format!("{}/{file}", place.folder);
        let request = |method: Method, body: Body| {
            let request = Request::builder().method(method).uri(&path).body(body);
            request.map_err(|_| self.lost())
        };
        let there = with.send(request(Method::GET, Body::empty())?).await.map_err(|e| with.no_answer(&e))?;
        match there.status() {
            StatusCode::NOT_FOUND => {}
            StatusCode::OK => {
                let there = with.hold(there.into_body()).await?;
                if there.digests() == held.digests() {
                    return Ok(plain(StatusCode::CREATED, "it was there already"));
                }
                let text = format!("{file} is there already, with other bytes: a version is never replaced");
                return Err(self.refuse(StatusCode::FORBIDDEN, "rejected", &text));
            }
            status => {
                let text = format!("cannot decide: whether {file} is there already is not known: {status}");
                return Err(self.refuse(StatusCode::SERVICE_UNAVAILABLE, "cannot-decide", &text));
            }
        }
        let mut put = request(Method::PUT, held.body())?;
        put.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(held.length()));
        if let Some(kind) = headers.get(header::CONTENT_TYPE) {
            put.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
        }
        let answer = with.send(put).await.map_err(|e| with.no_answer(&e))?;
        if answer.status().is_success() { Ok(answer) } else { Err(answer) }
    }

    fn nameless(&self, unreadable: policy::Unreadable) -> Subject {
        Subject {
            name: "unreadable".to_owned(),
            uri: format!("pkg:deb/{}/unreadable", self.vendor),
            unreadable: vec![unreadable],
            ..Subject::default()
        }
    }

    fn lost(&self) -> Response {
        self.refuse(StatusCode::FORBIDDEN, "rejected", "the upload cannot be read")
    }
}

impl Adapter for Debian {
    fn answer<'a>(&'a self, request: Request<Body>, with: &'a With) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            match *request.method() {
                Method::GET | Method::HEAD => with.pass(request).await,
                Method::PUT => self.put(request, with).await.unwrap_or_else(|refusal| refusal),
                _ => {
                    let text = "only PUT of an upload's files, GET and HEAD go through here";
                    self.refuse(StatusCode::METHOD_NOT_ALLOWED, "not-proxied", text)
                }
            }
        })
    }

    fn sweep(&self, now: Timestamp) {
        self.pending.sweep(now);
    }

    /// dput-ng takes 403 for "it was there already", and ends as if all were well: so a refusal has another status.
    fn refuse(&self, status: StatusCode, code: &str, text: &str) -> Response {
        match code {
            "rejected" => plain(StatusCode::UNPROCESSABLE_ENTITY, text),
            _ => plain(status, text),
        }
    }
}
