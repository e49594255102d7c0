//! From the queue to the end of each build, and what to do about builds that ran when the service was killed.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attest::{Json, Object};
use tokio::sync::{Notify, Semaphore};

use crate::child::{LogFiles, Running, command};
use crate::config::Repository;
use crate::folders::JobFolder;
use crate::job::{Job, State, reason};
use crate::queue::QueueError;
use crate::service::Service;

/// A build during which the service was killed so often may be why.
const MAX_ATTEMPTS: i64 = 3;
/// How long to wait before the database is asked again after it failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The builds that run, and how to reach them.
#[derive(Debug, Default)]
pub(crate) struct Wanted(Mutex<BTreeMap<String, Arc<Notify>>>);

impl Wanted {
    fn enter(&self, id: &str) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(id.to_owned(), Arc::clone(&notify));
        notify
    }

    fn leave(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Tells a build to end, if it runs.
    pub(crate) fn revoke(&self, id: &str) {
        if let Some(notify) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            notify.notify_one();
        }
    }
}

/// How a build came to its end.
enum End {
    Itself(std::io::Result<ExitStatus>),
    Cancelled,
    TooLong,
    Drained,
    Withdrawn,
}

/// Settles every job that ran when the last service ended.
pub(crate) async fn recover(service: &Service) -> Result<(), QueueError> {
    for job in service.queue.running().await? {
        let folder = service.folders.job(&job.id);
        let is_left = folder.is_left(job.attempts).await;
        let told = folder.told(job.attempts);
        let is_done = folder.is_published() || told.as_ref().is_some_and(|t| has(t, "outputs"));
        if is_done && is_left {
            publish(service, &job, &folder).await;
        } else if job.is_unwanted {
            finish(service, &job, State::Cancelled, job.reason.clone()).await;
        } else if let Some(told) = told.filter(|t| is_left && has(t, "error")) {
            finish(service, &job, State::Failed, Some(told)).await;
        } else if !is_left {
            let why = reason(
                "the service was stopped while it ran, and its process is still there",
                &[("fix", "end the process, which hangs in the kernel, and submit the build again")],
            );
            finish(service, &job, State::Failed, Some(why)).await;
        } else if job.attempts >= MAX_ATTEMPTS {
            let times = format!("the service was stopped while it ran, {} times", job.attempts);
            let fix = "look into the service's log for why it was stopped, and submit the build again";
            finish(service, &job, State::Failed, Some(reason(&times, &[("fix", fix)]))).await;
        } else {
            folder.tidy(job.attempts).ok();
            service.queue.requeue(&job.id, job.attempts).await?;
            service.tell("build-again", &job.id, Object::new().with("attempts", job.attempts));
        }
    }
    if let Err(e) = service.folders.tidy_all() {
        service.tell("tidy-failed", "", Object::new().with("found", e.to_string()));
    }
    Ok(())
}

