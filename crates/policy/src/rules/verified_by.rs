//! Somebody who is trusted to verify did, and says so in one signed summary (SLSA VSA v1).

use attest::claims::Summary;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};
use attest::{Digest, Evidence, LoadError, Place, Predicate, Role};

use super::built_within::{read_span, span_schema};
use crate::facts::{Facts, describe};
use crate::finding::Finding;
use crate::rule::{
    Beyond, Check, NameKind, NameUse, Order, Rule, and_list, list_schema, names_beyond, names_of,
    object_schema, or_list, read_names, string_schema,
};

mod level;

pub(crate) const RULE: Rule = Rule {
    name: "verified-by",
    key: "verified-by",
    summary: "a verifier that is listed says, not long ago, that the artifact passed",
    docs: "Met where at least one verification summary (SLSA VSA v1) about the artifact is signed by a listed name that holds \
           the role verifier in the trust root, and all of this is true of it: (1) its `verifier.id` is one of the `ids` that \
           the trust root lists for one of these names that signed it; (2) its result is PASSED, and FAILED is none of its \
           levels; (3) its `resourceUri` is exactly what is asked: the text of `resource`; or, with `environment`, what a \
           choke point of ours writes for this artifact there (the artifact's URI, `#environment=`, and the \
           environment, in which all bytes but letters, digits and `-._~/` are written as %XX), and then its \
           `portcullis_environment` is that environment too; or, with neither, the artifact's URI; (4) it has a \
           `timeVerified`, which is at most 60 s after the time of the case; (5) it is at most `within` old, from the older of \
           `timeVerified` and the time at which a witness saw the signature; (6) its `portcullis_expires`, where it has \
           one, is not before the time of the case; (7) its policy has the `uri` and the `digest` that `policy` asks for; \
           (8) it reaches each of `levels`: SLSA_TRACK_LEVEL_N is reached where it names a level of this track and none of \
           the track that is lower than N, and every other word where it has exactly this word. Two summaries of one signer \
           for one resource are refused by evidence-unambiguous. A policy may have this rule in place of `built-by` and \
           `signed-by`; it is none of them for guardrails, and what a policy with this rule admits is not summarised \
           again: two verifiers that trust each other would vouch without end.",
    example: "verified-by: { verifiers: [eu-gate], within: 24h, environment: prod/shop }",
    threats: &["T5"],
    reads_provenance: false,
    read: Some(read),
    schema: || {
        let policy = object_schema(&[("uri", string_schema()), ("digest", string_schema())], &[]);
        let fields = [
            ("verifiers", list_schema()),
            ("within", span_schema()),
            ("environment", string_schema()),
            ("resource", string_schema()),
            ("policy", policy),
            ("levels", list_schema()),
        ];
        object_schema(&fields, &["verifiers", "within"])
    },
};

#[derive(Debug)]
struct VerifiedBy {
    verifiers: Vec<NameUse>,
    within: Span,
    about: About,
    policy: Policy,
    levels: Vec<String>,
    place: Place,
}

/// For which resource the summary must be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    Artifact,
    Environment(String),
    Resource(String),
}

/// Under which policy it must have passed.
#[derive(Debug, Default)]
struct Policy {
    uri: Option<String>,
    digest: Option<Digest>,
}

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    let known = ["verifiers", "within", "environment", "resource", "policy", "levels"];
    let fields = Fields::read(node, "`verified-by`", &known, problems)?;
    let (verifiers, within) = (fields.required("verifiers", problems), fields.required("within", problems));
    let verifiers = read_names(verifiers?, NameKind::Role(Role::Verifier), problems)?;
    let within = problems.keep(read_span(within?))?;
    let about = match (fields.optional("environment"), fields.optional("resource")) {
        (None, None) => About::Artifact,
        (Some(node), None) => About::Environment(problems.keep(node.string())?.to_owned()),
        (None, Some(node)) => About::Resource(problems.keep(node.string())?.to_owned()),
        (Some(_), Some(resource)) => {
            problems.push(resource.mismatch("`environment` or `resource`, and not both"));
            return None;
        }
    };
    let policy = match fields.optional("policy") {
        None => Policy::default(),
        Some(node) => read_policy(node, problems)?,
    };
    let levels = match fields.optional("levels") {
        None => Vec::new(),
        Some(node) => problems.keep(node.strings())?.into_iter().map(|(level, _)| level).collect(),
    };
    Some(Box::new(VerifiedBy { verifiers, within, about, policy, levels, place: node.place.clone() }))
}

