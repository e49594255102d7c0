//! An emergency while the choke point is away: the same engine verifies a person's grant over a log of this machine, and
//! what was let in waits until the choke point has it on record too.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use attest::{Digest, Json, Object};
use chokepoint::{Answer, without_secrets};
use jiff::Timestamp;
use policy::DeploymentRequest;
use server::webhook::Ruling;

use super::GateRuling;
use super::local::{self, Files, Log};
use super::remote::{Remote, Unanswered, bundle};
use crate::command::destination::refused;
use crate::failure::Failure;
use crate::input;
use crate::keys;

/// As many records go to the choke point at once: who has more comes again.
const MAX_BROUGHT: usize = 1000;
const WAITING: &str = "waiting";

/// A folder: `log` with its key, and what waits in `waiting`.
pub(crate) struct Spool {
    dir: PathBuf,
    files: Files,
}

impl Spool {
    pub(super) fn new(dir: &Path, files: Files) -> Self {
        Self { dir: dir.to_owned(), files }
    }

    /// Lets in what a grant lets in, and nothing else: what the policy would say without the choke point's evidence,
    /// clock and memory is no decision.
    pub(super) fn decide(
        self,
        request: DeploymentRequest,
        why: &str,
        now: Timestamp,
    ) -> Result<GateRuling, Failure> {
        let (environment, artifact) = (request.environment.clone(), request.artifact.clone());
        let (requester, about) = (local::user(), (environment.as_str(), &artifact));
        let request = DeploymentRequest { requester: Some(requester), ..request };
        let log = Log {
            dir: self.dir.join("log"),
            key: self.dir.join("log.key"),
            origin: format!("{}/portcullis-spool", local::host()),
            requester: None,
        };
        // a grant that names no requester is anybody's who reads it
        let waiting = self.dir.join(WAITING);
        keys::folder(&waiting)?;
        fs::set_permissions(&waiting, Permissions::from_mode(0o700))
            .map_err(|e| Failure::io("close to others the folder", &waiting, &e))?;
        let engine = log.open(self.files)?;
        let judged = engine.point.judge(request.clone(), now);
        if judged.grant().is_none() || judged.answer() != Answer::Admit {
            let ruling = local::read(&Ruling::of_decision(judged, None, about))?;
            return Err(Failure::new(
                "cannot decide: the choke point cannot be reached, and the grant does not hold",
            )
            .code("cannot-decide")
            .line("found", why)
            .line("said", &ruling.text.replace('\n', "\n            "))
            .line("fix", "wait for the choke point, or have somebody give a grant that holds"));
        }
        let admission = engine.decide(request.clone(), now)?;
        let (Some(name), Some(promise)) = (local::receipt(&admission), admission.receipt()) else {
            return Err(Failure::new("the decision is not on record, so nobody may act on it"));
        };
        let mut ruling =
            local::read(&Ruling::of_decision(admission.decision().clone(), Some(name.clone()), about))?;
        if !ruling.is_admitted() || admission.decision().grant().is_none() {
            return Ok(GateRuling { is_admitted: false, ..ruling });
        }
        let vkey = engine.key.to_vkey();
        let record =
            record(&request, &ruling, &name, now)?.with("receipt", promise.to_text()).with("vkey", vkey);
        let file = waiting.join(format!("{}-{}.json", now.as_second(), hex(&name)));
        keys::write(&file, &Json::from(without_secrets(&record)).to_string())?;
        ruling.warn(&format!(
            "BREAKGLASS WITHOUT THE CHOKE POINT: it cannot be reached ({why}); the grant was verified on this machine, and \
             the record waits in {} until it is brought: portcullis deploy --bring-spool",
            file.display()
        ));
        Ok(ruling)
    }

    /// Brings what waits here.
    pub(super) fn bring(&self, remote: &Remote) -> Result<usize, Failure> {
        bring(&self.dir, remote)
    }
}