/// Runs builds, as many at once as configured, until the service drains.
pub(crate) async fn all(service: Arc<Service>) {
    let slots = Arc::new(Semaphore::new(service.config.builds.at_once));
    let mut running = tokio::task::JoinSet::new();
    tokio::select! {
        () = service.told_to_stop() => return,
        () = service.readiness.pass_canary(&service) => {}
    }
    loop {
        let slot = tokio::select! {
            () = service.told_to_stop() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let Ok(slot) = slot else { break };
        match service.queue.claim(service.micros()).await {
            Ok(Some(job)) => {
                let service = Arc::clone(&service);
                running.spawn(async move {
                    one(&service, job).await;
                    drop(slot);
                });
            }
            Ok(None) => {
                drop(slot);
                tokio::select! {
                    () = service.told_to_stop() => break,
                    () = service.arrived.notified() => {}
                }
            }
            Err(e) => {
                drop(slot);
                service.tell("queue-failed", "", Object::new().with("found", e.to_string()));
                tokio::time::sleep(PAUSE).await;
            }
        }
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
}

/// One build, from its claim to its end in the queue.
async fn one(service: &Service, job: Job) {
    let wanted = service.wanted.enter(&job.id);
    let details = Object::new()
        .with("repository", job.wish.repository.as_str())
        .with("ref", job.wish.reference.as_str())
        .with("target", job.wish.target.as_str())
        .with("attempt", job.attempts);
    service.tell("build-started", &job.id, details);
    let folder = service.folders.job(&job.id);
    // what was permitted when it was submitted may not be any more: the service was restarted meanwhile
    let repository = service.config.repository(&job.wish.repository);
    let repository = repository.filter(|r| r.allows_ref(&job.wish.reference));
    let end = match repository.map(|repository| start(service, &job, repository, &folder)) {
        None => End::Withdrawn,
        Some(Ok(running)) => follow(service, &job, running, &wanted).await,
        Some(Err(e)) => End::Itself(Err(e)),
    };
    settle(service, &job, &folder, end).await;
    service.wanted.leave(&job.id);
}

fn start(
    service: &Service,
    job: &Job,
    repository: &Repository,
    folder: &JobFolder,
) -> std::io::Result<Running> {
    let result = folder.begin(job.attempts)?;
    let command = command(service, job, repository, folder);
    let (own, all) = (folder.command_log(job.attempts), folder.log());
    Running::start(command, result, LogFiles { command: own, all, limit: service.config.builds.log })
}

async fn follow(service: &Service, job: &Job, mut running: Running, wanted: &Notify) -> End {
    // a cancellation that came between the claim and `enter` is in the queue alone
    let is_unwanted = matches!(service.queue.find(&job.id).await, Ok(Some(j)) if j.is_unwanted);
    let time = u64::try_from(service.config.builds.time.as_seconds()).unwrap_or(u64::MAX);
    let end = if is_unwanted {
        End::Cancelled
    } else {
        tokio::select! {
            status = running.wait() => return End::Itself(status),
            () = wanted.notified() => End::Cancelled,
            () = tokio::time::sleep(Duration::from_secs(time)) => End::TooLong,
            () = service.deadline() => End::Drained,
        }
    };
    running.stop().await;
    end
}

async fn settle(service: &Service, job: &Job, folder: &JobFolder, end: End) {
    match end {
        End::Itself(Ok(status)) => {
            let told = folder.told(job.attempts);
            // with 1, everything was built and signed, and a test failed
            if status.success()
                || (status.code() == Some(1) && told.as_ref().is_some_and(|t| has(t, "outputs")))
            {
                return publish(service, job, folder).await;
            }
            let told = told.filter(|t| has(t, "error"));
            let otherwise = || reason(&format!("the build's process ended with {status}"), &[]);
            finish(service, job, State::Failed, Some(told.unwrap_or_else(otherwise))).await;
        }
        End::Itself(Err(e)) => {
            let why = reason("the build cannot be started", &[("found", &e.to_string())]);
            finish(service, job, State::Failed, Some(why)).await;
        }
        End::Cancelled => {
            let why = service.queue.find(&job.id).await.ok().flatten().and_then(|j| j.reason);
            finish(service, job, State::Cancelled, why).await;
        }
        End::TooLong => {
            let time = service.config.builds.time;
            let error = format!("the build took longer than {time}, with everything around its command");
            let fix = "make it faster, or have `builds: time` of the service's configuration raised";
            finish(service, job, State::Failed, Some(reason(&error, &[("fix", fix)]))).await;
        }
        End::Withdrawn => {
            let error = "the service's configuration does not permit this repository and ref any more";
            let found = format!("{} of {}", job.wish.reference, job.wish.repository);
            finish(service, job, State::Failed, Some(reason(error, &[("found", &found)]))).await;
        }
        End::Drained => {
            folder.tidy(job.attempts).ok();
            // being told to stop is no fault of the build: the attempt does not count
            service.until_done(|| service.queue.requeue(&job.id, job.attempts - 1)).await;
            service.tell("build-put-back", &job.id, Object::new());
        }
    }
}

/// Outputs appear by one rename, and only then is the job done: a kill between the two finds them and goes on.
async fn publish(service: &Service, job: &Job, folder: &JobFolder) {
    // outputs may be large, and hashing them must not hold up those who ask
    let (own, attempt) = (folder.clone(), job.attempts);
    let published = tokio::task::spawn_blocking(move || own.publish(attempt)).await;
    match published.unwrap_or_else(|e| Err(std::io::Error::other(e))) {
        Ok(outputs) => {
            let now = service.micros();
            let failed = failed_tests(folder.told(job.attempts).as_ref());
            let finished =
                || service.queue.finish(&job.id, State::Done, (failed.as_ref(), Some(&outputs)), now);
            service.until_done(finished).await;
            folder.tidy(job.attempts).ok();
            service.tell("build-done", &job.id, Object::new().with("outputs", outputs.clone()));
        }
        Err(e) => {
            let why = reason("the outputs cannot be published", &[("found", &e.to_string())]);
            finish(service, job, State::Failed, Some(why)).await;
        }
    }
}

async fn finish(service: &Service, job: &Job, state: State, why: Option<Json>) {
    let now = service.micros();
    let record = service.folders.job(&job.id).publish_failure(job.attempts).ok().flatten();
    let finished = || service.queue.finish(&job.id, state, (why.as_ref(), record.as_ref()), now);
    service.until_done(finished).await;
    service.folders.job(&job.id).tidy(job.attempts).ok();
    let mut details = Object::new();
    let error = why.as_ref().and_then(|w| w.as_object().ok()?.get("error").cloned());
    details.set_some("reason", error);
    service.tell(
        if state == State::Cancelled { "build-cancelled" } else { "build-failed" },
        &job.id,
        details,
    );
}

/// Why a build that is done is not as it should be: its tests.
fn failed_tests(told: Option<&Json>) -> Option<Json> {
    let outputs = told?.as_object().ok()?.get("outputs")?.as_array().ok()?;
    let tests = outputs.iter().filter_map(|o| o.as_object().ok()?.get("tests")?.as_array().ok()).flatten();
    let failed = tests.filter_map(|t| t.as_object().ok()).filter(|t| t.string("result") != Ok("passed"));
    let names: Vec<&str> = failed.filter_map(|t| t.string("test").ok()).collect();
    (!names.is_empty()).then(|| reason("it was built, and a test failed", &[("found", &names.join(", "))]))
}

fn has(told: &Json, key: &str) -> bool {
    told.as_object().is_ok_and(|t| t.get(key).is_some())
}

/// Removes files of builds that ended long ago; their rows stay.
pub(crate) async fn sweep(service: Arc<Service>) {
    loop {
        let keep = service.config.builds.keep.as_seconds().saturating_mul(1_000_000);
        let expired = service.queue.expired(service.micros().saturating_sub(keep)).await;
        for id in expired.unwrap_or_default() {
            if service.folders.job(&id).sweep().is_ok() && service.queue.swept(&id).await.is_ok() {
                service.tell("build-swept", &id, Object::new());
            }
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
}
