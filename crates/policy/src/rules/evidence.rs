//! The built-in rules about envelopes: each one that is submitted must be readable, authentic, about this artifact,
//! and the only one of its kind. A policy cannot leave them out.

use std::collections::BTreeMap;

use attest::{Artifact, Attestation, EnvelopeError, Evidence, Json, OpenError, Predicate};

use crate::facts::Facts;
use crate::finding::Finding;
use crate::rule::Rule;

fn no_schema() -> Json {
    Json::Null
}

pub(crate) const READABLE: Rule = Rule {
    name: "evidence-readable",
    key: "",
    summary: "every submitted envelope can be read",
    docs: "Every envelope that is submitted must be a DSSE envelope, a Sigstore bundle (0.1 to 0.3) or a JWT, in strict \
           JSON: no duplicate keys, no byte order mark, nothing after the end; and no fractions and no integers past 2^53, but in what a \
           statement says, where they are kept as their text and never rounded. An envelope that cannot be read refuses the deployment, even where other evidence would do: an error never \
           reads as absence. At most 64 envelopes are read.",
    example: "",
    threats: &["T5"],
    reads_provenance: false,
    read: None,
    schema: no_schema,
};

pub(crate) const AUTHENTIC: Rule = Rule {
    name: "evidence-authentic",
    key: "",
    summary: "every submitted envelope is signed by somebody in the trust root",
    docs: "Step 1 of the chapter. At least one signature of every submitted envelope must verify under a key of the \
           trust root, over the exact bytes. The key must count at the signature's trusted time (a witness's \
           cosignature on the log entry carried inline), or, where there is none, at the time of the case. A key that \
           is revoked from a point in time on counts only for signatures with a trusted time, or a log position, \
           before that point; a time that the evidence claims of itself is no proof. A proof of being logged, for a \
           log of the trust root, must hold; one for another log proves nothing and harms nothing. A proof is \
           about one signature, and gives a time to that one alone. An envelope that no rule \
           needs must open as well: leave it out.",
    example: "",
    threats: &["T3", "T5", "T7"],
    reads_provenance: false,
    read: None,
    schema: no_schema,
};

pub(crate) const APPLIES: Rule = Rule {
    name: "evidence-applies",
    key: "",
    summary: "every submitted envelope is about this artifact, or about the commit it was built from",
    docs: "Step 2 of the chapter. Some subject of the statement must have the artifact's digest. Where both sides have \
           several digests, all must agree; md5 and sha1 never decide; names never decide. Evidence about a commit or \
           tree (a review, a test, a scan) applies where the judged provenance, signed by a builder that the policy \
           accepts, names that commit or tree as the source. Where no provenance is judged, nothing says which commit that \
           would be; evidence about a commit is then reported only where nothing else is wrong. A review of imports applies where \
           it lists the digest of a dependency of the judged provenance, or of a part in a list of parts (CycloneDX, SPDX) \
           about the artifact, whoever signed that; without a judged provenance, one that does not is reported as one \
           about a commit is.",
    example: "",
    threats: &["T5"],
    reads_provenance: false,
    read: None,
    schema: no_schema,
};

pub(crate) const UNAMBIGUOUS: Rule = Rule {
    name: "evidence-unambiguous",
    key: "",
    summary: "there is one provenance, and one claim of each kind by each signer",
    docs: "Chapter 14, \"Ensure Unambiguous Provenance\". Exactly one provenance is judged: two that are not rebuilders' \
           are refused, and none of them is picked. Likewise two test results for tests of the same name, two scans, \
           two releases, two reviews since the same base, two verification summaries for one resource, or two rebuilds, by \
           the same signer. To replace a claim, submit the \
           new one alone. The same bytes twice count once.",
    example: "",
    threats: &["T5"],
    reads_provenance: false,
    read: None,
    schema: no_schema,
};

pub(crate) fn unreadable(name: &str, error: &EnvelopeError) -> Finding {
    Finding::new(
        READABLE.name,
        "evidence cannot be read",
        &format!("submit {name} as the tool that made it wrote it"),
    )
    .wanted_always("a DSSE envelope, a Sigstore bundle or a JWT")
    .found(&error.to_string())
    .within(name)
    .or(&format!("leave {name} out, if no rule needs it"))
    .ending_standing()
}

pub(crate) fn too_many(count: usize, most: usize) -> Finding {
    Finding::new(
        READABLE.name,
        "more evidence was submitted than is read",
        "submit only what the policy's rules need",
    )
    .wanted_always(&format!("at most {most} envelopes"))
    .found(&format!("{count} envelopes"))
    .ending_standing()
}

