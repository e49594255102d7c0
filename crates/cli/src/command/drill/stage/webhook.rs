//! The choke point of Kubernetes, asked in the process: what the API server would send, and what it would be told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use attest::{Digest, Json, Object};
use replicas::{Duty, Health};
use server::webhook::{Ask, Config, Deadline, DecisionLog, Judge as _, Kubernetes, Purpose, Stages, Told};

use super::Stage;
use crate::command::drill::outcome::Seen;
use crate::command::log::shared;
use crate::failure::Failure;
use crate::{clock, keys};

const CONFIGURATION: &str = include_str!("serve.yaml");
/// How long a decision may take.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct Webhook {
    dir: PathBuf,
    judge: Kubernetes,
    health: Option<Health>,
}

impl Stage<'_> {
    /// A choke point with this book and trust root, and with other words in its configuration.
    pub(crate) fn webhook(
        &self,
        book: &str,
        trust_root: &str,
        (from, to): (&str, &str),
    ) -> Result<Webhook, Failure> {
        Webhook::at(&self.webhook_files(book, trust_root, (from, to))?)
    }

    /// The folder with all that it opens.
    pub(crate) fn webhook_files(
        &self,
        book: &str,
        trust_root: &str,
        (from, to): (&str, &str),
    ) -> Result<PathBuf, Failure> {
        let dir = self.fresh("webhook")?;
        for below in ["evidence", "state"] {
            keys::folder(&dir.join(below))?;
        }
        // one file a policy
        for (number, policy) in book.split("---\n").enumerate() {
            keys::write(&dir.join(format!("book/{number}.yaml")), policy)?;
        }
        keys::write(&dir.join("trust-root.yaml"), trust_root)?;
        keys::key(&dir.join("log.key"), attest::Scheme::Ed25519)?;
        keys::write(&dir.join("serve.yaml"), &CONFIGURATION.replacen(from, to, 1))?;
        Ok(dir)
    }
}

/// What the process opens that answers the API server; and how its sequencer is, where its log is in a database.
pub(crate) fn open(configuration: &Path) -> Result<(Kubernetes, Option<Health>), Failure> {
    let text = crate::input::text("configuration", configuration)?;
    let config = Config::parse(configuration, &text)
        .map_err(|errors| Failure::load("serve-configuration-invalid", errors))?;
    let log = &config.log;
    let (log, health) = match &log.postgresql {
        None => (DecisionLog::Files(Box::new(keys::log(&log.path, &log.origin, &log.key)?)), None),
        Some(database) => {
            let shared = shared::open(log, database)?;
            let health = shared.target.health();
            (DecisionLog::PostgreSql(Box::new(shared)), health)
        }
    };
    let judge = Kubernetes::open(&config, log, clock::now(None)?)
        .map_err(|found| Failure::new("the choke point does not open").line("found", &found))?;
    Ok((judge, health))
}

impl Webhook {
    /// The choke point over the files in a folder.
    pub(crate) fn at(dir: &Path) -> Result<Self, Failure> {
        let (judge, health) = open(&dir.join("serve.yaml"))?;
        Ok(Self { dir: dir.to_owned(), judge, health })
    }

    /// What its sequencer does, where it has one.
    pub(crate) fn duty(&self) -> Option<Duty> {
        self.health.as_ref().map(Health::duty)
    }

    /// Brings all of its decisions into the tree.
    pub(crate) fn close(&self) {
        self.judge.close(clock::now(None).unwrap_or(jiff::Timestamp::UNIX_EPOCH));
    }

    /// Brings evidence beside an artifact.
    pub(crate) fn attach(
        &self,
        stage: &Stage<'_>,
        digest: &Digest,
        bundles: &[&Path],
    ) -> Result<(), Failure> {
        let (digest, store) = (digest.to_string(), self.dir.join("evidence").display().to_string());
        let bundles: Vec<String> = bundles.iter().map(|bundle| bundle.display().to_string()).collect();
        let mut words = vec!["attach", &digest, "--store", &store];
        words.extend(bundles.iter().flat_map(|bundle| ["--bundle", bundle]));
        stage.portcullis(&words)?.worked().map(drop)
    }

