//! `portcullis build --service URL`: the same build, by a build service.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attest::digest::Hasher;
use attest::time::Span;
use attest::{Json, Object};
use server::{Answer, Client, ClientError, ClientTls};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Exit, Failure};
use crate::input;
use crate::keys;
use crate::output::Output;

/// An answer that is not a file is small.
const MAX_ANSWER: u64 = 4 << 20;
/// How long a service may be away before a build that it took is given up here. It goes on there.
const AWAY: u32 = 120;
/// A log from which nothing comes is asked for again after this: the connection may be dead.
const QUIET: Duration = Duration::from_secs(60);

/// Where the build runs
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Build service")]
pub(crate) struct Remote {
    /// Have the build service at this address build it; Ctrl-C cancels the build there
    #[arg(long, value_name = "URL", conflicts_with_all = ["signer", "key", "state", "store", "like", "invocation", "log"])]
    service: Option<String>,
    /// Come with this certificate, PEM
    #[arg(long, value_name = "FILE", requires_all = ["service", "client_key"])]
    client_certificate: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// The authority that vouches for the service, PEM; this machine's where it is absent
    #[arg(long, value_name = "FILE", requires = "service")]
    ca: Option<PathBuf>,
    /// Come with the token in this file
    #[arg(long, value_name = "FILE", requires = "service", conflicts_with = "client_certificate")]
    token_file: Option<PathBuf>,
    /// Only submit the build, and print its id
    #[arg(long, requires = "service")]
    no_wait: bool,
    /// Submit no second build where one with this key was submitted
    #[arg(long, value_name = "KEY", requires = "service")]
    idempotency_key: Option<String>,
    /// Give up waiting after this; the build goes on there
    #[arg(long, value_name = "SPAN", value_parser = span, requires = "service", conflicts_with = "no_wait")]
    wait_at_most: Option<Span>,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "wanted a span of time, as in 30m".to_owned())
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) repository: &'a str,
    pub(crate) reference: &'a str,
    pub(crate) target: &'a str,
    pub(crate) out: &'a Path,
}

impl Remote {
    /// Whether a service builds.
    pub(crate) fn is_wanted(&self) -> bool {
        self.service.is_some()
    }
}

/// Submits, follows, fetches.
pub(crate) fn run(args: &Remote, wish: Wish<'_>, output: &Output) -> Result<Exit, Failure> {
    let url = args.service.as_deref().unwrap_or_default();
    let identity = args.client_certificate.clone().zip(args.client_key.clone());
    let tls = ClientTls { ca: args.ca.clone(), identity };
    let token = match &args.token_file {
        Some(file) => Some(input::text("token", file)?.trim().to_owned()),
        None => None,
    };
    let client = Client::new(url, &tls, token).map_err(|e| lost(url, &e))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new("cannot begin").line("found", &e.to_string()))?;
    runtime.block_on(async {
        let service = Service { url, client, output };
        let job = service.submit(wish, args.idempotency_key.as_deref()).await?;
        let id = text(&job, "id");
        if args.no_wait {
            output.result(&format!("{id}\n"), || job.clone());
            return Ok(Exit::Clean);
        }
        output.progress(&format!("  build {id}, on {url}"));
        let terminate = async {
            match signal(SignalKind::terminate()) {
                Ok(mut terminate) => drop(terminate.recv().await),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            done = service.finish(&id, wish.out) => done,
            _ = tokio::signal::ctrl_c() => service.cancel(&id).await,
            () = terminate => service.cancel(&id).await,
            () = patience(args.wait_at_most) => Err(waited(&id, args.wait_at_most)),
        }
    })
}

