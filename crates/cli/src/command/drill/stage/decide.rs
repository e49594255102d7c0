//! A choke point of its own for each attack, asked in the process, over a log of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attest::{Artifact, TrustRoot};
use chokepoint::{Admission, Chokepoint, Entry, Limits};
use jiff::{SignedDuration, Timestamp};
use policy::{Book, DeploymentRequest, Diagnostic, Guardrails, Severity, SourceFile, Style, Verdict};
use tlog::{Files, Room};

use super::{Rules, Stage};
use crate::command::drill::outcome::{Control, Seen, Trial, Wanted};
use crate::command::log;
use crate::failure::Failure;
use crate::{input, keys};

/// The origin of the logs of decisions.
pub(crate) const DECISIONS: &str = "portcullis.local/drill/decisions";
/// The spool of a log that holds a decision or two.
const SPOOL: usize = 1 << 20;

/// What somebody wants to be in place, and what is brought along.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) artifact: PathBuf,
    evidence: BTreeMap<&'static str, PathBuf>,
    at: Timestamp,
    pub(crate) grant: Option<PathBuf>,
}

impl Deployment {
    pub(crate) fn new(artifact: &Path, at: Timestamp) -> Self {
        Self { artifact: artifact.to_owned(), evidence: BTreeMap::new(), at, grant: None }
    }

    /// With a piece of evidence, in place of what was there under that name.
    pub(crate) fn with(mut self, kind: &'static str, bundle: PathBuf) -> Self {
        self.evidence.insert(kind, bundle);
        self
    }

    pub(crate) fn without(mut self, kind: &'static str) -> Result<Self, Failure> {
        self.evidence.remove(kind).ok_or_else(|| Failure::new(&format!("the drill brings no {kind}")))?;
        Ok(self)
    }

    pub(crate) fn evidence(&self, kind: &str) -> Result<&Path, Failure> {
        self.evidence
            .get(kind)
            .map(PathBuf::as_path)
            .ok_or_else(|| Failure::new(&format!("the drill brings no {kind}")))
    }

    /// Asked so many hours later.
    pub(crate) fn hours_later(mut self, hours: i64) -> Result<Self, Failure> {
        self.at = later(self.at, hours)?;
        Ok(self)
    }

    /// All that is brought along.
    pub(crate) fn bundles(&self) -> Vec<&Path> {
        self.evidence.values().map(PathBuf::as_path).collect()
    }

    /// As the choke point is asked.
    fn request(&self) -> Result<DeploymentRequest, Failure> {
        let digests = input::digests(&self.artifact.display().to_string(), &[])?;
        let mut request = DeploymentRequest::new(Artifact::new("shop", digests), "drill/shop", "drill");
        request.requester = Some("alice@drill.example".to_owned());
        for (kind, path) in &self.evidence {
            let mut submitted = input::bundle(path)?;
            submitted.name = format!("{kind}.json");
            request.envelopes.push(submitted);
        }
        request.grant = self.grant.as_deref().map(input::bundle).transpose()?;
        Ok(request)
    }
}

/// So many hours after a time, or before it.
pub(crate) fn later(at: Timestamp, hours: i64) -> Result<Timestamp, Failure> {
    at.checked_add(SignedDuration::from_hours(hours)).map_err(|_| Failure::new("the drill has no such time"))
}

