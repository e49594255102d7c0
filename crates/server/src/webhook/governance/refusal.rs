//! Why a reviewed file is not in force, in words for whoever changed it.

use attest::Digest;
use chokepoint::{Answer, Decision};
use policy::{DeploymentRequest, Diagnostic, Severity, Style};

use super::Part;

/// Why a file is not taken, whatever its evidence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A word for programs.
    pub(crate) rule: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    pub(super) fn rolled_back(part: Part, digest: &Digest) -> Self {
        Self::with(
            "rolled-back",
            &format!("the {part} was in force before, and was replaced"),
            &format!("a {part} that was never replaced"),
            &digest.to_string(),
            "have the older content released again as a new version: a word in a comment makes it another file",
        )
    }

    pub(super) fn older(part: Part, floor: &str, found: &[String]) -> Self {
        let found = if found.is_empty() { "no version".to_owned() } else { found.join(", ") };
        Self::with(
            "version-floor",
            &format!("the {part} is not newer than the newest that was in force"),
            &format!("only versions above {floor}"),
            &found,
            "have it released with a higher version: portcullis attest release DIGEST --purl PURL@VERSION",
        )
    }

    pub(super) fn unloadable(rule: &'static str, part: Part, found: &str) -> Self {
        let fix = "mend it, and have it released anew";
        Self::with(
            rule,
            &format!("the {part} cannot be in force"),
            &format!("a {part} that loads"),
            found,
            fix,
        )
    }

    pub(super) fn gone(part: Part) -> Self {
        let fix = "name the file again; guardrails that nothing limits are guardrails too, and are reviewed";
        Self::with("part-missing", &format!("the {part} is gone"), &format!("the {part}"), "none", fix)
    }

    fn with(rule: &'static str, message: &str, wanted: &str, found: &str, fix: &str) -> Self {
        let lines = format!(
            "error[{rule}]: {message}\n  wanted    {wanted}\n  found     {found}\n  fix       {fix}\n"
        );
        Self { rule, message: lines }
    }
}

/// What a decision that does not put a file in force says.
pub(super) fn of_decision(digest: &Digest, decision: &Decision, request: &DeploymentRequest) -> String {
    let verdict = decision.verdict();
    let mut text = match decision.answer() {
        Answer::Reject => String::new(),
        Answer::Admit => format!("nothing comes into force by {}\n", decision.basis().name()),
    };
    for (index, finding) in verdict.findings().iter().enumerate() {
        let mut shown = Diagnostic::of_finding(finding, &request.artifact.short(), Severity::Error);
        if index == 0 && request.envelopes.is_empty() {
            shown = shown
                .or(&format!("bring what was signed: portcullis attach {digest} --bundle FILE --store DIR"));
        }
        text.push_str(&shown.to_text(Style::Plain));
    }
    text
}
