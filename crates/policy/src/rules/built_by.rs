//! Built by a builder that the policy lists, and by nothing else.

use attest::yaml::{Node, Problems};
use attest::{Evidence, Predicate, Provenance, Role, TrustRoot};

use crate::case::Case;
use crate::facts::{Facts, describe};
use crate::finding::Finding;
use crate::rule::{
    Beyond, Check, NameKind, NameUse, Order, Rule, list_schema, names_beyond, names_of, or_list, read_names,
};

pub(crate) const RULE: Rule = Rule {
    name: "built-by",
    key: "built-by",
    summary: "the provenance comes from a builder that is listed",
    docs: "Met where exactly one provenance is submitted, and it (1) is signed by a listed name that holds the role \
           builder in the trust root, (2) claims a `builder.id` that the trust root lets this name claim, exactly or by a pattern, and where a \
           certificate signed it, nothing that the certificate contradicts: builder, source repository, ref, commit, workflow, trigger, runner; (3) comes from \
           a builder that the trust root admits in this environment, and (4) is not recalled: neither the builder's \
           version, nor a tool it names by digest, nor the time at which the build finished; a recall that names several of \
           these recalls what matches all of them, and a version or time that the provenance does not say counts as \
           recalled. One signer must meet (1) to (4) alone. Where more than one provenance is submitted, evidence-unambiguous \
           refuses, and this rule adds nothing. Rules that read provenance read it only where this rule is \
           met, and a policy that has one of them must have this one. A tool that the provenance does not name cannot be \
           recalled by its digest: ask for `tools` where that matters.",
    example: "built-by: [official-ci]",
    threats: &["T3", "T5", "T7", "T9", "T10"],
    reads_provenance: false,
    read: Some(read),
    schema: list_schema,
};

#[derive(Debug)]
struct BuiltBy(Vec<NameUse>);

fn read(node: &Node, problems: &mut Problems) -> Option<Box<dyn Check>> {
    Some(Box::new(BuiltBy(read_names(node, NameKind::Role(Role::Builder), problems)?)))
}

impl Order for BuiltBy {
    fn beyond(&self, other: &Self) -> Vec<Beyond> {
        let more = names_beyond(&self.0, &other.0);
        more.map(|names| Beyond::only(format!("what {names} built"))).into_iter().collect()
    }

    fn outside(&self) -> String {
        format!("what was not built by {}", or_list(&names_of(&self.0)))
    }
}

impl Check for BuiltBy {
    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        if facts.is_ambiguous() {
            return Vec::new();
        }
        match facts.submitted_provenance() {
            Some(evidence) => {
                accept(&self.0, evidence, facts.case(), facts.root()).err().into_iter().collect()
            }
            None => vec![absent(&self.0, facts)],
        }
    }

    fn names(&self) -> &[NameUse] {
        &self.0
    }
}

fn wanted(names: &[NameUse], finding: Finding) -> Finding {
    match names.first() {
        Some(first) => {
            finding.wanted(&format!("provenance, signed by {}", or_list(&names_of(names))), &first.place)
        }
        None => finding,
    }
}

fn absent(names: &[NameUse], facts: &Facts<'_>) -> Finding {
    let others: Vec<String> = facts.about_artifact().iter().map(describe).collect();
    let found = if others.is_empty() { "none about this artifact".to_owned() } else { others.join("; ") };
    let listed = or_list(&names_of(names));
    let finding = if is_foreign(names, facts.root()) {
        let submit = format!(
            "submit the provenance that {listed} signed: what `gh attestation download` or the package's registry gives out"
        );
        Finding::new(RULE.name, "no provenance says how it was built", &submit)
    } else {
        let submit = "submit the bundle that the build wrote beside the artifact: ARTIFACT.sigstore.json";
        Finding::new(RULE.name, "no provenance says how it was built", submit)
    };
    wanted(names, finding.found(&found).or(&build_with(names, facts.root())))
}

/// Whether all of them sign under certificates: what they build is not begun here.
fn is_foreign(names: &[NameUse], root: &TrustRoot) -> bool {
    let has_no_key = |name: &NameUse| root.principal(&name.name).is_some_and(|p| p.keys.is_empty());
    !names.is_empty() && names.iter().all(has_no_key)
}