pub(crate) fn not_authentic(name: &str, error: &OpenError) -> Finding {
    let (message, fix) = match error {
        OpenError::UnknownSigner => (
            "evidence is signed by nobody the trust root knows",
            "have it made by a signer of the trust root: for provenance, build with an official builder",
        ),
        OpenError::Revoked { .. } => (
            "evidence is signed with a revoked key",
            "make the evidence again with the signer's current key: build, test or review once more",
        ),
        OpenError::OutsideWindow { .. } => (
            "evidence is signed outside the time in which its key counts",
            "make the evidence again with the signer's current key",
        ),
        OpenError::LogProof(_) => (
            "evidence carries a proof of being logged that does not hold",
            "submit the bundle exactly as the signer wrote it, or make the evidence again",
        ),
        OpenError::Statement(_) | OpenError::PayloadType(_) | OpenError::TokenType => (
            "evidence is signed, and says nothing that can be read",
            "have the signer make it again in a supported format",
        ),
        OpenError::NeedsBytes(_) => (
            "evidence signs the file in a way that cannot be checked from its digest",
            "sign an attestation instead: portcullis attest, or cosign attest-blob",
        ),
        OpenError::NoInstance => (
            "evidence is signed under a certificate, and no Sigstore instance is trusted",
            "add the instance to the trust root: sigstore: { public-good: { trusted-root: embedded } }",
        ),
        OpenError::Sigstore(_) => (
            "evidence is signed under a certificate that does not hold",
            "submit the bundle exactly as the signer wrote it, or sign again",
        ),
        OpenError::UnknownIdentity(_) => (
            "evidence is signed by an identity that the trust root does not know",
            "have it made by a signer of the trust root: for provenance, by an official builder's workflow",
        ),
        OpenError::TwoNames(..) => (
            "evidence is signed by an identity that is two names' in the trust root",
            "make the identities in the trust root narrower, so that each is one name's",
        ),
    };
    let finding = Finding::new(AUTHENTIC.name, message, fix).found(&error.to_string()).within(name);
    let finding = trusted_instead(error, finding);
    match error {
        // what was signed well and has only become old is no new evidence that is false
        OpenError::OutsideWindow { time, until: Some(until), .. } if time > until => finding,
        _ => finding.ending_standing(),
    }
}

/// What would have counted, and how whoever signed comes to count.
fn trusted_instead(error: &OpenError, finding: Finding) -> Finding {
    match error {
        OpenError::NoInstance | OpenError::Sigstore(_) => {
            finding.wanted_always("a certificate that holds under a Sigstore instance of the trust root")
        }
        OpenError::TwoNames(..) => finding.wanted_always("an identity of one name alone"),
        OpenError::UnknownIdentity(_) => finding
            .wanted_always("a certificate of somebody in the trust root")
            .or("if it should be trusted, add it to `certificate-identities` there, and have that reviewed"),
        _ => finding
            .wanted_always("a signature by a key of the trust root, at a time when the key counts")
            .or("if the key should be trusted, add it to the trust root, and have that reviewed"),
    }
}

pub(crate) fn not_about(
    name: &str,
    attestation: &Attestation,
    artifact: &Artifact,
    source: Option<&Artifact>,
) -> Finding {
    let kind = attestation.statement().predicate.kind();
    let subjects = &attestation.statement().subjects;
    let digest = subjects.first().and_then(|s| s.digests.first());
    let subject =
        digest.as_ref().map_or("nothing with a digest that decides".to_owned(), ToString::to_string);
    let more = if subjects.len() > 1 { format!(", and {} more", subjects.len() - 1) } else { String::new() };
    let alike = digest.as_ref().and_then(|digest| artifact.digests().get(digest.algorithm()));
    let ours = alike.or_else(|| artifact.digest()).map_or_else(String::new, |d| d.to_string());
    let wanted = match source.and_then(Artifact::digest) {
        Some(commit) => format!("{ours}, or its source {commit}"),
        None => ours,
    };
    Finding::new(
        APPLIES.name,
        &format!("the {kind} applies to another artifact"),
        &format!("deploy the artifact that the {kind} is about"),
    )
    .wanted_always(&wanted)
    .found(&format!("{subject}{more}"))
    .within(name)
    .or(&format!("if the file was changed after it was built, build it again; if {name} was picked by mistake, submit the right one"))
}

/// The claims of each signer of which there may be one.
pub(crate) fn claims(attestation: &Attestation) -> Vec<String> {
    let signers = attestation.signers().iter();
    let about = match &attestation.statement().predicate {
        Predicate::Provenance(_) => vec!["rebuild".to_owned()],
        Predicate::Test(test) => test.names.iter().map(|n| format!("result of the tests {n}")).collect(),
        Predicate::Scan(_) => vec!["scan".to_owned()],
        Predicate::Release(_) => vec!["release".to_owned()],
        Predicate::Review(review) => {
            vec![format!("review since {}", review.base.as_deref().unwrap_or("the beginning"))]
        }
        Predicate::Summary(summary) => vec![format!("verification summary for {}", summary.resource)],
        // each adds to what was reviewed, and none takes away
        Predicate::Import(_)
        | Predicate::Breakglass(_)
        | Predicate::BreakglassReview(_)
        | Predicate::Signature
        | Predicate::Other(_) => Vec::new(),
    };
    signers.flat_map(|s| about.iter().map(move |a| format!("{a}, signed by {}", s.name))).collect()
}

pub(crate) fn ambiguous(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.is_ambiguous() {
        let provenance =
            facts.about_artifact().iter().filter(|e| matches!(e.predicate(), Predicate::Provenance(_)));
        let names: Vec<String> = provenance.map(crate::facts::describe).collect();
        findings.push(
            Finding::new(
                UNAMBIGUOUS.name,
                "more than one provenance was submitted, and none says which one is meant",
                "submit the one provenance of the build that you deploy",
            )
            .wanted_always("one provenance")
            .found(&format!("{}: {}", names.len(), names.join("; "))),
        );
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let judged_alone = |e: &&Evidence| {
        !matches!(e.predicate(), Predicate::Provenance(_))
            || e.signers_with(attest::Role::Rebuilder).next().is_some()
    };
    for claim in facts.all().filter(judged_alone).flat_map(|e| claims(e.attestation())) {
        *counts.entry(claim).or_default() += 1;
    }
    for (claim, count) in counts.into_iter().filter(|(_, count)| *count > 1) {
        findings.push(
            Finding::new(
                UNAMBIGUOUS.name,
                "the same claim was submitted more than once by the same signer",
                "submit the newest one alone",
            )
            .wanted_always("one claim of a kind by one signer")
            .found(&format!("{count} times: {claim}")),
        );
    }
    findings
}