fn read_policy(node: &Node, problems: &mut Problems) -> Option<Policy> {
    let fields = Fields::read(node, "`policy`", &["uri", "digest"], problems)?;
    let mut policy = Policy::default();
    if let Some(node) = fields.optional("uri") {
        policy.uri = Some(problems.keep(node.string())?.to_owned());
    }
    if let Some(node) = fields.optional("digest") {
        let digest = Digest::parse(problems.keep(node.string())?)
            .map_err(|e| LoadError::new(&node.place, &e.to_string()));
        policy.digest = Some(problems.keep(digest)?);
    }
    if policy.uri.is_none() && policy.digest.is_none() {
        problems.push(node.mismatch("`uri`, `digest`, or both"));
        return None;
    }
    Some(policy)
}

impl Order for VerifiedBy {
    /// What one summary of one name may say here, and not there.
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let mut ways = Vec::new();
        if let Some(names) = names_beyond(&self.verifiers, &other.verifiers) {
            ways.push(Beyond::by("verifiers", format!("what was verified by {names} alone")));
        }
        if self.within > other.within {
            let words =
                format!("what was verified more than {} ago, and at most {}", other.within, self.within);
            ways.push(Beyond::by("within", words));
        }
        if self.about != other.about {
            ways.push(Beyond::by("resource", format!("what was verified {}", self.about.words())));
        }
        if let Some(uri) = other.policy.uri.as_ref().filter(|uri| self.policy.uri.as_ref() != Some(uri)) {
            ways.push(Beyond::by("policy-uri", format!("what was verified under another policy than {uri}")));
        }
        let digest = other.policy.digest.as_ref();
        if let Some(digest) = digest.filter(|digest| self.policy.digest.as_ref() != Some(digest)) {
            let words = format!("what was verified under a policy with another digest than {digest}");
            ways.push(Beyond::by("policy-digest", words));
        }
        let missing = |level: &&String| !self.levels.iter().any(|own| level::implies(own, level));
        for level in other.levels.iter().filter(missing) {
            ways.push(Beyond::by(level, format!("what no verifier says has reached {level}")));
        }
        ways
    }

    fn outside(&self) -> String {
        format!("what was not verified by {} within {}", or_list(&names_of(&self.verifiers)), self.within)
    }
}

impl About {
    fn words(&self) -> String {
        match self {
            Self::Artifact => "for the artifact's own URI".to_owned(),
            Self::Environment(environment) => format!("for {environment}"),
            Self::Resource(resource) => format!("as {resource}"),
        }
    }

    /// The `resourceUri` of a summary that is for this.
    fn resource(&self, facts: &Facts<'_>) -> String {
        let uri = facts.case().artifact().uri();
        match self {
            Self::Artifact => uri.to_owned(),
            Self::Environment(environment) => Summary::resource_in(uri, environment),
            Self::Resource(resource) => resource.clone(),
        }
    }
}

impl Check for VerifiedBy {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut nearest: Option<Vec<Finding>> = None;
        for evidence in facts.about_artifact() {
            let Predicate::Summary(summary) = evidence.predicate() else { continue };
            if self.signers(evidence).next().is_none() {
                continue;
            }
            let wrong = self.wrong(evidence, summary, facts);
            if wrong.is_empty() {
                return wrong;
            }
            // one that is almost good says most about what to do
            if nearest.as_ref().is_none_or(|nearest| wrong.len() < nearest.len()) {
                nearest = Some(wrong);
            }
        }
        nearest.unwrap_or_else(|| vec![self.absent(facts)])
    }

    fn names(&self) -> &[NameUse] {
        &self.verifiers
    }
}

impl VerifiedBy {
    /// The listed verifiers that signed.
    fn signers<'e>(&'e self, evidence: &'e Evidence) -> impl Iterator<Item = &'e str> {
        let names = evidence.signers_with(Role::Verifier).map(|signer| signer.name.as_str());
        names.filter(|name| self.verifiers.iter().any(|verifier| verifier.name == *name))
    }

    fn absent(&self, facts: &Facts<'_>) -> Finding {
        let others: Vec<String> = facts.about_artifact().iter().map(describe).collect();
        let found =
            if others.is_empty() { "no evidence about this artifact".to_owned() } else { others.join("; ") };
        let who = or_list(&names_of(&self.verifiers));
        let fix = format!("have {who} admit it first, and submit the summary that it signed then");
        Finding::new(RULE.name, "no verifier that the policy lists says that it passed", &fix)
            .wanted(&format!("a verification summary, signed by {who}, within {}", self.within), &self.place)
            .found(&found)
            .or("where it was admitted and the summary is lost: portcullis summary issue")
    }

    /// Everything that is wrong with a summary of a listed verifier.
    fn wrong(&self, evidence: &Evidence, summary: &Summary, facts: &Facts<'_>) -> Vec<Finding> {
        let within = describe(evidence);
        let said = self.said(evidence, summary, facts);
        let all = said.into_iter().chain(self.timely(evidence, summary, facts)).chain(self.under(summary));
        all.map(|finding| finding.within(&within)).collect()
    }