impl Stage<'_> {
    /// An attack that a choke point must stop, and does not where it is set up otherwise.
    pub(crate) fn attack(
        &self,
        what: &'static str,
        wanted: Wanted,
        (rules, deployment): (&Rules, &Deployment),
        (off, otherwise): (&'static str, &Rules),
    ) -> Result<Trial, Failure> {
        let seen = self.decide(rules, deployment)?;
        let control = Control { off, seen: self.decide(otherwise, deployment)? };
        Ok(Trial::Attack { what, wanted, seen, control })
    }

    /// What must come through.
    pub(crate) fn admit(
        &self,
        what: &'static str,
        rules: &Rules,
        deployment: &Deployment,
    ) -> Result<Trial, Failure> {
        Ok(Trial::Honest { what, seen: self.decide(rules, deployment)? })
    }

    /// Asks a choke point that is set up like this, and puts the artifact in place only where it says so.
    pub(crate) fn decide(&self, rules: &Rules, deployment: &Deployment) -> Result<Seen, Failure> {
        let dir = self.fresh("decisions")?;
        self.decide_in(&dir, rules, deployment)
    }

    /// The same, over the log in a folder.
    pub(crate) fn decide_in(
        &self,
        dir: &Path,
        rules: &Rules,
        deployment: &Deployment,
    ) -> Result<Seen, Failure> {
        let chokepoint = self.open(dir, rules)?;
        let cannot = |e: &dyn std::fmt::Display| {
            Failure::new("the choke point cannot decide").line("found", &e.to_string())
        };
        let admission = chokepoint.decide(deployment.request()?, deployment.at).map_err(|e| cannot(&e))?;
        let deployed = dir.join("deployed/shop");
        if admission.is_admitted() {
            keys::folder(&dir.join("deployed"))?;
            std::fs::copy(&deployment.artifact, &deployed)
                .map_err(|e| Failure::io("deploy to", &deployed, &e))?;
        }
        chokepoint.settle().map_err(|e| cannot(&e))?;
        drop(chokepoint);
        let mut seen = seen(&admission);
        seen.left = left(dir, &admission, &deployed)?;
        Ok(seen)
    }

    fn open(&self, dir: &Path, rules: &Rules) -> Result<Chokepoint<Files>, Failure> {
        keys::write(&dir.join("book/shop.yaml"), &rules.policy)?;
        keys::write(&dir.join("trust-root.yaml"), &rules.trust_root)?;
        let file = SourceFile { name: "book/shop.yaml".to_owned(), text: rules.policy.clone() };
        let book =
            Book::load(vec![file], &Guardrails::none()).map_err(|e| Failure::load("policy-invalid", e))?;
        let root = TrustRoot::parse("trust-root.yaml", &rules.trust_root)
            .map_err(|e| Failure::load("trust-root-invalid", e))?;
        let log = keys::log(&dir.join("log"), DECISIONS, &self.key_file("decisions-log"))?;
        let limits = Limits { room: Room::of(SPOOL), ..Limits::default() };
        Chokepoint::open_with(book, root, log, limits)
            .map_err(|e| Failure::new("the choke point does not open").line("found", &e.to_string()))
    }
}

fn seen(admission: &Admission) -> Seen {
    let (decision, verdict) = (admission.decision(), admission.decision().verdict());
    let mut reasons: Vec<String> = verdict.findings().iter().map(|f| f.rule.to_owned()).collect();
    reasons.dedup();
    if let policy::Outcome::CannotDecide(why) = verdict.outcome() {
        reasons.push(why.clone());
    }
    Seen {
        is_let_through: admission.is_admitted(),
        reasons,
        basis: decision.basis().name().to_owned(),
        message: message(verdict),
        left: Vec::new(),
    }
}

/// The findings as a terminal shows them.
fn message(verdict: &Verdict) -> String {
    let show = |finding| Diagnostic::of_finding(finding, "shop", Severity::Error).to_text(Style::Plain);
    verdict.findings().iter().map(show).collect::<Vec<_>>().join("\n")
}

/// What is in place or on record, and should not be so: the log is read back, under its key.
fn left(dir: &Path, admission: &Admission, deployed: &Path) -> Result<Vec<String>, Failure> {
    let mut left = Vec::new();
    let log = dir.join("log");
    let (leaves, _) = log::records(&log, &log::Key::beside().read(&log)?, None)?;
    let newest = leaves.iter().rev().find_map(|(_, leaf)| match Entry::parse(leaf) {
        Ok(Entry::Decision(record)) => Some(record.decision),
        _ => None,
    });
    match newest {
        None => left.push("nothing of it is on record".to_owned()),
        Some(word) if (word == "admit") != admission.is_admitted() => {
            left.push("the log says something else than the choke point".to_owned());
        }
        Some(_) => {}
    }
    if deployed.exists() && !admission.is_admitted() {
        left.push("the artifact is in place".to_owned());
    }
    Ok(left)
}