fn build_with(names: &[NameUse], root: &TrustRoot) -> String {
    let listed = or_list(&names_of(names));
    if is_foreign(names, root) {
        return format!("build it with {listed}: run the workflow that the trust root names");
    }
    format!("build it with {listed}: portcullis build REPOSITORY --ref REF --target TARGET --out DIR")
}

/// The names of all builders that may speak for a provenance, at least one, or what is wrong with it. None is picked: a
/// policy that lists one more builder must not refuse what it admitted.
pub(crate) fn accept(
    names: &[NameUse],
    evidence: &Evidence,
    case: &Case,
    root: &TrustRoot,
) -> Result<Vec<String>, Finding> {
    let Predicate::Provenance(provenance) = evidence.predicate() else {
        return Err(other(names, evidence, root));
    };
    let listed = evidence.signers_with(Role::Builder).filter(|s| names.iter().any(|n| n.name == s.name));
    let (mut accepted, mut refused) = (Vec::new(), None);
    for signer in listed {
        match refusal(&signer.name, evidence, provenance, case, root) {
            None => accepted.push(signer.name.clone()),
            Some(finding) if finding.found.is_empty() => {
                refused = Some(finding.found(&claimed(provenance)));
            }
            Some(finding) => refused = Some(finding),
        }
    }
    if !accepted.is_empty() {
        return Ok(accepted);
    }
    Err(refused.unwrap_or_else(|| other(names, evidence, root)).within(&describe(evidence)))
}

/// The finding that nobody who is listed signed.
fn other(names: &[NameUse], evidence: &Evidence, root: &TrustRoot) -> Finding {
    let is_builder = evidence.signers_with(Role::Builder).next().is_some();
    let message = if is_builder {
        "built by another builder than the policy allows"
    } else {
        "the provenance is signed by somebody who is no builder"
    };
    let finding = Finding::new(RULE.name, message, &build_with(names, root)).found(&describe(evidence));
    let finding = match names.first() {
        Some(first) if is_builder => {
            finding.or(&format!("allow the other builder: add it at {}, and have it reviewed", first.place))
        }
        _ => finding,
    };
    wanted(names, finding)
}

fn claimed(provenance: &Provenance) -> String {
    let version = provenance.builder_version.as_deref().map(|v| format!(", version {v}")).unwrap_or_default();
    format!("builder.id {}{version}", provenance.builder_id)
}

/// What is wrong where this builder may not say this.
fn refusal(
    name: &str,
    evidence: &Evidence,
    provenance: &Provenance,
    case: &Case,
    root: &TrustRoot,
) -> Option<Finding> {
    let finding =
        |message: &str, wanted: &str, fix: &str| Finding::new(RULE.name, message, fix).wanted_always(wanted);
    // not with `?`: nothing is what an accepted builder gives
    let Some(builder) = root.principal(name).and_then(|principal| principal.builder.as_ref()) else {
        let fix = format!("declare {name} under `builders` in the trust root, and have it reviewed");
        return Some(finding(&format!("{name} is no builder"), "a builder of the trust root", &fix));
    };
    if !builder.may_claim(&provenance.builder_id) {
        let message = format!("the provenance claims a builder that {name} may not speak for");
        let fix = "build with the builder whose id the trust root lists for this key";
        return Some(finding(&message, &format!("builder.id {}", or_list(&builder.ids)), fix));
    }
    if !builder.is_for(case.environment()) {
        let message = format!("{name} does not count in {}", case.environment());
        let fix = "build with a builder that the trust root admits in this environment";
        return Some(finding(&message, &format!("a builder for {}", case.environment()), fix));
    }
    if let Some(contradiction) = evidence.attestation().disagreements().first() {
        let message =
            format!("the provenance claims another {} than its certificate says", contradiction.what);
        let wanted = format!("{} {}, as the certificate says", contradiction.what, contradiction.certified);
        let fix = "have it made again by the build itself: what a certificate says, nobody writes by hand";
        let found = format!("{} {}", contradiction.what, contradiction.claimed);
        return Some(finding(&message, &wanted, fix).found(&found).ending_standing());
    }
    let recall = builder.recall_of(provenance)?;
    let message = format!("builds like this one were recalled: {}", recall.reason);
    let fix = "build it again, with a builder and tools that are not recalled";
    Some(finding(&message, "a build that is not recalled", fix).ending_standing())
}
