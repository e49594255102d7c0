//! What a build says and what it made, streamed.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use futures_util::stream::unfold;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::{Answer, Peer, Permission, Refusal, Shared, answer, job, only, parameter, who};
use crate::job::Job;
use crate::service::Service;

const PIECE: usize = 1 << 16;
/// How often a log that is followed is looked at.
const PAUSE: Duration = Duration::from_millis(150);

/// `GET /v1/builds/{id}/log`
pub(super) async fn log(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let who = who(&service, &headers, &peer).await?;
    let query = query.as_deref();
    only(query, &["follow", "from"])?;
    let bad = |name: &str, wanted: &str| {
        Refusal::new(400, "bad-request", &format!("the parameter `{name}` cannot be read")).wanted(wanted)
    };
    let follow = match parameter(query, "follow")?.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(bad("follow", "true or false")),
    };
    let from = parameter(query, "from")?.map_or(Ok(0), |t| t.parse::<u64>());
    let at = from.or(Err(bad("from", "a number of bytes")))?;
    let job = job(&service, &id, &who, Permission::Read).await?;
    let path = service.folders.job(&job.id).log();
    let is_last = !follow || job.state.is_over();
    let reader = LogReader { service, id, path, at, is_last };
    let stream = unfold(reader, |mut reader| async move {
        let piece = reader.piece().await.transpose()?;
        Some((piece, reader))
    });
    Ok(answer(StatusCode::OK, "text/plain; charset=utf-8", Body::from_stream(stream)))
}

/// A log from some byte on, up to its end, or up to the end of the build.
struct LogReader {
    service: Arc<Service>,
    id: String,
    path: PathBuf,
    at: u64,
    /// Whether nothing will be added any more.
    is_last: bool,
}

impl LogReader {
    async fn piece(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            // asked before the file is read: what comes between the two is found by the next reading
            let was_last = self.is_last;
            let bytes = self.read().await?;
            if !bytes.is_empty() {
                self.at += u64::try_from(bytes.len()).unwrap_or(0);
                return Ok(Some(Bytes::from(bytes)));
            }
            if was_last {
                return Ok(None);
            }
            tokio::time::sleep(PAUSE).await;
            let job = self.service.queue.find(&self.id).await;
            self.is_last = job.map_or(true, |job| job.is_none_or(|j| j.state.is_over()));
        }
    }

    async fn read(&self) -> std::io::Result<Vec<u8>> {
        let mut file = match File::open(&self.path).await {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        file.seek(SeekFrom::Start(self.at)).await?;
        let mut bytes = Vec::new();
        file.take(u64::try_from(PIECE).unwrap_or(0)).read_to_end(&mut bytes).await?;
        Ok(bytes)
    }
}

/// `GET /v1/builds/{id}/outputs/{name}`
pub(super) async fn output(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let who = who(&service, &headers, &peer).await?;
    let job = job(&service, &id, &who, Permission::Read).await?;
    if job.outputs.is_none() {
        let found = format!("a build that is {}", job.state.name());
        let refusal = Refusal::new(409, "no-outputs", "this build has no outputs");
        return Err(refusal.wanted("a build that is done, or failed with a signed record").found(&found));
    }
    let names = names(&job);
    if !names.contains(&name.as_str()) {
        let refusal = Refusal::new(404, "no-such-output", "this build has no output of this name");
        return Err(refusal.wanted(&format!("one of {}", names.join(", "))).found(&name));
    }
    let gone = || {
        Refusal::new(410, "output-gone", "this output is no longer kept")
            .fix("build it again; the service's configuration says how long outputs are kept")
    };
    let file = File::from_std(service.folders.job(&job.id).output(&name).or(Err(gone()))?);
    let length = file.metadata().await.or(Err(gone()))?.len();
    let kind = if name.ends_with(".sigstore.json") { "application/json" } else { "application/octet-stream" };
    let stream = unfold(file, |mut file| async move {
        let mut bytes = vec![0; PIECE];
        match file.read(&mut bytes).await {
            Ok(0) => None,
            Ok(count) => {
                bytes.truncate(count);
                Some((Ok(Bytes::from(bytes)), file))
            }
            Err(e) => Some((Err(e), file)),
        }
    });
    let mut response = answer(StatusCode::OK, kind, Body::from_stream(stream));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

fn names(job: &Job) -> Vec<&str> {
    let outputs = job.outputs.as_ref().and_then(|o| o.as_array().ok()).unwrap_or_default();
    outputs.iter().filter_map(|o| o.as_object().ok()?.string("name").ok()).collect()
}