/// Ends when nobody wants to wait any longer.
async fn patience(most: Option<Span>) {
    match most.and_then(|span| u64::try_from(span.as_seconds()).ok()) {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

fn waited(id: &str, most: Option<Span>) -> Failure {
    let most = most.map(|span| span.to_string()).unwrap_or_default();
    Failure::new(&format!("the build {id} is not over after {most}"))
        .line("found", "it goes on at the service")
        .line(
            "fix",
            "wait longer, or ask for it there: GET /v1/builds/ID; the same --idempotency-key finds it again",
        )
}

struct Service<'a> {
    url: &'a str,
    client: Client,
    output: &'a Output,
}

impl Service<'_> {
    async fn submit(&self, wish: Wish<'_>, key: Option<&str>) -> Result<Json, Failure> {
        let body = Object::new()
            .with("repository", wish.repository)
            .with("ref", wish.reference)
            .with("target", wish.target);
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(key.map(|k| ("idempotency-key", k)));
        self.ask("POST", "/v1/builds", &headers, Json::from(body).to_string().into_bytes()).await
    }

    /// Follows the build to its end, and fetches what it made.
    async fn finish(&self, id: &str, out: &Path) -> Result<Exit, Failure> {
        let job = self.follow(id).await?;
        match text(&job, "state").as_str() {
            "done" => {
                self.fetch(id, &job, out).await?;
                // it was built, and a test failed
                Ok(if reason(&job).is_some() { Exit::Found } else { Exit::Clean })
            }
            state => {
                let failure = ended(id, state, &job);
                match self.fetch_files(id, &job, out).await {
                    Ok(record) => Err(record
                        .iter()
                        .fold(failure, |f, path| f.line("record", &path.display().to_string()))),
                    Err(_) => Err(failure.line("record", "it could not be fetched")),
                }
            }
        }
    }

    /// Shows the log until the build is over. A service that is away comes back, and knows the build.
    async fn follow(&self, id: &str) -> Result<Json, Failure> {
        let (mut at, mut away) = (0, 0);
        let mut queue = Waiting::default();
        loop {
            let followed = queue.is_over;
            let read = match followed {
                true => self.read_log(id, &mut at).await,
                false => Ok(()),
            };
            let state = match read {
                Ok(()) => self.try_ask("GET", &format!("/v1/builds/{id}"), &[], Vec::new()).await,
                Err(e) => Err(e),
            };
            if let Ok(Ok(job)) = &state {
                self.wait_in_queue(&mut queue, job).await;
            }
            match state {
                Ok(Ok(job)) if matches!(text(&job, "state").as_str(), "done" | "failed" | "cancelled") => {
                    if !followed {
                        // it was over before we asked: what it said is still to be told
                        self.read_log(id, &mut at).await.ok();
                    }
                    return Ok(job);
                }
                Ok(Ok(_)) => away = 0,
                Ok(Err(refused)) => return Err(refused),
                Err(e) if e.is_passing() && away < AWAY => {
                    if away == 0 {
                        self.output.progress("  the service is away; waiting for it to come back");
                    }
                    away += 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(e) => {
                    return Err(lost(self.url, &e).line("more", &format!("the build {id} goes on there")));
                }
            }
        }
    }

    /// Says where the build stands, when that changes, and each minute that it still waits.
    async fn wait_in_queue(&self, queue: &mut Waiting, job: &Json) {
        let state = text(job, "state");
        if state != "queued" {
            if !queue.is_over && queue.told.is_some() && state == "running" {
                self.output.progress("  it runs");
            }
            queue.is_over = true;
            return;
        }
        queue.is_over = false;
        let ahead = job.as_object().ok().and_then(|o| o.int("ahead").ok()).unwrap_or(0);
        if queue.told != Some(ahead) {
            self.output.progress(&format!("  it waits in the queue; {ahead} before it"));
            queue.told = Some(ahead);
            queue.seconds = 0;
        } else if queue.seconds >= 60 {
            self.output.progress(&format!("  it still waits; {ahead} before it"));
            queue.seconds = 0;
        }
        if queue.seconds == 0 && !self.has_good_canary().await {
            self.output
                .progress("  the service builds nothing now: its canary did not pass; its log says why");
        }
        queue.seconds += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// Whether the service would build. Where it does not say, it is taken to.
    async fn has_good_canary(&self) -> bool {
        let Ok(answer) = self.client.send("GET", "/readyz", &[], Vec::new()).await else { return true };
        let body = answer.all(MAX_ANSWER).await.unwrap_or_default();
        attest::json::parse(&body).map_or(true, |parts| text(&parts, "canary") != "not passed")
    }

    async fn read_log(&self, id: &str, at: &mut usize) -> Result<(), ClientError> {
        let path = format!("/v1/builds/{id}/log?follow=true&from={at}");
        let mut answer = self.client.send("GET", &path, &[], Vec::new()).await?;
        // a refusal is told by the question that comes next
        while answer.status == 200 {
            let Ok(piece) = tokio::time::timeout(QUIET, answer.piece()).await else { return Ok(()) };
            let Some(piece) = piece? else { break };
            *at += piece.len();
            if !self.output.is_json() {
                std::io::stderr().write_all(harmless(&piece).as_bytes()).ok();
            }
        }
        Ok(())
    }

    /// Fetches the bundles first, then the artifacts: no artifact is ever visible without its provenance.
    async fn fetch_files(&self, id: &str, job: &Json, out: &Path) -> Result<Vec<PathBuf>, Failure> {
        keys::folder(out)?;
        let mut files: Vec<(String, String)> = outputs(job);
        files.sort_by_key(|(name, _)| (!name.ends_with(".sigstore.json"), name.clone()));
        let mut paths = Vec::new();
        for (name, hex) in &files {
            paths.push(self.fetch_one(id, name, hex, out).await?);
        }
        Ok(paths)
    }

    async fn fetch(&self, id: &str, job: &Json, out: &Path) -> Result<(), Failure> {
        let paths = self.fetch_files(id, job, out).await?;
        let human: String = paths.iter().map(|p| format!("{}\n", p.display())).collect();
        self.output.result(&human, || {
            let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
            Object::new().with("id", id).with("files", names).into()
        });
        if let Some(reason) = reason(job) {
            self.output.progress(&format!("  {}", reason.string("error").unwrap_or("a test failed")));
        }
        Ok(())
    }

    async fn fetch_one(&self, id: &str, name: &str, hex: &str, out: &Path) -> Result<PathBuf, Failure> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(Failure::new("the service names an output that is no file name").line("found", name));
        }
        let path = format!("/v1/builds/{id}/outputs/{}", escape(name));
        let answer = self.client.send("GET", &path, &[], Vec::new()).await.map_err(|e| lost(self.url, &e))?;
        if answer.status != 200 {
            return Err(refused(answer).await);
        }
        let to = out.join(name);
        let temporary = out.join(format!(".{name}.{}.tmp", std::process::id()));
        let written = self.download(answer, &temporary, hex).await;
        let moved =
            written.and_then(|()| fs::rename(&temporary, &to).map_err(|e| Failure::io("write", &to, &e)));
        if moved.is_err() {
            fs::remove_file(&temporary).ok();
        }
        moved.map(|()| to)
    }

    async fn download(&self, mut answer: Answer, to: &Path, hex: &str) -> Result<(), Failure> {
        let failed = |e| Failure::io("write", to, &e);
        let mut file = fs::File::create(to).map_err(failed)?;
        let mut hasher = Hasher::new(&[]);
        while let Some(piece) = answer.piece().await.map_err(|e| lost(self.url, &e))? {
            hasher.update(&piece);
            file.write_all(&piece).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        if hasher.finish().first().is_some_and(|d| d.hex() == hex) {
            return Ok(());
        }
        Err(Failure::new("an output did not arrive as the service has it")
            .line("wanted", &format!("sha256 {hex}"))
            .line("fix", "fetch it again; if it stays so, the service's disk is damaged"))
    }

    /// Somebody pressed Ctrl-C: the build is not wanted any more.
    async fn cancel(&self, id: &str) -> Result<Exit, Failure> {
        self.ask("POST", &format!("/v1/builds/{id}/cancel"), &[], Vec::new()).await?;
        Err(Failure::new(&format!("the build {id} is cancelled"))
            .line("fix", "with --no-wait, a build goes on without this command"))
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Json, Failure> {
        self.try_ask(method, path, headers, body).await.map_err(|e| lost(self.url, &e))?
    }

    /// The answer, or what the service says against it; apart from both, that the service cannot be reached.
    async fn try_ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Result<Json, Failure>, ClientError> {
        let answer = self.client.send(method, path, headers, body).await?;
        if !matches!(answer.status, 200 | 201) {
            return Ok(Err(refused(answer).await));
        }
        let bytes = answer.all(MAX_ANSWER).await?;
        Ok(attest::json::parse(&bytes)
            .map_err(|e| Failure::new("the service's answer cannot be read").line("found", &e.to_string())))
    }
}

/// What is known of a build in the queue.
#[derive(Default)]
struct Waiting {
    /// How many were said to be before it.
    told: Option<i64>,
    /// Since something was said.
    seconds: u32,
    /// Whether it runs, or is over.
    is_over: bool,
}

/// A build chooses what its log says: none of it may drive a terminal.
fn harmless(piece: &[u8]) -> String {
    let is_shown = |c: char| matches!(c, '\n' | '\t') || !c.is_control();
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let text = String::from_utf8_lossy(piece);
    text.chars().map(|c| if is_shown(c) && !turns(c) { c } else { ' ' }).collect()
}

fn reason(job: &Json) -> Option<&Object> {
    job.as_object().ok()?.get("reason")?.as_object().ok()
}

fn text(job: &Json, key: &str) -> String {
    job.as_object().ok().and_then(|o| o.string(key).ok()).unwrap_or_default().to_owned()
}

fn outputs(job: &Json) -> Vec<(String, String)> {
    let list = job.as_object().ok().and_then(|o| o.get("outputs")?.as_array().ok()).unwrap_or_default();
    let one = |output: &Json| {
        let output = output.as_object().ok()?;
        Some((output.string("name").ok()?.to_owned(), output.string("sha256").ok()?.to_owned()))
    };
    list.iter().filter_map(one).collect()
}

/// What the service says against a request, in its own words.
async fn refused(answer: Answer) -> Failure {
    let status = answer.status;
    let body = answer.all(MAX_ANSWER).await.unwrap_or_default();
    let json = attest::json::parse(&body).ok();
    let field = |key| json.as_ref().and_then(|j| j.as_object().ok()?.string(key).ok());
    let message = field("message").map_or_else(|| format!("the service answers {status}"), str::to_owned);
    ["wanted", "found", "fix"].into_iter().fold(Failure::new(&message), |failure, label| match field(label) {
        Some(text) => failure.line(label, text),
        None => failure,
    })
}

/// The build came to another end than was hoped for.
fn ended(id: &str, state: &str, job: &Json) -> Failure {
    let reason = reason(job);
    let error = reason.and_then(|r| r.string("error").ok()).unwrap_or("no reason is known");
    let mut failure = Failure::new(error).line("build", &format!("{id} {state}"));
    let lines = reason.and_then(|r| r.get("lines")?.as_array().ok()).unwrap_or_default();
    for line in lines.iter().filter_map(|l| l.as_object().ok()) {
        let label = match line.string("label") {
            Ok("wanted") => "wanted",
            Ok("fix") => "fix",
            Ok("or") => "or",
            _ => "found",
        };
        failure = failure.line(label, line.string("text").unwrap_or_default());
    }
    let files = reason.and_then(|r| r.get("files")?.as_array().ok()).unwrap_or_default();
    for file in files.iter().filter_map(|f| f.as_object().ok()) {
        failure = failure.line("found", file.string("message").unwrap_or_default());
    }
    failure
}

fn lost(url: &str, error: &ClientError) -> Failure {
    Failure::new(&format!("the build service {url} cannot be used"))
        .line("found", &error.to_string())
        .line("fix", "check the address, --ca, and whether the service runs: GET /healthz tells")
}

/// A file name as a part of a path.
fn escape(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn a_log_cannot_drive_the_terminal() {
        assert_eq!(harmless(b"one\x1b[2J\ttwo\r\n\xff\xe2\x80\xae"), "one [2J\ttwo \n\u{fffd} ");
    }
}
