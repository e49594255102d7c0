//! Whether a build that is submitted now would be kept, built and signed.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attest::{Json, Object};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::service::Service;

/// Anybody may ask; the answer is found anew only so often (microseconds).
const FRESH: i64 = 2_000_000;
const PATIENCE: Duration = Duration::from_secs(2);
const CANARY: Duration = Duration::from_secs(120);

/// What was found last.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    last: Mutex<Option<(i64, Json, bool)>>,
    canary_passed: AtomicBool,
}

impl Readiness {
    /// The parts and their states, and whether all are well.
    pub(crate) async fn check(&self, service: &Service) -> (Json, bool) {
        let mut last = self.last.lock().await;
        let now = service.micros();
        if let Some((at, json, is_ready)) = &*last
            && now.saturating_sub(*at) < FRESH
        {
            return (json.clone(), *is_ready);
        }
        let queue = matches!(tokio::time::timeout(PATIENCE, service.queue.probe(now)).await, Ok(Ok(())));
        let signer = UnixStream::connect(&service.config.signer);
        let signer = matches!(tokio::time::timeout(PATIENCE, signer).await, Ok(Ok(_)));
        let canary = service.config.builds.canary.is_empty() || self.canary_passed.load(Ordering::Acquire);
        let draining = *service.draining.borrow();
        let word = |good: bool, yes: &str, no: &str| Json::from(if good { yes } else { no });
        let canary_word = match (service.config.builds.canary.is_empty(), canary) {
            (true, _) => "not configured",
            (false, true) => "passed",
            (false, false) => "not passed",
        };
        let is_ready = queue && signer && canary && !draining;
        let json: Json = Object::new()
            .with("ready", is_ready)
            .with("queue", word(queue, "writable", "not writable"))
            .with("signer", word(signer, "reachable", "not reachable"))
            .with("canary", canary_word)
            .with("draining", draining)
            .into();
        *last = Some((now, json.clone(), is_ready));
        (json, is_ready)
    }

    /// Runs the canary until it passes: where a layer of the sandbox is missing, nothing is built.
    pub(crate) async fn pass_canary(&self, service: &Service) {
        while let Some(why) = canary(service).await {
            service.tell("canary-failed", "", Object::new().with("found", why));
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        self.canary_passed.store(true, Ordering::Release);
    }
}

/// Runs the configured canary; says why it did not pass.
async fn canary(service: &Service) -> Option<String> {
    let (program, arguments) = service.config.builds.canary.split_first()?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    command.stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(CANARY, command.output()).await {
        Ok(Ok(done)) if done.status.success() => None,
        Ok(Ok(done)) => {
            let said = last_line(&done.stderr).or_else(|| last_line(&done.stdout));
            let said = said.map(|line| format!("; it said: {line}")).unwrap_or_default();
            Some(format!("the canary ended with {}{said}", done.status))
        }
        Ok(Err(e)) => Some(format!("the canary cannot be started: {e}")),
        Err(_) => Some("the canary took too long".to_owned()),
    }
}

/// The last line that says something.
fn last_line(said: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(300).collect())
}
