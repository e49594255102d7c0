//! Spans to a collector: OTLP over HTTP, in JSON. Nothing waits for it, and nothing fails because of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attest::{Json, Object};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Trace;
use crate::client::{Client, ClientTls};
use crate::webhook::events::Events;

const WAITING: usize = 2048;
const BATCH: usize = 256;
const RHYTHM: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// Where spans are handed to.
#[derive(Clone, Debug)]
pub(crate) struct Exporter {
    queue: Option<Sender<Trace>>,
    lost: Arc<AtomicU64>,
}

impl Exporter {
    /// Starts exporting to an endpoint; without one, nothing is exported.
    pub(crate) fn start(endpoint: Option<&str>, cluster: &str, events: &Arc<Events>) -> Self {
        let lost = Arc::new(AtomicU64::new(0));
        let Some(endpoint) = endpoint else { return Self { queue: None, lost } };
        let (queue, waiting) = channel(WAITING);
        let sink = Sink {
            endpoint: endpoint.to_owned(),
            cluster: cluster.to_owned(),
            events: Arc::clone(events),
            lost: Arc::clone(&lost),
        };
        tokio::spawn(sink.run(waiting));
        Self { queue: Some(queue), lost }
    }

    /// Hands a trace over, or counts it as lost.
    pub(crate) fn send(&self, trace: Trace) {
        let Some(queue) = &self.queue else { return };
        if trace.is_wanted() && queue.try_send(trace).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

struct Sink {
    endpoint: String,
    cluster: String,
    events: Arc<Events>,
    lost: Arc<AtomicU64>,
}

impl Sink {
    async fn run(self, mut waiting: Receiver<Trace>) {
        let (mut batch, mut is_failing) = (Vec::new(), false);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let count = batch.len();
            let body = self.request(&batch).to_string();
            batch.clear();
            let sent = tokio::time::timeout(PATIENCE, post(&self.endpoint, body)).await;
            let failed = sent.unwrap_or_else(|_| Err("no answer in time".to_owned())).err();
            if failed.is_some() {
                self.lost.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
            }
            // one event when it begins to fail, and one when it is well again
            if failed.is_some() != is_failing {
                is_failing = failed.is_some();
                let mut details = Object::new().with("endpoint", self.endpoint.as_str());
                details.set_some("found", failed);
                self.events.tell(if is_failing { "traces-failing" } else { "traces-sent-again" }, details);
            }
            tokio::time::sleep(RHYTHM).await;
        }
    }

    fn request(&self, batch: &[Trace]) -> Json {
        let spans: Vec<Json> = batch.iter().flat_map(spans).collect();
        let own = [("service.name", "portcullis"), ("service.version", env!("CARGO_PKG_VERSION"))];
        let cluster = ("k8s.cluster.name", self.cluster.as_str());
        let resource = attributes(own.into_iter().chain((!self.cluster.is_empty()).then_some(cluster)));
        let scope =
            Object::new().with("scope", Object::new().with("name", "portcullis")).with("spans", spans);
        let one = Object::new()
            .with("resource", Object::new().with("attributes", resource))
            .with("scopeSpans", vec![scope]);
        Object::new().with("resourceSpans", vec![one]).into()
    }
}

fn attributes<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Object> {
    let one = |(key, value): (&str, &str)| {
        Object::new().with("key", key).with("value", Object::new().with("stringValue", value))
    };
    pairs.into_iter().map(one).collect()
}

/// The answer's span, and one for each step in it.
fn spans(trace: &Trace) -> Vec<Json> {
    let (id, root) = (random::<16>(), random::<8>());
    let (Some(id), Some(root)) = (id, root) else { return Vec::new() };
    let id = trace.parent.as_ref().map_or(id, |parent| parent.trace.clone());
    let end = trace.instant.saturating_duration_since(trace.began);
    let span = |name: &str, span: &str, (began, length): (Instant, Duration)| {
        let from = nanoseconds(trace.now, trace.instant, began);
        let until = from.saturating_add(i128::try_from(length.as_nanos()).unwrap_or(0));
        Object::new()
            .with("traceId", id.as_str())
            .with("spanId", span)
            .with("name", name)
            .with("startTimeUnixNano", from.to_string())
            .with("endTimeUnixNano", until.to_string())
    };
    let mut whole = span(trace.name, &root, (trace.began, end)).with("kind", 2);
    whole.set_some("parentSpanId", trace.parent.as_ref().map(|p| p.span.as_str()));
    let told = trace.attributes.iter().map(|(key, value)| (*key, value.as_str()));
    whole.set("attributes", attributes(told.chain([("portcullis.end", trace.end)])));
    let mut all = vec![Json::from(whole)];
    for (stage, began, length) in trace.stages.iter() {
        let Some(own) = random::<8>() else { continue };
        let step = span(stage.name(), &own, (*began, *length)).with("kind", 1);
        all.push(step.with("parentSpanId", root.as_str()).into());
    }
    all
}

/// A moment in nanoseconds since 1970, from one whose wall time is known.
fn nanoseconds(now: Timestamp, instant: Instant, moment: Instant) -> i128 {
    let ago = instant.saturating_duration_since(moment);
    now.as_nanosecond().saturating_sub(i128::try_from(ago.as_nanos()).unwrap_or(0)).max(0)
}

fn random<const N: usize>() -> Option<String> {
    use std::fmt::Write as _;
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").ok()?;
    }
    Some(text)
}

async fn post(endpoint: &str, body: String) -> Result<(), String> {
    let headers = [("content-type", "application/json")];
    let status = match endpoint.strip_prefix("http://") {
        None => {
            let client = Client::new(endpoint, &ClientTls::default(), None).map_err(|e| e.to_string())?;
            let sent = client.send("POST", "/v1/traces", &headers, body.into_bytes()).await;
            sent.map_err(|e| e.to_string())?.status
        }
        Some(rest) => plain(rest, body).await?,
    };
    if (200..300).contains(&status) { Ok(()) } else { Err(format!("the collector answered {status}")) }
}

async fn plain(rest: &str, body: String) -> Result<u16, String> {
    let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("/{p}")));
    let address = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let tcp = TcpStream::connect(&address).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.map_err(|e| e.to_string())?;
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("{path}/v1/traces"))
        .header("host", authority)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| e.to_string())?;
    let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await.ok();
    connection.abort();
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::judge::{Stage, Stages};

    #[test]
    fn a_trace_is_a_span_with_its_steps_under_the_callers() {
        let began = Instant::now();
        let mut stages = Stages::default();
        stages.add(Stage::Parse, began);
        let parent = super::super::Parent::read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let trace = Trace {
            parent,
            name: "validate",
            end: "answered",
            now: "2026-11-22T09:00:00Z".parse().unwrap(),
            instant: began + Duration::from_millis(5),
            began,
            stages,
            attributes: vec![("portcullis.decision.id", "7:sha256:aa".to_owned())],
        };
        let spans = spans(&trace);
        let (root, step) = (spans[0].as_object().unwrap(), spans[1].as_object().unwrap());
        assert_eq!(root.string("parentSpanId").unwrap(), "00f067aa0ba902b7");
        assert_eq!(
            root.string("startTimeUnixNano").unwrap(),
            (trace.now.as_nanosecond() - 5_000_000).to_string()
        );
        assert_eq!(root.string("endTimeUnixNano").unwrap(), trace.now.as_nanosecond().to_string());
        assert_eq!(step.string("parentSpanId").unwrap(), root.string("spanId").unwrap());
        assert_eq!(step.string("traceId").unwrap(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(spans[0].to_string().contains("7:sha256:aa"));
    }
}