    fn finding(&self, message: &str, wanted: &str, found: &str, fix: &str) -> Finding {
        Finding::new(RULE.name, message, fix).wanted(wanted, &self.place).found(found)
    }

    /// By whom, of what, and with which result.
    fn said(&self, evidence: &Evidence, summary: &Summary, facts: &Facts<'_>) -> Vec<Finding> {
        let mut wrong = Vec::new();
        let ids = self.signers(evidence).filter_map(|name| facts.root().principal(name));
        let ids: Vec<&str> = ids.flat_map(|p| &p.verifier_ids).map(String::as_str).collect();
        if !ids.contains(&summary.verifier.as_str()) {
            let who = or_list(&self.signers(evidence).collect::<Vec<_>>());
            let message = format!("the summary claims a verifier that {who} may not speak for");
            let wanted = match ids.as_slice() {
                [] => format!("ids that {who} may claim, under `verifiers` in the trust root"),
                ids => format!("verifier.id {}", or_list(ids)),
            };
            let fix = "submit the summary of the verifier whose id the trust root lists for this key";
            wrong.push(self.finding(&message, &wanted, &summary.verifier, fix));
        }
        if !summary.passed || summary.levels.iter().any(|level| level == "FAILED") {
            let fix = "mend what the verifier found, and have it verified again";
            wrong.push(self.finding("the verifier says that the artifact failed", "PASSED", "FAILED", fix));
        }
        let resource = self.about.resource(facts);
        if summary.resource != resource {
            let fix = "submit the summary that was made for what is deployed here";
            wrong.push(self.finding(
                "the summary is for another resource",
                &resource,
                &summary.resource,
                fix,
            ));
        }
        if let About::Environment(environment) = &self.about
            && summary.environment.as_ref() != Some(environment)
        {
            let found = summary.environment.as_deref().unwrap_or("no environment");
            let fix = format!("submit the summary of its admission in {environment}");
            wrong.push(self.finding("the summary is for another environment", environment, found, &fix));
        }
        wrong
    }

    /// When.
    fn timely(&self, evidence: &Evidence, summary: &Summary, facts: &Facts<'_>) -> Vec<Finding> {
        let (at, mut wrong) = (facts.case().at(), Vec::new());
        let again = "have it verified again, and submit the new summary";
        let wanted = format!("verified within {}", self.within);
        match summary.verified {
            None => {
                let message = "the summary does not say when it was verified";
                wrong.push(self.finding(message, &wanted, "no time", again));
            }
            Some(verified) if Span::between(at, verified).as_seconds() > 60 => {
                let message = "the summary says that it will be verified in time to come";
                let found = format!("{verified}, and it is {at}");
                wrong.push(self.finding(
                    message,
                    &wanted,
                    &found,
                    "set the verifier's clock, and have it verified again",
                ));
            }
            Some(verified) => {
                let oldest = evidence.attestation().time().map_or(verified, |t| t.min(verified));
                let age = Span::between(oldest, at);
                if age > self.within {
                    let found = format!("verified {oldest}, {age} ago");
                    wrong.push(self.finding("the summary is too old", &wanted, &found, again));
                }
            }
        }
        if let Some(expires) = summary.expires.filter(|expires| *expires < at) {
            let found = format!("it ended at {expires}, and it is {at}");
            wrong.push(self.finding(
                "the summary has expired",
                "a summary that has not ended",
                &found,
                again,
            ));
        }
        wrong
    }

    /// Under which policy, and to which level.
    fn under(&self, summary: &Summary) -> Vec<Finding> {
        let mut wrong = Vec::new();
        let fix = "have it verified under the policy that is asked for, and submit that summary";
        let message = "the artifact passed another policy than the one that is asked for";
        if let Some(uri) = self.policy.uri.as_ref().filter(|uri| **uri != summary.policy_uri) {
            wrong.push(self.finding(message, uri, &summary.policy_uri, fix));
        }
        let has = |digest: &Digest| summary.policy.get(digest.algorithm()).as_ref() == Some(digest);
        if let Some(digest) = self.policy.digest.as_ref().filter(|digest| !has(digest)) {
            let found = summary.policy.first().map_or("no digest".to_owned(), |d| d.to_string());
            let message = "the artifact passed a policy with another digest than is asked for";
            wrong.push(self.finding(message, &digest.to_string(), &found, fix));
        }
        let missing: Vec<&str> =
            self.levels.iter().map(String::as_str).filter(|l| !level::reaches(&summary.levels, l)).collect();
        if !missing.is_empty() {
            let found =
                if summary.levels.is_empty() { "no level".to_owned() } else { and_list(&summary.levels) };
            let message = "the summary does not reach the level that is asked for";
            let fix = "have it built and verified to that level, and submit that summary";
            wrong.push(self.finding(message, &and_list(&missing), &found, fix));
        }
        wrong
    }
}