    /// What somebody is told who writes an object over the one that is there.
    pub(crate) fn write(&self, object: &str, old: Option<&str>) -> Result<Seen, Failure> {
        Ok(self.write_audited(object, old)?.0)
    }

    /// The log of its decisions, with all of them in its tree.
    pub(crate) fn log(&self) -> PathBuf {
        self.close();
        self.dir.join("log")
    }

    /// The same, and what the API server writes into its audit log of the answer.
    pub(crate) fn write_audited(&self, object: &str, old: Option<&str>) -> Result<(Seen, Object), Failure> {
        let deadline = Deadline::after(WITHIN);
        let now = clock::now(None)?;
        let body = review(object, old)?.to_string().into_bytes().into();
        let ask = Ask { body, purpose: Purpose::Validate, deadline, now };
        let judged = self
            .judge
            .judge(&ask, &mut Stages::default())
            .map_err(|e| Failure::new("the choke point does not answer").line("found", &format!("{e:?}")))?;
        let response = judged.answer.as_object().and_then(|answer| answer.object("response").cloned());
        let response = response.map_err(|e| unreadable(&e))?;
        let is_let_through = matches!(response.get("allowed"), Some(Json::Bool(true)));
        let status = response.optional_object("status").ok().flatten();
        let message = status.and_then(|status| status.string("message").ok()).unwrap_or_default();
        let audited = response.optional_object("auditAnnotations").ok().flatten().cloned();
        Ok((told(&judged.decisions, is_let_through, message), audited.unwrap_or_default()))
    }
}

fn told(decisions: &[Told], is_let_through: bool, message: &str) -> Seen {
    let mut seen = Seen { is_let_through, message: message.to_owned(), ..Seen::default() };
    for told in decisions {
        if is_let_through || told.decision != "admit" {
            seen.reasons.extend(told.rules.iter().cloned());
            seen.basis.clone_from(&told.basis);
        }
        if told.record.is_none() {
            seen.left.push("nothing of it is on record".to_owned());
        }
    }
    if decisions.is_empty() {
        "nothing to judge".clone_into(&mut seen.basis);
    }
    seen
}

fn unreadable(e: &dyn std::fmt::Display) -> Failure {
    Failure::new("the choke point's answer cannot be read").line("found", &e.to_string())
}

/// As the API server writes it.
fn review(object: &str, old: Option<&str>) -> Result<Json, Failure> {
    let parse = |text: &str| {
        let json = attest::json::parse(text.as_bytes()).ok();
        let object = json.and_then(|json| json.as_object().ok().cloned());
        object.ok_or_else(|| Failure::new("the drill's own object cannot be read"))
    };
    let (new, before) = (parse(object)?, old.map(parse).transpose()?);
    let word = |object: &Object, name: &str| object.string(name).unwrap_or_default().to_owned();
    let (api, kind) = (word(&new, "apiVersion"), word(&new, "kind"));
    let (group, version) = api.rsplit_once('/').unwrap_or(("", &api));
    let metadata = new.object("metadata").cloned().unwrap_or_default();
    let kind = Object::new().with("group", group).with("version", version).with("kind", kind);
    let resource = Object::new().with("group", group).with("version", version).with("resource", "things");
    let groups = vec!["system:authenticated".to_owned()];
    let user = Object::new().with("username", "alice@drill.example").with("groups", groups);
    let request = Object::new()
        .with("uid", "1299d386-525b-4032-98ae-1949f69f9cfc")
        .with("kind", kind)
        .with("resource", resource)
        .with("subResource", "")
        .with("name", word(&metadata, "name"))
        .with("namespace", word(&metadata, "namespace"))
        .with("operation", if before.is_some() { "UPDATE" } else { "CREATE" })
        .with("userInfo", user)
        .with("object", new)
        .with("oldObject", before.map_or(Json::Null, Json::from));
    Ok(Object::new()
        .with("apiVersion", "admission.k8s.io/v1")
        .with("kind", "AdmissionReview")
        .with("request", request)
        .into())
}
