//! A decision as whoever asked for it hears it: one value, the same words in every protocol.

use attest::{Artifact, Digest, Json, Object};
use chokepoint::{Answer, Basis, Decision};
use kubernetes::mapping::UNCLAIMED;
use policy::{Diagnostic, Outcome, PolicyName, Severity, Style};

use crate::webhook::engine::Ruled;

/// A decision that is on record, or one of a dry run. Made only of what the engine decided.
#[derive(Clone, Debug)]
pub struct Ruling {
    decision: Decision,
    environment: String,
    artifact: Artifact,
    receipt: Option<String>,
    findings: Vec<Diagnostic>,
    warnings: Vec<String>,
    why: Option<String>,
}

impl Ruling {
    pub(super) fn of(
        ruled: Ruled,
        about: (&str, &Artifact),
        has_evidence: bool,
        lost: &[Digest],
        unknown: Option<String>,
    ) -> Self {
        Self::told(ruled.decision, ruled.receipt, about, has_evidence, lost, unknown)
    }

    /// What a choke point without a server decided, which asks nobody for evidence; about what goes where.
    #[must_use]
    pub fn of_decision(decision: Decision, receipt: Option<String>, about: (&str, &Artifact)) -> Self {
        // where evidence is brought to no store, no finding says how to attach it
        Self::told(decision, receipt, about, true, &[], None)
    }

    fn told(
        decision: Decision,
        receipt: Option<String>,
        (environment, artifact): (&str, &Artifact),
        has_evidence: bool,
        lost: &[Digest],
        unknown: Option<String>,
    ) -> Self {
        let short = artifact.short();
        let verdict = decision.verdict();
        let why = match (verdict.outcome(), unknown) {
            (Outcome::CannotDecide(why), Some(unknown)) => Some(format!("{why}; of the registry: {unknown}")),
            (Outcome::CannotDecide(why), None) => Some(why.clone()),
            _ => None,
        };
        let show = |finding: &policy::Finding| {
            let shown = Diagnostic::of_finding(finding, &short, Severity::Error);
            match (finding.rule, artifact.digest()) {
                // no book mends that a name has no environment
                ("policy-missing", _) if finding.wanted.contains(&format!(" in {UNCLAIMED}")) => {
                    shown.rather("give the name an environment: an entry under the proxy's `routes`")
                }
                // what was built well and not brought is the likeliest reason here
                ("built-by", Some(digest)) if !has_evidence => shown.or(&format!(
                    "bring what the build wrote: portcullis attach {}@{digest} --bundle FILE",
                    artifact.uri()
                )),
                _ => shown,
            }
        };
        let missing = |digest: &Digest| {
            Diagnostic::new("evidence-missing", "what the request names is not in the evidence store")
                .line("wanted", "bundles that were attached, or a grant that was opened")
                .line("found", &digest.to_string())
                .line("fix", "bring it with `portcullis attach` or `portcullis breakglass open`, and name what that prints")
        };
        let is_refused = decision.answer() == Answer::Reject;
        let mut findings: Vec<Diagnostic> = verdict.findings().iter().map(show).collect();
        findings.extend(lost.iter().filter(|_| is_refused).map(missing));
        let mut warnings: Vec<String> = verdict
            .warnings()
            .iter()
            .map(|finding| format!("{}: {}", finding.rule, finding.message))
            .collect();
        if decision.basis() == Basis::Breakglass {
            warnings.insert(0, format!("breakglass: {short} is admitted by a grant, which is on record"));
        }
        let (environment, artifact) = (environment.to_owned(), artifact.clone());
        Self { environment, artifact, receipt, findings, warnings, why, decision }
    }

    /// Whether the deployment may go on. Whatever else is said, this is the answer.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.decision.answer() == Answer::Admit
    }

    /// The decision.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The record's name; nothing where nothing was recorded.
    #[must_use]
    pub fn receipt(&self) -> Option<&str> {
        self.receipt.as_deref()
    }

    /// All that is wrong, as people read it.
    #[must_use]
    pub fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }

    /// What somebody whose deployment goes on should know.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The whole of it as plain text: the findings, the answer, and then what it is about, in whole.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out: String = self
            .findings
            .iter()
            .filter(|_| !self.is_admitted())
            .map(|f| f.to_text(Style::Plain) + "\n")
            .collect();
        out.extend(self.warnings.iter().map(|warning| format!("warning: {warning}\n")));
        let short = self.artifact.short();
        let line = match (self.decision.word(), &self.why) {
            ("cannot-decide", why) => {
                format!("cannot decide: {}", why.as_deref().unwrap_or("no reason is known"))
            }
            ("admit", _) => format!("admit: {short}, by {}", self.decision.basis().name()),
            (word, _) => format!("{word}: {short}"),
        };
        out.push_str(&line);
        let [environment, uri] = [self.environment.as_str(), self.artifact.uri()].map(policy::one_line);
        out.push_str(&format!("\nenvironment: {environment}\nartifact: {uri}"));
        out.extend(self.artifact.digest().map(|digest| format!("@{digest}")));
        out.extend(self.receipt.iter().map(|receipt| format!("\nrecord: {receipt}")));
        out.push('\n');
        out
    }

    /// The JSON form, with the keys of `portcullis verify --format json`.
    #[must_use]
    pub fn to_json(&self) -> Object {
        let verdict = self.decision.verdict();
        let word = match verdict.outcome() {
            Outcome::Met => Json::from("met"),
            Outcome::Unmet => Json::from("unmet"),
            Outcome::CannotDecide(_) => Json::Null,
        };
        let findings = verdict.findings().iter().map(policy::Finding::to_json).collect();
        let mut object = Object::new()
            .with("decision", self.decision.word())
            .with("verdict", word)
            .with("basis", self.decision.basis().name());
        object.set_some("why", self.why.as_deref());
        object.set("policy", verdict.policy().map_or(Json::Null, PolicyName::to_json));
        object.set("environment", self.environment.as_str());
        object.set("artifact", self.artifact.to_json());
        object.set("findings", Json::Array(findings));
        object.set("warnings", self.warnings.clone());
        object.set_some("record", self.receipt.as_deref());
        object.with("text", self.to_text())
    }
}
