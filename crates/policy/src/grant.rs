//! Whether the breakglass grant that a request names holds for it.

use attest::breakglass::Grant;
use attest::time::Span;
use attest::{Attestation, Digest, Json, Object, Opener, Predicate, TrustRoot};

use crate::case::Case;
use crate::finding::Finding;
use crate::policy::{Breakglass, Policy};
use crate::rules::breakglass_grant as finding;

/// A clock may be behind the one that wrote the grant by so many seconds.
const TOLERANCE: i64 = 60;

/// A grant that holds for one case: made only by `evaluate`, from a signature that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldGrant {
    grant: Grant,
    person: String,
    digest: Digest,
}

impl HeldGrant {
    /// What it says.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The person who gave it, by the name in the trust root.
    #[must_use]
    pub fn person(&self) -> &str {
        &self.person
    }

    /// SHA-256 of the signed grant as it was submitted.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The JSON form in a decision.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let grant = &self.grant;
        Object::new()
            .with("id", grant.id.as_str())
            .with("digest", self.digest.to_string())
            .with("person", self.person.as_str())
            .with("reason", grant.reason.as_str())
            .with("ticket", grant.ticket.as_str())
            .with("issued", grant.issued.to_string())
            .with("expires", grant.expires.to_string())
            .into()
    }
}

/// Judges the grant that a case names, where it names one.
///
/// 1. The policy allows breakglass.
/// 2. The grant is authentic, like any evidence, and it is a grant.
/// 3. A person of the policy's group signed it: not a machine, whatever group it is in.
/// 4. It is for this environment, this artifact and this requester.
/// 5. It holds now, and was not given for longer than the policy allows.
pub(crate) fn hold(
    case: &Case,
    policy: Option<&Policy>,
    root: &TrustRoot,
    opener: &dyn Opener,
) -> Option<Result<HeldGrant, Finding>> {
    let submitted = case.request().grant.as_ref()?;
    let judge = || {
        let breakglass = allowed(case, policy)?;
        let attestation =
            opener.open(root, &submitted.bytes, case.at()).map_err(|e| finding::not_authentic(&e))?;
        let Predicate::Breakglass(grant) = &attestation.statement().predicate else {
            return Err(finding::no_grant(attestation.statement().predicate.kind()));
        };
        let person = giver(&attestation, breakglass, root)?;
        check_scope(grant, &attestation, case, root)?;
        check_time(grant, breakglass, case)?;
        let digest = attestation.envelope().clone();
        Ok(HeldGrant { grant: grant.as_ref().clone(), person, digest })
    };
    Some(judge().map_err(|finding: Finding| finding.within(&submitted.name)))
}

fn allowed<'p>(case: &Case, policy: Option<&'p Policy>) -> Result<&'p Breakglass, Finding> {
    let policy = policy.ok_or_else(|| finding::no_policy(case.environment()))?;
    policy.breakglass().ok_or_else(|| finding::not_allowed(policy.place()))
}

fn giver(attestation: &Attestation, breakglass: &Breakglass, root: &TrustRoot) -> Result<String, Finding> {
    let people = || attestation.signers().iter().map(|s| s.name.as_str()).filter(|name| root.is_person(name));
    let group = root.group(&breakglass.group.name);
    let member = people().find(|name| group.is_some_and(|group| group.contains(*name)));
    match (member, people().next()) {
        (Some(member), _) => Ok(member.to_owned()),
        (None, Some(person)) => Err(finding::not_in_group(person, &breakglass.group)),
        (None, None) => {
            let signers: Vec<&str> = attestation.signers().iter().map(|s| s.name.as_str()).collect();
            Err(finding::no_person(&signers, &breakglass.group))
        }
    }
}

fn check_scope(
    grant: &Grant,
    attestation: &Attestation,
    case: &Case,
    root: &TrustRoot,
) -> Result<(), Finding> {
    if grant.environment != case.environment() {
        return Err(finding::other_environment(grant, case.environment()));
    }
    if grant.artifact.is_some() && attestation.about(case.artifact()).is_err() {
        return Err(finding::other_artifact(grant, case.artifact()));
    }
    let Some(wanted) = &grant.requester else { return Ok(()) };
    let requester = case.request().requester.as_deref();
    let is_same_person =
        |requester: &str| root.person(requester).is_some_and(|person| root.person(wanted) == Some(person));
    if requester.is_some_and(|requester| requester == wanted || is_same_person(requester)) {
        Ok(())
    } else {
        Err(finding::other_requester(wanted, requester))
    }
}

fn check_time(grant: &Grant, breakglass: &Breakglass, case: &Case) -> Result<(), Finding> {
    let at = case.at();
    if at >= grant.expires {
        return Err(finding::expired(grant, at));
    }
    if Span::between(at, grant.issued).as_seconds() > TOLERANCE {
        return Err(finding::not_yet(grant, at));
    }
    // to the nanosecond: a span counts whole seconds
    let latest = jiff::SignedDuration::from_secs(breakglass.expires.as_seconds());
    if grant.expires.duration_since(grant.issued) > latest {
        return Err(finding::too_long(grant, breakglass));
    }
    Ok(())
}