/// Brings what waits in a folder, oldest first: a machine's own, or a node's. A record stops waiting once the choke point
/// says that it has it; one that it does not take holds up no other.
pub(super) fn bring(dir: &Path, remote: &Remote) -> Result<usize, Failure> {
    let (mut brought, mut first) = (0, None);
    for file in waiting(&dir.join(WAITING))? {
        match bring_one(&file, remote) {
            Ok(None) => brought += 1,
            Ok(Some(why)) => {
                return Err(Failure::new(&format!("the choke point {} cannot be reached", remote.url()))
                    .line("found", &why)
                    .line("fix", "try again; what waits stays where it is"));
            }
            Err(failure) => drop(first.get_or_insert(failure)),
        }
    }
    first.map_or(Ok(brought), Err)
}

/// Those that wait longest: where many are refused for ever, the others still have their turn.
fn waiting(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |e: std::io::Error| Failure::io("read what waits in", dir, &e);
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "json") {
            files.push(path);
        }
    }
    files.sort();
    files.truncate(MAX_BROUGHT);
    Ok(files)
}

/// Gives why the choke point is out of reach, where it is.
fn bring_one(file: &Path, remote: &Remote) -> Result<Option<String>, Failure> {
    let bytes = input::read("waiting record", file, 8 << 20)?;
    let unreadable = |e: &dyn std::fmt::Display| {
        Failure::new(&format!("the waiting record {} cannot be read", file.display()))
            .line("found", &e.to_string())
            .line("fix", "keep it for the investigation, and compare it with the log beside it")
    };
    let record = attest::json::parse(&bytes).map_err(|e| unreadable(&e))?;
    // the choke point takes no secret, and what was written by an older version may hold one
    let record = Json::from(without_secrets(record.as_object().map_err(|e| unreadable(&e))?));
    let digest = Digest::sha256(record.to_string().as_bytes()).to_string();
    let body = Json::from(Object::new().with("records", Json::Array(vec![record])));
    let (status, answer) = match remote.ask("/v1/decisions/spooled", &body) {
        Ok(answered) => answered,
        Err(Unanswered::Other(failure)) => return Err(failure),
        Err(Unanswered::Unreachable(why)) => return Ok(Some(why)),
    };
    if status != 200 || !has(&answer, &digest) {
        return Err(refused(status, &answer).line("where", &file.display().to_string()));
    }
    fs::remove_file(file).map_err(|e| Failure::io("take away the record that was brought,", file, &e))?;
    Ok(None)
}

/// What the choke point puts on record of it.
fn record(
    request: &DeploymentRequest,
    ruling: &GateRuling,
    name: &str,
    at: Timestamp,
) -> Result<Object, Failure> {
    let mut object = Object::new()
        .with("at", at.to_string())
        .with("environment", request.environment.as_str())
        .with("artifact", request.artifact.to_json())
        .with("decision", ruling.word.as_str())
        .with("basis", ruling.basis.as_str())
        .with("chokepoint", request.chokepoint.as_str())
        .with("record", name);
    object.set_some("requester", request.requester.as_deref());
    object.set_some("workload", request.workload.as_deref());
    if let Some(grant) = &request.grant {
        object.set("grant", bundle(grant)?);
    }
    Ok(object)
}

/// Whether the choke point says that it has this one, by the digest of what was brought.
fn has(answer: &Json, digest: &str) -> bool {
    let records = answer.as_object().and_then(|object| object.array("records"));
    let is_it = |record: &Json| {
        record.as_object().and_then(|object| object.string("digest")).is_ok_and(|found| found == digest)
    };
    records.is_ok_and(|records| records.iter().any(is_it))
}

/// The leaf of a record's name, for a file's.
fn hex(name: &str) -> String {
    let leaf = name.rsplit_once(':').map_or(name, |(_, hex)| hex);
    Digest::parse(&format!("sha256:{leaf}")).map(|d| d.hex()).unwrap_or_default()
}
